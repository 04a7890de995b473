// Backends are tags: an operator is a plain overload for each of them, declared for both, defined
// in its backend's library, and chosen by the linker. There is no registry and no virtual call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

struct CUstream_st;

namespace octet {

/// The host: standard threads and a BLAS. Work is done when a call returns.
struct Cpu {
  static constexpr std::string_view kName = "cpu";
};

/// The current CUDA device. Work is queued on `stream` (a cudaStream_t; nullptr is the default
/// stream) and errors of the device surface as std::runtime_error from a later call.
struct Cuda {
  static constexpr std::string_view kName = "cuda";
  CUstream_st* stream = nullptr;
};

/// What a device says of itself; a member that does not apply or is not known is 0 or empty.
struct DeviceInfo {
  std::string name;
  std::string uuid;
  int compute_capability = 0;     // major * 10 + minor
  int multiprocessors = 0;        // SMs; hardware threads on the CPU
  std::int64_t l2_bytes = 0;      // last-level cache
  std::int64_t memory_bytes = 0;  // total
  int driver_version = 0;         // 1000 * major + 10 * minor, as cudaDriverGetVersion has it
};

/// A backend's memory does not suffice, or a MemoryLimit says so. The device stays usable.
class OutOfMemory : public std::bad_alloc {
 public:
  /// `bytes` were asked for while the process held `held_bytes`.
  OutOfMemory(std::string_view backend, std::uint64_t bytes, std::int64_t held_bytes);
  /// The backend and both numbers, in one sentence.
  const char* what() const noexcept override { return text_.data(); }

 private:
  std::array<char, 160> text_{};
};

/// The device, or this process's context on it, is lost: whatever this process asks of it from now
/// on fails in the same way, and only another process can go on.
class DeviceLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What allocate and deallocate have done in this process.
struct MemoryUse {
  std::int64_t bytes = 0;       // held now
  std::int64_t peak_bytes = 0;  // most held at once since reset_memory_peak
  std::int64_t blocks = 0;      // held now
  std::int64_t requests = 0;    // ever made, but for those of 0 bytes
};

/// Makes allocate refuse before memory is out: for budgets, and for tests of what happens then.
struct MemoryLimit {
  std::int64_t bytes = std::numeric_limits<std::int64_t>::max();  // held at once
  std::int64_t request = 0;  // the request-th from now on is refused, once; 0: none
};

// Each function below is overloaded for both backends. The CUDA ones throw std::runtime_error with
// the runtime's own message, DeviceLost where no later call can succeed; those marked noexcept
// report nothing.

/// Whether a device of this backend answers. Never throws, also where no driver is installed.
bool available(Cpu) noexcept;
bool available(Cuda) noexcept;

/// What the device of this backend says; of Cuda, the current one.
DeviceInfo device_info(Cpu);
DeviceInfo device_info(Cuda);

/// Bytes that can still be allocated.
std::int64_t free_memory(Cpu);
std::int64_t free_memory(Cuda);

/// What allocate and deallocate have done until now.
MemoryUse memory_use(Cpu) noexcept;
MemoryUse memory_use(Cuda) noexcept;
/// The most held at once is from now on what is held now.
void reset_memory_peak(Cpu) noexcept;
void reset_memory_peak(Cuda) noexcept;
/// Takes the place of an earlier limit; one without arguments lifts it.
void limit_memory(Cpu, const MemoryLimit& limit) noexcept;
void limit_memory(Cuda, const MemoryLimit& limit) noexcept;

/// `bytes` bytes aligned to 256, uninitialized; nullptr for 0. Throws OutOfMemory, a
/// std::bad_alloc, and leaves the device usable.
void* allocate(Cpu, std::size_t bytes);
void* allocate(Cuda, std::size_t bytes);
void deallocate(Cpu, void* data) noexcept;
void deallocate(Cuda, void* data) noexcept;

/// Between host memory and the backend's memory; done when the call returns.
void copy_to_host(Cpu, void* host, const void* device, std::size_t bytes);
void copy_to_host(Cuda, void* host, const void* device, std::size_t bytes);
void copy_from_host(Cpu, void* device, const void* host, std::size_t bytes);
void copy_from_host(Cuda, void* device, const void* host, std::size_t bytes);

/// Within the backend's memory, queued on its stream.
void copy(Cpu, void* destination, const void* source, std::size_t bytes);
void copy(Cuda, void* destination, const void* source, std::size_t bytes);
void fill(Cpu, void* device, unsigned char value, std::size_t bytes);
void fill(Cuda, void* device, unsigned char value, std::size_t bytes);

/// Waits for everything queued on the backend's stream and reports its errors.
void synchronize(Cpu);
void synchronize(Cuda);

/// A stream of its own, with it a Cuda backend that records and runs apart from the default stream.
class CudaStream {
 public:
  /// Made with the stream, which it owns.
  CudaStream();
  ~CudaStream();
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  Cuda backend() const { return Cuda{stream_}; }

 private:
  CUstream_st* stream_ = nullptr;
};

}  // namespace octet
