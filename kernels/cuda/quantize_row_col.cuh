// The kernels behind quantize_row_col, quantize_colwise and quantize_row_col with a threshold.
//
//   1. zero_kernel      clears the statistics
//   2. absmax_kernel    both statistics in one read, as bits in row_scale and col_scale
//   3. convert_kernel   the second read: q_row as it lies, q_col through shared memory, the scales
//   4. scales_kernel    f32 alone: statistic to scale, in place
//   Bytes: 2 sizeof(T) read and 1 written an element for each int8 copy.
//
// Launches follow each other closely: from sm_90 on each may start while the one before it ends
// (programmatic dependent launch), zero_kernel while whatever the stream was given before does.
// What a kernel reads before it waits is x alone, which was complete before zero_kernel let the
// next one start. convert_kernel takes x backwards, as the end of x is what the cache still holds;
// where outputs would push x out of it they are stored as streams.
//
// A statistic in a scale's place has the sign bit set. Blocks of convert_kernel read it while one
// of them replaces it by the scale, and a 16-bit absmax can be told from its scale again: absmax =
// T(127 scale), as 127 scale is off by at most 2^-22 of it (by 2^-20 where the scale is a subnormal
// f32), far less than half a unit of T. An f32 absmax cannot, hence scales_kernel.
//
// What counts (Kept): everything; elements under a threshold; columns without an outlier. The rest
// reads as zero, in statistics and in both copies.
//
// Designs for one call of f16, as parts of the time of a copy of the same 6 bytes an element
// (NVIDIA H200):
//                                                              1024x4096 1024x12288 12288x4096
//   memset, memset, statistic of long blocks, convert, scales       0.51       0.67       0.80
//   dependent launches: predicted                                   0.87       1.05       0.95
//                       measured                                    0.69       0.81       0.88
//   one launch that keeps x on chip between two
//   meetings of all blocks: predicted                               0.88       1.10          -
//                           measured, where the row above had       0.60       0.68          -
//                                                                   0.76       0.84       0.87
//   row scales, q_row and the columns' statistic in one read of
//   whole rows that stay in registers, then q_col: predicted        0.83       0.97       0.97
//             measured, where dependent launches had                0.52       0.69       0.91
//                                                                   0.74       0.84       0.89
//   dependent launches, two thirds of the instructions:
//   whole tiles without a question at each access, offsets
//   from unsigned integers: predicted                               0.80          -          -
//                           measured                                0.84       0.90       0.92
//                           with 64 registers a thread              0.88       0.93       0.94
//   element mode, 0.1 % outliers, as times the time without:
//     a warp a row lists, one chunk after the other                 1.55       1.57       1.36
//     a thread a piece lists, masks where a maximum asks for them   1.10       1.15       1.10
//     the same with two thirds of the instructions: its own time
//     is 0.94, 0.90, 0.94 of the row above, and without a threshold
//     a call takes 0.83, 0.89, 0.94 of what it took                 1.24       1.12       1.11
//
// A block of whole rows ends with an atomic maximum of every column, a million of them in all at
// 1024x4096; what it gains where x is tall does not pay for a second way of quantizing.
//
// Counters of absmax and convert before the last of these designs (Nsight Compute). 1024x4096: 27
// warps on a multiprocessor, memory at 32 and 21 % of its throughput, four fifths of a wave of
// blocks; what counts is how fast three short kernels follow each other. 12288x4096: 37 warps,
// memory at 76 and 56 %; absmax waits for what it loads, convert issues in 74 % of the cycles, 769
// instructions a warp of which 525 are left.
#pragma once

#include <cuda_runtime.h>

#include <cstring>
#include <nv/target>
#include <type_traits>

#include "cuda/error.hpp"
#include "cuda/quantize.cuh"
#include "octet/matrix.hpp"
#include "octet/outliers.hpp"
#include "preconditions/outlier_split.hpp"

