// A training step under test: its inputs, the 16-bit and the int8 step on the same data, what they
// must satisfy, and their time.
//
// Every stage of the int8 step is verified on the buffers that it ran on: quantization and
// dequantization bit for bit, int32 accumulators by Freivalds' check, and each result against f64
// within the bound that follows from the quantizer. Then both steps are compared as wholes.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "harness/check.hpp"
#include "harness/guarded_step.hpp"
#include "harness/parallel.hpp"
#include "harness/plans.hpp"
#include "harness/quantized_product.hpp"
#include "harness/run_case.hpp"
#include "harness/verify.hpp"
#include "octet/graph.hpp"
#include "octet/training_step.hpp"

namespace octet::harness {

template <class B, class T>
class StepCase {
 public:
  StepCase(B backend, const Problem& problem, Policy policy, std::uint64_t seed, bool timed)
      : backend_(backend), problem_(problem), policy_(policy), seed_(seed) {
    require_memory(timed);
    allocate_inputs();
    gemm_workspace_ = make_pinned_workspace(backend);
    native_.emplace(backend, gemm_workspace_, problem.layer, Policy::native(), inputs());
    int8_.emplace(backend, gemm_workspace_, problem.layer, policy, inputs());
  }

  /// Runs both steps stage by stage, each stage followed by its verification, and compares them.
  /// On the CPU, where a step takes seconds to minutes, these are the runs that are timed as well.
  Check run_and_verify(Json& record) {
    native_->poison(0xa5, WeightMode::every_step);
    int8_->poison(0xa5, WeightMode::every_step);
    Check check = run_stages(*native_, "native", record);
    check = merge({check, run_stages(*int8_, "int8", record)});
    for (const Product p : kProducts) check = merge({check, verify_result(p, record)});
    for (const auto& step : {&*native_, &*int8_}) {
      if (const auto damage = step->damage()) check = merge({check, failure(*damage)});
    }
    if (const auto damage = ledger_.damage()) check = merge({check, failure(*damage)});
    record["output_hash"] = hex(hash_bytes(verified_.int8.data(), 8 * verified_.int8.size()));
    return check;
  }

  /// Times whole steps as graphs and their stages, and verifies what the timed launches left. The
  /// models' sizes on the CPU were timed while they were verified.
  Check time(Json& record) {
    if constexpr (std::is_same_v<B, Cpu>) {
      if (!problem_.size.empty()) {
        record_cpu_time(record);
        return {};
      }
    }
    return time_replays(record);
  }

  /// Runs one int8 step inside a profiler range.
  void profile_step() {
    profile(backend_, "training_step", [this] { (*int8_)->run(WeightMode::every_step); });
  }

  /// Own allocations of a case, in bytes of the backend's memory.
  std::int64_t predicted_bytes(bool timed) const {
    const LayerShape& l = problem_.layer;
    constexpr std::int64_t kGemmWorkspace = 32 << 20;
    const std::int64_t inputs = 2 * (l.tokens() * l.model + l.hidden * l.model) * kElement;
    std::int64_t bytes = inputs + kGemmWorkspace +
                         TrainingStep<B, T>::workspace_bytes(l, Policy::native()) +
                         TrainingStep<B, T>::workspace_bytes(l, policy_);
    if (timed && (!std::is_same_v<B, Cpu> || problem_.size.empty())) {
      // The transposed copies, and the results of the step that reads them.
      bytes += inputs + 2 * l.tokens() * l.hidden * kElement +
               TrainingStep<B, T>::workspace_bytes(l, Policy::native());
    }
    return bytes;
  }

 private:
  static constexpr auto kElement = static_cast<std::int64_t>(sizeof(T));
  using Input = std::unique_ptr<Tensor<B, T>>;

  void require_memory(bool timed) const {
    const std::int64_t needed = predicted_bytes(timed), available = free_memory(backend_);
    if (needed > available) {
      throw std::runtime_error(
          fmt::format("training_step: size {} needs {} bytes of {} memory, but {} are available",
                      problem_.name, needed, B::kName, available));
    }
  }

  void allocate_inputs() {
    const LayerShape& l = problem_.layer;
    const auto root = [](std::int64_t n) { return 1.0f / std::sqrt(static_cast<float>(n)); };
    constexpr float kGradientScale = 1e-2f;
    a_ = input("a", l.tokens(), l.model, 1.0f);
    w1_ = input("w1", l.hidden, l.model, root(l.model));
    w2_ = input("w2", l.model, l.hidden, root(l.hidden));
    grad_ = input("grad", l.tokens(), l.model, kGradientScale);
  }

