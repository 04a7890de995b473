// spmm_coo and spmm_coo_transposed: a sorted list of entries times a dense matrix, added to the
// output, in the order of additions that outliers.hpp fixes.
//
// Nothing depends on the host knowing how many entries there are: grids cover the output, and
// blocks find their entries in the list by binary search. A row (column) without entries is not
// touched; every other element of the output is read and written once. A list that has overflowed
// fills the output with NaN.
//
// spmm_coo, weights N-contiguous: spmm_rows_kernel
//   A warp takes 512 columns of one row and goes through its entries, each of which is a contiguous
//   piece of the weights, four of them in flight. Blocks that share columns run together, so that
//   a piece of the weights that several rows need is found in L2.
// spmm_coo, weights K-contiguous, 16 bits or int8: spmm_gather_kernel
//   An entry needs one column of the weights: 2 bytes of a sector of 32. A block takes 16 columns
//   of the output (one sector of a row) and up to 1024 of its rows, and streams its 16 rows of the
//   weights through shared memory in slabs of 1248 bytes, the next one under way while a slab is
//   used, so that whatever is needed crosses from memory once. Sectors of the weights that no entry
//   of the block needs are left out. Eight threads share a row of the output: each keeps two of the
//   16 sums, in shared memory between slabs, and two rows' places in the list. A row of the weights
//   lies at an odd multiple of 16 bytes, even rows before odd ones, which takes the eight threads'
//   reads to different banks.
// spmm_coo_transposed: spmm_columns_kernel
//   A block takes 32 columns and 256 rows of the output. A warp sums four of the columns, an entry
//   being 512 contiguous bytes of x; the sums change from columns to rows in shared memory, where
//   column c lies at (c % 4) * 8 + c / 4, in 260 floats: free of bank conflicts either way.
//
// Bytes: the sectors of the weights (x) that entries need, and the rows (columns) of the output
// that have entries, read and written. Any extents, leading dimensions and alignment; accesses take
// 16 bytes of weights and x, and 16, 4 and 8 of the output, where alignment allows it. The gather
// takes up to 110 KiB of shared memory, half of its rows where the device has less.
#include <algorithm>
#include <climits>

#include "cuda/error.hpp"
#include "cuda/vector_access.cuh"
#include "octet/outliers.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Entries by ascending key: the row that they belong to, or the column in spmm_coo_transposed.
template <class T>
struct List {
  const s32* key;
  const s32* other;
  const T* value;
  const int64_t* count;
  int64_t capacity;
};

template <class T>
struct Result {
  T* data;
  int64_t ld;
  int64_t rows, cols;
  bool vectors;
};

// ------------------------------------------------------------------------ finding entries

/// The first of `count` ascending keys that is not under each of `wanted`; count > 0.
template <int kWanted>
__device__ __forceinline__ void lower_bounds(const s32* keys, int64_t count,
                                             const int64_t (&wanted)[kWanted],
                                             int64_t (&at)[kWanted]) {
#pragma unroll
  for (int k = 0; k < kWanted; ++k) at[k] = 0;
  for (int64_t step = int64_t{1} << (63 - __clzll(count)); step > 0; step /= 2) {
#pragma unroll
    for (int k = 0; k < kWanted; ++k) {
      if (at[k] + step <= count && __ldg(keys + at[k] + step - 1) < wanted[k]) at[k] += step;
    }
  }
}

/// The same for one key, by a whole warp, which narrows the range 32 times a step.
__device__ __forceinline__ int64_t warp_lower_bound(const s32* keys, int64_t count, int64_t wanted,
                                                    int lane) {
  int64_t begin = 0, end = count;
  while (begin < end) {
    const int64_t step = (end - begin + kWarp - 1) / kWarp;
    const int64_t probe = begin + (lane + 1) * step - 1;
    const bool under = probe < end && __ldg(keys + probe) < wanted;
    begin += __popc(__ballot_sync(kAllLanes, under)) * step;
    end = min(end, begin + step - 1);
  }
  return begin;
}

// ------------------------------------------------------------------------ the output