namespace octet::cuda {

inline constexpr int kThreads = 256;
inline constexpr int kWarps = kThreads / kWarp;
inline constexpr int kRowsInFlight = 4;     // rows that a warp loads before it uses the first
inline constexpr int kMaxRowsOfBlock = 64;  // of the statistic
inline constexpr int kAbsmaxBlocks = 5;     // of a multiprocessor: leaves each thread 48 registers
inline constexpr int64_t kManyBlocks = 2048;   // several waves
inline constexpr int kTileRows = 128;          // 128 bytes of each column of q_col
inline constexpr int kTileCols = 64;           // 128 bytes of each row of a 16-bit x
inline constexpr int kUnits = kTileRows / 16;  // 16-byte units of a column of the tile
inline constexpr int64_t kStreamedBytes = int64_t{32}
                                          << 20;  // of x: more than caches hold beside q
inline constexpr int64_t kListBlocks = 2048;  // of convert_kernel that write the list, at the most
inline constexpr unsigned kStatistic = 0x80000000u;

static_assert(OutlierWorkspace::kGroupRows == kWarps * kRowsInFlight);
static_assert(OutlierWorkspace::kPieceCols == kWarp * kChunk<f32>);

enum class Copies { row_col, col };
enum class Kept { all, below_threshold, unlisted_columns };

/// Where what a threshold sets apart is found and listed. A piece is what a warp of absmax_kernel
/// reads of a row at once: x tells which of its 32 chunks hold outliers, a bit each, y how many
/// outliers there are. A group of rows is what a block takes. Pieces lie in the list's order.
template <class T>
struct Outliers {
  unsigned limit;  // the smallest bits of |x| that are one
  uint2* pieces;
  int64_t pieces_of_row, pieces_of_block;
  unsigned long long* group_counts;
  int rows_of_group;
  const unsigned* column_absmax;  // over everything, as statistics
  const s32* columns;             // that hold one, ascending
  const int* column_count;
  CooList<T> list;
  unsigned list_blocks;
  unsigned list_every;  // of so many blocks one writes the list, until all have been
};

template <class T>
struct RowCol {
  const T* x;
  int64_t ldx;
  s8* q_row;
  int64_t ldq_row;
  s8* q_col;
  int64_t ldq_col;
  float* row_scale;  // statistics, until convert_kernel
  float* col_scale;
  int64_t rows, cols;
  bool x_vectors;
  Access q_row_access, q_col_access;
  Outliers<T> outliers;
};

// ---------------------------------------------------------------------------- dependent launches

/// Until the kernel before this one is complete and what it wrote can be seen. Every block waits,
/// so a kernel that is complete stands for all before it.
__device__ __forceinline__ void wait_for_predecessor() {
  NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.wait;" ::: "memory");))
}
/// Once every block has come here or is done, the next kernel may start.
__device__ __forceinline__ void let_successor_start() {
  NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.launch_dependents;" ::: "memory");))
}

/// Of the current device.
inline int device_attribute(cudaDeviceAttr which, const char* what) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), what);
  check(cudaDeviceGetAttribute(&value, which, device), what);
  return value;
}

/// Launches a kernel that waits for its predecessor by itself.
template <class... Parameters, class... Arguments>
void launch_dependent(const char* what, cudaStream_t stream, int64_t blocks, int threads,
                      void (*kernel)(Parameters...), Arguments... arguments) {
  const int major = device_attribute(cudaDevAttrComputeCapabilityMajor, what);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = major >= 9 ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), what);
  check(cudaGetLastError(), what);
}

// ---------------------------------------------------------------------------- what counts

/// All ones where an element of `word` is under the limit, NaN being under none.
template <class T>
__device__ __forceinline__ unsigned below(unsigned word, unsigned limit) {
  if constexpr (std::is_same_v<T, f16>) {
    const __half bound = __ushort_as_half(static_cast<unsigned short>(limit));
    __half2 pair;
    memcpy(&pair, &word, sizeof(pair));
    return __hlt2_mask(__habs2(pair), __half2half2(bound));
  } else if constexpr (std::is_same_v<T, bf16>) {
    // As integers: the difference from 0x8000 + limit - 1 borrows nothing from the neighbour and
    // keeps its top bit exactly there, and a byte permutation spreads that bit.
    const unsigned difference = ((limit - 1) * 0x10001u | 0x80008000u) - magnitudes<T>(word);
    unsigned mask;
    asm("prmt.b32 %0, %1, 0, 0xbb99;" : "=r"(mask) : "r"(difference));
    return mask;
  } else {
    return magnitudes<T>(word) < limit ? ~0u : 0u;
  }
}