  Input input(const char* name, std::int64_t rows, std::int64_t cols, float scale) {
    progress("making", name);
    auto tensor = std::make_unique<Tensor<B, T>>(backend_, ledger_, name, Role::input, rows, cols);
    tensor->fill(
        [&](Matrix<T> host) { fill(host, options().distribution, scale, seed_from(name, seed_)); });
    return tensor;
  }

  LayerInputs<T> inputs() const { return {a_->view(), w1_->view(), w2_->view(), grad_->view()}; }

  static Check failure(const std::string& message) {
    Check check;
    check.kind = "guards";
    check.passed = false;
    check.status = "FAILED";
    check.message = message;
    return check;
  }

  void progress(std::string_view verb, std::string_view what) const {
    if (problem_.size.empty()) return;
    fmt::print(stderr, "[ {:>8} ] {} {}\n", problem_.name, verb, what);
  }

  static std::string_view operator_name(const Stage<B, T>& stage) {
    return std::visit(
        []<class W>(const W& work) -> std::string_view {
          if constexpr (std::is_same_v<W, QuantizeStage<T>>) {
            return work.q_col.data == nullptr ? "quantize_rowwise" : "quantize_row_col";
          } else if constexpr (std::is_same_v<W, GemmS8Stage<B>>) {
            return "gemm_s8";
          } else if constexpr (std::is_same_v<W, DequantizeStage<T>>) {
            return "dequantize";
          } else {
            return kDType<T> == DType::f16 ? "gemm_f16" : "gemm_bf16";
          }
        },
        stage.work);
  }

  static Json plan_of(const Stage<B, T>& stage) {
    return std::visit(
        [](const auto& work) -> Json {
          if constexpr (requires { work.plan; }) {
            if (work.plan) return work.plan->algorithm;
          }
          return nullptr;
        },
        stage.work);
  }

  void keep_plan(const Stage<B, T>& stage) const {
    std::visit(
        [this](const auto& work) {
          if constexpr (requires { work.plan; }) {
            if (work.plan) keep_choice(backend_, *work.plan);
          }
        },
        stage.work);
  }

  Json stage_record(const Stage<B, T>& stage, std::string_view variant, double median_us) const {
    return {{"variant", variant},
            {"product", name(stage.product)},
            {"operator", operator_name(stage)},
            {"tensor", stage.tensor},
            {"weights", stage.weights},
            {"median_us", median_us},
            {"plan", plan_of(stage)}};
  }

  Check run_stages(GuardedStep<B, T>& step, const std::string& variant, Json& record) {
    constexpr bool kOnCpu = std::is_same_v<B, Cpu>;
    TimingOptions how;
    how.samples = options().iterations.value_or(1);
    how.warm_up = options().warm_up.value_or(0);
    std::vector<Timing> timings;
    Check check;
    for (Stage<B, T>& stage : step->stages()) {
      progress(variant,
               fmt::format("{} {} {}", name(stage.product), operator_name(stage), stage.tensor));
      const std::function<void()> call = [&] { step->run(stage); };
      auto* const product = std::get_if<GemmS8Stage<B>>(&stage.work);
      if (product != nullptr) step.guard_beyond(product->acc);
      if constexpr (kOnCpu) {
        step->plan(stage);
        timings.push_back(measure_sequence(backend_, std::span(&call, 1), how).front());
        record["stages"].push_back(stage_record(stage, variant, timings.back().summary().median));
      } else {
        call();
        synchronize(backend_);
      }
      keep_plan(stage);
      if (product != nullptr) {
        if (const auto damage = step.damage_beyond(product->acc)) {
          check = merge({check, failure(*damage)});
        }
      }
      check =
          merge({check, std::visit([this](const auto& work) { return verify(work); }, stage.work)});
    }
    if constexpr (kOnCpu) cpu_timings_.push_back(std::move(timings));
    return check;
  }

  // ---- what must be true of each stage ----

  Check verify(const QuantizeStage<T>& s) const {
    const auto x = to_host(backend_, s.x);
    const auto q_row = to_host(backend_, Matrix<const s8>(s.q_row));
    const auto row_scale = to_host(backend_, Vector<const float>(s.row_scale));
    const Vector<const float> host_row_scale(row_scale.view.data, s.row_scale.length);
    if (s.q_col.data == nullptr) {
      return verify_quantize_rowwise<T>(x.view, q_row.view, host_row_scale);
    }
    const auto q_col = to_host(backend_, Matrix<const s8>(s.q_col));
    const auto col_scale = to_host(backend_, Vector<const float>(s.col_scale));
    return verify_quantize_row_col<T>(x.view, q_row.view, host_row_scale, q_col.view,
                                      {col_scale.view.data, s.col_scale.length});
  }

