// A stand-in for the driver's management library: one device, with the processes that
// FAKE_NVML_PROCESSES lists and whose clock is held down for the bits in FAKE_NVML_REASONS (4).
// Text that is no list of numbers is an error of the library's. FAKE_NVML_LOST: at which call the
// device is found to have fallen off its bus, handle or clock.
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace {

constexpr int kSuccess = 0, kNotFound = 6, kInsufficientSize = 7, kGpuIsLost = 15;
int device = 0;

struct ProcessInfo {
  unsigned id;
  unsigned long long used_memory_bytes;
  unsigned gpu_instance, compute_instance;
};

bool is_lost_at(const char* call) {
  const char* lost = std::getenv("FAKE_NVML_LOST");
  return lost != nullptr && std::strcmp(lost, call) == 0;
}

}  // namespace

extern "C" {

int nvmlInit_v2() { return kSuccess; }
int nvmlShutdown() { return kSuccess; }

int nvmlDeviceGetHandleByUUID(const char* uuid, void** handle) {
  if (std::strcmp(uuid, "GPU-00000000-0000-0000-0000-000000000001") != 0) return kNotFound;
  if (is_lost_at("handle")) return kGpuIsLost;
  *handle = &device;
  return kSuccess;
}

int nvmlDeviceGetClockInfo(void*, int, unsigned* mhz) {
  if (is_lost_at("clock")) return kGpuIsLost;
  *mhz = 1980;
  return kSuccess;
}

int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  *milliwatts = 350500;
  return kSuccess;
}

int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  *millijoules = 12500;
  return kSuccess;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  const char* bits = std::getenv("FAKE_NVML_REASONS");
  *reasons = bits == nullptr ? 0x04 : std::strtoull(bits, nullptr, 0);
  return kSuccess;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, ProcessInfo* infos) {
  const char* text = std::getenv("FAKE_NVML_PROCESSES");
  std::istringstream list(text == nullptr ? "" : text);
  const unsigned room = *count;
  *count = 0;
  for (unsigned id; list >> id;) {
    if (*count == room) return kInsufficientSize;
    infos[(*count)++] = {id, 1 << 20, ~0u, ~0u};
  }
  return list.eof() ? kSuccess : kInsufficientSize;
}
}