/// Masks of a chunk.
template <class T>
__device__ __forceinline__ Chunk below_limit(const Chunk& chunk, unsigned limit) {
  Chunk mask;
#pragma unroll
  for (int w = 0; w < 4; ++w) mask.words[w] = below<T>(chunk.words[w], limit);
  return mask;
}

__device__ __forceinline__ Chunk masked(const Chunk& chunk, const Chunk& mask) {
  return {{chunk.words[0] & mask.words[0], chunk.words[1] & mask.words[1],
           chunk.words[2] & mask.words[2], chunk.words[3] & mask.words[3]}};
}

__device__ __forceinline__ bool all_kept(const Chunk& mask) {
  return (mask.words[0] & mask.words[1] & mask.words[2] & mask.words[3]) == ~0u;
}

/// How many elements of a chunk are not kept.
template <class T>
__device__ __forceinline__ unsigned count_not_kept(const Chunk& mask) {
  const int kept_bits =
      __popc(mask.words[0]) + __popc(mask.words[1]) + __popc(mask.words[2]) + __popc(mask.words[3]);
  return static_cast<unsigned>(128 - kept_bits) / (8 * sizeof(T));
}

/// A bit for each element of a chunk that is not kept.
template <class T>
__device__ __forceinline__ unsigned not_kept(const Chunk& mask) {
  unsigned bits = 0;
#pragma unroll
  for (int e = 0; e < kChunk<T>; ++e) {
    constexpr int kOfWord = 4 / static_cast<int>(sizeof(T));
    bits |= (~mask.words[e / kOfWord] >> (e % kOfWord * 16) & 1u) << e;
  }
  return bits;
}

/// Masks of columns [col, col + kChunk): kept where the column's absmax is under the limit.
template <class T>
__device__ __forceinline__ Chunk unlisted(const Outliers<T>& o, int64_t col, int64_t cols) {
  const float threshold = value_of<T>(o.limit);
  Chunk mask{};
#pragma unroll
  for (int e = 0; e < kChunk<T>; ++e) {
    const unsigned absmax = col + e < cols ? o.column_absmax[col + e] & ~kStatistic : 0u;
    const unsigned bits = absmax < __float_as_uint(threshold) ? ~0u : 0u;
    if constexpr (sizeof(T) == 2) {
      mask.words[e / 2] |= bits & (e % 2 == 0 ? 0xffffu : 0xffff0000u);
    } else {
      mask.words[e] = bits;
    }
  }
  return mask;
}

// ---------------------------------------------------------------------------- kernels

/// Words to clear; a thread takes one of each range at a time.
struct Cleared {
  static constexpr int kRanges = 4;
  unsigned* words[kRanges];
  int64_t length[kRanges];
};
static __global__ void __launch_bounds__(kThreads) zero_kernel(const Cleared cleared) {
  wait_for_predecessor();
  let_successor_start();
#pragma unroll
  for (int r = 0; r < Cleared::kRanges; ++r) {
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
         i < cleared.length[r]; i += static_cast<int64_t>(gridDim.x) * kThreads) {
      cleared.words[r][i] = 0;
    }
  }
}

