// An operand of gemm_s8_mma: from its layout in memory to a stage in shared memory, and from there
// to the fragments of mma.sync m16n8k32.
//
// A stage holds 128 rows x 64 bytes of K of an operand, in units of 16 bytes. Two units a thread
// are copied, by cp.async where every unit is aligned to 16, else byte by byte. Rows beyond the
// operand and bytes beyond K become zero in shared memory, where they add nothing, so that what
// lies in an operand's padding never counts.
//
//   in units by row   RowMajor, Col32, Col32_2R_4R4: 16 bytes of K of one row lie together. In the
//                     stage, unit u of row r is at u ^ (r / 2 % 4): the eight rows that an ldmatrix
//                     phase reads, and the two rows that eight lanes write, then fall into all 32
//                     banks.
//   Col4_4R2_8C       a unit is 4 bytes of K of four rows two apart, and 16 units make 8 rows x 32
//                     bytes: 8 units of the even rows, 8 of the odd ones. They are copied as they
//                     lie, the odd rows' halves exchanged; a fragment's word is then one 4-byte
//                     load, and the 32 words of a warp lie in 32 banks.
#pragma once

#include <cstdint>

#include "octet/layout.hpp"
#include "octet/numeric.hpp"

namespace octet::cuda {

constexpr int kTileM = 128;
constexpr int kTileN = 128;
constexpr int kTileK = 64;
constexpr int kWarpM = 64;
constexpr int kWarpN = 32;
constexpr int kWarpsN = kTileN / kWarpN;
constexpr int kThreads = kTileM / kWarpM * kWarpsN * 32;
constexpr int kMmaM = 16, kMmaN = 8, kMmaK = 32;
constexpr int kUnits = kTileK / 16;             // of a row
constexpr int kRowsAtOnce = kThreads / kUnits;  // that the block loads together
constexpr int kLoads = kTileM / kRowsAtOnce;    // units of an operand that a thread loads
constexpr int kOperandBytes = kTileM * kTileK;  // of a stage
static_assert(kTileM == kTileN, "A and B are loaded alike");

// ------------------------------------------------------------------------------------- copies

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

template <bool kAligned>
__device__ __forceinline__ void copy_unit(unsigned target, const s8* source, int bytes) {
  if constexpr (kAligned) {
    copy_unit_async(target, source, bytes);
  } else {
    copy_unit_bytewise(target, source, bytes);
  }
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

__device__ __forceinline__ unsigned load_word(unsigned address) {
  unsigned word;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
  return word;
}

// ------------------------------------------------------------------------------------- units by
// row

/// Rows [first_row, first_row + 128) of an operand of `rows` rows and depth k. A thread copies one
/// unit of every kRowsAtOnce-th row.
template <class Layout, bool kAligned>
struct MmaOperand {
  const s8* base;  // valid even where a row is not
  const s8* source[kLoads];
  bool inside[kLoads];
  unsigned target[kLoads];
  std::int64_t step_bytes;
  int unit_k;

  __device__ MmaOperand(const s8* data, Layout layout, std::int64_t first_row, std::int64_t rows)
      : base(data),
        step_bytes(layout(0, kTileK)),
        unit_k(static_cast<int>(threadIdx.x) % kUnits * 16) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int row = static_cast<int>(threadIdx.x) / kUnits + i * kRowsAtOnce;
      inside[i] = first_row + row < rows;
      source[i] = inside[i] ? data + layout(first_row + row, unit_k) : data;
      target[i] = swizzled(row, static_cast<int>(threadIdx.x) % kUnits);
    }
  }