template <class T>
__device__ __forceinline__ void fill_nan(const Result<T>& out, int64_t row_begin, int64_t rows,
                                         int64_t col_begin, int cols) {
  const auto nan = static_cast<Bits<T>>(bits_of<T>(__uint_as_float(0x7fc00000u)));
  for (int64_t i = static_cast<int>(threadIdx.x); i < rows * cols;
       i += static_cast<int>(blockDim.x)) {
    const int64_t row = row_begin + i / cols, col = col_begin + i % cols;
    if (row < out.rows && col < out.cols) {
      reinterpret_cast<Bits<T>*>(out.data)[row * out.ld + col] = nan;
    }
  }
}

template <class T>
__device__ __forceinline__ unsigned rounded_sum(unsigned out_bits, float sum) {
  return bits_of<T>(__fadd_rn(value_of<T>(out_bits), sum));
}

/// kCols 16-bit elements, of which `remaining` are inside.
template <class T, int kCols>
__device__ __forceinline__ void load_out(const T* source, int64_t remaining, bool vectors,
                                         unsigned (&words)[kCols / 2]) {
  if (vectors && remaining >= kCols) {
    if constexpr (kCols == 8) {
      const uint4 all = *reinterpret_cast<const uint4*>(source);
      words[0] = all.x;
      words[1] = all.y;
      words[2] = all.z;
      words[3] = all.w;
    } else if constexpr (kCols == 4) {
      const uint2 all = *reinterpret_cast<const uint2*>(source);
      words[0] = all.x;
      words[1] = all.y;
    } else {
      static_assert(kCols == 2);
      words[0] = *reinterpret_cast<const unsigned*>(source);
    }
  } else {
#pragma unroll
    for (int w = 0; w < kCols / 2; ++w) words[w] = 0;
#pragma unroll
    for (int c = 0; c < kCols; ++c) {
      if (c < remaining) {
        words[c / 2] |= static_cast<unsigned>(reinterpret_cast<const Bits<T>*>(source)[c])
                        << (c % 2 * 16);
      }
    }
  }
}

template <class T, int kCols>
__device__ __forceinline__ void store_out(T* target, const unsigned (&words)[kCols / 2],
                                          int64_t remaining, bool vectors) {
  if (vectors && remaining >= kCols) {
    if constexpr (kCols == 8) {
      *reinterpret_cast<uint4*>(target) = make_uint4(words[0], words[1], words[2], words[3]);
    } else if constexpr (kCols == 4) {
      *reinterpret_cast<uint2*>(target) = make_uint2(words[0], words[1]);
    } else {
      static_assert(kCols == 2);
      *reinterpret_cast<unsigned*>(target) = words[0];
    }
  } else {
#pragma unroll
    for (int c = 0; c < kCols; ++c) {
      if (c < remaining) {
        reinterpret_cast<Bits<T>*>(target)[c] =
            static_cast<Bits<T>>(words[c / 2] >> (c % 2 * 16) & 0xffffu);
      }
    }
  }
}

// ------------------------------------------------------------------------ weights N-contiguous

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kPieces = 2;  // of 256 columns each, that a warp takes
constexpr int kPieceCols = kWarp * 8;
constexpr int kInFlight = 4;  // entries whose weights are loaded before they are used

template <class T>
struct SpmmRows {
  List<T> list;
  const T* w;  // column k of the weights at w + k * ldw
  int64_t ldw;
  Result<T> out;
  bool w_vectors;
};

/// blockIdx.x = column tile * row blocks + row block.
template <class T>
__global__ void __launch_bounds__(kThreads)
    spmm_rows_kernel(const SpmmRows<T> p, unsigned row_blocks) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t first_row = static_cast<int64_t>(blockIdx.x % row_blocks) * kWarps;
  const int64_t row = first_row + static_cast<int>(threadIdx.x / kWarp);
  const int64_t tile_col = static_cast<int64_t>(blockIdx.x / row_blocks) * (kPieces * kPieceCols);
  const int64_t count = *p.list.count;
  if (count > p.list.capacity) {
    fill_nan(p.out, first_row, kWarps, tile_col, kPieces * kPieceCols);
    return;
  }
  if (row >= p.out.rows) return;
  const int64_t begin = warp_lower_bound(p.list.key, count, row, lane);
  if (begin >= count || __ldg(p.list.key + begin) != row) return;

  const int64_t col = tile_col + lane * 8;
  T* const out = p.out.data + row * p.out.ld + col;
  unsigned old[kPieces][4];
  float sum[kPieces][8] = {};
