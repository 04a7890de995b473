// gemm_s8_mma: D[M,N] = A[M,K] . B[N,K]^T, s8 x s8 -> s32 or s8, on mma.sync m16n8k32.
//
// A block takes a tile of 128 x 128 of one matrix of D and walks K in steps of 64 through a ring of
// four stages in shared memory; its eight warps stand 2 x 4 and take 64 x 32 each. M-tiles are
// numbered first, so that blocks that run together share a panel of B; the y coordinate counts
// the matrices of a batch. How operands come into shared memory and out of it:
// gemm_mma_operand.cuh.
//
// The epilogue is a functor that is given pairs (matrix, row, col, two accumulators) with col even,
// also beyond the edges.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/error.hpp"
#include "cuda/gemm_mma_operand.cuh"
#include "octet/gemm.hpp"

namespace octet::cuda {

constexpr int kStages = 4;
constexpr int kStageBytes = 2 * kOperandBytes;
constexpr int kSharedBytes = kStages * kStageBytes;
constexpr std::int64_t kMostMatrices = 65535;  // of a launch: the grid's y extent

__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most `kPending` of this thread's groups are under way.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ __forceinline__ void multiply_add(s32 (&c)[4], const unsigned (&a)[4],
                                             const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// The matrices of one operand.
template <class Layout>
struct MmaSource {
  const s8* data;
  Layout layout;
  std::int64_t stride;  // between the matrices of a batch
};

template <bool kAligned, class ALayout, class BLayout, class Epilogue>
__global__ void __launch_bounds__(kThreads, 2)
    gemm_s8_mma_kernel(const MmaSource<ALayout> a, const MmaSource<BLayout> b, std::int64_t m,
                       std::int64_t n, int k, unsigned m_tiles, const Epilogue epilogue) {
  extern __shared__ __align__(128) unsigned char shared_memory[];
  using AOperand = MmaOperand<ALayout, kAligned>;
  using BOperand = MmaOperand<BLayout, kAligned>;
  const unsigned shared = static_cast<unsigned>(__cvta_generic_to_shared(shared_memory));
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_m = warp / kWarpsN * kWarpM, warp_n = warp % kWarpsN * kWarpN;
  const std::int64_t first_m = static_cast<std::int64_t>(blockIdx.x % m_tiles) * kTileM;
  const std::int64_t first_n = static_cast<std::int64_t>(blockIdx.x / m_tiles) * kTileN;
  const std::int64_t matrix = blockIdx.y;
  const AOperand a_tile(a.data + matrix * a.stride, a.layout, first_m, m);
  const BOperand b_tile(b.data + matrix * b.stride, b.layout, first_n, n);
  const int steps = (k + kTileK - 1) / kTileK;

  // A group for each step, empty ones too, so that the count of groups is the count of steps.
  const auto load = [&](int step) {
    if (step < steps) {
      const unsigned stage = shared + step % kStages * kStageBytes;
      a_tile.load(stage, step, k);
      b_tile.load(stage + kOperandBytes, step, k);
    }
    commit_copies();
  };
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) load(step);

  s32 acc[kWarpM / kMmaM][kWarpN / kMmaN][4] = {};
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    // This step's stage is complete for every thread, and nobody reads the one before it any more.
    __syncthreads();
    load(step + kStages - 1);

    const unsigned stage = shared + step % kStages * kStageBytes;
#pragma unroll
    for (int kk = 0; kk < kTileK / kMmaK; ++kk) {
      unsigned a_part[kWarpM / kMmaM][4], b_part[kWarpN / kMmaN][2];
      AOperand::a_fragments(stage, warp_m, kk, a_part);
      BOperand::b_fragments(stage + kOperandBytes, warp_n, kk, b_part);
#pragma unroll
      for (int i = 0; i < kWarpM / kMmaM; ++i) {
#pragma unroll
        for (int j = 0; j < kWarpN / kMmaN; ++j) multiply_add(acc[i][j], a_part[i], b_part[j]);
      }
    }
  }

#pragma unroll
  for (int i = 0; i < kWarpM / kMmaM; ++i) {
#pragma unroll
    for (int j = 0; j < kWarpN / kMmaN; ++j) {
      const std::int64_t row = first_m + warp_m + i * kMmaM + lane / 4;
      const std::int64_t col = first_n + warp_n + j * kMmaN + lane % 4 * 2;
      epilogue(matrix, row, col, acc[i][j][0], acc[i][j][1]);
      epilogue(matrix, row + 8, col, acc[i][j][2], acc[i][j][3]);
    }
  }
}

// ------------------------------------------------------------------------------------- epilogues

/// The accumulators as they are.
struct Accumulators {
  using Result = s32;
  __device__ __forceinline__ s32 operator()(std::int64_t /*row*/, std::int64_t /*col*/,
                                            s32 acc) const {
    return acc;
  }
};