  Check verify(const GemmS8Stage<B>& s) const {
    const auto a = to_host(backend_, s.a), b = to_host(backend_, s.b);
    const auto acc = to_host(backend_, Matrix<const s32>(s.acc));
    return verify_gemm_s8(a.view, b.view, acc.view, seed_);
  }

  Check verify(const DequantizeStage<T>& s) const {
    const auto acc = to_host(backend_, s.acc);
    const auto row_scale = to_host(backend_, s.row_scale);
    const auto col_scale = to_host(backend_, s.col_scale);
    const auto out = to_host(backend_, Matrix<const T>(s.out));
    return verify_dequantize<T>(acc.view, {row_scale.view.data, s.row_scale.length},
                                {col_scale.view.data, s.col_scale.length}, {}, out.view);
  }

  Check verify(const GemmStage<B, T>& s) const {
    const HostOperand a(backend_, s.a), b(backend_, s.b);
    const auto out = to_host(backend_, Matrix<const T>(s.out));
    return verify_gemm<T>(a.operand, b.operand, out.view, seed_);
  }

  /// A 16-bit operand and the host memory that it lies in.
  struct HostOperand {
    HostOperand(B backend, const Operand<T>& o)
        : matrix(to_host(backend, o.transposed
                                      ? Matrix<const T>(o.data, o.cols, o.rows, RowMajor{o.ld})
                                      : Matrix<const T>(o.data, o.rows, o.cols, RowMajor{o.ld}))),
          operand(o.transposed ? Operand<T>(transposed(matrix.view)) : Operand<T>(matrix.view)) {}
    HostMatrix<T> matrix;
    Operand<T> operand;
  };

  /// A result of the int8 step against f64 on its own operands, and against the 16-bit step.
  Check verify_result(Product p, Json& record) {
    progress("comparing", name(p));
    const auto actual = to_host(backend_, Matrix<const T>((*int8_)->result(p)));
    const auto expected = to_host(backend_, Matrix<const T>((*native_)->result(p)));
    const std::string what = fmt::format("{} of the int8 step", name(p));
    const Check whole =
        compare_norms(what, actual.view, expected.view, norm_bounds(options().distribution));
    // Of what was compared, on the host; same_results hashes where the results lie.
    verified_.native.push_back(hash(expected.view));
    verified_.int8.push_back(hash(actual.view));
    record["products"].push_back({{"product", name(p)},
                                  {"rel_frobenius", whole.rel_frobenius},
                                  {"worst_row", whole.worst_row},
                                  {"worst_col", whole.worst_col},
                                  {"cosine", whole.cosine},
                                  {"output_hash", hex(verified_.int8.back())}});
    Check check;
    // Norms of a few elements say nothing; small problems are held by the elementwise bound.
    if (!problem_.size.empty()) check = whole;
    if (policy_.of(pass_of(p)) != Precision::s8) return check;
    const auto& [a, b] = (*int8_)->operands(p);
    const HostOperand host_a(backend_, a), host_b(backend_, b);
    return merge({check, verify_quantized_product<T>(what, host_a.operand, host_b.operand,
                                                     actual.view, seed_)});
  }

  static Bounds norm_bounds(Distribution distribution) {
    // Gaussian data: a product has about 1.4 % of error, a result that hangs on two products 1.8 %.
    // Rows whose absmax comes from an outlier channel keep few levels for everything else.
    if (distribution == Distribution::outlier_channels) return {0.25, 0.6, 0.6, 0.97};
    return {0.025, 0.05, 0.05, 0.9995};
  }

  // ---- time ----

  struct Verified {
    std::vector<std::uint64_t> native, transposed, int8;
  };

  static Json variant_record(std::string_view name, const Timing& timing, bool derived,
                             const Timing& native) {
    return {{"name", name},
            {"derived", derived},
            {"time", to_json(timing)},
            {"ratio", to_json(ratio_interval(native.samples_us, timing.samples_us, kConfidence))},
            {"steady", nullptr}};
  }

