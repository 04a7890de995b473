// A training step under test: its inputs, the 16-bit and the int8 step on the same data, what they
// must satisfy, and their time.
//
// Every stage of the int8 step is verified on the buffers that it ran on (stage_check.hpp), and
// each result against f64 within the bound that follows from the quantizer. Then both steps are
// compared as wholes. A step that sets outliers apart is also held against one that does not.
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
#include "harness/stage_check.hpp"
#include "harness/step_inputs.hpp"
#include "harness/verify.hpp"
#include "octet/graph.hpp"
#include "octet/training_step.hpp"

namespace octet::harness {

/// How the steps of a case run, and on what.
struct StepSetting {
  Policy policy;
  StepOptions options;
  Distribution distribution = Distribution::gaussian;

  /// The 16-bit step has no int8 products, so nothing but the bias concerns it.
  StepOptions native_options() const {
    StepOptions native;
    native.bias = options.bias;
    return native;
  }
  /// The same int8 step with nothing set apart.
  StepOptions undecomposed_options() const {
    StepOptions undecomposed = options;
    undecomposed.threshold = 0;
    return undecomposed;
  }
};

/// What a record says of the options; run_and_verify adds the outliers that were found.
inline Json to_json(const StepOptions& options) {
  const bool decomposed = options.threshold > 0;
  return {{"bias", options.bias},
          {"threshold", decomposed ? Json(options.threshold) : Json(nullptr)},
          {"outlier_mode", decomposed ? Json(name(options.outlier_mode)) : Json(nullptr)},
          {"outliers", Json::array()}};
}

template <class B, class T>
class StepCase {
 public:
  StepCase(B backend, const Problem& problem, const StepSetting& setting, std::uint64_t seed,
           bool timed)
      : backend_(backend),
        problem_(problem),
        setting_(setting),
        seed_(seed),
        verify_(backend, seed) {
    require_memory(timed);
    progress("making", "inputs");
    inputs_.emplace(backend, ledger_, problem, setting.distribution, setting.options.bias, seed);
    gemm_workspace_ = make_pinned_workspace(backend);
    native_.emplace(backend, gemm_workspace_, problem.layer, Policy::native(),
                    setting.native_options(), inputs());
    int8_.emplace(backend, gemm_workspace_, problem.layer, setting.policy, setting.options,
                  inputs());
  }

  /// Changes the int8 step before it runs: negative controls plant what must be found.
  void change(const std::function<void(TrainingStep<B, T>&)>& change) { change(**int8_); }

  /// Runs both steps stage by stage, each stage followed by its verification, and compares them.
  /// On the CPU, where a step takes seconds to minutes, these are the runs that are timed as well.
  Check run_and_verify(Json& record) {
    native_->poison(0xa5, WeightMode::every_step);
    int8_->poison(0xa5, WeightMode::every_step);
    Check check = merge({inputs_->verify(), run_stages(*native_, "native", record)});
    check = merge({check, run_stages(*int8_, "int8", record)});
    record_outliers(record);
    // A list that overflowed was reported, and has turned what it is added to into NaN.
    if (!overflowed_) {
      for (const Product p : kProducts) check = merge({check, verify_result(p, record)});
      if (setting_.options.threshold > 0) check = merge({check, verify_gain(record)});
    }
    if (setting_.options.bias) {
      check = merge({check, verify_bias_gradients(*native_, "16-bit", verified_.native),
                     verify_bias_gradients(*int8_, "int8", verified_.int8)});
    }
    for (const auto& step : {&*native_, &*int8_}) {
      if (const auto damage = step->damage()) check = merge({check, failure("guards", *damage)});
    }
    if (const auto damage = ledger_.damage()) check = merge({check, failure("guards", *damage)});
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
    const std::int64_t native =
        TrainingStep<B, T>::workspace_bytes(l, Policy::native(), setting_.native_options());
    std::int64_t bytes = inputs + kGemmWorkspace + native +
                         TrainingStep<B, T>::workspace_bytes(l, setting_.policy, setting_.options);
    if (setting_.options.layout == StepLayout::row) {
      // Accumulators of the largest product, for its plan or for its check.
      std::int64_t largest = 0;
      for (const Product p : kProducts) {
        const ProductShape s = shape_of(p, l);
        if (setting_.policy.of(pass_of(p)) == Precision::s8) largest = std::max(largest, s.m * s.n);
      }
      bytes += largest * std::int64_t{sizeof(s32)};
    }
    if (setting_.options.threshold > 0) {
      // The undecomposed step; before it, a result that outliers are added to is kept.
      bytes += std::max(
          TrainingStep<B, T>::workspace_bytes(l, setting_.policy, setting_.undecomposed_options()),
          std::max(l.tokens(), l.model) * l.hidden * kElement);
    }
    if (timed && (!std::is_same_v<B, Cpu> || problem_.size.empty())) {
      // The transposed copies, and the results of the step that reads them.
      bytes += inputs + 2 * l.tokens() * l.hidden * kElement + native;
    }
    return bytes;
  }