#pragma unroll
  for (int g = 0; g < kPieces; ++g) {
    load_out<T, 8>(out + g * kPieceCols, p.out.cols - col - g * kPieceCols, p.out.vectors, old[g]);
  }

  for (int64_t batch = begin;; batch += kWarp) {
    const int64_t entry = batch + lane;
    const bool inside = entry < count && __ldg(p.list.key + entry) == row;
    const int k_of_lane = inside ? __ldg(p.list.other + entry) : 0;
    const float value_of_lane =
        inside ? value_of<T>(__ldg(reinterpret_cast<const Bits<T>*>(p.list.value) + entry)) : 0.0f;
    const int entries = __popc(__ballot_sync(kAllLanes, inside));
    for (int e = 0; e < entries; e += kInFlight) {
      Chunk chunks[kInFlight][kPieces];
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        const int64_t k = __shfl_sync(kAllLanes, k_of_lane, (e + u) % kWarp);
#pragma unroll
        for (int g = 0; g < kPieces; ++g) {
          const int64_t remaining = e + u < entries ? p.out.cols - col - g * kPieceCols : 0;
          chunks[u][g] = load_chunk(p.w + k * p.ldw + col + g * kPieceCols, remaining, p.w_vectors);
        }
      }
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        const float value = __shfl_sync(kAllLanes, value_of_lane, (e + u) % kWarp);
        if (e + u >= entries) continue;
#pragma unroll
        for (int g = 0; g < kPieces; ++g) {
#pragma unroll
          for (int c = 0; c < 8; ++c) {
            sum[g][c] = __fmaf_rn(value, element<T>(chunks[u][g], c), sum[g][c]);
          }
        }
      }
    }
    if (entries < kWarp) break;
  }

#pragma unroll
  for (int g = 0; g < kPieces; ++g) {
    unsigned words[4];
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      words[w] = rounded_sum<T>(old[g][w] & 0xffffu, sum[g][2 * w]) |
                 rounded_sum<T>(old[g][w] >> 16, sum[g][2 * w + 1]) << 16;
    }
    store_out<T, 8>(out + g * kPieceCols, words, p.out.cols - col - g * kPieceCols, p.out.vectors);
  }
}

// ------------------------------------------------------------------------ weights K-contiguous

constexpr int kGatherThreads = 512;
constexpr int kTileCols = 16;                          // of the output: rows of the weights
constexpr int kGroup = 8;                              // threads that share a row of the output
constexpr int kGroups = kGatherThreads / kGroup;       // rows under way
constexpr int kRowsOfGroup = 2 * kGroup;               // two for each thread to keep the place of
constexpr int kMostTileRows = kGroups * kRowsOfGroup;  // 1024
constexpr int kUnit = 16;                              // bytes of a copy
constexpr int kSector = 32;
constexpr int kSlabSectors = 39;
constexpr int kSlabUnits = kSlabSectors * kSector / kUnit;
constexpr int kSlabPitch = (kSlabUnits + 1) * kUnit;
static_assert(kSlabPitch / kUnit % 2 == 1);
constexpr int kSlabBytes = kTileCols * kSlabPitch;
constexpr int kFlagWords = 256;
constexpr int kEndOfRow = INT_MAX;  // no column: extents are under 2^31

template <class T, class W>
struct SpmmGather {
  List<T> list;
  const W* w;
  int64_t ldw;
  const float* w_scale;  // int8 alone
  int64_t depth;         // K
  int64_t sectors_of_flag;
  Result<T> out;
  bool w_vectors;
};

__device__ __forceinline__ void copy_unit(unsigned char* target, const void* source, int bytes) {
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(target));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(source),
               "r"(bytes)
               : "memory");
}

template <class W>
__device__ __forceinline__ float weight(const unsigned char* row, int col) {
  if constexpr (sizeof(W) == 1) {
    return static_cast<float>(reinterpret_cast<const s8*>(row)[col]);
  } else {
    return value_of<W>(reinterpret_cast<const Bits<W>*>(row)[col]);
  }
}

