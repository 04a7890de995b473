#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "harness/cuda/instruments.hpp"
#include "harness/hash.hpp"

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

/// A thread for each lane of each chunk: the four of a chunk read 32 bytes next to one another, a
/// sector, and a lane's words in order, which its hash wants. Reads the data once. The loads of a
/// batch do not wait for one another.
__global__ void hash_lanes_kernel(const unsigned char* data, std::int64_t bytes,
                                  std::uint64_t* lanes) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t begin = thread / detail::kLanes * kHashChunk;
  if (begin >= bytes) return;
  const int lane = static_cast<int>(thread % detail::kLanes);
  const std::int64_t size = bytes - begin < kHashChunk ? bytes - begin : kHashChunk;
  const std::int64_t rows = size / detail::kLaneRow;
  const auto* words = reinterpret_cast<const std::uint64_t*>(data + begin) + lane;
  std::uint64_t hash = detail::first_lane_value(lane);
  constexpr int kBatch = 8;
  std::int64_t row = 0;
  for (; row + kBatch <= rows; row += kBatch) {
    std::uint64_t batch[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) batch[i] = words[(row + i) * detail::kLanes];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) hash = detail::absorb(hash, batch[i]);
  }
  for (; row < rows; ++row) hash = detail::absorb(hash, words[row * detail::kLanes]);
  for (std::int64_t n = rows * detail::kLaneRow + lane; n < size; n += detail::kLanes) {
    hash = detail::absorb(hash, data[begin + n]);
  }
  lanes[thread] = hash;
}

/// Every thread takes words of 8 bytes, a grid apart, and bytes of the two ends that are no whole
/// words. Reads the data once.
__global__ void find_other_byte_kernel(const unsigned char* data, unsigned char value,
                                       std::int64_t bytes, unsigned long long* first) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const auto misaligned = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(data) % 8);
  const std::int64_t to_aligned = (8 - misaligned) % 8;
  const std::int64_t head = to_aligned < bytes ? to_aligned : bytes;
  const std::int64_t words = (bytes - head) / 8;
  const std::int64_t tail = bytes - head - 8 * words;
  const auto* aligned = reinterpret_cast<const std::uint64_t*>(data + head);
  const std::uint64_t pattern = 0x0101010101010101u * value;
  const auto report = [&](std::int64_t at) {
    atomicMin(first, static_cast<unsigned long long>(at));
  };
  for (std::int64_t w = thread; w < words; w += threads) {
    const std::uint64_t other = aligned[w] ^ pattern;
    // Little-endian: the lowest bit that differs lies in the first byte that does.
    if (other != 0) report(head + 8 * w + (__ffsll(static_cast<long long>(other)) - 1) / 8);
  }
  for (std::int64_t i = thread; i < head + tail; i += threads) {
    const std::int64_t at = i < head ? i : bytes - tail + (i - head);
    if (data[at] != value) report(at);
  }
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

void queue_hash_lanes(CUstream_st* stream, const void* data, std::int64_t bytes,
                      std::uint64_t* lanes) {
  if (bytes <= 0) return;
  // Blocks of one warp: there are few threads, and each multiprocessor should have some.
  constexpr std::int64_t kThreads = 32;
  const std::int64_t threads = ((bytes - 1) / kHashChunk + 1) * detail::kLanes;
  hash_lanes_kernel<<<static_cast<unsigned>((threads - 1) / kThreads + 1), kThreads, 0, stream>>>(
      static_cast<const unsigned char*>(data), bytes, lanes);
  check_launch("hash_lanes");
}

void queue_find_other_byte(CUstream_st* stream, const void* data, unsigned char value,
                           std::int64_t bytes, unsigned long long* first) {
  if (bytes <= 0) return;
  constexpr std::int64_t kThreads = 256, kMostBlocks = 2048;
  const std::int64_t blocks = (bytes - 1) / (8 * kThreads) + 1;
  find_other_byte_kernel<<<static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks),
                           kThreads, 0, stream>>>(static_cast<const unsigned char*>(data), value,
                                                  bytes, first);
  check_launch("find_other_byte");
}

void queue_hold(CUstream_st* stream, double us) {
  hold_kernel<<<1, 1, 0, stream>>>(static_cast<std::uint64_t>(1e3 * us));
  check_launch("hold");
}

}  // namespace octet::harness