/// A block takes `rows_of_block` rows of 32 chunks; a warp takes four rows at a time, a lane the
/// same columns of each. blockIdx.x = row block * column blocks + column block.
template <class T, Copies copies, Kept kept>
__global__ void __launch_bounds__(kThreads, kAbsmaxBlocks)
    absmax_kernel(const RowCol<T> p, int rows_of_block, unsigned col_blocks) {
  constexpr int kCols = kWarp * kChunk<T>;
  constexpr bool kRows = copies == Copies::row_col;
  constexpr bool kFind = kept == Kept::below_threshold;
  static_assert(kRows || !kFind);
  __shared__ uint4 row_part[kMaxRowsOfBlock / kRowsInFlight];
  __shared__ uint2 piece_part[kMaxRowsOfBlock];
  __shared__ unsigned col_part[kWarps][kWarp * 4];
  let_successor_start();
  if constexpr (kept == Kept::unlisted_columns) wait_for_predecessor();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const unsigned col_block = blockIdx.x % col_blocks;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / col_blocks) * rows_of_block;
  const int64_t first_col = static_cast<int64_t>(col_block) * kCols;
  const int64_t col = first_col + lane * kChunk<T>;
  const T* source = p.x + first_row * p.ldx + col;
  const int rows = static_cast<int>(min(p.rows - first_row, static_cast<int64_t>(rows_of_block)));

  Chunk of_columns;
  if constexpr (kept == Kept::unlisted_columns) of_columns = unlisted(p.outliers, col, p.cols);
  const unsigned limit = kFind ? __float_as_uint(value_of<T>(p.outliers.limit)) : 0;
  const bool whole =
      p.x_vectors && first_row + rows_of_block <= p.rows && first_col + kCols <= p.cols;
  Chunk columns{};
  for (int row = warp * kRowsInFlight; row < rows; row += kWarps * kRowsInFlight) {
    Chunk chunks[kRowsInFlight];
    if (whole) {
#pragma unroll
      for (int i = 0; i < kRowsInFlight; ++i) {
        chunks[i] = load_whole_chunk(source + (row + i) * p.ldx);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kRowsInFlight; ++i) {
        chunks[i] =
            load_chunk(source + (row + i) * p.ldx, row + i < rows ? p.cols - col : 0, p.x_vectors);
      }
    }
    unsigned absmax[kRowsInFlight] = {};
#pragma unroll
    for (int i = 0; i < kRowsInFlight; ++i) {
      if constexpr (kept == Kept::unlisted_columns) chunks[i] = masked(chunks[i], of_columns);
      if constexpr (kRows) absmax[i] = __reduce_max_sync(kAllLanes, largest_bits<T>(chunks[i]));
      if constexpr (kFind) {
        uint2 piece = make_uint2(0, 0);
        if (absmax[i] >= limit) {  // few are
          const Chunk mask = below_limit<T>(chunks[i], p.outliers.limit);
          piece.x = __ballot_sync(kAllLanes, !all_kept(mask));
          piece.y = __reduce_add_sync(kAllLanes, count_not_kept<T>(mask));
          chunks[i] = masked(chunks[i], mask);
          absmax[i] = __reduce_max_sync(kAllLanes, largest_bits<T>(chunks[i]));
        }
        if (lane == 0) piece_part[row + i] = piece;
      }
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        columns.words[w] = larger<T>(columns.words[w], magnitudes<T>(chunks[i].words[w]));
      }
    }
    static_assert(kRowsInFlight == 4);
    if (kRows && lane == 0) {
      row_part[row / kRowsInFlight] = make_uint4(absmax[0], absmax[1], absmax[2], absmax[3]);
    }
  }
#pragma unroll
  for (int w = 0; w < 4; ++w) col_part[warp][lane * 4 + w] = columns.words[w];
  __syncthreads();

  if constexpr (kept != Kept::unlisted_columns) wait_for_predecessor();
  if (threadIdx.x < rows) {
    const int64_t row = first_row + threadIdx.x;
    if constexpr (kRows) {
      atomicMax(reinterpret_cast<unsigned*>(p.row_scale) + row,
                kStatistic | reinterpret_cast<const unsigned*>(row_part)[threadIdx.x]);
    }
    if constexpr (kFind) {
      p.outliers.pieces[row * col_blocks + col_block] = piece_part[threadIdx.x];
    }
  }
  if constexpr (kFind) {
    if (warp == kWarps - 1) {
      unsigned count = 0;
      for (int row = lane; row < rows; row += kWarp) count += piece_part[row].y;
      count = __reduce_add_sync(kAllLanes, count);
      if (lane == 0 && count != 0) {
        atomicAdd(p.outliers.group_counts + blockIdx.x / col_blocks, count);
      }
    }
  }
  if (threadIdx.x < kCols && first_col + threadIdx.x < p.cols) {
    constexpr int kOfWord = 4 / static_cast<int>(sizeof(T));
    unsigned word = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      word = larger<T>(word, col_part[w][threadIdx.x / kOfWord]);
    }
    if constexpr (kOfWord == 2) word = word >> (threadIdx.x % 2 * 16) & 0xffffu;
    atomicMax(reinterpret_cast<unsigned*>(p.col_scale) + first_col + threadIdx.x,
              kStatistic | largest_bits<T>(word));
  }
}