/// Starts to bring columns [slab * columns of a slab, ...) of the tile's weights to shared memory,
/// but for sectors that are not flagged.
template <class T, class W>
__device__ __forceinline__ void load_slab(const SpmmGather<T, W>& p, int64_t tile_col, int64_t slab,
                                          const unsigned* flags, unsigned char* target) {
  constexpr int kUnitCols = kUnit / static_cast<int>(sizeof(W));
  for (int i = static_cast<int>(threadIdx.x); i < kTileCols * kSlabUnits; i += kGatherThreads) {
    const int n = i / kSlabUnits, unit = i % kSlabUnits;
    const int64_t col = (slab * kSlabUnits + unit) * kUnitCols;
    if (col >= p.depth || tile_col + n >= p.out.cols) continue;
    const int64_t flag = (slab * kSlabSectors + unit / 2) / p.sectors_of_flag;
    if ((flags[flag / 32] >> (flag % 32) & 1u) == 0) continue;
    const W* source = p.w + (tile_col + n) * p.ldw + col;
    const int cols = static_cast<int>(min(static_cast<int64_t>(kUnitCols), p.depth - col));
    unsigned char* const unit_at = target + (n / 2 + n % 2 * 8) * kSlabPitch + unit * kUnit;
    if (p.w_vectors) {
      copy_unit(unit_at, source, cols * static_cast<int>(sizeof(W)));
    } else {
      for (int c = 0; c < cols; ++c) reinterpret_cast<W*>(unit_at)[c] = source[c];
    }
  }
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// blockIdx.x = column tile * row tiles + row tile. Dynamic shared memory: two slabs, then the sums
/// of tile_rows rows.
template <class T, class W>
__global__ void __launch_bounds__(kGatherThreads, 2)
    spmm_gather_kernel(const SpmmGather<T, W> p, int tile_rows, unsigned row_tiles) {
  constexpr int kSlabCols = kSlabSectors * kSector / static_cast<int>(sizeof(W));
  constexpr int kSectorCols = kSector / static_cast<int>(sizeof(W));
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ unsigned flags[kFlagWords];
  __shared__ int64_t tile_begin, tile_end;  // entries
  float2* const sums = reinterpret_cast<float2*>(memory + 2 * kSlabBytes);

  const int64_t tile_row = static_cast<int64_t>(blockIdx.x % row_tiles) * tile_rows;
  const int64_t tile_col = static_cast<int64_t>(blockIdx.x / row_tiles) * kTileCols;
  const int rows = static_cast<int>(min(static_cast<int64_t>(tile_rows), p.out.rows - tile_row));
  const int64_t count = *p.list.count;
  if (count > p.list.capacity) {
    fill_nan(p.out, tile_row, rows, tile_col, kTileCols);
    return;
  }
  if (count == 0) return;

  // ---- where the rows' entries lie: row i * kGroups + group is kept by thread i % 8 of its group
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp, member = thread % kGroup, group = thread / kGroup;
  const int group_shift = lane / kGroup * kGroup;
  int64_t next[2], end[2];
  {
    int64_t wanted[4], at[4];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = (h * kGroup + member) * kGroups + group;
      wanted[2 * h] = tile_row + min(row, rows);
      wanted[2 * h + 1] = tile_row + min(row + 1, rows);
    }
    lower_bounds(p.list.key, count, wanted, at);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = (h * kGroup + member) * kGroups + group;
      next[h] = at[2 * h];
      end[h] = at[2 * h + 1];
      if (row == 0) tile_begin = next[h];
      if (row == rows - 1) tile_end = end[h];
    }
  }
  for (int i = thread; i < kFlagWords; i += kGatherThreads) flags[i] = 0;
  __syncthreads();
  const int64_t first = tile_begin, last = tile_end;
  if (first == last) return;

  // ---- which sectors of the weights they need; all, where finding out costs half of loading them
  const bool finds_out = last - first <= 4 * p.depth;
  if (finds_out) {
    for (int64_t e = first + thread; e < last; e += kGatherThreads) {
      const int64_t flag = __ldg(p.list.other + e) / kSectorCols / p.sectors_of_flag;
      atomicOr(&flags[flag / 32], 1u << (flag % 32));
    }
  } else {
    for (int i = thread; i < kFlagWords; i += kGatherThreads) flags[i] = ~0u;
  }
  int next_col[2];
  unsigned busy = 0;  // rows of the group that have entries, one bit each
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    next_col[h] = next[h] < end[h] ? __ldg(p.list.other + next[h]) : kEndOfRow;
    const unsigned lanes = __ballot_sync(kAllLanes, next[h] < end[h]);
    busy |= (lanes >> group_shift & 0xffu) << (h * kGroup);
  }
