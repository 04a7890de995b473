// The kernel of gemm_sm90: D[M,N] = A[M,K] . B[N,K]^T on the warpgroup products of compute
// capability 9.0, s8 x s8 with the accumulators as they are (s32), or scaled, biased and rounded
// once (f16, bf16, f32).
//
// A grid of as many blocks as there are multiprocessors, one each, walks the tiles of D. In a
// block, one thread of the first warpgroup copies 128 bytes of K of the tile's rows of A and B at a
// time into a ring of stages in shared memory; two warpgroups multiply them, in one of two ways:
//
//   ping-pong     each has a tile of its own; one multiplies while the other one writes its result
//   cooperative   each has half the rows of one tile: larger tiles, hence fewer bytes to copy
//
// The blocks of a cluster have neighbouring tiles. What these share is copied once: each block
// copies its part of it to all of them.
//
// Stages: `full` completes when the bytes of a stage have arrived; `empty` when each warp that
// reads it, in each block of the cluster, is done with it. Waits for stages are bounded, and the
// copying thread stays until all of its stages have been read, so that consumers that wait for each
// other in vain end in a trap as well. Tiles are numbered along the shorter side of D first, so
// that the smaller operand stays in L2 and the larger one is read once.
//
// Bytes: M K + N K from memory, out once; (tile_m + tile_n) * 128 through shared memory for every
// tile_m * tile_n * 128 multiplications. The product units' own reads of shared memory, with these,
// are what limits small tiles.
//
// Needs compute capability 9.0, rows of A and B at multiples of 16 bytes. What lies beyond M, N or
// K is read as zero by the copy engine, and not written.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <type_traits>

#include "cuda/gemm_sm90.hpp"
#include "cuda/sm90.cuh"
#include "cuda/vector_access.cuh"

namespace octet::cuda {

constexpr int kTileK = 128;  // bytes of K in a stage: the widest swizzle
constexpr int kMmaM = 64, kMmaK = 32;
constexpr int kGroup = 32;  // columns of D of which a thread holds eight in a row
constexpr int kWarpgroup = 128;
constexpr int kConsumers = 2;
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;
constexpr int kSharedBytes = 232448;  // that a block may have

// Barriers of threads, beside __syncthreads.
constexpr int kScalesBarrier = 1;  // + consumer
constexpr int kTurnBarrier = 3;    // + consumer

/// A configuration as a type.
template <int kM, int kN, bool kPingPongs, int kClusterRows, int kClusterCols>
struct Tile {
  static constexpr GemmSm90Config kConfig{kM, kN, kPingPongs, kClusterRows, kClusterCols};
  static constexpr int kTileM = kM, kTileN = kN;
  static constexpr bool kPingPong = kPingPongs;
  static constexpr int kClusterM = kClusterRows, kClusterN = kClusterCols;
  static constexpr int kCluster = kClusterM * kClusterN;

  static constexpr int kConsumerM = kPingPong ? kM : kM / kConsumers;  // rows of a consumer
  static constexpr int kParts = kConsumerM / kMmaM;                    // of 64 rows
  static constexpr int kAccumulators = kN / 2;                         // of a part, in a thread
  static constexpr int kReadingWarps =
      (kPingPong ? 1 : kConsumers) * kWarpgroup / 32;  // of a stage

  static constexpr int kABytes = kM * kTileK, kBBytes = kN * kTileK;
  static constexpr int kStageBytes = kABytes + kBBytes;
  // Column scales of each consumer's tile, and after them its biases if they are of a 16-bit type.
  static constexpr int kColumnBytes = kN * (4 + 2);
  static constexpr int kStages = (kSharedBytes - kConsumers * kColumnBytes - 256) / kStageBytes;
  static constexpr int kColumnsStart = kStages * kStageBytes;
  static constexpr int kBarriersStart = kColumnsStart + kConsumers * kColumnBytes;
  static constexpr int kAllBytes = kBarriersStart + 2 * kStages * 8;

  // What a block copies itself of a tile's rows of A and B.
  static constexpr int kARows = kM / kClusterN, kBRows = kN / kClusterM;

  static_assert(kConsumerM % kMmaM == 0 && kN % 32 == 0 && kN <= 256);
  static_assert(kCluster <= 2 && kARows % 8 == 0 && kBRows % kGroup == 0 && kARows <= 256);
  static_assert(kParts * kAccumulators <= 192, "accumulators must leave room in the registers");
  static_assert(kStages >= 3 && kAllBytes <= kSharedBytes);
};

/// How the tiles are numbered, in units of a cluster's tiles: along the shorter side of D first.
struct Raster {
  unsigned along;     // extent of that side
  unsigned count;     // of both
  bool m_is_first;    // that side is M
  unsigned k_blocks;  // of kTileK