/// The absmax of a word that is a statistic, or already the scale that follows from it.
template <class T, class Q>
__device__ __forceinline__ unsigned absmax_of(unsigned word) {
  if constexpr (sizeof(T) == 2) {
    if ((word & kStatistic) == 0) {
      return __float_as_uint(
          value_of<T>(bits_of<T>(__fmul_rn(__uint_as_float(word), kLargest<Q>))));
    }
  }
  return word & ~kStatistic;
}

/// The inverse of a row's or column's scale, whose word a block puts in order where it is `its`.
template <class T, class Q>
__device__ __forceinline__ float settled_inverse(float* scale_or_statistic, bool its) {
  const unsigned absmax =
      absmax_of<T, Q>(*reinterpret_cast<volatile unsigned*>(scale_or_statistic));
  if (sizeof(T) == 2 && its) {
    *reinterpret_cast<volatile float*>(scale_or_statistic) = scale<Q>(absmax);
  }
  return inverse_scale<Q>(absmax);
}

template <class T>
__device__ __forceinline__ void store_entry(const CooList<T>& list, int64_t at, int64_t row,
                                            int64_t col, Bits<T> value) {
  if (at >= list.capacity) return;
  list.row[at] = static_cast<s32>(row);
  list.col[at] = static_cast<s32>(col);
  reinterpret_cast<Bits<T>*>(list.value)[at] = value;
}

/// The list of columns, by one of the list's blocks: a warp takes one of eight rows at a time.
template <class T>
__device__ void write_columns(const RowCol<T>& p, unsigned list_block) {
  const Outliers<T>& o = p.outliers;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t rows_of_block = (p.rows + o.list_blocks - 1) / o.list_blocks;
  const int64_t first = list_block * rows_of_block;
  const int64_t end = min(p.rows, first + rows_of_block);
  wait_for_predecessor();
  const int64_t of_row = *o.column_count;
  for (int64_t row = first + warp; row < end; row += kWarps) {
    const Bits<T>* source = reinterpret_cast<const Bits<T>*>(p.x) + row * p.ldx;
    for (int64_t n = lane; n < of_row; n += kWarp) {
      const s32 col = o.columns[n];
      store_entry(o.list, row * of_row + n, row, col, source[col]);
    }
  }
  if (list_block == 0 && threadIdx.x == 0) *o.list.count = p.rows * of_row;
}

/// The list of elements, by one of the list's blocks, which takes consecutive pieces. It adds up
/// the counts of the groups, and then of the pieces, before its own; a thread then takes a piece at
/// a time, finds its place by a sum over the block, and reads the chunks that hold outliers again.
template <class T>
__device__ void write_elements(const RowCol<T>& p, unsigned list_block,
                               int64_t (&warp_sums)[2][kWarps]) {
  constexpr int kOfWord = 4 / static_cast<int>(sizeof(T));
  const Outliers<T>& o = p.outliers;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t all_pieces = p.rows * o.pieces_of_row;
  const int64_t first = list_block * o.pieces_of_block;
  const int64_t end = min(all_pieces, first + o.pieces_of_block);
  const int64_t pieces_of_group = o.rows_of_group * o.pieces_of_row;
  const int64_t group = first / pieces_of_group;
  wait_for_predecessor();

  int64_t before = 0;
  for (int64_t g = threadIdx.x; g < group; g += kThreads) {
    before += static_cast<int64_t>(o.group_counts[g]);
  }
  for (int64_t n = group * pieces_of_group + threadIdx.x; n < first; n += kThreads) {
    before += o.pieces[n].y;
  }
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    before += __shfl_xor_sync(kAllLanes, before, distance);
  }
  if (lane == 0) warp_sums[1][warp] = before;
  __syncthreads();
  before = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) before += warp_sums[1][w];

  for (int64_t base = first; base < end; base += kThreads) {
    const int64_t n = base + threadIdx.x;
    const uint2 piece = n < end ? o.pieces[n] : make_uint2(0, 0);
    unsigned upto = piece.y;  // inclusive sum over the lanes
#pragma unroll
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const unsigned other = __shfl_up_sync(kAllLanes, upto, distance);
      if (lane >= distance) upto += other;
    }
    if (lane == kWarp - 1) warp_sums[0][warp] = upto;
    __syncthreads();
    int64_t at = before + upto - piece.y;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const int64_t of_warp = warp_sums[0][w];
      before += of_warp;
      if (w < warp) at += of_warp;
    }
    __syncthreads();

    if (piece.x == 0) continue;
    // A division of 32 bits takes a fifth of one of 64 bits.
    const int64_t row = end <= 0xffffffff
                            ? static_cast<unsigned>(n) / static_cast<unsigned>(o.pieces_of_row)
                            : n / o.pieces_of_row;
    const int64_t first_col = (n - row * o.pieces_of_row) * kWarp * kChunk<T>;
    for (unsigned holding = piece.x; holding != 0; holding &= holding - 1) {
      const int64_t col = first_col + (__ffs(static_cast<int>(holding)) - 1) * kChunk<T>;
      const Chunk chunk = load_chunk(p.x + row * p.ldx + col, p.cols - col, p.x_vectors);
      const unsigned found = not_kept<T>(below_limit<T>(chunk, o.limit));
#pragma unroll
      for (int e = 0; e < kChunk<T>; ++e) {
        if ((found >> e & 1u) == 0) continue;
        store_entry(o.list, at++, row, col + e,
                    static_cast<Bits<T>>(chunk.words[e / kOfWord] >> (e % kOfWord * 16)));
      }
    }
  }
  if (end == all_pieces && threadIdx.x == 0) *o.list.count = before;
}