#pragma unroll
  for (int i = 0; i < kRowsOfGroup; ++i) {
    if (busy >> i & 1u) sums[(i * kGroups + group) * kGroup + member] = make_float2(0.0f, 0.0f);
  }
  __syncthreads();

  // ---- the sums, slab by slab
  const int64_t slabs = (p.depth + kSlabCols - 1) / kSlabCols;
  load_slab(p, tile_col, 0, flags, memory);
  for (int64_t slab = 0; slab < slabs; ++slab) {
    if (slab + 1 < slabs) {
      load_slab(p, tile_col, slab + 1, flags, memory + (slab + 1) % 2 * kSlabBytes);
      asm volatile("cp.async.wait_group 1;" ::: "memory");
    } else {
      asm volatile("cp.async.wait_group 0;" ::: "memory");
    }
    __syncthreads();
    const unsigned char* const even = memory + slab % 2 * kSlabBytes + member * kSlabPitch;
    const unsigned char* const odd = even + kTileCols / 2 * kSlabPitch;
    const int64_t slab_begin = slab * kSlabCols, slab_end = slab_begin + kSlabCols;

    unsigned work = 0;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const unsigned lanes =
          __ballot_sync(kAllLanes, next_col[h] != kEndOfRow && next_col[h] < slab_end);
      work |= (lanes >> group_shift & 0xffu) << (h * kGroup);
    }
    // The groups of a warp keep step: a row each, eight entries of it each.
    while (__any_sync(kAllLanes, work != 0)) {
      const bool has_row = work != 0;
      const int i = has_row ? __ffs(static_cast<int>(work)) - 1 : 0;
      work &= work - 1;
      const int keeper = group_shift + i % kGroup;
      const int64_t next_low = __shfl_sync(kAllLanes, next[0], keeper);
      const int64_t next_high = __shfl_sync(kAllLanes, next[1], keeper);
      const int64_t end_low = __shfl_sync(kAllLanes, end[0], keeper);
      const int64_t end_high = __shfl_sync(kAllLanes, end[1], keeper);
      int64_t at = i < kGroup ? next_low : next_high;
      const int64_t row_end = i < kGroup ? end_low : end_high;
      float2* const sum_at = sums + (i * kGroups + group) * kGroup + member;
      float2 sum = has_row ? *sum_at : make_float2(0.0f, 0.0f);
      int following = kEndOfRow;  // the column of the first entry beyond the slab
      bool more = has_row;
      while (__any_sync(kAllLanes, more)) {
        const bool valid = more && at + member < row_end;
        const int col = valid ? __ldg(p.list.other + at + member) : kEndOfRow;
        const float value =
            valid ? value_of<T>(__ldg(reinterpret_cast<const Bits<T>*>(p.list.value) + at + member))
                  : 0.0f;
        const unsigned inside = __ballot_sync(kAllLanes, valid && col < slab_end);
        const int entries = __popc(inside >> group_shift & 0xffu);
#pragma unroll
        for (int e = 0; e < kGroup; ++e) {
          if (!__any_sync(kAllLanes, e < entries)) break;
          const int k = __shfl_sync(kAllLanes, col, group_shift + e);
          const float factor = __shfl_sync(kAllLanes, value, group_shift + e);
          if (e < entries) {
            const int place = static_cast<int>(k - slab_begin);
            sum.x = __fmaf_rn(factor, weight<W>(even, place), sum.x);
            sum.y = __fmaf_rn(factor, weight<W>(odd, place), sum.y);
          }
        }
        const int beyond = __shfl_sync(kAllLanes, col, group_shift + entries % kGroup);
        at += entries;
        if (more && entries < kGroup) {
          following = beyond;
          more = false;
        }
      }
      if (has_row) {
        *sum_at = sum;
#pragma unroll
        for (int h = 0; h < 2; ++h) {  // registers take no index that is not known
          if (i == h * kGroup + member) {
            next[h] = at;
            next_col[h] = following;
          }
        }
      }
    }
    __syncthreads();
  }

  // ---- the output
  const int64_t col = tile_col + 2 * member;
  const int64_t cols_left = p.out.cols - col;
  float2 scale = make_float2(1.0f, 1.0f);
  if constexpr (sizeof(W) == 1) {
    if (cols_left > 0) scale.x = __ldg(p.w_scale + col);
    if (cols_left > 1) scale.y = __ldg(p.w_scale + col + 1);
  }
  constexpr int kRowsInFlight = 4;
