// A training step under test: its inputs, the 16-bit and the int8 step on the same data, what they
// must satisfy, and their time. Where the device multiplies e4m3, a timed case has a step in that
// beside them ("fp8"), with the same checks.
//
// Every stage of the int8 step is verified on the buffers that it ran on (stage_check.hpp), and
// each result against f64 within the bound that follows from the quantizer. Then both steps are
// compared as wholes. A step that sets outliers apart is also held against one that does not.
#pragma once

#include <fmt/format.h>

#include <algorithm>
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
#include "harness/step_memory.hpp"
#include "harness/verify.hpp"
#include "octet/graph.hpp"
#include "octet/training_step.hpp"

namespace octet::harness {

/// What a record says of the options; run_and_verify adds the outliers that were found.
inline Json to_json(const StepOptions& options) {
  const bool decomposed = options.threshold > 0;
  return {{"bias", options.bias},
          {"overlap", name(options.overlap)},
          {"threshold", decomposed ? Json(options.threshold) : Json(nullptr)},
          {"outlier_mode", decomposed ? Json(name(options.outlier_mode)) : Json(nullptr)},
          {"outliers", Json::array()},
          {"gradient_rounding", name(options.gradient_rounding)}};
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
    if (setting.policy.uses(Precision::e4m3) && !runs_e4m3()) {
      throw Unsupported(fmt::format(
          "training_step: {} in e4m3 needs a device whose library multiplies it and tokens, model "
          "and hidden that are multiples of 16",
          problem.name));
    }
    // On the CPU it would double the time of a model's size.
    const bool has_time = !std::is_same_v<B, Cpu> || problem.size.empty();
    has_fp8_ = timed && has_time && setting.has_fp8() && runs_e4m3() &&
               predicted_bytes(timed) + fp8_bytes() <= free_memory(backend);
    require_memory(timed);
    progress("making", "inputs");
    inputs_.emplace(backend, ledger_, problem, setting.distribution, setting.options.bias,
                    setting.tensors, seed);
    gemm_workspace_ = make_pinned_workspace(backend);
    native_.emplace(backend, gemm_workspace_, problem.layer, Policy::native(),
                    setting.native_options(), inputs());
    int8_.emplace(backend, gemm_workspace_, problem.layer, setting.policy, setting.options,
                  inputs());
    if (has_fp8_) {
      fp8_.emplace(backend, gemm_workspace_, problem.layer, setting.fp8_policy(), setting.options,
                   inputs());
    }
    parts_ = count_parts(timed);
  }

  /// Changes the int8 step before it runs: negative controls plant what must be found.
  void change(const std::function<void(TrainingStep<B, T>&)>& change) { change(**int8_); }