/// Floats in shared memory, from a multiple of 16 bytes on.
template <int kCount>
__device__ __forceinline__ void load_floats(const float* source, float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += 4) {
    const float4 all = *reinterpret_cast<const float4*>(source + i);
    values[i] = all.x;
    values[i + 1] = all.y;
    values[i + 2] = all.z;
    values[i + 3] = all.w;
  }
}

/// Some blocks write the list, if there is one. Each other block takes a tile, the last tile first;
/// a thread takes four consecutive rows of a chunk, so that it can pack four int8 along q_col's
/// contiguous dimension. In shared memory a column of the tile is eight 16-byte units, permuted by
/// the column's chunk, so that packed words scatter without bank conflicts.
template <class T, Copies copies, Kept kept, class Q, int blocks>
__global__ void __launch_bounds__(kThreads, blocks)
    convert_kernel(const RowCol<T> p, unsigned col_blocks) {
  constexpr int kLanes = kTileCols / kChunk<T>;              // across a row of the tile
  constexpr int kWarpRows = kWarp / kLanes * 4;              // of a warp at a time
  constexpr int kPasses = kTileRows / (kWarps * kWarpRows);  // over the tile
  static_assert(kPasses * kWarps * kWarpRows == kTileRows);
  static_assert(kTileRows + kTileCols <= kThreads);
  __shared__ uint4 tile[kTileCols][kUnits];
  alignas(16) __shared__ float row_inverse[kTileRows];
  alignas(16) __shared__ float col_inverse[kTileCols];
  let_successor_start();
  unsigned tile_index = gridDim.x - 1 - blockIdx.x;
  if constexpr (kept != Kept::all) {
    const Outliers<T>& o = p.outliers;
    const unsigned turn = blockIdx.x / o.list_every;
    if (turn < o.list_blocks && blockIdx.x % o.list_every == o.list_every - 1) {
      const unsigned list_block = o.list_blocks - 1 - turn;
      if constexpr (kept == Kept::unlisted_columns) {
        write_columns(p, list_block);
      } else {
        write_elements(p, list_block, reinterpret_cast<int64_t(&)[2][kWarps]>(tile));
      }
      return;
    }
    tile_index += min(turn, o.list_blocks) - o.list_blocks;
  }
  // Unsigned: of signed integers / and % are five instructions each.
  const auto unit = [](unsigned col, unsigned u) { return u ^ (col / 8 % kUnits); };
  const unsigned thread = threadIdx.x, lane = thread % kWarp, warp = thread / kWarp;
  const int64_t first_row = static_cast<int64_t>(tile_index / col_blocks) * kTileRows;
  const int64_t first_col = static_cast<int64_t>(tile_index % col_blocks) * kTileCols;
  const unsigned tile_col = lane % kLanes * kChunk<T>;
  const unsigned tile_row = warp * kWarpRows + lane / kLanes * 4;
  const int64_t cols_left = p.cols - first_col - tile_col;

  // Nearly every tile is whole and needs no question at each access, a third of the instructions.
  const bool whole = p.x_vectors && p.q_col_access.vectors &&
                     (copies == Copies::col || p.q_row_access.vectors) &&
                     first_row + kTileRows <= p.rows && first_col + kTileCols <= p.cols;

  Chunk chunks[kPasses][4];
  const T* source = p.x + (first_row + tile_row) * p.ldx + first_col + tile_col;
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    if (whole) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        chunks[pass][i] = load_whole_chunk(source + (pass * kWarps * kWarpRows + i) * p.ldx);
      }
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = pass * kWarps * kWarpRows + i;
        const int64_t left = first_row + tile_row + row < p.rows ? cols_left : 0;
        chunks[pass][i] = load_chunk(source + row * p.ldx, left, p.x_vectors);
      }
    }
  }
  wait_for_predecessor();
  if (copies == Copies::row_col && thread < kTileRows) {
    const int64_t row = first_row + thread;
    row_inverse[thread] =
        row < p.rows ? settled_inverse<T, Q>(p.row_scale + row, first_col == 0) : 0.0f;
  } else if (thread >= kTileRows && thread < kTileRows + kTileCols) {
    const int64_t col = first_col + thread - kTileRows;
    col_inverse[thread - kTileRows] =
        col < p.cols ? settled_inverse<T, Q>(p.col_scale + col, first_row == 0) : 0.0f;
  }
  Chunk of_columns;
  if constexpr (kept == Kept::unlisted_columns) {
    of_columns = unlisted(p.outliers, first_col + tile_col, p.cols);
  }
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      Chunk& chunk = chunks[pass][i];
      if constexpr (kept == Kept::below_threshold) {
        chunk = masked(chunk, below_limit<T>(chunk, p.outliers.limit));
      }
      if constexpr (kept == Kept::unlisted_columns) chunk = masked(chunk, of_columns);
    }
  }
  __syncthreads();

  s8* q_row = p.q_row + (first_row + tile_row) * p.ldq_row + first_col + tile_col;
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    const unsigned row = pass * kWarps * kWarpRows + tile_row;
    if constexpr (copies == Copies::row_col) {
      float inverses[4];
      load_floats(row_inverse + row, inverses);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        unsigned words[kChunk<T> / 4];
        quantize_chunk<T, Q>(chunks[pass][i], inverses[i], words);
        s8* target = q_row + (pass * kWarps * kWarpRows + i) * p.ldq_row;
        if (whole) {
          store_whole(target, words, p.q_row_access.streaming);
        } else if (first_row + row + i < p.rows) {
          store_int8(target, words, cols_left, p.q_row_access);
        }
      }
    }
    float inverses[kChunk<T>];
    load_floats(col_inverse + tile_col, inverses);
    static_assert(8 % kChunk<T> == 0, "the columns of a chunk share a permutation");
    unsigned* words = reinterpret_cast<unsigned*>(&tile[tile_col][unit(tile_col, row / 16)]);
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      const unsigned packed =
          quantized<Q>(element<T>(chunks[pass][0], e), element<T>(chunks[pass][1], e),
                       element<T>(chunks[pass][2], e), element<T>(chunks[pass][3], e), inverses[e]);
      words[e * kUnits * 4 + row / 4 % 4] = inverses[e] == 0.0f ? 0u : packed;
    }
  }
  __syncthreads();

  const unsigned u = thread % kUnits;
  const int64_t row = first_row + u * 16;
  s8* q_col = p.q_col + (first_col + thread / kUnits) * p.ldq_col + row;