#pragma unroll
  for (int i0 = 0; i0 < kRowsOfGroup; i0 += kRowsInFlight) {
    unsigned words[kRowsInFlight][1];
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u) {
      if (busy >> (i0 + u) & 1u) {
        const int64_t row = tile_row + (i0 + u) * kGroups + group;
        load_out<T, 2>(p.out.data + row * p.out.ld + col, cols_left, p.out.vectors, words[u]);
      }
    }
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u) {
      if (busy >> (i0 + u) & 1u) {
        const int local = (i0 + u) * kGroups + group;
        const float2 sum = sums[local * kGroup + member];
        const unsigned low = words[u][0] & 0xffffu, high = words[u][0] >> 16;
        if constexpr (sizeof(W) == 1) {
          words[u][0] = bits_of<T>(__fmaf_rn(sum.x, scale.x, value_of<T>(low))) |
                        bits_of<T>(__fmaf_rn(sum.y, scale.y, value_of<T>(high))) << 16;
        } else {
          words[u][0] = rounded_sum<T>(low, sum.x) | rounded_sum<T>(high, sum.y) << 16;
        }
        store_out<T, 2>(p.out.data + (tile_row + local) * p.out.ld + col, words[u], cols_left,
                        p.out.vectors);
      }
    }
  }
}

// ------------------------------------------------------------------------ transposed

constexpr int kColumns = 32;                         // of the output, that a block takes
constexpr int kColumnRows = kWarp * 8;               // of the output: columns of x
constexpr int kColumnPitch = kColumnRows + 4;        // floats
constexpr int kRowSteps = kColumnRows / kWarps / 4;  // four rows of the output a step of a warp

constexpr int kPartsInFlight = 2;  // entries whose part of x is loaded before it is used

template <class T>
struct SpmmColumns {
  List<T> list;  // by column
  const T* x;
  int64_t ldx;
  Result<T> out;
  bool x_vectors;
};

/// Sums of the kWarp * 8 columns of x from `x` on, of which `remaining` are left to this thread.
template <class T>
__device__ __forceinline__ void sum_column(const SpmmColumns<T>& p, const T* x, int64_t remaining,
                                           int64_t begin, int64_t end, int lane, float (&sum)[8]) {
#pragma unroll
  for (int c = 0; c < 8; ++c) sum[c] = 0.0f;
  for (int64_t batch = begin; batch < end; batch += kWarp) {
    const int64_t entry = batch + lane;
    const bool inside = entry < end;
    const int row_of_lane = inside ? __ldg(p.list.other + entry) : 0;
    const float value_of_lane =
        inside ? value_of<T>(__ldg(reinterpret_cast<const Bits<T>*>(p.list.value) + entry)) : 0.0f;
    const int entries = static_cast<int>(min(static_cast<int64_t>(kWarp), end - batch));
    for (int e = 0; e < entries; e += kPartsInFlight) {
      Chunk chunks[kPartsInFlight];
#pragma unroll
      for (int u = 0; u < kPartsInFlight; ++u) {
        const int64_t t = __shfl_sync(kAllLanes, row_of_lane, (e + u) % kWarp);
        chunks[u] = load_chunk(x + t * p.ldx, e + u < entries ? remaining : 0, p.x_vectors);
      }
#pragma unroll
      for (int u = 0; u < kPartsInFlight; ++u) {
        const float value = __shfl_sync(kAllLanes, value_of_lane, (e + u) % kWarp);
        if (e + u >= entries) continue;
#pragma unroll
        for (int c = 0; c < 8; ++c) {
          sum[c] = __fmaf_rn(element<T>(chunks[u], c), value, sum[c]);
        }
      }
    }
  }
}