 private:
  static constexpr auto kElement = static_cast<std::int64_t>(sizeof(T));

  void require_memory(bool timed) const {
    const std::int64_t needed = predicted_bytes(timed), available = free_memory(backend_);
    if (needed > available) {
      throw std::runtime_error(
          fmt::format("training_step: size {} needs {} bytes of {} memory, but {} are available",
                      problem_.name, needed, B::kName, available));
    }
  }

  LayerInputs<T> inputs() const { return inputs_->views(); }

  void progress(std::string_view verb, std::string_view what) const {
    if (problem_.size.empty()) return;
    fmt::print(stderr, "[ {:>8} ] {} {}\n", problem_.name, verb, what);
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
            {"operator", operator_name<T>(stage)},
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
               fmt::format("{} {} {}", name(stage.product), operator_name<T>(stage), stage.tensor));
      guard_beyond(step, stage);
      step->plan(stage);
      verify_.keep(stage);
      // A stage that adds to its result begins anew in every run.
      const std::array<std::function<void()>, 2> calls = {[&] {
                                                            if (verify_.adds()) verify_.restore();
                                                          },
                                                          [&] { step->run(stage); }};
      if constexpr (kOnCpu) {
        timings.push_back(measure_sequence(backend_, calls, how).back());
        record["stages"].push_back(stage_record(stage, variant, timings.back().summary().median));
      } else {
        calls.back()();
        synchronize(backend_);
      }
      keep_plan(stage);
      check = merge({check, damage_beyond(step, stage), verify_(stage)});
    }
    verify_.forget();
    if constexpr (kOnCpu) cpu_timings_.push_back(std::move(timings));
    return check;
  }

  /// The accumulators are larger than most products need.
  void guard_beyond(GuardedStep<B, T>& step, const Stage<B, T>& stage) const {
    std::visit(
        [&](const auto& work) {
          if constexpr (requires {
                          work.acc;
                          work.a;
                        })
            step.guard_beyond(work.acc);
        },
        stage.work);
  }
  Check damage_beyond(const GuardedStep<B, T>& step, const Stage<B, T>& stage) const {
    return std::visit(
        [&](const auto& work) -> Check {
          if constexpr (requires {
                          work.acc;
                          work.a;
                        }) {
            if (const auto damage = step.damage_beyond(work.acc)) return failure("guards", *damage);
          }
          return {};
        },
        stage.work);
  }

  /// How many outliers each decomposed tensor has, and whether a list overflowed.
  void record_outliers(Json& record) {
    for (const Stage<B, T>& stage : (*int8_)->stages()) {
      const auto* work = std::get_if<DecomposeStage<T>>(&stage.work);
      if (work == nullptr) continue;
      const StepList<T> list(backend_, work->outliers);
      overflowed_ = overflowed_ || list.overflowed();
      const std::int64_t elements = std::max<std::int64_t>(1, work->x.size());
      record["step"]["outliers"].push_back(
          {{"tensor", stage.tensor},
           {"count", list.count},
           {"share", static_cast<double>(list.count) / static_cast<double>(elements)},
           {"capacity", list.capacity}});
    }
  }

  /// A result of the int8 step against f64 on its own operands, and against the 16-bit step.
  Check verify_result(Product p, Json& record) {
    progress("comparing", name(p));
    const auto actual = to_host(backend_, Matrix<const T>((*int8_)->result(p)));
    const auto expected = to_host(backend_, Matrix<const T>((*native_)->result(p)));
    const std::string what = fmt::format("{} of the int8 step", name(p));
    const Check whole =
        compare_norms(what, actual.view, expected.view, norm_bounds(setting_.distribution));
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
    if (setting_.policy.of(pass_of(p)) != Precision::s8) return check;
    const auto& [a, b] = (*int8_)->operands(p);
    const HostOperand<T> host_a(backend_, a), host_b(backend_, b);
    ProductExtras<T> extras;
    HostMatrix<T> bias;
    if (setting_.options.bias && pass_of(p) == Pass::fprop) {
      bias = to_host(backend_, p == Product::fc1_fprop ? inputs().b1 : inputs().b2);
      extras.bias = {bias.view.data, bias.view.cols};
    }
    if (setting_.options.threshold > 0 && pass_of(p) != Pass::dgrad) {
      const bool is_fprop = pass_of(p) == Pass::fprop;
      const OutlierRule rule(is_fprop ? host_a.matrix.view : host_b.matrix.view,
                             setting_.options.threshold, setting_.options.outlier_mode);
      (is_fprop ? extras.a_outliers : extras.b_outliers) = rule;
    }
    return merge({check, verify_quantized_product<T>(what, host_a.operand, host_b.operand,
                                                     actual.view, seed_, extras)});
  }

  /// Setting outliers apart brings the products of the forward pass, and the step as a whole,
  /// nearer to the 16-bit step. Held where there are outlier channels, which is what it is for. A
  /// weight gradient alone is not held: its columns have scales of their own, so that a channel
  /// does no harm, and most of fc1_wgrad's error comes with d1.
  Check verify_gain(Json& record) {
    progress("comparing", "with the undecomposed step");
    GuardedStep<B, T> undecomposed(backend_, gemm_workspace_, problem_.layer, setting_.policy,
                                   setting_.undecomposed_options(), inputs());
    undecomposed->run(WeightMode::every_step);
    synchronize(backend_);
    Check check;
    bool is_held = false;
    double squares_with = 0, squares_without = 0;
    const auto require_less = [&](std::string_view what, double with, double without) {
      if (with < without) return;
      check = merge({check, failure("gain", fmt::format("{}: its relative error is {:.4g} with "
                                                        "outliers set apart and {:.4g} without",
                                                        what, with, without))});
    };
    for (std::size_t i = 0; i < kProducts.size(); ++i) {
      const Product p = kProducts[i];
      const auto actual = to_host(backend_, Matrix<const T>(undecomposed->result(p)));
      const auto expected = to_host(backend_, Matrix<const T>((*native_)->result(p)));
      constexpr Bounds kNone{std::numeric_limits<double>::infinity()};
      const double without =
          compare_norms("the undecomposed step", actual.view, expected.view, kNone).rel_frobenius;
      Json& product = record["products"][i];
      product["undecomposed_rel_frobenius"] = without;
      const double with = product["rel_frobenius"];
      squares_with += with * with;
      squares_without += without * without;
      if (setting_.distribution != Distribution::outlier_channels || pass_of(p) != Pass::fprop ||
          !adds_outliers(p)) {
        continue;
      }
      is_held = true;
      require_less(name(p), with, without);
    }
    // Over a few elements, as in a small step's backward pass, chance decides.
    if (is_held && !problem_.size.empty()) {
      require_less("the step, root mean square of its products", std::sqrt(squares_with / 6),
                   std::sqrt(squares_without / 6));
    }
    return check;
  }

  /// Whether any outliers are added to a product.
  bool adds_outliers(Product p) {
    for (const Stage<B, T>& stage : (*int8_)->stages()) {
      const bool adds = std::visit(
          [this](const auto& work) {
            if constexpr (requires {
                            work.outliers;
                            work.out;
                          }) {
              return StepList<T>(backend_, work.outliers).count > 0;
            }
            return false;
          },
          stage.work);
      if (adds && stage.product == p) return true;
    }
    return false;
  }

  /// Whatever tensors its stages read.
  Check verify_bias_gradients(GuardedStep<B, T>& step, std::string_view variant,
                              std::vector<std::uint64_t>& hashes) const {
    for (const Vector<T> sum : {step->grad_b1(), step->grad_b2()}) {
      hashes.push_back(hash(to_host(backend_, Vector<const T>(sum)).view));
    }
    return merge({verify_.column_sums(fmt::format("grad_b1 of the {} step", variant),
                                      step->result(Product::fc2_dgrad), step->grad_b1()),
                  verify_.column_sums(fmt::format("grad_b2 of the {} step", variant), inputs().grad,
                                      step->grad_b2())});
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
    if (const auto damage = ledger_.damage()) check = merge({check, failure("guards", *damage)});
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
      const std::vector<std::string> names = step->result_names();
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (now[i] == (*verified)[i]) continue;
        check =
            merge({check, failure("bits",
                                  fmt::format("{} of the {} step {} differs from what was verified",
                                              names[i], variant, when))});
      }
      if (const auto damage = step->damage()) check = merge({check, failure("guards", *damage)});
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
    transposed_.emplace(backend_, gemm_workspace_, problem_.layer, Policy::native(),
                        setting_.native_options(), in, copies);
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
    if (setting_.options.bias) {
      check = merge(
          {check, verify_bias_gradients(*transposed_, "transposed 16-bit", verified_.transposed)});
    }
    return check;
  }

  B backend_;
  Problem problem_;
  StepSetting setting_;
  std::uint64_t seed_;
  StageCheck<B, T> verify_;
  Ledger ledger_;
  std::optional<StepInputs<B, T>> inputs_;
  std::vector<std::unique_ptr<Tensor<B, T>>> copies_;
  GemmWorkspace<B> gemm_workspace_;
  std::optional<GuardedStep<B, T>> native_, int8_, transposed_;
  bool overflowed_ = false;
  Verified verified_;
  std::vector<std::vector<Timing>> cpu_timings_;  // native, int8: one for each stage
};

}  // namespace octet::harness