  struct Tile {
    unsigned m, n;
  };
  __device__ __forceinline__ Tile operator[](unsigned i) const {
    const unsigned first = i % along, second = i / along;
    return m_is_first ? Tile{first, second} : Tile{second, first};
  }
};

template <class T>
struct Result {
  T* d;
  int64_t ldd;
  const float* row_scale;
  const float* col_scale;
  const T* bias;  // nullptr: none
  int m, n;
  bool vectors;    // rows of d start at multiples of 16 bytes and have a multiple of 8 columns
  bool permuted;   // the order of B's rows in shared memory
  bool streaming;  // what is written leaves the L2 cache first
};

/// Where a walk over the stages stands.
template <int kStages>
struct Position {
  unsigned stage = 0, parity = 0;

  __device__ __forceinline__ void next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
  __device__ __forceinline__ void skip(unsigned count) {
    const unsigned to = stage + count;
    stage = to % kStages;
    parity ^= to / kStages & 1;
  }
};

/// Shared memory of a block: stages, then scales and biases, then barriers.
template <class C>
struct Shared {
  unsigned base;

  __device__ __forceinline__ unsigned a(unsigned stage) const {
    return base + stage * C::kStageBytes;
  }
  __device__ __forceinline__ unsigned b(unsigned stage) const { return a(stage) + C::kABytes; }
  __device__ __forceinline__ unsigned full(unsigned stage) const {
    return base + C::kBarriersStart + stage * 8;
  }
  __device__ __forceinline__ unsigned empty(unsigned stage) const {
    return full(stage) + C::kStages * 8;
  }
};

/// One thread: copies every stage of every tile of this block. Where the walk ends.
template <class C>
__device__ __forceinline__ Position<C::kStages> produce(
    const Shared<C>& shared, const CUtensorMap& a_map, const CUtensorMap& b_map,
    const Raster& raster, unsigned first, unsigned step, unsigned rank, bool permuted) {
  const unsigned m_rank = rank % C::kClusterM, n_rank = rank / C::kClusterM;
  // The blocks that share rows of A have one m_rank, those that share rows of B one n_rank.
  const auto a_blocks =
      static_cast<unsigned short>((C::kClusterN > 1 ? 1 | 1 << C::kClusterM : 1) << m_rank);
  const auto b_blocks =
      static_cast<unsigned short>(((1 << C::kClusterM) - 1) << n_rank * C::kClusterM);
  Position<C::kStages> at;
  for (unsigned i = first; i < raster.count; i += step) {
    const auto tile = raster[i];
    const int a_row = static_cast<int>((tile.m * C::kClusterM + m_rank) * C::kTileM);
    const int b_row = static_cast<int>((tile.n * C::kClusterN + n_rank) * C::kTileN);
    for (unsigned block = 0; block < raster.k_blocks; ++block) {
      const int column = static_cast<int>(block * kTileK);
      const unsigned full = shared.full(at.stage);
      wait_for_phase(shared.empty(at.stage), at.parity ^ 1);
      arrive_and_expect(full, C::kStageBytes);
      if constexpr (C::kClusterN > 1) {
        const unsigned part = n_rank * C::kARows;
        copy_box_to(a_blocks, shared.a(at.stage) + part * kTileK, a_map, column,
                    a_row + static_cast<int>(part), full);
      } else {
        copy_box(shared.a(at.stage), a_map, column, a_row, full);
      }
      const unsigned part = m_rank * C::kBRows;
      const int row = b_row + static_cast<int>(part);
      const unsigned target = shared.b(at.stage) + part * kTileK;
      if constexpr (C::kClusterM > 1) {
        copy_groups_to(b_blocks, target, b_map, column, permuted ? 0 : row,
                       permuted ? row / kGroup : 0, full);
      } else {
        copy_groups(target, b_map, column, permuted ? 0 : row, permuted ? row / kGroup : 0, full);
      }
      at.next();
    }
  }
  return at;
}

/// Waits until every stage that was copied has been read.
template <class C>
__device__ __forceinline__ void wait_for_readers(const Shared<C>& shared, Position<C::kStages> at) {
  for (int stage = 0; stage < C::kStages; ++stage) {
    wait_for_phase(shared.empty(at.stage), at.parity ^ 1);
    at.next();
  }
}

/// The products of a stage, queued as one group.
template <class C, bool kFirst>
__device__ __forceinline__ void multiply_stage(s32 (&acc)[C::kParts][C::kAccumulators], unsigned a,
                                               unsigned b) {
  begin_products();
#pragma unroll
  for (int k = 0; k < kTileK; k += kMmaK) {
#pragma unroll
    for (int part = 0; part < C::kParts; ++part) {
      multiply(acc[part], describe_operand(a, static_cast<unsigned>(part * kMmaM * kTileK + k)),
               describe_operand(b, static_cast<unsigned>(k)), kFirst && k == 0 ? 0 : 1);
    }
  }
  commit_products();
}

/// The lanes of a quad hold word t of four neighbouring units each; afterwards lane t holds unit t.
__device__ __forceinline__ void transpose_in_quad(s32& v0, s32& v1, s32& v2, s32& v3) {
  const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
  const auto exchange = [](bool second, s32& first_word, s32& second_word, int distance) {
    const s32 other = __shfl_xor_sync(~0u, second ? first_word : second_word, distance);
    (second ? first_word : second_word) = other;
  };
  exchange(odd, v0, v1, 1);
  exchange(odd, v2, v3, 1);
  exchange(upper, v0, v2, 2);
  exchange(upper, v1, v3, 2);
}

template <class T>
__device__ __forceinline__ Bits<T> rounded(float value) {
  if constexpr (std::is_same_v<T, f16>) {
    return __half_as_ushort(__float2half_rn(value));
  } else if constexpr (std::is_same_v<T, bf16>) {
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
  } else {
    return __float_as_uint(value);
  }
}
/// Two neighbouring 16-bit elements as a word.
template <class T>
__device__ __forceinline__ unsigned bits_of_pair(float first, float second) {
  return rounded<T>(first) | static_cast<unsigned>(rounded<T>(second)) << 16;
}

__device__ __forceinline__ float scaled(s32 acc, float row_scale, float col_scale, float bias) {
  return __fmaf_rn(__int2float_rn(acc), __fmul_rn(row_scale, col_scale), bias);
}

/// Writes a consumer's accumulators from row `first_row` and column `first_col` on: of each group
/// of columns, a thread writes eight in a row. `scales`, `biases`: of the tile's columns, the
/// latter of 16-bit types alone. kDirect: the columns lie permuted so that a thread holds these
/// eight, and rows may be written in vectors.
template <class C, bool kDirect, class T>
__device__ __forceinline__ void write(const Result<T>& result,
                                      const s32 (&acc)[C::kParts][C::kAccumulators],
                                      const float (&row_scale)[C::kParts][2], const float* scales,
                                      const Bits<T>* biases, int first_row, int first_col) {
  const int t = static_cast<int>(threadIdx.x) % 4;
  const std::uint64_t policy = result.streaming ? pass_policy() : keep_policy();
  // f32 has no registers left for an address for each row.
  constexpr bool kKeepsAddresses = sizeof(T) == 2;
  T* target[C::kParts][2];
  T* origin = result.d + static_cast<int64_t>(first_row) * result.ldd + first_col + t * 8;
  if constexpr (!kKeepsAddresses) keep(origin);
#pragma unroll
  for (int part = 0; part < C::kParts; ++part) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      target[part][half] = origin + (part * kMmaM + half * 8) * result.ldd;
      if constexpr (kKeepsAddresses) keep(target[part][half]);
    }
  }
