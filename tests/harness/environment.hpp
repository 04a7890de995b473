// Where a case ran: the device and its state, the build, the host.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/process_watch.hpp"
#include "octet/backend.hpp"

namespace octet::harness {

/// What a device says of itself at one moment; a member stays empty where nothing tells.
struct DeviceState {
  std::optional<int> clock_sm_mhz, clock_mem_mhz, temperature_c;
  std::optional<double> power_w;
  std::optional<double> energy_j;                    // since the driver was loaded
  std::optional<std::vector<std::string>> throttle;  // reasons in force; none when empty
  bool is_lost = false;                              // it fell off its bus, or answers no more
};
/// Throws DeviceLost where the device is.
DeviceState device_state(Cpu);
DeviceState device_state(Cuda);

/// Ids of the other processes that compute on the device; empty where nothing tells. Before this
/// process first works on the device, watch_processes must have been called.
std::optional<ProcessIds> other_processes(Cpu);
std::optional<ProcessIds> other_processes(Cuda);
void watch_processes(Cpu);
void watch_processes(Cuda);

struct BuildInfo {
  std::string version, git, compiler, flags;
  bool dirty = false;
  std::string cuda, cublaslt;  // empty without CUDA
};
BuildInfo build_info();
/// Of the runtime that this process runs with: "13.0"; empty where it does not say.
std::string cuda_version(Cuda);

std::string host_name();
std::string utc_now();  // ISO 8601, seconds
/// Tells one process from all others: time and process id.
const std::string& run_id();
/// Most bytes this process ever held in memory.
std::int64_t host_peak_bytes();

}  // namespace octet::harness