  void record_cpu_time(Json& record) {
    const auto sum = [](const std::vector<Timing>& stages, auto&& included) {
      Timing total;
      total.samples_us.assign(stages.front().samples_us.size(), 0.0);
      for (std::size_t i = 0; i < stages.size(); ++i) {
        if (!included(i)) continue;
        for (std::size_t k = 0; k < total.samples_us.size(); ++k) {
          total.samples_us[k] += stages[i].samples_us[k];
        }
      }
      return total;
    };
    const auto all = [](std::size_t) { return true; };
    const auto& int8_stages = (*int8_)->stages();
    const Timing native = sum(cpu_timings_.at(0), all);
    const Timing every = sum(cpu_timings_.at(1), all);
    const Timing kept =
        sum(cpu_timings_.at(1), [&](std::size_t i) { return !int8_stages[i].weights; });
    record["variants"] = Json::array({variant_record("native", native, false, native),
                                      variant_record("int8_every_step", every, false, native),
                                      variant_record("int8_kept", kept, true, native)});
    set_step_time(record, every, static_cast<int>(native.samples_us.size()),
                  options().warm_up.value_or(0));
  }

  void set_step_time(Json& record, const Timing& timing, int samples, int warm_up) const {
    const auto operations = static_cast<double>(problem_.layer.operations());
    record["iterations"] = samples;
    record["warm_up"] = warm_up;
    record["time"] = to_json(timing);
    record["cost"] = {{"bytes", nullptr}, {"operations", operations}};
    record["rate"] =
        to_json(roofline_of(device_info(backend_), Pipe::s8, 0, operations, timing, nullptr));
  }

  Check time_replays(Json& record) {
    make_transposed_copies();
    const TimingOptions how = timing_options<B>(problem_, seed_);
    const auto contender = [](GuardedStep<B, T>& step, WeightMode mode) {
      return Contender{{[&step, mode] { step->run(mode); }}};
    };
    const std::vector<std::string> names = {"native", "native_transposed", "int8_every_step",
                                            "int8_kept"};
    const std::vector<Contender> contenders = {contender(*native_, WeightMode::every_step),
                                               contender(*transposed_, WeightMode::every_step),
                                               contender(*int8_, WeightMode::every_step),
                                               contender(*int8_, WeightMode::kept)};
    transposed_->poison(0xa5, WeightMode::every_step);
    (*transposed_)->run(WeightMode::every_step);
    synchronize(backend_);
    Check check = verify_transposed();

    // Each variant alone must write everything that its mode writes, from a graph, whatever earlier
    // runs left behind: one that lives off another's launches, or off its own first one, would not.
    for (const WeightMode mode : {WeightMode::every_step, WeightMode::kept}) {
      poison_steps(0x3c, mode);
      for (GuardedStep<B, T>* step : {&*native_, &*transposed_, &*int8_}) {
        const Graph<B> graph(backend_, [&] { (*step)->run(mode); });
        graph.launch();
        synchronize(backend_);
      }
      check = merge({check, same_results(mode == WeightMode::kept ? "from a kept-weights graph"
                                                                  : "from an every-step graph")});
    }

    progress("timing", "steps");
    // The weights' int8 copies stay, because a kept-weights graph may come first.
    poison_steps(0x5a, WeightMode::kept);
    std::vector<Timing> timings = measure(backend_, contenders, how);
    synchronize(backend_);
    name_cache_mode(timings, device_info(backend_),
                    TrainingStep<B, T>::workspace_bytes(problem_.layer, Policy::native()));
    set_environment(record, backend_);
    check = merge({check, same_results("after the timed launches")});
    const Timing& fastest =
        timings[0].summary().median <= timings[1].summary().median ? timings[0] : timings[1];
    for (std::size_t i = 0; i < names.size(); ++i) {
      record["variants"].push_back(variant_record(names[i], timings[i], false, fastest));
    }
    set_step_time(record, timings[2], static_cast<int>(timings[2].samples_us.size()), how.warm_up);
    write_samples(record, timings);

    if constexpr (!std::is_same_v<B, Cpu>) {
      if (!problem_.size.empty()) time_steady(contenders, check, record);
    }

    progress("timing", "stages");
    poison_steps(0x5a, WeightMode::every_step);
    time_stages(*native_, "native", how, record);
    time_stages(*int8_, "int8", how, record);
    (*transposed_)->run(WeightMode::every_step);
    synchronize(backend_);
    check = merge({check, same_results("after the timed stages")});
    // Last, because it reads every input once more.
    if (const auto damage = ledger_.damage()) check = merge({check, failure(*damage)});
    return check;
  }

