// gemm_s8_mma: D[M,N] = A[M,K] . B[N,K]^T, s8 x s8 -> s32, on mma.sync m16n8k32.
//
// A block takes a tile of 128 x 128 of D and walks K in steps of 64 through a ring of four stages
// in shared memory; its eight warps stand 2 x 4 and take 64 x 32 each. M-tiles are numbered first,
// so that blocks that run together share a panel of B.
//
// Loads: cp.async in 16-byte units where a and b are aligned to 16 and their leading dimensions are
// multiples of 16, else byte by byte. Rows beyond M or N and bytes beyond K are zero in shared
// memory, where they add nothing.
//
// Shared memory: a row of a stage is 64 bytes, four units of 16. Unit u of row r lies at
// u ^ (r / 2 % 4): the eight rows that an ldmatrix phase reads, and the two rows that eight lanes
// write, then fall into all 32 banks.
//
// The epilogue is a functor that is given pairs (row, col, two accumulators) with col even, also
// beyond the edges.
#include "cuda/error.hpp"
#include "cuda/gemm_mma.hpp"

namespace octet::cuda {
namespace {

using std::int64_t;

constexpr int kTileM = 128;
constexpr int kTileN = 128;
constexpr int kTileK = 64;
constexpr int kStages = 4;
constexpr int kWarpM = 64;
constexpr int kWarpN = 32;
constexpr int kWarpsN = kTileN / kWarpN;
constexpr int kThreads = kTileM / kWarpM * kWarpsN * 32;
constexpr int kMmaM = 16, kMmaN = 8, kMmaK = 32;
constexpr int kUnits = kTileK / 16;             // of a row
constexpr int kRowsAtOnce = kThreads / kUnits;  // that the block loads together
constexpr int kLoads = kTileM / kRowsAtOnce;    // units of A, and of B, that a thread loads
constexpr int kOperandBytes = kTileM * kTileK;  // of a stage
constexpr int kStageBytes = 2 * kOperandBytes;
constexpr int kSharedBytes = kStages * kStageBytes;
static_assert(kTileM == kTileN, "A and B are loaded alike");

/// Byte offset of a unit in a stage's operand.
__device__ __forceinline__ unsigned swizzled(int row, int unit) {
  return static_cast<unsigned>(row * kTileK + ((unit ^ (row / 2 % kUnits)) * 16));
}

/// 16 bytes of which the first `bytes` come from `source`, the rest are zero.
__device__ __forceinline__ void copy_unit_async(unsigned target, const s8* source, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source),
               "r"(bytes)
               : "memory");
}

__device__ __forceinline__ void copy_unit_bytewise(unsigned target, const s8* source, int bytes) {
  unsigned words[4] = {};
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    if (i < bytes) {
      words[i / 4] |= static_cast<unsigned>(static_cast<unsigned char>(source[i])) << (i % 4 * 8);
    }
  }
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(target), "r"(words[0]),
               "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most `kPending` of this thread's groups are under way.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Four 8 x 16-byte matrices; lane l gives the address of row l % 8 of matrix l / 8 and receives
/// bytes 4 (l % 4) to 4 (l % 4) + 3 of row l / 4 of each.
__device__ __forceinline__ void load_matrices(unsigned address, unsigned& m0, unsigned& m1,
                                              unsigned& m2, unsigned& m3) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m0), "=r"(m1), "=r"(m2), "=r"(m3)
               : "r"(address)
               : "memory");
}

__device__ __forceinline__ void multiply_add(s32 (&c)[4], const unsigned (&a)[4],
                                             const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// What a thread loads of one operand: a unit of every kRowsAtOnce-th row of the tile.
template <bool kAligned>
struct OperandLoader {
  const s8* base;  // valid even where a row is not
  const s8* source[kLoads];
  bool inside[kLoads];
  unsigned target[kLoads];
  int unit_k;

  __device__ OperandLoader(const s8* data, int64_t ld, int64_t first_row, int64_t rows)
      : base(data), unit_k(static_cast<int>(threadIdx.x) % kUnits * 16) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int row = static_cast<int>(threadIdx.x) / kUnits + i * kRowsAtOnce;
      inside[i] = first_row + row < rows;
      source[i] = inside[i] ? data + (first_row + row) * ld + unit_k : data;
      target[i] = swizzled(row, static_cast<int>(threadIdx.x) % kUnits);
    }
  }

  /// Bytes [k0, k0 + 64) of the tile's rows to the stage at `shared`.
  __device__ __forceinline__ void load(unsigned shared, int k0, int k) const {
    const int left = min(max(k - k0 - unit_k, 0), 16);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int bytes = inside[i] ? left : 0;
      const s8* from = bytes > 0 ? source[i] + k0 : base;
      if constexpr (kAligned) {
        copy_unit_async(shared + target[i], from, bytes);
      } else {
        copy_unit_bytewise(shared + target[i], from, bytes);
      }
    }
  }
};

