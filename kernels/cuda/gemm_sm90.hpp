// The int8 product on compute capability 9.0, with its accumulators as they are or scaled:
//
//   d[i,j] = sum_k a[i,k] b[j,k]
//   d[i,j] = T( fma( float(sum_k a[i,k] b[j,k]), row_scale[i] * col_scale[j], bias[j] or 0 ) )
//
// The same bits as gemm_s8 and dequantize one after the other.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "octet/numeric.hpp"

namespace octet::cuda {

/// Where the operands a[m,k] and b[n,k] lie; leading dimensions in elements.
struct GemmSm90Problem {
  const s8* a;
  std::int64_t lda;
  const s8* b;
  std::int64_t ldb;
  std::int64_t m, n, k;
};

/// Whether the kernel takes the problem: extents from 1 to 2^30, rows at multiples of 16 bytes and
/// less than 2^40 bytes apart, K up to kMaxS8Depth. The result may lie as it likes.
bool gemm_sm90_accepts(const GemmSm90Problem& problem);

/// How the work is cut: a tile of a block (of each of its two consumers, where they ping-pong), and
/// a cluster of blocks that share what they load.
struct GemmSm90Config {
  int tile_m, tile_n;
  bool ping_pong;
  int cluster_m, cluster_n;
  bool streaming = false;  // results leave the L2 cache first

  bool operator==(const GemmSm90Config&) const = default;
};
/// All there are, the one that should take the least time for this shape first.
std::vector<GemmSm90Config> gemm_sm90_configs(const GemmSm90Problem& problem, int multiprocessors);
/// "128x192 ping-pong cluster 2x1 streaming".
std::string name(const GemmSm90Config& config);

/// A problem, how to run it, and what the copy engine needs to know; made for these pointers. Holds
/// nothing that has to be freed.
struct GemmSm90Plan {
  struct alignas(64) TensorMap {
    std::array<std::byte, 128> bytes;
  };
  GemmSm90Problem problem;
  GemmSm90Config config;
  int multiprocessors;
  bool permuted;  // rows of B are copied in the order that makes results contiguous
  TensorMap a_map, b_map;
  double spared = 0;  // share of the device that it leaves to others
};
/// Clusters that walk `count` tiles of clusters where `available` would fit: all, or about a share
/// `spared` fewer. As few as need the same number of rounds, because a round that is not full takes
/// as long as one that is; and all of them where one round more would cost more than it spares.
unsigned gemm_sm90_clusters(unsigned count, unsigned available, double spared);
/// Takes about a microsecond; allocates nothing on the device. Throws std::invalid_argument for a
/// problem or a configuration that is not accepted.
GemmSm90Plan plan_gemm_sm90(const GemmSm90Problem& problem, const GemmSm90Config& config,
                            int multiprocessors);

/// What becomes of the accumulators. T is s32, which takes no scales, f16, bf16 or f32.
template <class T>
struct GemmSm90Result {
  T* d;
  std::int64_t ldd;
  const float* row_scale = nullptr;  // [m]
  const float* col_scale = nullptr;  // [n]
  const T* bias = nullptr;           // [n] or none
};

/// Queued on `stream`, no workspace. `overlap` lets it be launched while the kernel before it on
/// the stream still runs: it waits for that kernel's results itself. Throws std::runtime_error when
/// it cannot be launched.
template <class T>
void gemm_sm90(cudaStream_t stream, const GemmSm90Plan& plan, const GemmSm90Result<T>& result,
               bool overlap = false);

}  // namespace octet::cuda
