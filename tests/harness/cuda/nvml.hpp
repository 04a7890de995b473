// The driver's management library, loaded at run time so that nothing here needs a driver to start.
#pragma once

#include <optional>
#include <string>

#include "harness/environment.hpp"

namespace octet::harness {

/// Devices are named by their uuid as device_info has it. Nothing here throws; what NVML does not
/// say stays empty.
class Nvml {
 public:
  explicit Nvml(const char* library = "libnvidia-ml.so.1") noexcept;
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  DeviceState state(const std::string& uuid) const noexcept;
  /// DeviceState::energy_j alone, for whoever asks often.
  std::optional<double> energy_j(const std::string& uuid) const noexcept;
  std::optional<ProcessIds> compute_processes(const std::string& uuid) const noexcept;

 private:
  template <class F>
  bool load(F& function, const char* name) const;
  template <class... Args>
  int status_of(const char* function, Args... args) const;
  template <class... Args>
  bool call(const char* function, Args... args) const;
  DeviceState read_state(const std::string& uuid) const;
  ProcessIds read_processes(const std::string& uuid) const;

  void* handle_ = nullptr;
};

/// What Nvml says of the backend's device.
std::optional<double> energy_j(Cuda backend);

}  // namespace octet::harness