/// blockIdx.x = row tile * column tiles + column tile.
template <class T>
__global__ void __launch_bounds__(kThreads, 3)
    spmm_columns_kernel(const SpmmColumns<T> p, unsigned col_tiles) {
  __shared__ __align__(16) float sums[kColumns][kColumnPitch];
  __shared__ int64_t starts[kColumns + 1];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp, warp = thread / kWarp;
  const int64_t tile_col = static_cast<int64_t>(blockIdx.x % col_tiles) * kColumns;
  const int64_t tile_row = static_cast<int64_t>(blockIdx.x / col_tiles) * kColumnRows;
  const int64_t count = *p.list.count;
  if (count > p.list.capacity) {
    fill_nan(p.out, tile_row, kColumnRows, tile_col, kColumns);
    return;
  }
  const int64_t first = warp_lower_bound(p.list.key, count, tile_col, lane);
  const int64_t last = warp_lower_bound(p.list.key, count, tile_col + kColumns, lane);
  if (first == last) return;
  if (thread <= kColumns) {
    const int64_t wanted[1] = {tile_col + thread};
    int64_t at[1];
    lower_bounds(p.list.key + first, last - first, wanted, at);
    starts[thread] = first + at[0];
  }
  __syncthreads();

  // ---- the output is on its way while sums are made: four columns of rows 4 t + lane / 8
  const int quad = lane % 8;
  const int local_row = warp * (kColumnRows / kWarps) + lane / 8;
  const int rows_left =
      static_cast<int>(min(p.out.rows - tile_row, static_cast<int64_t>(kColumnRows))) - local_row;
  const int cols_left =
      static_cast<int>(min(p.out.cols - tile_col, static_cast<int64_t>(kColumns))) - quad * 4;
  T* const out = p.out.data + (tile_row + local_row) * p.out.ld + tile_col + quad * 4;
  unsigned busy = 0;  // of the four columns, those that have entries: all of them inside
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    if (starts[quad * 4 + c] != starts[quad * 4 + c + 1]) busy |= 1u << c;
  }
  unsigned words[kRowSteps][2];
#pragma unroll
  for (int t = 0; t < kRowSteps; ++t) {
    if (busy != 0 && 4 * t < rows_left) {
      load_out<T, 4>(out + 4 * t * p.out.ld, cols_left, p.out.vectors, words[t]);
    }
  }

  // ---- the sums, column by column
  const int64_t x_col = tile_row + lane * 8;
  for (int c = warp; c < kColumns; c += kWarps) {
    if (starts[c] == starts[c + 1]) continue;
    float sum[8];
    sum_column(p, p.x + x_col, p.out.rows - x_col, starts[c], starts[c + 1], lane, sum);
    float4* const target = reinterpret_cast<float4*>(&sums[c % 4 * 8 + c / 4][lane * 8]);
    target[0] = make_float4(sum[0], sum[1], sum[2], sum[3]);
    target[1] = make_float4(sum[4], sum[5], sum[6], sum[7]);
  }
  __syncthreads();

  // ---- the output, row by row
#pragma unroll
  for (int t = 0; t < kRowSteps; ++t) {
    if (busy == 0 || 4 * t >= rows_left) continue;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      if ((busy >> c & 1u) == 0) continue;
      const unsigned shift = c % 2 * 16;
      const unsigned bits =
          rounded_sum<T>(words[t][c / 2] >> shift & 0xffffu, sums[c * 8 + quad][local_row + 4 * t]);
      words[t][c / 2] = (words[t][c / 2] & ~(0xffffu << shift)) | bits << shift;
    }
    store_out<T, 4>(out + 4 * t * p.out.ld, words[t], cols_left, p.out.vectors);
  }
}

// ------------------------------------------------------------------------ launchers

template <class T>
Result<T> result_of(Matrix<T> out, std::uintptr_t bytes) {
  return {out.data, out.layout.ld, out.rows, out.cols,
          aligned_rows(out.data, out.layout.ld, out.rows, bytes)};
}