/// rint(alpha * float(acc)), saturated; the conversion turns NaN into 0.
struct Rescaled {
  using Result = s8;
  const float* alpha;
  std::int64_t step;  // 0: one alpha for all rows

  __device__ __forceinline__ s8 operator()(std::int64_t row, std::int64_t /*col*/, s32 acc) const {
    const float value = __fmul_rn(__ldg(alpha + row * step), __int2float_rn(acc));
    return static_cast<s8>(min(max(__float2int_rn(value), -128), 127));
  }
};

/// Writes results to d, and zero to the columns that pad its last panel.
template <class Layout, class Convert>
struct Store {
  using T = typename Convert::Result;
  struct alignas(2 * sizeof(T)) Pair {
    T first, second;
  };

  T* d;
  Layout layout;
  std::int64_t stride;
  std::int64_t m, n;
  std::int64_t cols;  // n, and the padding
  bool pairs;         // every even column is aligned to two elements
  Convert convert;

  __device__ __forceinline__ void operator()(std::int64_t matrix, std::int64_t row,
                                             std::int64_t col, s32 first, s32 second) const {
    if (row >= m || col >= cols) return;
    const Pair pair = {col < n ? convert(row, col, first) : T{},
                       col + 1 < n ? convert(row, col + 1, second) : T{}};
    T* target = d + matrix * stride + layout(row, col);
    if (pairs && col + 1 < cols) {
      *reinterpret_cast<Pair*>(target) = pair;
    } else {
      target[0] = pair.first;
      if (col + 1 < cols) target[1] = pair.second;
    }
  }
};

// ------------------------------------------------------------------------------------- launch

inline bool multiple_of(const void* data, std::int64_t row_bytes, std::int64_t stride_bytes,
                        std::uintptr_t bytes) {
  return (reinterpret_cast<std::uintptr_t>(data) | static_cast<std::uintptr_t>(row_bytes) |
          static_cast<std::uintptr_t>(stride_bytes)) %
             bytes ==
         0;
}

template <class ALayout, class BLayout, class DLayout, class Convert>
void launch_gemm_s8_mma(cudaStream_t stream, const GemmProblem& q, MmaSource<ALayout> a,
                        MmaSource<BLayout> b, DLayout d_layout, typename Convert::Result* d,
                        std::int64_t cols, Convert convert) {
  using Epilogue = Store<DLayout, Convert>;
  constexpr auto kResultBytes = static_cast<std::int64_t>(sizeof(*d));
  const std::int64_t m_tiles = (q.m + kTileM - 1) / kTileM, n_tiles = (q.n + kTileN - 1) / kTileN;
  Epilogue epilogue{
      d,
      d_layout,
      q.d_stride,
      q.m,
      q.n,
      cols,
      multiple_of(d, d_layout(1, 0) * kResultBytes, q.d_stride * kResultBytes, 2 * kResultBytes),
      convert};
  const bool aligned = multiple_of(a.data, a.layout(1, 0), a.stride, 16) &&
                       multiple_of(b.data, b.layout(1, 0), b.stride, 16);
  const auto kernel = aligned ? gemm_s8_mma_kernel<true, ALayout, BLayout, Epilogue>
                              : gemm_s8_mma_kernel<false, ALayout, BLayout, Epilogue>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes),
        "reserving shared memory for gemm_s8_mma");
  for (std::int64_t done = 0; done < q.batch; done += kMostMatrices) {
    const dim3 grid(static_cast<unsigned>(m_tiles * n_tiles),
                    static_cast<unsigned>(std::min(q.batch - done, kMostMatrices)));
    kernel<<<grid, kThreads, kSharedBytes, stream>>>(a, b, q.m, q.n, static_cast<int>(q.k),
                                                     static_cast<unsigned>(m_tiles), epilogue);
    check(cudaGetLastError(), "launching gemm_s8_mma_kernel");
    a.data += kMostMatrices * a.stride;
    b.data += kMostMatrices * b.stride;
    epilogue.d += kMostMatrices * q.d_stride;
  }
}

/// To s32, or by alpha to s8, as the problem says.
template <class ALayout, class BLayout, class DLayout>
void launch_gemm_s8_mma(cudaStream_t stream, const GemmProblem& q, MmaSource<ALayout> a,
                        MmaSource<BLayout> b, DLayout d_layout, const float* alpha, void* d,
                        std::int64_t cols) {
  if (q.result == DType::s8) {
    launch_gemm_s8_mma(stream, q, a, b, d_layout, static_cast<s8*>(d), cols,
                       Rescaled{alpha, q.alphas > 1 ? 1 : 0});
  } else {
    launch_gemm_s8_mma(stream, q, a, b, d_layout, static_cast<s32*>(d), cols, Accumulators{});
  }
}

}  // namespace octet::cuda