  /// Runs both steps stage by stage, each stage followed by its verification, and compares them.
  /// On the CPU, where a step takes seconds to minutes, these are the runs that are timed as well.
  Check run_and_verify(Json& record) {
    native_->poison(0xa5, WeightMode::every_step);
    int8_->poison(0xa5, WeightMode::every_step);
    Check check = merge({inputs_->verify(), run_stages(*native_, "native", record)});
    check = merge({check, run_stages(*int8_, quantized_name(), record)});
    check = merge({check, verify_rounding()});
    if (fp8_) {
      fp8_->poison(0xa5, WeightMode::every_step);
      check = merge({check, run_stages(*fp8_, "fp8", record)});
    }
    record_outliers(record);
    // A list that overflowed was reported, and has turned what it is added to into NaN.
    if (!overflowed_) {
      for (const Product p : kProducts) {
        Json& products = record["products"];
        products.push_back({{"product", name(p)}});
        check = merge({check, verify_result(*int8_, quantized_name(), setting_.policy, p,
                                            products.back(), verified_.int8)});
        if (!fp8_) continue;
        Json of_fp8 = Json::object();
        check = merge(
            {check, verify_result(*fp8_, "fp8", setting_.fp8_policy(), p, of_fp8, verified_.fp8)});
        products.back()["fp8"] = of_fp8;
      }
      if (setting_.options.threshold > 0) check = merge({check, verify_gain(record)});
    }
    if (setting_.options.bias) {
      check = merge({check, verify_bias_gradients(*native_, "16-bit", verified_.native),
                     verify_bias_gradients(*int8_, quantized_name(), verified_.int8)});
      if (fp8_) check = merge({check, verify_bias_gradients(*fp8_, "fp8", verified_.fp8)});
    }
    for (const auto& [step, verified, variant] : steps()) {
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

  /// One int8 step, queued.
  void run_int8() { (*int8_)->run(WeightMode::every_step); }

  /// Own allocations of a case, in bytes of the backend's memory.
  std::int64_t predicted_bytes(bool timed) const {
    return predicted_step_bytes<B, T>(problem_, setting_, timed) + (has_fp8_ ? fp8_bytes() : 0);
  }

 private:
  std::int64_t fp8_bytes() const {
    return TrainingStep<B, T>::workspace_bytes(problem_.layer, setting_.fp8_policy(),
                                               setting_.options);
  }
  /// Whether steps of this shape run in e4m3.
  bool runs_e4m3() const {
    if constexpr (std::is_same_v<B, Cpu>) {
      return true;
    } else {
      const LayerShape& l = problem_.layer;
      return l.tokens() % 16 == 0 && l.model % 16 == 0 && l.hidden % 16 == 0 &&
             device_multiplies_e4m3(backend_);
    }
  }
  /// The step under test, as records and sentences name it.
  std::string quantized_name() const {
    return setting_.policy.uses(Precision::e4m3) ? "fp8" : "int8";
  }

  void require_memory(bool timed) const {
    const std::int64_t needed = predicted_bytes(timed), available = free_memory(backend_);
    if (needed > available) {
      throw std::runtime_error(
          fmt::format("training_step: size {} needs {} bytes of {} memory, but {} are available",
                      problem_.name, needed, B::kName, available));
    }
  }

  LayerInputs<T> inputs() const { return inputs_->views(); }

  /// Of each stage on the CPU, where a step of the benchmark's sizes takes seconds to minutes.
  int cpu_samples() const {
    constexpr std::int64_t kQuickOperations = 20'000'000'000;
    const bool is_quick = problem_.layer.operations() <= kQuickOperations;
    return std::is_same_v<B, Cpu> && !problem_.size.empty() && is_quick ? 5 : 1;
  }

  /// One line for each part of the case, numbered once it is known how many there are:
  /// scripts/bench reads them.
  void progress(std::string_view verb, std::string_view what) {
    if (problem_.size.empty()) return;
    const std::string part = parts_ == 0 ? "" : fmt::format(" {}/{}", ++part_, parts_);
    fmt::print(stderr, "[ {:>8}{} ] {} {}\n", problem_.name, part, verb, what);
  }

  int count_parts(bool timed) {
    constexpr bool kOnCpu = std::is_same_v<B, Cpu>;
    std::size_t parts = (*native_)->stages().size() + (*int8_)->stages().size() + kProducts.size();
    if (fp8_) parts += (*fp8_)->stages().size() + kProducts.size();
    if (setting_.options.threshold > 0) ++parts;
    if (timed && !kOnCpu) parts += 4;
    return static_cast<int>(parts);
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
    how.samples = options().iterations.value_or(cpu_samples());
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

  /// That gradients, and nothing else, are rounded as the options say, each with words of its own:
  /// a stage by itself is right whatever it was asked for.
  Check verify_rounding() {
    Check check;
    std::vector<StochasticRounding> drawn;
    for (const Stage<B, T>& stage : (*int8_)->stages()) {
      const auto* work = std::get_if<QuantizeStage<T>>(&stage.work);
      if (work == nullptr) continue;
      const bool is_gradient = stage.tensor == "grad" || stage.tensor == "d1";
      const bool is_asked =
          is_gradient && setting_.options.gradient_rounding == Rounding::stochastic;
      if (work->rounding.has_value() != is_asked) {
        check =
            merge({check, failure("rounding", fmt::format("{} was {}rounded stochastically",
                                                          stage.tensor, is_asked ? "not " : ""))});
      }
      if (!work->rounding) continue;
      if (std::ranges::find(drawn, *work->rounding) != drawn.end()) {
        check = merge({check, failure("rounding", fmt::format("{} draws another tensor's words",
                                                              stage.tensor))});
      }
      drawn.push_back(*work->rounding);
    }
    return check;
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

  /// A result of a quantized step against f64 on its own operands, and against the 16-bit step.
  Check verify_result(GuardedStep<B, T>& step, std::string_view variant, Policy policy, Product p,
                      Json& entry, std::vector<std::uint64_t>& hashes) {
    progress("comparing", fmt::format("{} of {}", name(p), variant));
    const auto actual = to_host(backend_, Matrix<const T>(step->result(p)));
    const auto expected = to_host(backend_, Matrix<const T>((*native_)->result(p)));
    const std::string what = fmt::format("{} of the {} step", name(p), variant);
    const Check whole = compare_norms(what, actual.view, expected.view, norm_bounds(p, policy));
    // Of what was compared, on the host; same_results hashes where the results lie.
    if (&step == &*int8_) verified_.native.push_back(hash(expected.view));
    hashes.push_back(hash(actual.view));
    entry["rel_frobenius"] = whole.rel_frobenius;
    entry["worst_row"] = whole.worst_row;
    entry["worst_col"] = whole.worst_col;
    entry["cosine"] = whole.cosine;
    entry["output_hash"] = hex(hashes.back());
    Check check;
    if (norms_are_held()) check = whole;
    const Precision precision = policy.of(pass_of(p));
    if (precision == Precision::native) return check;
    const auto& [a, b] = step->operands(p);
    const HostOperand<T> host_a(backend_, a), host_b(backend_, b);
    ProductExtras<T> extras;
    extras.a_is_stochastic = is_stochastic(p);
    HostMatrix<T> bias;
    if (setting_.options.bias && pass_of(p) == Pass::fprop) {
      bias = to_host(backend_, p == Product::fc1_fprop ? inputs().b1 : inputs().b2);
      extras.bias = {bias.view.data, bias.view.cols};
    }
    if (precision == Precision::e4m3) {
      const Accumulation accumulation =
          pass_of(p) == Pass::fprop ? Accumulation::tensor_core : Accumulation::promoted;
      return merge(
          {check, verify_e4m3_product<T>(what, host_a.operand, host_b.operand, actual.view,
                                         SumError(adder_of<B>(), accumulation, host_a.operand.cols),
                                         seed_, extras.bias)});
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
      // Of a single element int8 loses nothing that could be gained.
      if (with < without || (with == 0 && without == 0)) return;
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
    if (is_held && norms_are_held()) {
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

  /// Norms of a few elements say nothing: small problems are held by the elementwise bound. So are
  /// the user's own tensors, of which the norms are what he wants to know.
  bool norms_are_held() const {
    constexpr std::int64_t kFewElements = 256;
    const LayerShape& l = problem_.layer;
    return !problem_.size.empty() && setting_.tensors == nullptr &&
           std::min({l.tokens(), l.model, l.hidden}) >= kFewElements;
  }

  /// Whether a product's first operand is a gradient that was rounded stochastically.
  bool is_stochastic(Product p) const {
    return setting_.options.gradient_rounding == Rounding::stochastic && pass_of(p) != Pass::fprop;
  }

  Bounds norm_bounds(Product p, Policy policy) const {
    // Gaussian data: a product has about 1.4 % of error, a result that hangs on two products 1.8 %.
    // Rows whose absmax comes from an outlier channel keep few levels for everything else.
    // Stochastic rounding doubles the variance of one of two operands: a factor of sqrt(1.5).
    const double f = is_stochastic(p) ? 1.23 : 1;
    if (setting_.distribution == Distribution::outlier_channels) {
      return {0.25 * f, 0.6 * f, 0.6 * f, 1 - 0.03 * f * f};
    }
    // e4m3 has 3.7 and 5.3 %; sums along K of tens of thousands in tensor cores add as much.
    if (policy.uses(Precision::e4m3)) return {0.1, 0.2, 0.2, 0.995};
    return {0.025 * f, 0.05 * f, 0.05 * f, 1 - 0.0005 * f * f};
  }

  // ---- time ----

  struct Verified {
    std::vector<std::uint64_t> native, transposed, int8, fp8;
  };

  /// The steps there are, what was verified of each, and its name in sentences.
  std::vector<std::tuple<GuardedStep<B, T>*, const std::vector<std::uint64_t>*, std::string>>
  steps() {
    std::vector<std::tuple<GuardedStep<B, T>*, const std::vector<std::uint64_t>*, std::string>> all;
    all.emplace_back(&*native_, &verified_.native, "16-bit");
    if (transposed_) all.emplace_back(&*transposed_, &verified_.transposed, "transposed 16-bit");
    all.emplace_back(&*int8_, &verified_.int8, quantized_name());
    if (fp8_) all.emplace_back(&*fp8_, &verified_.fp8, "fp8");
    return all;
  }

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
    record["variants"] =
        Json::array({variant_record("native", native, false, native),
                     variant_record(quantized_name() + "_every_step", every, false, native),
                     variant_record(quantized_name() + "_kept", kept, true, native)});
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
    std::vector<std::string> names = {"native", "native_transposed",
                                      quantized_name() + "_every_step", quantized_name() + "_kept"};
    std::vector<Contender> contenders = {contender(*native_, WeightMode::every_step),
                                         contender(*transposed_, WeightMode::every_step),
                                         contender(*int8_, WeightMode::every_step),
                                         contender(*int8_, WeightMode::kept)};
    if (fp8_) {
      names.insert(names.end(), {"fp8_every_step", "fp8_kept"});
      contenders.push_back(contender(*fp8_, WeightMode::every_step));
      contenders.push_back(contender(*fp8_, WeightMode::kept));
    }
    transposed_->poison(0xa5, WeightMode::every_step);
    (*transposed_)->run(WeightMode::every_step);
    synchronize(backend_);
    Check check = verify_transposed();

    // Each variant alone must write everything that its mode writes, from a graph, whatever earlier
    // runs left behind: one that lives off another's launches, or off its own first one, would not.
    for (const WeightMode mode : {WeightMode::every_step, WeightMode::kept}) {
      poison_steps(0x3c, mode);
      for (const auto& [step, verified, variant] : steps()) {
        GuardedStep<B, T>& captured = *step;
        const Graph<B> graph(backend_, [&] { captured->run(mode); });
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
      if (!problem_.size.empty() && options().steady) time_steady(contenders, check, record);
    }

    progress("timing", "stages");
    poison_steps(0x5a, WeightMode::every_step);
    time_stages(*native_, "native", how, record);
    time_stages(*int8_, quantized_name(), how, record);
    if (fp8_) time_stages(*fp8_, "fp8", how, record);
    record_overlap(record);
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
    for (const auto& [step, verified, variant] : steps()) step->poison(byte, mode);
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

  /// By how much the stages of each variant, one by one, take longer than the variant as a whole.
  static void record_overlap(Json& record) {
    for (Json& variant : record["variants"]) {
      const std::string name = variant["name"];
      if (name == "native_transposed") continue;  // its stages are not timed
      double sum = 0;
      for (const Json& stage : record["stages"]) {
        const bool is_part = stage["variant"] == name.substr(0, name.find('_')) &&
                             !(name.ends_with("_kept") && stage["weights"].template get<bool>());
        if (is_part) sum += stage["median_us"].template get<double>();
      }
      variant["overlap_us"] = sum - variant["time"]["median_us"].template get<double>();
    }
  }

  Check same_results(const std::string& when) {
    Check check;
    for (const auto& [step, verified, variant] : steps()) {
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
  std::optional<GuardedStep<B, T>> native_, int8_, transposed_, fp8_;
  bool has_fp8_ = false;
  bool overflowed_ = false;
  int part_ = 0, parts_ = 0;  // of progress()
  Verified verified_;
  std::vector<std::vector<Timing>> cpu_timings_;  // native, int8: one for each stage
};

}  // namespace octet::harness
