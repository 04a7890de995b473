#include "harness/step_memory.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "harness/options.hpp"
#include "octet/config.hpp"

namespace octet::harness {
namespace {

template <class B>
void require_fit(const ModelSize& size) {
  Problem problem;
  problem.size = size.name;
  problem.layer = size.layer;
  const StepSetting setting = setting_of(problem, options().policy);
  // bf16 takes as much.
  const std::int64_t needed = predicted_step_bytes<B, f16>(problem, setting, /*timed=*/true);
  const std::int64_t available = free_memory(B{});
  if (needed <= available) return;
  constexpr double kGigabyte = 1e9;
  throw std::invalid_argument(fmt::format(
      "{}: the step of size '{}' needs {:.1f} GB of {} memory, but {:.1f} GB are free: give it a "
      "smaller batch, seq, model or hidden",
      setting.tensors == nullptr ? "OCTET_SIZES" : "OCTET_TENSORS", size.name,
      static_cast<double>(needed) / kGigabyte, B::kName,
      static_cast<double>(available) / kGigabyte));
}

}  // namespace

StepSetting setting_of(const Problem& problem, Policy policy) {
  StepSetting setting{policy, problem.step.value_or(options().step),
                      problem.distribution.value_or(options().distribution)};
  const LayerTensors* tensors = own_tensors();
  if (tensors != nullptr && problem.size == tensors->size_name()) {
    setting.tensors = tensors;
    setting.options.bias = tensors->has_bias();
    setting.distribution = Distribution::gaussian;
  }
  return setting;
}

void require_own_sizes_fit(std::string_view backend) {
  [&]<class... Bs>(TypeList<Bs...>) {
    const auto check = [&]<class B>(B) {
      if (backend != B::kName) return;
      for (const ModelSize& size : model_sizes()) {
        if (size.is_own) require_fit<B>(size);
      }
    };
    (check(Bs{}), ...);
  }(Backends{});
  if (const LayerTensors* tensors = own_tensors()) {
    if (const auto sentence = tensors->unusable(DType::f32)) {
      throw std::invalid_argument(*sentence);
    }
  }
}

}  // namespace octet::harness