#pragma unroll
  for (int k = 0; k < kTileCols * kUnits / kThreads; ++k) {
    const unsigned col = k * (kThreads / kUnits) + thread / kUnits;
    const uint4 value = tile[col][unit(col, u)];
    const unsigned words[4] = {value.x, value.y, value.z, value.w};
    s8* target = q_col + k * (kThreads / kUnits) * p.ldq_col;
    if (whole) {
      store_whole(target, words, p.q_col_access.streaming);
    } else if (first_col + col < p.cols && row < p.rows) {
      store_int8(target, words, p.rows - row, p.q_col_access);
    }
  }
}

/// A thread takes a row's or a column's statistic.
template <class Q>
static __global__ void __launch_bounds__(kThreads)
    scales_kernel(float* row_scale, int64_t rows, float* col_scale, int64_t cols) {
  wait_for_predecessor();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows + cols) return;
  float* target = i < rows ? row_scale + i : col_scale + (i - rows);
  *target = scale<Q>(__float_as_uint(*target) & ~kStatistic);
}

// ---------------------------------------------------------------------------- launches

inline void clear(const char* what, cudaStream_t stream, const Cleared& cleared) {
  int64_t longest = 0;
  for (const int64_t length : cleared.length) longest = longest < length ? length : longest;
  const int64_t blocks = ceil_div(longest, kThreads);
  launch_dependent(what, stream, blocks < 1024 ? blocks : 1024, kThreads, zero_kernel, cleared);
}