#pragma unroll
  for (int group = 0; group < C::kTileN / kGroup; ++group) {
    const int col = first_col + group * kGroup + t * 8;
    float col_scale[8] = {}, bias[8] = {};
    if constexpr (!std::is_same_v<T, s32>) {
#pragma unroll
      for (int e = 0; e < 8; e += 4) {
        const auto four = *reinterpret_cast<const float4*>(scales + group * kGroup + t * 8 + e);
        col_scale[e] = four.x, col_scale[e + 1] = four.y;
        col_scale[e + 2] = four.z, col_scale[e + 3] = four.w;
      }
      if (sizeof(T) == 2 && result.bias != nullptr) {
        const auto eight = *reinterpret_cast<const uint4*>(biases + group * kGroup + t * 8);
        const unsigned pairs[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          bias[e] = value_of<T>(static_cast<Bits<T>>(pairs[e / 2] >> e % 2 * 16));
        }
      } else if (result.bias != nullptr) {
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          if (col + e < result.n) {
            bias[e] = value_of<T>(__ldg(reinterpret_cast<const Bits<T>*>(result.bias) + col + e));
          }
        }
      }
    }
#pragma unroll
    for (int part = 0; part < C::kParts; ++part) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        s32 v[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) v[e] = acc[part][(group * 4 + e / 2) * 4 + half * 2 + e % 2];
        if (!kDirect && !result.permuted) {
          transpose_in_quad(v[0], v[2], v[4], v[6]);
          transpose_in_quad(v[1], v[3], v[5], v[7]);
        }
        unsigned words[2 * sizeof(T)];
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          if constexpr (std::is_same_v<T, s32>) {
            words[e] = static_cast<unsigned>(v[e]);
          } else if constexpr (std::is_same_v<T, f32>) {
            words[e] = rounded<T>(scaled(v[e], row_scale[part][half], col_scale[e], bias[e]));
          } else if (e % 2 == 0) {
            words[e / 2] = bits_of_pair<T>(
                scaled(v[e], row_scale[part][half], col_scale[e], bias[e]),
                scaled(v[e + 1], row_scale[part][half], col_scale[e + 1], bias[e + 1]));
          }
        }
        const int row = part * kMmaM + half * 8;
        T* const to = target[part][half] + group * kGroup;
        if (first_row + row >= result.m) continue;
        if (kDirect || result.vectors) {
          if (col < result.n) {
#pragma unroll
            for (int w = 0; w < static_cast<int>(2 * sizeof(T)); w += 4) {
              const unsigned vector[4] = {words[w], words[w + 1], words[w + 2], words[w + 3]};
              store_vector(to + w * 4 / sizeof(T), vector, policy);
            }
          }
        } else {
#pragma unroll
          for (int e = 0; e < 8; ++e) {
            if (col + e < result.n) {
              reinterpret_cast<Bits<T>*>(to)[e] =
                  sizeof(T) == 4 ? static_cast<Bits<T>>(words[e / (4 / sizeof(T))])
                                 : static_cast<Bits<T>>(words[e / 2] >> e % 2 * 16);
            }
          }
        }
      }
    }
  }
}

