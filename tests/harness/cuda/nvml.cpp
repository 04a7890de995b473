#include "harness/cuda/nvml.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>
#include <vector>

namespace octet::harness {
namespace {

// NVML's C interface as its API reference gives it; every function returns 0 on success.
using Device = void*;
constexpr int kFunctionNotFound = 13, kGpuIsLost = 15;

/// nvmlProcessInfo_t of nvmlDeviceGetComputeRunningProcesses, versions 2 and 3.
struct ProcessInfo {
  unsigned id;
  unsigned long long used_memory_bytes;
  unsigned gpu_instance, compute_instance;
};
static_assert(sizeof(ProcessInfo) == 24);

// nvmlClocksEventReasons: the bits that say that something holds the clock down.
constexpr std::array<std::pair<unsigned long long, const char*>, 7> kReasons = {
    {{0x02, "applications_clocks"},
     {0x04, "sw_power_cap"},
     {0x08, "hw_slowdown"},
     {0x10, "sync_boost"},
     {0x20, "sw_thermal"},
     {0x40, "hw_thermal"},
     {0x80, "hw_power_brake"}}};

}  // namespace

template <class F>
bool Nvml::load(F& function, const char* name) const {
  if (handle_ == nullptr) return false;
  function = reinterpret_cast<F>(dlsym(handle_, name));
  return function != nullptr;
}

template <class... Args>
int Nvml::status_of(const char* function, Args... args) const {
  int (*f)(Args...) = nullptr;
  return load(f, function) ? f(args...) : kFunctionNotFound;
}

template <class... Args>
bool Nvml::call(const char* function, Args... args) const {
  return status_of(function, args...) == 0;
}

Nvml::Nvml(const char* library) noexcept : handle_(dlopen(library, RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr || call("nvmlInit_v2")) return;
  dlclose(handle_);
  handle_ = nullptr;
}

Nvml::~Nvml() {
  if (handle_ == nullptr) return;
  call("nvmlShutdown");
  dlclose(handle_);
}

DeviceState Nvml::read_state(const std::string& uuid) const {
  DeviceState state;
  Device device = nullptr;
  const int found = status_of("nvmlDeviceGetHandleByUUID", uuid.c_str(), &device);
  state.is_lost = found == kGpuIsLost;
  if (found != 0) return state;
  unsigned value = 0;
  constexpr int kSmClock = 1, kMemoryClock = 2, kGpuTemperature = 0;
  const int asked = status_of("nvmlDeviceGetClockInfo", device, kSmClock, &value);
  state.is_lost = asked == kGpuIsLost;
  if (asked == 0) {
    state.clock_sm_mhz = static_cast<int>(value);
  }
  if (call("nvmlDeviceGetClockInfo", device, kMemoryClock, &value)) {
    state.clock_mem_mhz = static_cast<int>(value);
  }
  if (call("nvmlDeviceGetTemperature", device, kGpuTemperature, &value)) {
    state.temperature_c = static_cast<int>(value);
  }
  if (call("nvmlDeviceGetPowerUsage", device, &value)) state.power_w = 1e-3 * value;
  state.energy_j = energy_j(uuid);
  unsigned long long wide = 0;
  if (call("nvmlDeviceGetCurrentClocksThrottleReasons", device, &wide)) {
    state.throttle.emplace();
    for (const auto& [bit, reason] : kReasons) {
      if ((wide & bit) != 0) state.throttle->push_back(reason);
    }
  }
  return state;
}

ProcessIds Nvml::read_processes(const std::string& uuid) const {
  Device device = nullptr;
  if (!call("nvmlDeviceGetHandleByUUID", uuid.c_str(), &device)) {
    throw std::runtime_error("no such device");
  }
  // More than fit is an error of NVML's: as good as unknown, and not met.
  std::vector<ProcessInfo> infos(1024);
  auto count = static_cast<unsigned>(infos.size());
  if (!call("nvmlDeviceGetComputeRunningProcesses_v3", device, &count, infos.data())) {
    count = static_cast<unsigned>(infos.size());
    if (!call("nvmlDeviceGetComputeRunningProcesses_v2", device, &count, infos.data())) {
      throw std::runtime_error("NVML lists no processes");
    }
  }
  ProcessIds ids;
  for (unsigned i = 0; i < count; ++i) ids.push_back(infos[i].id);
  return ids;
}

DeviceState Nvml::state(const std::string& uuid) const noexcept {
  try {
    return read_state(uuid);
  } catch (...) {
    return {};
  }
}

std::optional<double> Nvml::energy_j(const std::string& uuid) const noexcept {
  Device device = nullptr;
  unsigned long long millijoules = 0;
  if (!call("nvmlDeviceGetHandleByUUID", uuid.c_str(), &device) ||
      !call("nvmlDeviceGetTotalEnergyConsumption", device, &millijoules)) {
    return std::nullopt;
  }
  return 1e-3 * static_cast<double>(millijoules);
}

std::optional<ProcessIds> Nvml::compute_processes(const std::string& uuid) const noexcept {
  try {
    return read_processes(uuid);
  } catch (...) {
    return std::nullopt;
  }
}

namespace {

const Nvml& nvml() {
  static const Nvml loaded;
  return loaded;
}

const std::string& uuid_of(Cuda backend) {
  static const std::string uuid = device_info(backend).uuid;
  return uuid;
}

ProcessWatch& watch(Cuda backend) {
  static ProcessWatch watch([uuid = uuid_of(backend)] { return nvml().compute_processes(uuid); },
                            static_cast<unsigned>(getpid()));
  return watch;
}

}  // namespace

DeviceState device_state(Cuda backend) {
  DeviceState state = nvml().state(uuid_of(backend));
  if (state.is_lost) throw DeviceLost("NVML says that " + uuid_of(backend) + " is lost");
  return state;
}

std::optional<double> energy_j(Cuda backend) { return nvml().energy_j(uuid_of(backend)); }

std::optional<ProcessIds> other_processes(Cuda backend) { return watch(backend).others(); }
void watch_processes(Cuda backend) { watch(backend); }

}  // namespace octet::harness