  /// Bytes [64 step, 64 step + 64) of the tile's rows to the stage at `shared`.
  __device__ __forceinline__ void load(unsigned shared, int step, int k) const {
    const int left = min(max(k - step * kTileK - unit_k, 0), 16);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int bytes = inside[i] ? left : 0;
      const s8* from = bytes > 0 ? source[i] + step * step_bytes : base;
      copy_unit<kAligned>(shared + target[i], from, bytes);
    }
  }

  /// The matrices of ldmatrix are (rows 0-7, unit 0), (8-15, 0), (0-7, 1), (8-15, 1).
  static __device__ __forceinline__ void a_fragments(unsigned stage, int warp_row, int kk,
                                                     unsigned (&part)[kWarpM / kMmaM][4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kWarpM / kMmaM; ++i) {
      load_matrices(stage + swizzled(warp_row + lane % 16 + i * kMmaM, 2 * kk + lane / 16),
                    part[i][0], part[i][1], part[i][2], part[i][3]);
    }
  }

  /// They are (rows 0-7, unit 0), (0-7, 1), (8-15, 0), (8-15, 1).
  static __device__ __forceinline__ void b_fragments(unsigned stage, int warp_row, int kk,
                                                     unsigned (&part)[kWarpN / kMmaN][2]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int j = 0; j < kWarpN / kMmaN; j += 2) {
      load_matrices(
          stage + swizzled(warp_row + lane / 16 * 8 + lane % 8 + j * kMmaN, 2 * kk + lane / 8 % 2),
          part[j][0], part[j][1], part[j + 1][0], part[j + 1][1]);
    }
  }

  /// Byte offset of a unit in a stage's operand.
  static __device__ __forceinline__ unsigned swizzled(int row, int unit) {
    return static_cast<unsigned>(row * kTileK + ((unit ^ (row / 2 % kUnits)) * 16));
  }
};

// ------------------------------------------------------------------------------------- Col4_4R2_8C

/// A thread copies one unit of each panel of 32 columns: thread t the t-th of the 256 that the
/// panel's 16 tiles of 8 rows have.
template <bool kAligned>
struct MmaOperand<Col4_4R2_8C, kAligned> {
  static constexpr int kPanels = kTileK / 32;
  static constexpr int kPanelUnits = kTileN / 8 * 16;
  static_assert(kPanelUnits == kThreads);

  const s8* base;
  std::int64_t panel_bytes;
  int unit_k;
  bool inside;  // tiles, not rows: a tile's last rows may be padding, whose columns nobody keeps

  __device__ MmaOperand(const s8* data, Col4_4R2_8C layout, std::int64_t first_row,
                        std::int64_t rows)
      : base(data), panel_bytes(layout(0, 32)), unit_k(static_cast<int>(threadIdx.x) % 8 * 4) {
    const std::int64_t tile_row = first_row + static_cast<int>(threadIdx.x) / 16 * 8;
    inside = tile_row < rows;
    if (inside) base += layout(tile_row, 0) + static_cast<int>(threadIdx.x) % 16 * 16;
  }

  __device__ __forceinline__ void load(unsigned shared, int step, int k) const {
#pragma unroll
    for (int panel = 0; panel < kPanels; ++panel) {
      // A unit that begins before K's end is copied whole: A is zero beyond it.
      const bool wanted = inside && step * kTileK + panel * 32 + unit_k < k;
      const s8* from = wanted ? base + (step * kPanels + panel) * panel_bytes : base;
      copy_unit<kAligned>(shared + swizzled(panel * kPanelUnits + static_cast<int>(threadIdx.x)),
                          from, wanted ? 16 : 0);
    }
  }

  static __device__ __forceinline__ void b_fragments(unsigned stage, int warp_row, int kk,
                                                     unsigned (&part)[kWarpN / kMmaN][2]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int row = lane / 4, four = lane % 4;  // of K
#pragma unroll
    for (int j = 0; j < kWarpN / kMmaN; ++j) {
      const int unit = kk * kPanelUnits + (warp_row + j * kMmaN) / 8 * 16 + row % 2 * 8 + four;
      part[j][0] = load_word(stage + swizzled(unit) + static_cast<unsigned>(row / 2 * 4));
      part[j][1] = load_word(stage + swizzled(unit + 4) + static_cast<unsigned>(row / 2 * 4));
    }
  }

  static __device__ __forceinline__ unsigned swizzled(int unit) {
    return static_cast<unsigned>((unit ^ (unit / 8 % 2 * 4)) * 16);
  }
};

}  // namespace octet::cuda