template <class T, class W>
void launch_gather(Cuda backend, const CooList<T>& coo, const W* w, int64_t ldw,
                   const float* w_scale, Matrix<T> out) {
  int device = 0, shared_bytes = 0;
  check(cudaGetDevice(&device), "asking for the device");
  check(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "asking for the shared memory of a block");
  constexpr int kStaticBytes = 4096;  // no less than the flags and the tile's range
  const auto bytes = [](int64_t rows) {
    return static_cast<int>(2 * kSlabBytes +
                            rows * kTileCols * static_cast<int64_t>(sizeof(float)));
  };
  int64_t tile_rows = std::min<int64_t>(kMostTileRows, ceil_div(out.rows, kGroups) * kGroups);
  if (bytes(tile_rows) + kStaticBytes > shared_bytes) {
    tile_rows = std::min<int64_t>(tile_rows, kMostTileRows / 2);
  }
  constexpr int64_t kFlags = kFlagWords * 32;
  const int64_t sectors = ceil_div(coo.cols * static_cast<int64_t>(sizeof(W)), kSector);
  const SpmmGather<T, W> p{{coo.row, coo.col, coo.value, coo.count, coo.capacity},
                           w,
                           ldw,
                           w_scale,
                           coo.cols,
                           std::max<int64_t>(1, ceil_div(sectors, kFlags)),
                           result_of(out, 4),
                           aligned_rows(w, ldw, out.cols, kUnit)};
  const auto kernel = spmm_gather_kernel<T, W>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes(tile_rows)),
        "reserving shared memory for spmm_coo");
  const int64_t row_tiles = ceil_div(out.rows, tile_rows);
  const int64_t blocks = row_tiles * ceil_div(out.cols, kTileCols);
  kernel<<<static_cast<unsigned>(blocks), kGatherThreads,
           static_cast<std::size_t>(bytes(tile_rows)), backend.stream>>>(
      p, static_cast<int>(tile_rows), static_cast<unsigned>(row_tiles));
  check(cudaGetLastError(), "launching spmm_coo");
}

}  // namespace

template <class T>
void spmm_coo(Cuda backend, const CooList<T>& coo, Operand<T> w, Matrix<T> out) {
  preconditions::spmm_coo(coo, w, out);
  if (out.empty()) return;
  if (!w.transposed) return launch_gather(backend, coo, w.data, w.ld, nullptr, out);
  const SpmmRows<T> p{{coo.row, coo.col, coo.value, coo.count, coo.capacity},
                      w.data,
                      w.ld,
                      result_of(out, 16),
                      aligned_rows(w.data, w.ld, w.cols, 16)};
  const int64_t row_blocks = ceil_div(out.rows, kWarps);
  const int64_t blocks = row_blocks * ceil_div(out.cols, kPieces * kPieceCols);
  spmm_rows_kernel<T><<<static_cast<unsigned>(blocks), kThreads, 0, backend.stream>>>(
      p, static_cast<unsigned>(row_blocks));
  check(cudaGetLastError(), "launching spmm_coo");
}

template <class T>
void spmm_coo(Cuda backend, const CooList<T>& coo, Matrix<const s8> w, Vector<const float> w_scale,
              Matrix<T> out) {
  preconditions::spmm_coo(coo, w, w_scale, out);
  if (out.empty()) return;
  launch_gather(backend, coo, w.data, w.layout.ld, w_scale.data, out);
}

template <class T>
void spmm_coo_transposed(Cuda backend, Matrix<const T> x, const CooList<T>& by_column,
                         Matrix<T> out) {
  preconditions::spmm_coo_transposed(x, by_column, out);
  if (out.empty()) return;
  const SpmmColumns<T> p{
      {by_column.col, by_column.row, by_column.value, by_column.count, by_column.capacity},
      x.data,
      x.layout.ld,
      result_of(out, 8),
      aligned_rows(x.data, x.layout.ld, x.rows, 16)};
  const int64_t col_tiles = ceil_div(out.cols, kColumns);
  const int64_t blocks = col_tiles * ceil_div(out.rows, kColumnRows);
  spmm_columns_kernel<T><<<static_cast<unsigned>(blocks), kThreads, 0, backend.stream>>>(
      p, static_cast<unsigned>(col_tiles));
  check(cudaGetLastError(), "launching spmm_coo_transposed");
}

template void spmm_coo<f16>(Cuda, const CooList<f16>&, Operand<f16>, Matrix<f16>);
template void spmm_coo<bf16>(Cuda, const CooList<bf16>&, Operand<bf16>, Matrix<bf16>);
template void spmm_coo<f16>(Cuda, const CooList<f16>&, Matrix<const s8>, Vector<const float>,
                            Matrix<f16>);
template void spmm_coo<bf16>(Cuda, const CooList<bf16>&, Matrix<const s8>, Vector<const float>,
                             Matrix<bf16>);
template void spmm_coo_transposed<f16>(Cuda, Matrix<const f16>, const CooList<f16>&, Matrix<f16>);
template void spmm_coo_transposed<bf16>(Cuda, Matrix<const bf16>, const CooList<bf16>&,
                                        Matrix<bf16>);

}  // namespace octet