template <bool kAligned, class Epilogue>
__global__ void __launch_bounds__(kThreads, 2)
    gemm_s8_mma_kernel(const s8* __restrict__ a, int64_t lda, const s8* __restrict__ b, int64_t ldb,
                       int64_t m, int64_t n, int k, unsigned m_tiles, const Epilogue epilogue) {
  extern __shared__ __align__(128) unsigned char shared_memory[];
  const unsigned shared = static_cast<unsigned>(__cvta_generic_to_shared(shared_memory));
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_m = warp / kWarpsN * kWarpM, warp_n = warp % kWarpsN * kWarpN;
  const int64_t first_m = static_cast<int64_t>(blockIdx.x % m_tiles) * kTileM;
  const int64_t first_n = static_cast<int64_t>(blockIdx.x / m_tiles) * kTileN;
  const OperandLoader<kAligned> a_loader(a, lda, first_m, m);
  const OperandLoader<kAligned> b_loader(b, ldb, first_n, n);
  const int steps = (k + kTileK - 1) / kTileK;

  // A group for each step, empty ones too, so that the count of groups is the count of steps.
  const auto load = [&](int step) {
    if (step < steps) {
      const unsigned stage = shared + step % kStages * kStageBytes;
      a_loader.load(stage, step * kTileK, k);
      b_loader.load(stage + kOperandBytes, step * kTileK, k);
    }
    commit_copies();
  };
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) load(step);

  s32 acc[kWarpM / kMmaM][kWarpN / kMmaN][4] = {};
  // Rows and units that this lane addresses for ldmatrix: A's matrices are (rows 0-7, unit 0),
  // (8-15, 0), (0-7, 1), (8-15, 1); B's are (0-7, 0), (0-7, 1), (8-15, 0), (8-15, 1).
  const int a_row = warp_m + lane % 16, a_unit = lane / 16;
  const int b_row = warp_n + lane / 16 * 8 + lane % 8, b_unit = lane / 8 % 2;
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    // This step's stage is complete for every thread, and nobody reads the one before it any more.
    __syncthreads();
    load(step + kStages - 1);

    const unsigned stage = shared + step % kStages * kStageBytes;
#pragma unroll
    for (int kk = 0; kk < kTileK / kMmaK; ++kk) {
      unsigned a_part[kWarpM / kMmaM][4], b_part[kWarpN / kMmaN][2];
#pragma unroll
      for (int i = 0; i < kWarpM / kMmaM; ++i) {
        load_matrices(stage + swizzled(a_row + i * kMmaM, 2 * kk + a_unit), a_part[i][0],
                      a_part[i][1], a_part[i][2], a_part[i][3]);
      }
#pragma unroll
      for (int j = 0; j < kWarpN / kMmaN; j += 2) {
        load_matrices(stage + kOperandBytes + swizzled(b_row + j * kMmaN, 2 * kk + b_unit),
                      b_part[j][0], b_part[j][1], b_part[j + 1][0], b_part[j + 1][1]);
      }
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
      const int64_t row = first_m + warp_m + i * kMmaM + lane / 4;
      const int64_t col = first_n + warp_n + j * kMmaN + lane % 4 * 2;
      epilogue(row, col, acc[i][j][0], acc[i][j][1]);
      epilogue(row + 8, col, acc[i][j][2], acc[i][j][3]);
    }
  }
}

/// Writes the accumulators as they are.
struct StoreAccumulators {
  s32* d;
  int64_t ldd, m, n;
  bool pairs;  // every even column is aligned to 8 bytes

  __device__ __forceinline__ void operator()(int64_t row, int64_t col, s32 first,
                                             s32 second) const {
    if (row >= m || col >= n) return;
    s32* target = d + row * ldd + col;
    if (pairs && col + 1 < n) {
      *reinterpret_cast<int2*>(target) = make_int2(first, second);
    } else {
      target[0] = first;
      if (col + 1 < n) target[1] = second;
    }
  }
};

bool multiple_of(const void* data, int64_t ld_bytes, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0 &&
         static_cast<std::uintptr_t>(ld_bytes) % bytes == 0;
}

}  // namespace

void gemm_s8_mma(cudaStream_t stream, const s8* a, int64_t lda, const s8* b, int64_t ldb, s32* d,
                 int64_t ldd, int64_t m, int64_t n, int64_t k) {
  if (m == 0 || n == 0) return;
  const int64_t m_tiles = (m + kTileM - 1) / kTileM, n_tiles = (n + kTileN - 1) / kTileN;
  const StoreAccumulators epilogue{d, ldd, m, n,
                                   multiple_of(d, ldd * static_cast<int64_t>(sizeof(s32)), 8)};
  const bool aligned = multiple_of(a, lda, 16) && multiple_of(b, ldb, 16);
  const auto kernel = aligned ? gemm_s8_mma_kernel<true, StoreAccumulators>
                              : gemm_s8_mma_kernel<false, StoreAccumulators>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes),
        "reserving shared memory for gemm_s8_mma");
  kernel<<<static_cast<unsigned>(m_tiles * n_tiles), kThreads, kSharedBytes, stream>>>(
      a, lda, b, ldb, m, n, static_cast<int>(k), static_cast<unsigned>(m_tiles), epilogue);
  check(cudaGetLastError(), "launching gemm_s8_mma");
}

}  // namespace octet::cuda
