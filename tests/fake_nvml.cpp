// A stand-in for the driver's management library: one device, with the processes that
// FAKE_NVML_PROCESSES lists. Text that is no list of numbers is an error of the library's.
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace {

constexpr int kSuccess = 0, kNotFound = 6, kInsufficientSize = 7;
int device = 0;

struct ProcessInfo {
  unsigned id;
  unsigned long long used_memory_bytes;
  unsigned gpu_instance, compute_instance;
};

}  // namespace

extern "C" {

int nvmlInit_v2() { return kSuccess; }
int nvmlShutdown() { return kSuccess; }

int nvmlDeviceGetHandleByUUID(const char* uuid, void** handle) {
  if (std::strcmp(uuid, "GPU-00000000-0000-0000-0000-000000000001") != 0) return kNotFound;
  *handle = &device;
  return kSuccess;
}

int nvmlDeviceGetClockInfo(void*, int, unsigned* mhz) {
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
  *reasons = 0x04;
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
