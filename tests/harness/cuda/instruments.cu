#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "harness/cuda/instruments.hpp"

namespace octet::harness {
namespace {

__device__ std::uint64_t global_nanoseconds() {
  std::uint64_t nanoseconds;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
  return nanoseconds;
}

__global__ void clock_stamp_kernel(ClockStamp* stamp) {
  unsigned sm;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
  if (sm != 0 || threadIdx.x != 0) return;
  // Of blocks that share SM 0 the first alone writes: cycles and time must be of one reading.
  if (atomicExch(&stamp->taken, 1u) != 0) return;
  stamp->cycles = static_cast<std::uint64_t>(clock64());
  stamp->nanoseconds = global_nanoseconds();
}

__global__ void hold_kernel(std::uint64_t nanoseconds) {
  const std::uint64_t begin = global_nanoseconds();
  while (global_nanoseconds() - begin < nanoseconds) __nanosleep(200);
}

void check_launch(const char* kernel) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(kernel) + ": " + cudaGetErrorString(error));
  }
}

}  // namespace

void queue_clock_stamp(CUstream_st* stream, ClockStamp* stamp, int multiprocessors) {
  clock_stamp_kernel<<<static_cast<unsigned>(2 * multiprocessors), 32, 0, stream>>>(stamp);
  check_launch("clock_stamp");
}

void queue_hold(CUstream_st* stream, double us) {
  hold_kernel<<<1, 1, 0, stream>>>(static_cast<std::uint64_t>(1e3 * us));
  check_launch("hold");
}

}  // namespace octet::harness
