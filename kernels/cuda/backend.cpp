// The CUDA backend: devices, memory, copies and streams, through the runtime alone.
//
// The runtime is linked statically and loads the driver itself, so a program that holds this file
// also starts where no driver is installed.
#include "octet/backend.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>

#include "allocations.hpp"
#include "cuda/error.hpp"

namespace octet {
namespace {

/// Whether a status is one after which, as the runtime's reference has it, the process must be
/// ended and started again.
bool leaves_nothing_usable(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorDeviceUninitialized:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoDevice:
    case cudaErrorSystemNotReady:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

/// Outlives every buffer of static storage duration.
Allocations& allocations() {
  static Allocations& all = *new Allocations(Cuda::kName);
  return all;
}

}  // namespace

void cuda::check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  const std::string text =
      fmt::format("{}: {} ({}){}", what, cudaGetErrorString(status), cudaGetErrorName(status),
                  status == cudaErrorNoKernelImageForDevice
                      ? "; build for its compute capability, 8.0 or later, with "
                        "-DCMAKE_CUDA_ARCHITECTURES=native"
                      : "");
  if (leaves_nothing_usable(status)) throw DeviceLost(text);
  throw std::runtime_error(text);
}

namespace {

using cuda::check;

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
  void wait() { check(cudaEventSynchronize(event_), "waiting for a copy"); }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Two page-locked buffers of a thread, so that a large copy overlaps with reading or writing the
/// caller's pageable memory. No data where they cannot be had.
class Staging {
 public:
  static constexpr std::size_t kBytes = std::size_t{32} << 20;

  static Staging& of_this_thread() {
    static thread_local Staging staging;
    if (staging.data_ == nullptr &&
        cudaHostAlloc(&staging.data_, 2 * kBytes, cudaHostAllocPortable) != cudaSuccess) {
      staging.data_ = nullptr;
      static_cast<void>(cudaGetLastError());
    }
    return staging;
  }
  ~Staging() {
    if (data_ != nullptr) cudaFreeHost(data_);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  bool ready() const { return data_ != nullptr; }
  std::byte* slot(std::size_t i) const { return static_cast<std::byte*>(data_) + i % 2 * kBytes; }

 private:
  Staging() = default;
  void* data_ = nullptr;
};

void wait_for(cudaStream_t stream, const char* what) { check(cudaStreamSynchronize(stream), what); }

/// Whether staging pays, and is there.
bool staged(std::size_t bytes) {
  return bytes >= 2 * Staging::kBytes && Staging::of_this_thread().ready();
}

}  // namespace

bool available(Cuda) noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return false;
  }
  return count > 0;
}

DeviceInfo device_info(Cuda) {
  int device = 0;
  check(cudaGetDevice(&device), "asking for the current device");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "reading the device's properties");
  DeviceInfo info;
  info.name = properties.name;
  info.uuid = "GPU";
  for (std::size_t i = 0; i < sizeof(properties.uuid.bytes); ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) info.uuid += '-';
    info.uuid += fmt::format("{:02x}", static_cast<unsigned char>(properties.uuid.bytes[i]));
  }
  info.compute_capability = properties.major * 10 + properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.l2_bytes = properties.l2CacheSize;
  info.memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
  check(cudaDriverGetVersion(&info.driver_version), "asking for the driver's version");
  return info;
}

std::int64_t free_memory(Cuda) {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free device memory");
  return allocations().within_limit(static_cast<std::int64_t>(free));
}

MemoryUse memory_use(Cuda) noexcept { return allocations().use(); }
void reset_memory_peak(Cuda) noexcept { allocations().reset_peak(); }
void limit_memory(Cuda, const MemoryLimit& limit) noexcept { allocations().limit(limit); }

void* allocate(Cuda, std::size_t bytes) {
  if (bytes == 0) return nullptr;
  allocations().request(bytes);
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw allocations().refusal(bytes);
  }
  check(status, "allocating device memory");
  try {
    allocations().add(data, bytes);
  } catch (...) {
    cudaFree(data);
    throw;
  }
  return data;
}

void deallocate(Cuda, void* data) noexcept {
  if (data == nullptr) return;
  allocations().remove(data);  // first: once it is free, another thread may be given it
  if (cudaFree(data) != cudaSuccess) static_cast<void>(cudaGetLastError());
}

void copy_to_host(Cuda backend, void* host, const void* device, std::size_t bytes) {
  constexpr const char* kWhat = "copying from the device to the host";
  if (bytes == 0) return;
  if (!staged(bytes)) {
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, backend.stream), kWhat);
    wait_for(backend.stream, kWhat);
    return;
  }
  const Staging& staging = Staging::of_this_thread();
  std::array<Event, 2> arrived;
  const auto size = [&](std::size_t i) {
    return std::min(Staging::kBytes, bytes - i * Staging::kBytes);
  };
  const auto request = [&](std::size_t i) {
    check(cudaMemcpyAsync(staging.slot(i),
                          static_cast<const std::byte*>(device) + i * Staging::kBytes, size(i),
                          cudaMemcpyDeviceToHost, backend.stream),
          kWhat);
    arrived[i % 2].record(backend.stream);
  };
  const std::size_t chunks = (bytes + Staging::kBytes - 1) / Staging::kBytes;
  request(0);
  request(1);
  for (std::size_t i = 0; i < chunks; ++i) {
    arrived[i % 2].wait();
    std::memcpy(static_cast<std::byte*>(host) + i * Staging::kBytes, staging.slot(i), size(i));
    if (i + 2 < chunks) request(i + 2);
  }
  wait_for(backend.stream, kWhat);
}

void copy_from_host(Cuda backend, void* device, const void* host, std::size_t bytes) {
  constexpr const char* kWhat = "copying from the host to the device";
  if (bytes == 0) return;
  if (!staged(bytes)) {
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, backend.stream), kWhat);
    wait_for(backend.stream, kWhat);
    return;
  }
  const Staging& staging = Staging::of_this_thread();
  std::array<Event, 2> left;
  for (std::size_t i = 0; i * Staging::kBytes < bytes; ++i) {
    const std::size_t offset = i * Staging::kBytes;
    const std::size_t size = std::min(Staging::kBytes, bytes - offset);
    if (i >= 2) left[i % 2].wait();
    std::memcpy(staging.slot(i), static_cast<const std::byte*>(host) + offset, size);
    check(cudaMemcpyAsync(static_cast<std::byte*>(device) + offset, staging.slot(i), size,
                          cudaMemcpyHostToDevice, backend.stream),
          kWhat);
    left[i % 2].record(backend.stream);
  }
  wait_for(backend.stream, kWhat);
}

void copy(Cuda backend, void* destination, const void* source, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDeviceToDevice, backend.stream),
        "copying within the device");
}

void fill(Cuda backend, void* device, unsigned char value, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(device, value, bytes, backend.stream), "filling device memory");
}

void synchronize(Cuda backend) { wait_for(backend.stream, "waiting for the stream"); }

CudaStream::CudaStream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

CudaStream::~CudaStream() { cudaStreamDestroy(stream_); }

}  // namespace octet