/// A consumer warpgroup: multiplies and writes its tiles, or its half of every tile.
template <class C, class T>
__device__ __forceinline__ void consume(const Shared<C>& shared, float* columns,
                                        const Raster& raster, const Result<T>& result, int consumer,
                                        unsigned first, unsigned step, unsigned rank) {
  constexpr bool kScaled = !std::is_same_v<T, s32>, kKeepsBiases = sizeof(T) == 2;
  constexpr int kColumns = C::kTileN / kWarpgroup + (C::kTileN % kWarpgroup != 0);
  const unsigned m_rank = rank % C::kClusterM, n_rank = rank / C::kClusterM;
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup, lane = thread % 32;
  float* const scales = columns + consumer * (C::kColumnBytes / 4);
  Bits<T>* const biases = reinterpret_cast<Bits<T>*>(scales + C::kTileN);
  const int consumer_row = C::kPingPong ? 0 : consumer * C::kConsumerM;
  const auto release = [&](unsigned stage) {
    if (lane < C::kCluster) arrive_at(shared.empty(stage), static_cast<unsigned>(lane));
  };

  Position<C::kStages> at;
  int turn = 0;
  for (unsigned i = first; i < raster.count; i += step, turn ^= 1) {
    if (C::kPingPong && turn != consumer) {
      at.skip(raster.k_blocks);
      continue;
    }
    const auto tile = raster[i];
    const int tile_row =
        static_cast<int>((tile.m * C::kClusterM + m_rank) * C::kTileM) + consumer_row;
    const int tile_col = static_cast<int>((tile.n * C::kClusterN + n_rank) * C::kTileN);
    const int first_row = tile_row + thread / 32 * 16 + lane / 4;

    // Scales are on their way while the first products are queued.
    float row_scale[C::kParts][2] = {};
    float column[kColumns] = {};
    Bits<T> column_bias[kColumns] = {};
    if constexpr (kScaled) {
#pragma unroll
      for (int part = 0; part < C::kParts; ++part) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = first_row + part * kMmaM + half * 8;
          if (row < result.m) row_scale[part][half] = __ldg(result.row_scale + row);
        }
      }
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int col = thread + c * kWarpgroup;
        if (col < C::kTileN && tile_col + col < result.n) {
          column[c] = __ldg(result.col_scale + tile_col + col);
          if (kKeepsBiases && result.bias != nullptr) {
            column_bias[c] = __ldg(reinterpret_cast<const Bits<T>*>(result.bias) + tile_col + col);
          }
        }
      }
    }

    // A stage's phases are told apart by one bit, so a consumer may look at a stage only once the
    // other one has seen all of its own.
    if (C::kPingPong && i != first) {
      sync_threads(kTurnBarrier + consumer, kConsumers * kWarpgroup);
    }
    s32 acc[C::kParts][C::kAccumulators];
    const auto a = [&] {
      return shared.a(at.stage) + static_cast<unsigned>(consumer_row * kTileK);
    };
    wait_for_phase(shared.full(at.stage), at.parity);
    multiply_stage<C, true>(acc, a(), shared.b(at.stage));
    unsigned previous = at.stage;
    at.next();
    if constexpr (kScaled) {
      sync_threads(kScalesBarrier + consumer, kWarpgroup);  // nobody reads the last tile's any more
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int col = thread + c * kWarpgroup;
        if (col < C::kTileN) {
          scales[col] = column[c];
          if constexpr (kKeepsBiases) biases[col] = column_bias[c];
        }
      }
    }
    for (unsigned block = 1; block < raster.k_blocks; ++block) {
      wait_for_phase(shared.full(at.stage), at.parity);
      multiply_stage<C, false>(acc, a(), shared.b(at.stage));
      wait_for_products<1>();
      release(previous);
      previous = at.stage;
      at.next();
    }
    if (C::kPingPong && i + step < raster.count) {
      signal_threads(kTurnBarrier + 1 - consumer, kConsumers * kWarpgroup);
    }
    wait_for_products<0>();