  void time_steady(std::span<const Contender> contenders, Check& check, Json& record) {
    progress("timing", "steps in the steady state");
    poison_steps(0x5a, WeightMode::kept);
    const std::vector<Timing> steady = measure_steady(backend_, contenders);
    for (std::size_t i = 0; i < steady.size(); ++i) {
      record["variants"][i]["steady"] = to_json(steady[i]);
    }
    check = merge({check, same_results("after the steady state")});
  }

  void poison_steps(unsigned char byte, WeightMode mode) {
    for (GuardedStep<B, T>* step : {&*native_, &*transposed_, &*int8_}) step->poison(byte, mode);
  }

  void time_stages(GuardedStep<B, T>& step, const std::string& variant, const TimingOptions& how,
                   Json& record) {
    std::vector<std::function<void()>> calls;
    for (Stage<B, T>& stage : step->stages()) calls.push_back([&] { step->run(stage); });
    const std::vector<Timing> timings = measure_sequence(backend_, calls, how);
    for (std::size_t i = 0; i < calls.size(); ++i) {
      record["stages"].push_back(
          stage_record(step->stages()[i], variant, timings[i].summary().median));
    }
  }

  Check same_results(const std::string& when) {
    Check check;
    const std::array<std::tuple<GuardedStep<B, T>*, const std::vector<std::uint64_t>*, const char*>,
                     3>
        steps = {{{&*native_, &verified_.native, "16-bit"},
                  {&*transposed_, &verified_.transposed, "transposed 16-bit"},
                  {&*int8_, &verified_.int8, "int8"}}};
    for (const auto& [step, verified, variant] : steps) {
      const std::vector<std::uint64_t> now = step->hashes();
      for (std::size_t i = 0; i < kProducts.size(); ++i) {
        if (now[i] == (*verified)[i]) continue;
        check =
            merge({check, failure(fmt::format("{} of the {} step {} differs from what was verified",
                                              name(kProducts[i]), variant, when))});
      }
      if (const auto damage = step->damage()) check = merge({check, failure(*damage)});
    }
    return check;
  }

  // ---- the 16-bit step on operands that somebody transposed beforehand ----

  void make_transposed_copies() {
    progress("making", "transposed copies");
    copies_.clear();
    const auto copy = [&](Matrix<const T> m) -> Matrix<const T> {
      const auto host = to_host(backend_, m);
      copies_.push_back(std::make_unique<Tensor<B, T>>(backend_, ledger_, "transposed copy",
                                                       Role::input, m.cols, m.rows));
      copies_.back()->fill([&](Matrix<T> out) {
        constexpr std::int64_t kTile = 64;
        parallel_for((out.rows + kTile - 1) / kTile, 1, [&](std::int64_t begin, std::int64_t end) {
          const std::int64_t last_row = std::min(end * kTile, out.rows);
          for (std::int64_t j0 = 0; j0 < out.cols; j0 += kTile) {
            for (std::int64_t i = begin * kTile; i < last_row; ++i) {
              for (std::int64_t j = j0; j < std::min(j0 + kTile, out.cols); ++j) {
                out(i, j) = host.view(j, i);
              }
            }
          }
        });
      });
      return copies_.back()->view();
    };
    const LayerInputs<T> in = inputs();
    const TransposedCopies<T> copies{copy(in.a),
                                     copy(in.w1),
                                     copy(in.w2),
                                     copy(in.grad),
                                     copy((*native_)->result(Product::fc1_fprop)),
                                     copy((*native_)->result(Product::fc2_dgrad))};
    transposed_.emplace(backend_, gemm_workspace_, problem_.layer, Policy::native(), in, copies);
  }

  Check verify_transposed() {
    Check check;
    for (const Product p : kProducts) {
      const auto actual = to_host(backend_, Matrix<const T>((*transposed_)->result(p)));
      const auto expected = to_host(backend_, Matrix<const T>((*native_)->result(p)));
      verified_.transposed.push_back(hash(actual.view));
      constexpr Bounds kSameProduct{0.004, 0.02, 0.02, 0.9999};
      check = merge({check, compare_norms(fmt::format("{} of transposed copies", name(p)),
                                          actual.view, expected.view, kSameProduct)});
    }
    return check;
  }

  B backend_;
  Problem problem_;
  Policy policy_;
  std::uint64_t seed_;
  Ledger ledger_;
  Input a_, w1_, w2_, grad_;
  std::vector<Input> copies_;
  GemmWorkspace<B> gemm_workspace_;
  std::optional<GuardedStep<B, T>> native_, int8_, transposed_;
  Verified verified_;
  std::vector<std::vector<Timing>> cpu_timings_;  // native, int8: one for each stage
};

}  // namespace octet::harness