/// Rows that a block of absmax_kernel takes.
template <class T>
int rows_of_absmax(int64_t rows, int64_t cols) {
  const int64_t blocks = ceil_div(rows, kMaxRowsOfBlock) * ceil_div(cols, kWarp * kChunk<T>);
  return blocks < kManyBlocks ? kWarps * kRowsInFlight : kMaxRowsOfBlock;
}

template <Copies copies, Kept kept, class T>
void take_absmax(const char* what, cudaStream_t stream, const RowCol<T>& p) {
  const int64_t col_blocks = ceil_div(p.cols, kWarp * kChunk<T>);
  const int rows_of_block = rows_of_absmax<T>(p.rows, p.cols);
  launch_dependent(what, stream, ceil_div(p.rows, rows_of_block) * col_blocks, kThreads,
                   absmax_kernel<T, copies, kept>, p, rows_of_block,
                   static_cast<unsigned>(col_blocks));
}

template <Copies copies, Kept kept, class Q = s8, class T>
void convert(const char* what, cudaStream_t stream, const RowCol<T>& p) {
  const int64_t col_blocks = ceil_div(p.cols, kTileCols);
  int64_t blocks = ceil_div(p.rows, kTileRows) * col_blocks;
  RowCol<T> told = p;
  if constexpr (kept != Kept::all) {
    // The list takes longest: its blocks are spread over the first half, so that none is the last.
    const int64_t list_blocks = p.outliers.list_blocks;
    blocks += list_blocks;
    told.outliers.list_every =
        static_cast<unsigned>(blocks / 2 > list_blocks ? blocks / 2 / list_blocks : 1);
  }
  const auto launch = [&](auto kernel) {
    launch_dependent(what, stream, blocks, kThreads, kernel, told,
                     static_cast<unsigned>(col_blocks));
  };
  if constexpr (kept == Kept::all) {
    // A fifth block of a multiprocessor costs registers that a tile could use, and pays where all
    // are then under way at once.
    const int64_t multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount, what);
    const bool fifth_pays = 4 * multiprocessors < blocks && blocks <= 5 * multiprocessors;
    launch(fifth_pays ? convert_kernel<T, copies, kept, Q, 5>
                      : convert_kernel<T, copies, kept, Q, 4>);
  } else {
    launch(convert_kernel<T, copies, kept, Q, 5>);
  }
  if constexpr (sizeof(T) == 4) {
    const int64_t rows = copies == Copies::row_col ? p.rows : 0;
    launch_dependent(what, stream, ceil_div(rows + p.cols, kThreads), kThreads, scales_kernel<Q>,
                     p.row_scale, rows, p.col_scale, p.cols);
  }
}

/// q_row and row_scale may be empty where Copies::col is asked for.
template <class T>
RowCol<T> row_col_of(Matrix<const T> x, Matrix<s8> q_row, Vector<float> row_scale, Matrix<s8> q_col,
                     Vector<float> col_scale) {
  const bool streaming = x.rows * x.cols * static_cast<int64_t>(sizeof(T)) > kStreamedBytes;
  return {x.data,
          x.layout.ld,
          q_row.data,
          q_row.layout.ld,
          q_col.data,
          q_col.layout.ld,
          row_scale.data,
          col_scale.data,
          x.rows,
          x.cols,
          aligned_rows(x.data, x.layout.ld, x.rows, 16),
          {aligned_rows(q_row.data, q_row.layout.ld, x.rows, kChunk<T>), streaming},
          {aligned_rows(q_col.data, q_col.layout.ld, x.cols, 16), streaming},
          {}};
}

inline unsigned* words_of(float* data) { return reinterpret_cast<unsigned*>(data); }

}  // namespace octet::cuda