#pragma unroll
    for (int part = 0; part < C::kParts; ++part) hold(acc[part]);
    release(previous);
    if constexpr (kScaled) sync_threads(kScalesBarrier + consumer, kWarpgroup);
    // Held in each branch: else what they have in common is computed ahead, and spills.
    const auto hold_all = [&] {
#pragma unroll
      for (int part = 0; part < C::kParts; ++part) hold(acc[part]);
    };
    if (result.vectors && result.permuted) {
      hold_all();
      write<C, true>(result, acc, row_scale, scales, biases, first_row, tile_col);
    } else {
      hold_all();
      write<C, false>(result, acc, row_scale, scales, biases, first_row, tile_col);
    }
  }
}

template <class C, class T>
__global__ void __launch_bounds__(kThreads, 1)
    gemm_sm90_kernel(const __grid_constant__ CUtensorMap a_map,
                     const __grid_constant__ CUtensorMap b_map, const Raster raster,
                     const Result<T> result) {
  extern __shared__ __align__(1024) unsigned char shared_memory[];
  const Shared<C> shared{static_cast<unsigned>(__cvta_generic_to_shared(shared_memory))};
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  const unsigned rank = C::kCluster > 1 ? rank_in_cluster() : 0;
  const unsigned first = blockIdx.x / C::kCluster, step = gridDim.x / C::kCluster;

  if (threadIdx.x == 0) {
    if (shared.base % 1024 != 0) __trap();  // the swizzle counts from multiples of 1024
    prefetch(a_map);
    prefetch(b_map);
    for (unsigned stage = 0; stage < C::kStages; ++stage) {
      init_barrier(shared.full(stage), 1);
      init_barrier(shared.empty(stage), C::kReadingWarps * C::kCluster);
    }
    publish_barriers();
  }
  if constexpr (C::kCluster > 1) {
    sync_cluster();
  } else {
    __syncthreads();
  }
  wait_for_earlier_kernels();

  if (warpgroup == 0) {
    shrink_registers<kProducerRegisters>();
    if (threadIdx.x == 0) {
      const auto end = produce<C>(shared, a_map, b_map, raster, first, step, rank, result.permuted);
      release_later_kernels();
      wait_for_readers<C>(shared, end);
    }
  } else {
    grow_registers<kConsumerRegisters>();
    float* const columns = reinterpret_cast<float*>(shared_memory + C::kColumnsStart);
    consume<C>(shared, columns, raster, result, warpgroup - 1, first, step, rank);
  }
  // A block must not end while others of its cluster may still copy to it or arrive at it.
  if constexpr (C::kCluster > 1) {
    __syncwarp();
    sync_cluster();
  }
}

}  // namespace octet::cuda
