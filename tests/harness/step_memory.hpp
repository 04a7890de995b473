// What a step's case runs, and the memory that it takes, known before any is allocated.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "harness/own_tensors.hpp"
#include "harness/problem.hpp"
#include "harness/random.hpp"
#include "octet/training_step.hpp"

namespace octet::harness {

/// How the steps of a case run, and on what.
struct StepSetting {
  Policy policy;
  StepOptions options;
  Distribution distribution = Distribution::gaussian;
  const LayerTensors* tensors = nullptr;  // what it runs on, instead of data of the distribution

  /// The 16-bit step has no int8 products, so nothing but the bias concerns it.
  StepOptions native_options() const {
    StepOptions native;
    native.bias = options.bias;
    return native;
  }
  /// Whether a step in e4m3 can be held beside this one.
  bool has_fp8() const {
    return policy.uses(Precision::s8) && options.layout == StepLayout::row &&
           options.threshold == 0 && options.gradient_rounding == Rounding::nearest;
  }
  /// The same passes in e4m3.
  Policy fp8_policy() const {
    const auto of = [](Precision p) { return p == Precision::s8 ? Precision::e4m3 : p; };
    return {of(policy.fprop), of(policy.dgrad), of(policy.wgrad)};
  }
  /// The same int8 step with nothing set apart.
  StepOptions undecomposed_options() const {
    StepOptions undecomposed = options;
    undecomposed.threshold = 0;
    return undecomposed;
  }
};

/// Own allocations of a step's case, in bytes of the backend's memory.
template <class B, class T>
std::int64_t predicted_step_bytes(const Problem& problem, const StepSetting& setting, bool timed) {
  using Step = TrainingStep<B, T>;
  constexpr auto kElement = static_cast<std::int64_t>(sizeof(T));
  constexpr std::int64_t kGemmWorkspace = 32 << 20;
  const LayerShape& l = problem.layer;
  const std::int64_t inputs = 2 * (l.tokens() * l.model + l.hidden * l.model) * kElement;
  const std::int64_t native = Step::workspace_bytes(l, Policy::native(), setting.native_options());
  const std::int64_t bytes =
      inputs + kGemmWorkspace + native + Step::workspace_bytes(l, setting.policy, setting.options);
  std::int64_t apart = 0;
  if (setting.options.threshold > 0) {
    // The undecomposed step; before it, a result that outliers are added to is kept.
    apart = std::max(Step::workspace_bytes(l, setting.policy, setting.undecomposed_options()),
                     std::max(l.tokens(), l.model) * l.hidden * kElement);
  }
  // Accumulators of the largest product. On compute capability 9.0 products keep none, but their
  // check does before the step is timed; elsewhere their plans may.
  std::int64_t accumulators = 0;
  for (const Product p : kProducts) {
    const ProductShape shape = shape_of(p, l);
    if (setting.options.layout != StepLayout::row ||
        setting.policy.of(pass_of(p)) != Precision::s8) {
      continue;
    }
    accumulators = std::max(accumulators, shape.m * shape.n * std::int64_t{sizeof(s32)});
  }
  std::int64_t copies = 0;
  if (timed && (!std::is_same_v<B, Cpu> || problem.size.empty())) {
    // The transposed copies, and the results of the step that reads them.
    copies = inputs + 2 * l.tokens() * l.hidden * kElement + native;
  }
  const bool kept = std::is_same_v<B, Cpu> || device_info(B{}).compute_capability / 10 != 9;
  // The copies are made when the undecomposed step is gone.
  const std::int64_t in_turn = std::max(apart, copies);
  return bytes + (kept ? accumulators + in_turn : std::max(accumulators, in_turn));
}

/// The setting of a problem's case: its own where it has one, else options().
StepSetting setting_of(const Problem& problem, Policy policy);

/// Throws std::invalid_argument where a timed step of a size of the user's needs more memory than
/// the backend has free, or his tensors are not finite.
void require_own_sizes_fit(std::string_view backend);

}  // namespace octet::harness
