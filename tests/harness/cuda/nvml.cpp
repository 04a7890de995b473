#include "harness/cuda/nvml.hpp"

#include <dlfcn.h>

#include <array>
#include <utility>

namespace octet::harness {
namespace {

// NVML's C interface as its API reference gives it; every function returns 0 on success.
using Device = void*;

class Nvml {
 public:
  Nvml() {
    handle_ = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    int (*init)() = nullptr;
    if (!load(init, "nvmlInit_v2") || init() != 0) {
      if (handle_ != nullptr) dlclose(handle_);
      handle_ = nullptr;
    }
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  template <class... Args>
  bool call(const char* function, Args... args) const {
    int (*f)(Args...) = nullptr;
    return load(f, function) && f(args...) == 0;
  }

 private:
  template <class F>
  bool load(F& function, const char* name) const {
    if (handle_ == nullptr) return false;
    function = reinterpret_cast<F>(dlsym(handle_, name));
    return function != nullptr;
  }

  void* handle_ = nullptr;
};

// nvmlClocksEventReasons: the bits that say that something holds the clock down.
constexpr std::array<std::pair<unsigned long long, const char*>, 7> kReasons = {
    {{0x02, "applications_clocks"},
     {0x04, "sw_power_cap"},
     {0x08, "hw_slowdown"},
     {0x10, "sync_boost"},
     {0x20, "sw_thermal"},
     {0x40, "hw_thermal"},
     {0x80, "hw_power_brake"}}};

DeviceState read(const std::string& uuid) {
  static const Nvml nvml;
  DeviceState state;
  Device device = nullptr;
  if (!nvml.call("nvmlDeviceGetHandleByUUID", uuid.c_str(), &device)) return state;
  unsigned value = 0;
  constexpr int kSmClock = 1, kMemoryClock = 2, kGpuTemperature = 0;
  if (nvml.call("nvmlDeviceGetClockInfo", device, kSmClock, &value)) {
    state.clock_sm_mhz = static_cast<int>(value);
  }
  if (nvml.call("nvmlDeviceGetClockInfo", device, kMemoryClock, &value)) {
    state.clock_mem_mhz = static_cast<int>(value);
  }
  if (nvml.call("nvmlDeviceGetTemperature", device, kGpuTemperature, &value)) {
    state.temperature_c = static_cast<int>(value);
  }
  if (nvml.call("nvmlDeviceGetPowerUsage", device, &value)) state.power_w = 1e-3 * value;
  unsigned long long wide = 0;
  if (nvml.call("nvmlDeviceGetTotalEnergyConsumption", device, &wide)) {
    state.energy_j = 1e-3 * static_cast<double>(wide);
  }
  if (nvml.call("nvmlDeviceGetCurrentClocksThrottleReasons", device, &wide)) {
    state.throttle.emplace();
    for (const auto& [bit, reason] : kReasons) {
      if ((wide & bit) != 0) state.throttle->push_back(reason);
    }
  }
  return state;
}

}  // namespace

DeviceState nvml_state(const std::string& uuid) noexcept {
  try {
    return read(uuid);
  } catch (...) {
    return {};
  }
}

DeviceState device_state(Cuda backend) {
  static const std::string uuid = device_info(backend).uuid;
  return nvml_state(uuid);
}

}  // namespace octet::harness
