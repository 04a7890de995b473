// spmm_coo and spmm_coo_transposed: a sorted list of entries times a dense matrix, added to the
// output, in the order of additions that outliers.hpp fixes.
//
// Nothing depends on the host knowing how many entries there are: grids cover the output, and
// blocks find their entries in the list themselves. A row (column) without entries is not
// touched; every other element of the output is read and written once. A list that has overflowed
// fills the output with NaN.
//
// spmm_coo, weights N-contiguous: spmm_rows_kernel
//   A warp takes 512 columns of one row and goes through its entries, each of which is a contiguous
//   piece of the weights, four of them in flight. Blocks that share columns run together, so that
//   a piece of the weights that several rows need is found in L2.
// spmm_coo, weights K-contiguous, 16 bits or int8: spmm_gather_kernel
//   An entry needs one column of the weights: 2 bytes of a sector of 32. A block takes 8 columns of
//   the output and up to 1024 of its rows, and brings its 8 rows of the weights to shared memory,
//   so that whatever is needed crosses from memory once: whole rows where they fit, of two blocks
//   that take turns at loading and adding or of one, else slabs, each of which costs another pass
//   over the entries. Sectors of the weights that no entry of the block needs are left out. Eight
//   threads share a row of the output, a column each, and look at eight of its entries at a time,
//   four rows ahead; between slabs their sums and places in the list lie in shared memory. A row of
//   the weights lies at an odd multiple of 16 bytes, which takes the eight threads' reads to
//   different banks.
// spmm_coo_transposed: spmm_columns_kernel
//   A block takes 32 columns and 256 rows of the output. A warp sums four of the columns, an entry
//   being 512 contiguous bytes of x, several of them in flight; the sums change from columns to
//   rows in shared memory, where column c lies at (c % 4) * 8 + c / 4, in 260 floats: free of bank
//   conflicts either way.
//
// Bytes: the sectors of the weights (x) that entries need, and the rows (columns) of the output
// that have entries, read and written. Any extents, leading dimensions and alignment; accesses take
// 16 bytes of weights and x, and 16, 2 and 8 of the output, where alignment allows it.
//
// Designs at 0.1 % outliers, microseconds of one call (f16, M = 1024; NVIDIA H200):
//                                                    N x K: 12288x4096 4096x12288 15360x5120
//   gather: slabs of 624 columns, a row at a time                  274        231        427
//           8 whole rows of the weights, four rows ahead           153        149        230
//           half the instructions an entry, list read four
//           entries at a time, one block where two do not fit      140        110        205
//   rows: a tile a block                                            42         31         58
//         a row's entries found once for up to eight tiles          48         34         64
//         a tile a block, half the instructions an entry            39         30         52
//         the same, a row's weights asked of L2 all at once         42         36         58
//                                          M x N: 4096x12288, and where all lie in few columns
//   columns: a tile a block                         122   250
//            found once for up to eight tiles       139     -
//            four, then eight entries in flight     162   137
//            eight in columns of 16 and more,
//            before the output is asked for         136   127
//
// Counters (Nsight Compute), 4096x12288. Gather issues in 57 to 60 % of the cycles. Rows: memory at
// 60 % of its throughput and instructions in 29 % of the cycles where outliers are scattered, as a
// row's entries must be found before their weights are asked for; in 61 % where few columns hold
// them.
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

/// Brings what will be read to L2.
__device__ __forceinline__ void prefetch(const void* source) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(source));
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
    } else {
      static_assert(kCols == 4);
      const uint2 all = *reinterpret_cast<const uint2*>(source);
      words[0] = all.x;
      words[1] = all.y;
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
    } else {
      static_assert(kCols == 4);
      *reinterpret_cast<uint2*>(target) = make_uint2(words[0], words[1]);
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

// ------------------------------------------------------------------------ a batch of entries

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kPieceCols = kWarp * 8;  // contiguous elements that a warp takes at once

/// Entries of a warp, one a lane: a value, and where its row of the dense operand begins, in bytes
/// after this lane's place in row 0 of that.
template <class T>
struct Batch {
  const T* dense;     // this lane's place in row 0
  int64_t remaining;  // elements of a row from there on
  bool vectors;
  int64_t offset;
  float value;
  int entries;
};

/// Adds entries [first, first + count) of the batch to this lane's sums, in their order; all are
/// loaded before one is used. whole: every row is inside, 16 bytes at a time. full: there are so
/// many; else as far as there are.
template <int count, bool whole, bool full, int pieces, class T>
__device__ __forceinline__ void add_group(const Batch<T>& batch, int first,
                                          float (&sum)[pieces][8]) {
  Chunk chunks[count][pieces];
#pragma unroll
  for (int u = 0; u < count; ++u) {
    const auto* const source = reinterpret_cast<const T*>(
        reinterpret_cast<const char*>(batch.dense) +
        __shfl_sync(kAllLanes, static_cast<long long>(batch.offset), (first + u) % kWarp));
    if (!full && first + u >= batch.entries) continue;
#pragma unroll
    for (int g = 0; g < pieces; ++g) {
      chunks[u][g] = whole ? load_whole_chunk(source + g * kPieceCols)
                           : load_chunk(source + g * kPieceCols, batch.remaining - g * kPieceCols,
                                        batch.vectors);
    }
  }
#pragma unroll
  for (int u = 0; u < count; ++u) {
    const float factor = __shfl_sync(kAllLanes, batch.value, (first + u) % kWarp);
    if (!full && first + u >= batch.entries) break;
#pragma unroll
    for (int g = 0; g < pieces; ++g) {
#pragma unroll
      for (int c = 0; c < 8; ++c) {
        sum[g][c] = __fmaf_rn(factor, element<T>(chunks[u][g], c), sum[g][c]);
      }
    }
  }
}

// ------------------------------------------------------------------------ weights N-contiguous

constexpr int kPieces = 2;     // that a warp takes
constexpr int kRowBlocks = 4;  // of a multiprocessor: leaves each thread 64 registers

template <class T>
struct SpmmRows {
  List<T> list;
  const T* w;  // column k of the weights at w + k * ldw
  int64_t ldw;
  Result<T> out;
  bool w_vectors;
};

/// Adds a row's entries, from `begin` on, to this lane's sums. whole: all columns of the tile are
/// inside, 16 bytes at a time.
template <bool whole, class T>
__device__ __forceinline__ void add_row(const SpmmRows<T>& p, int64_t begin, int64_t count,
                                        int64_t row, int64_t col, int lane,
                                        float (&sum)[kPieces][8]) {
  for (int64_t batch = begin;; batch += kWarp) {
    const int64_t entry = batch + lane;
    int64_t key = -1, offset = 0;
    float value = 0.0f;
    if (entry < count) {  // all three at once, though a row may end here
      key = __ldg(p.list.key + entry);
      offset = __ldg(p.list.other + entry) * (p.ldw * static_cast<int64_t>(sizeof(T)));
      value = value_of<T>(__ldg(reinterpret_cast<const Bits<T>*>(p.list.value) + entry));
    }
    const int entries = __popc(__ballot_sync(kAllLanes, key == row));
    const Batch<T> of_row{p.w + col, p.out.cols - col, p.w_vectors, offset, value, entries};
    constexpr int kInFlight = whole ? 4 : 2;
    for (int e = 0; e < entries; e += kInFlight) add_group<kInFlight, whole, false>(of_row, e, sum);
    if (entries < kWarp) break;
  }
}

/// blockIdx.x = column tile * row blocks + row block.
template <class T>
__global__ void __launch_bounds__(kThreads, kRowBlocks)
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
#pragma unroll
  for (int g = 0; g < kPieces; ++g) {  // what is added to in the end
    if (col + g * kPieceCols < p.out.cols) prefetch(out + g * kPieceCols);
  }
  float sum[kPieces][8] = {};

  if (p.w_vectors && tile_col + kPieces * kPieceCols <= p.out.cols) {
    add_row<true>(p, begin, count, row, col, lane, sum);
  } else {
    add_row<false>(p, begin, count, row, col, lane, sum);
  }

#pragma unroll
  for (int g = 0; g < kPieces; ++g) {
    const int64_t remaining = p.out.cols - col - g * kPieceCols;
    unsigned words[4];
    load_out<T, 8>(out + g * kPieceCols, remaining, p.out.vectors, words);
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      words[w] = rounded_sum<T>(words[w] & 0xffffu, sum[g][2 * w]) |
                 rounded_sum<T>(words[w] >> 16, sum[g][2 * w + 1]) << 16;
    }
    store_out<T, 8>(out + g * kPieceCols, words, remaining, p.out.vectors);
  }
}

// ------------------------------------------------------------------------ weights K-contiguous

constexpr int kGatherThreads = 1024;  // of a multiprocessor, in one block or two
constexpr int kTileCols = 8;          // of the output: rows of the weights
constexpr int kMostTileRows = 1024;
constexpr int kRowsAhead = 4;  // of a group, whose entries are loaded before they are used
constexpr int kUnit = 16;      // bytes of a copy
constexpr int kSector = 32;
constexpr int kFlagWords = 256;
constexpr int kEndOfRow = INT_MAX;  // no column: extents are under 2^31

template <class T, class W>
struct SpmmGather {
  List<T> list;
  const W* w;
  int64_t ldw;
  const float* w_scale;  // int8 alone
  int64_t depth;         // K
  int flag_shift;        // a flag stands for so many sectors, as a power of two
  int slab_units, slabs;
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
__device__ __forceinline__ float weight(const unsigned char* at) {
  if constexpr (sizeof(W) == 1) {
    return static_cast<float>(*reinterpret_cast<const s8*>(at));
  } else {
    return value_of<W>(*reinterpret_cast<const Bits<W>*>(at));
  }
}

/// Bytes from one row of a slab to the next.
constexpr int slab_pitch(int units) { return (units | 1) * kUnit; }

/// Calls use(entry, load(entry)) for entries [first, last), a block's threads side by side; a
/// thread loads several before it uses the first.
template <int threads, class Load, class Use>
__device__ __forceinline__ void for_entries(int64_t first, int64_t last, Load load, Use use) {
  constexpr int kLoaded = 4;
  for (int64_t e = first + static_cast<int>(threadIdx.x); e < last; e += kLoaded * threads) {
    decltype(load(e)) loaded[kLoaded];
#pragma unroll
    for (int i = 0; i < kLoaded; ++i) loaded[i] = load(min(e + i * threads, last - 1));
#pragma unroll
    for (int i = 0; i < kLoaded; ++i) {
      if (e + i * threads < last) use(e + i * threads, loaded[i]);
    }
  }
}

/// The flag of the sector that column `col` of the weights lies in.
template <class W>
__device__ __forceinline__ unsigned flag_of(unsigned col, int flag_shift) {
  return col / (kSector / static_cast<unsigned>(sizeof(W))) >> flag_shift;
}

/// Flags the sectors of the weights that entries [first, last) need; all of them where a sample
/// says that there are many, or finding out costs half of loading them. The whole block calls.
template <int threads, class T, class W>
__device__ __forceinline__ void flag_sectors(const SpmmGather<T, W>& p, int64_t first, int64_t last,
                                             unsigned* flags) {
  __shared__ unsigned unsampled[kFlagWords];
  constexpr int kSectorCols = kSector / static_cast<int>(sizeof(W));
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kFlagWords; i += threads) flags[i] = unsampled[i] = 0;
  __syncthreads();
  const auto flag_at = [&](int64_t entry) {
    return flag_of<W>(static_cast<unsigned>(__ldg(p.list.other + entry)), p.flag_shift);
  };
  const int64_t entries = last - first;
  const unsigned of_sample = flag_at(first + entries * thread / threads);
  const unsigned bit = 1u << of_sample % 32;
  const int different = __syncthreads_count((atomicOr(&flags[of_sample / 32], bit) & bit) == 0);
  if (entries <= threads) return;
  const int64_t all = min((p.depth + kSectorCols - 1) / kSectorCols, static_cast<int64_t>(threads));
  if (8 * different >= 3 * all || entries > 4 * p.depth) {
    for (int i = thread; i < kFlagWords; i += threads) flags[i] = ~0u;
  } else {
    // Atomics that meet in a word take turns, so the sample's flags are only read here.
    for_entries<threads>(first, last, flag_at, [&](int64_t, unsigned flag) {
      if ((flags[flag / 32] >> flag % 32 & 1u) == 0) {
        atomicOr(&unsampled[flag / 32], 1u << flag % 32);
      }
    });
    __syncthreads();
    for (int i = thread; i < kFlagWords; i += threads) flags[i] |= unsampled[i];
  }
  __syncthreads();
}

/// Starts to bring a slab of the tile's weights to shared memory, but for sectors that are not
/// flagged. A warp takes every other 32 units of a row.
template <int threads, class T, class W>
__device__ __forceinline__ void load_slab(const SpmmGather<T, W>& p, int64_t tile_col, int slab,
                                          const unsigned* flags, unsigned char* target) {
  constexpr int kUnitCols = kUnit / static_cast<int>(sizeof(W));
  constexpr int kWarpsOfRow = threads / kWarp / kTileCols;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  const int n = warp % kTileCols;
  if (tile_col + n < p.out.cols) {
    const W* const row = p.w + (tile_col + n) * p.ldw;
    unsigned char* const target_row = target + n * slab_pitch(p.slab_units);
    for (int unit = warp / kTileCols * kWarp + lane; unit < p.slab_units;
         unit += kWarpsOfRow * kWarp) {
      const int64_t place = static_cast<int64_t>(slab) * p.slab_units + unit;
      const int64_t col = place * kUnitCols;
      if (col >= p.depth) break;
      const unsigned flag = flag_of<W>(static_cast<unsigned>(col), p.flag_shift);
      if ((flags[flag / 32] >> (flag % 32) & 1u) == 0) continue;
      const int cols = static_cast<int>(min(static_cast<int64_t>(kUnitCols), p.depth - col));
      if (p.w_vectors) {
        copy_unit(target_row + unit * kUnit, row + col, cols * static_cast<int>(sizeof(W)));
      } else {
        W* const values = reinterpret_cast<W*>(target_row + unit * kUnit);
        for (int c = 0; c < cols; ++c) values[c] = row[col + c];
      }
    }
  }
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// starts[i], for rows + 1 of them: the entries of the tile before its row i.
template <int threads, class T>
__device__ __forceinline__ void find_rows(const List<T>& list, int64_t first, int64_t last,
                                          int64_t tile_row, int rows, unsigned* starts) {
  const auto row_of = [&](int64_t e) { return static_cast<int>(__ldg(list.key + e) - tile_row); };
  const auto row_and_before = [&](int64_t e) {
    return int2{row_of(e), e == first ? -1 : row_of(e - 1)};
  };
  for_entries<threads>(first, last, row_and_before, [&](int64_t e, int2 row) {
    const auto at = static_cast<unsigned>(e - first);
    for (int i = row.y + 1; i <= row.x; ++i) starts[i] = at;
    if (e == last - 1) {
      for (int i = row.x + 1; i <= rows; ++i) starts[i] = at + 1;
    }
  });
}

/// blockIdx.x = column tile * row tiles + row tile. Dynamic shared memory: a slab; the rows' first
/// entries; where there are several slabs, the rows' next entries and sums too.
template <class T, class W, int threads>
__global__ void __launch_bounds__(threads, kGatherThreads / threads)
    spmm_gather_kernel(const SpmmGather<T, W> p, int tile_rows, unsigned row_tiles) {
  constexpr int kGroups = threads / kTileCols;  // of threads that share a row of the output
  constexpr int kUnitCols = kUnit / static_cast<int>(sizeof(W));
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ unsigned flags[kFlagWords];
  const int pitch = slab_pitch(p.slab_units);
  unsigned* const starts = reinterpret_cast<unsigned*>(memory + kTileCols * pitch);
  unsigned* const nexts = starts + tile_rows + 1;
  float* const sums = reinterpret_cast<float*>(nexts + tile_rows);

  const int64_t tile_row = static_cast<int64_t>(blockIdx.x % row_tiles) * tile_rows;
  const int64_t tile_col = static_cast<int64_t>(blockIdx.x / row_tiles) * kTileCols;
  const int rows = static_cast<int>(min(static_cast<int64_t>(tile_rows), p.out.rows - tile_row));
  const int64_t count = *p.list.count;
  if (count > p.list.capacity) {
    fill_nan(p.out, tile_row, rows, tile_col, kTileCols);
    return;
  }
  if (count == 0) return;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t first = tile_row == 0 ? 0 : warp_lower_bound(p.list.key, count, tile_row, lane);
  const int64_t last = tile_row + rows == p.out.rows
                           ? count
                           : warp_lower_bound(p.list.key, count, tile_row + rows, lane);
  if (first == last) return;

  flag_sectors<threads>(p, first, last, flags);
  load_slab<threads>(p, tile_col, 0, flags, memory);
  find_rows<threads>(p.list, first, last, tile_row, rows, starts);

  const int member = static_cast<int>(threadIdx.x) % kTileCols;
  const int group = static_cast<int>(threadIdx.x) / kTileCols;
  const int group_shift = lane / kTileCols * kTileCols;
  const int64_t col = tile_col + member;
  const bool is_inside = col < p.out.cols;
  const auto place_of = [&](unsigned entry) { return __ldg(p.list.other + first + entry); };
  const auto value_at = [&](unsigned entry) {
    return value_of<T>(__ldg(reinterpret_cast<const Bits<T>*>(p.list.value) + first + entry));
  };
  Bits<T>* const out = reinterpret_cast<Bits<T>*>(p.out.data) + tile_row * p.out.ld + col;
  float scale = 1.0f;
  if constexpr (sizeof(W) == 1) {
    if (is_inside) scale = __ldg(p.w_scale + col);
  }

  for (int slab = 0; slab < p.slabs; ++slab) {
    if (slab > 0) load_slab<threads>(p, tile_col, slab, flags, memory);
    asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncthreads();
    const int slab_begin = slab * p.slab_units * kUnitCols;  // extents are under 2^31
    const int slab_end =
        static_cast<int>(min(slab_begin + static_cast<int64_t>(p.slab_units) * kUnitCols, p.depth));
    const bool is_last = slab + 1 == p.slabs;
    const unsigned char* const weights = memory + member * pitch;
    const unsigned* const begins = slab == 0 ? starts : nexts;

    for (int step = 0; step < rows; step += kRowsAhead * kGroups) {
      unsigned old[kRowsAhead / 2] = {};  // two in a word
      int place[kRowsAhead];
      float value[kRowsAhead];
      unsigned busy = 0;  // rows that have entries
#pragma unroll
      for (int u = 0; u < kRowsAhead; ++u) {
        const int row = step + u * kGroups + group;
        place[u] = kEndOfRow;
        value[u] = 0.0f;
        if (row >= rows || starts[row] == starts[row + 1]) continue;
        busy |= 1u << u;
        const unsigned entry = begins[row] + member;
        if (entry < starts[row + 1]) {
          place[u] = place_of(entry);
          value[u] = value_at(entry);
        }
        if (is_last && is_inside) {
          old[u / 2] |= static_cast<unsigned>(out[row * p.out.ld]) << (u % 2 * 16);
        }
      }
#pragma unroll
      for (int u = 0; u < kRowsAhead; ++u) {
        const int row = step + u * kGroups + group;
        const bool is_busy = (busy >> u & 1u) != 0;
        unsigned at = is_busy ? begins[row] : 0;
        float sum = slab > 0 && is_busy ? sums[row * kTileCols + member] : 0.0f;
        while (true) {
          const unsigned within = __ballot_sync(kAllLanes, place[u] < slab_end);
          const int entries = __popc(within >> group_shift & 0xffu);  // ascending: the first
          const int offset = (place[u] - slab_begin) * static_cast<int>(sizeof(W));
#pragma unroll
          for (int e = 0; e < kTileCols; ++e) {
            // Asked of all four groups, and not at every entry.
            if (e % 4 == 0 && (within & 0x01010101u << e) == 0) break;
            const int offset_of_entry = __shfl_sync(kAllLanes, offset, e, kTileCols);
            const float factor = __shfl_sync(kAllLanes, value[u], e, kTileCols);
            if (e < entries) {
              sum = __fmaf_rn(factor, weight<W>(weights + offset_of_entry), sum);
            }
          }
          at += static_cast<unsigned>(entries);
          const bool goes_on = entries == kTileCols;
          if (!__any_sync(kAllLanes, goes_on)) break;
          const bool inside = goes_on && at + member < starts[row + 1];
          place[u] = inside ? place_of(at + member) : kEndOfRow;
          value[u] = inside ? value_at(at + member) : 0.0f;
        }
        if (!is_last) __syncwarp();  // all of the row's threads have read where it begins
        if (!is_busy) continue;
        if (!is_last) {
          sums[row * kTileCols + member] = sum;
          if (member == 0) nexts[row] = at;
        } else if (is_inside) {
          const unsigned old_bits = old[u / 2] >> (u % 2 * 16) & 0xffffu;
          unsigned bits;
          if constexpr (sizeof(W) == 1) {
            bits = bits_of<T>(__fmaf_rn(sum, scale, value_of<T>(old_bits)));
          } else {
            bits = rounded_sum<T>(old_bits, sum);
          }
          out[row * p.out.ld] = static_cast<Bits<T>>(bits);
        }
      }
    }
    __syncthreads();
  }
}

// ------------------------------------------------------------------------ transposed

constexpr int kColumns = 32;                         // of the output, that a block takes
constexpr int kColumnRows = kWarp * 8;               // of the output: columns of x
constexpr int kColumnPitch = kColumnRows + 4;        // floats
constexpr int kRowSteps = kColumnRows / kWarps / 4;  // four rows of the output a step of a warp
constexpr int64_t kLongColumn = 16;                  // entries that are worth more in flight

template <class T>
struct SpmmColumns {
  List<T> list;  // by column
  const T* x;
  int64_t ldx;
  Result<T> out;
  bool x_vectors;
};

/// Sums of the columns of x from `x` on, of which `remaining` are left to this thread, over entries
/// [begin, end), in_flight at a time where there are so many. whole: all columns are inside, 16
/// bytes at a time.
template <int in_flight, bool whole, class T>
__device__ __forceinline__ void sum_column(const SpmmColumns<T>& p, const T* x, int64_t remaining,
                                           int64_t begin, int64_t end, int lane,
                                           float (&sum)[1][8]) {
  for (int64_t first = begin; first < end; first += kWarp) {
    const int64_t entry = first + lane;
    int64_t offset = 0;
    float value = 0.0f;
    if (entry < end) {
      offset = __ldg(p.list.other + entry) * (p.ldx * static_cast<int64_t>(sizeof(T)));
      value = value_of<T>(__ldg(reinterpret_cast<const Bits<T>*>(p.list.value) + entry));
    }
    const auto entries = static_cast<int>(min(static_cast<int64_t>(kWarp), end - first));
    const Batch<T> batch{x, remaining, p.x_vectors, offset, value, entries};
    int e = 0;
    for (; e + in_flight <= entries; e += in_flight) {
      add_group<in_flight, whole, true>(batch, e, sum);
    }
    for (; e < entries; ++e) add_group<1, whole, true>(batch, e, sum);
  }
}

/// The sums of a warp's columns that are long, or of those that are not.
template <bool is_long, class T>
__device__ __forceinline__ void sum_columns(const SpmmColumns<T>& p, int64_t tile_row,
                                            const int64_t (&starts)[kColumns + 1],
                                            float (&sums)[kColumns][kColumnPitch]) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t col = tile_row + lane * 8;
  const bool is_whole = p.x_vectors && tile_row + kColumnRows <= p.out.rows;
  for (int c = static_cast<int>(threadIdx.x / kWarp); c < kColumns; c += kWarps) {
    const int64_t begin = starts[c], end = starts[c + 1];
    if (begin == end || (end - begin >= kLongColumn) != is_long) continue;
    float sum[1][8] = {};
    if (is_whole) {
      sum_column<is_long ? 8 : 2, true>(p, p.x + col, p.out.rows - col, begin, end, lane, sum);
    } else {
      sum_column<2, false>(p, p.x + col, p.out.rows - col, begin, end, lane, sum);
    }
    float4* const target = reinterpret_cast<float4*>(&sums[c % 4 * 8 + c / 4][lane * 8]);
    target[0] = make_float4(sum[0][0], sum[0][1], sum[0][2], sum[0][3]);
    target[1] = make_float4(sum[0][4], sum[0][5], sum[0][6], sum[0][7]);
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

  // Before the output takes registers.
  sum_columns</*is_long=*/true>(p, tile_row, starts, sums);

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

  sum_columns</*is_long=*/false>(p, tile_row, starts, sums);
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

/// What a block of the gather has in shared memory.
struct GatherShape {
  int64_t tile_rows;
  int64_t slabs;
  int slab_units;
  int bytes;
};

/// The largest slabs that fit into `most_bytes`; `units` of 16 bytes are a row of the weights.
GatherShape gather_shape(int64_t most_bytes, int64_t units, int64_t rows, int64_t depth) {
  constexpr int64_t kRowBytes = 2 * sizeof(unsigned) + kTileCols * sizeof(float);
  const int64_t kept_rows =
      most_bytes > 2 * kMostTileRows * kRowBytes ? kMostTileRows : kMostTileRows / 4;
  // Places within a tile are 32 bits wide.
  const int64_t tile_rows =
      std::min({kept_rows, rows, std::max<int64_t>(1, UINT_MAX / std::max<int64_t>(1, depth))});
  const auto row_units = [&](int64_t kept_bytes) {
    return ((most_bytes - kept_bytes) / kTileCols / kUnit - 1) / 2 * 2;  // whole sectors
  };
  const int64_t starts_bytes = (tile_rows + 1) * static_cast<int64_t>(sizeof(unsigned));
  const bool is_one_slab = units <= row_units(starts_bytes);
  const int64_t kept_bytes = is_one_slab ? starts_bytes : starts_bytes + tile_rows * kRowBytes;
  const int64_t slabs = is_one_slab ? 1 : ceil_div(units, row_units(kept_bytes));
  const auto slab_units = static_cast<int>(ceil_div(units / 2, slabs) * 2);
  return {tile_rows, slabs, slab_units,
          static_cast<int>(kTileCols * slab_pitch(slab_units) + kept_bytes)};
}

template <int threads, class T, class W>
void launch_gather(Cuda backend, const CooList<T>& coo, const W* w, int64_t ldw,
                   const float* w_scale, Matrix<T> out, const GatherShape& shape, int64_t units) {
  int flag_shift = 0;
  while (units / 2 > int64_t{kFlagWords * 32} << flag_shift) ++flag_shift;
  const SpmmGather<T, W> p{{coo.row, coo.col, coo.value, coo.count, coo.capacity},
                           w,
                           ldw,
                           w_scale,
                           coo.cols,
                           flag_shift,
                           shape.slab_units,
                           static_cast<int>(shape.slabs),
                           result_of(out, sizeof(T)),
                           aligned_rows(w, ldw, out.cols, kUnit)};
  const auto kernel = spmm_gather_kernel<T, W, threads>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.bytes),
        "reserving shared memory for spmm_coo");
  const int64_t row_tiles = ceil_div(out.rows, shape.tile_rows);
  const int64_t blocks = row_tiles * ceil_div(out.cols, kTileCols);
  kernel<<<static_cast<unsigned>(blocks), threads, static_cast<std::size_t>(shape.bytes),
           backend.stream>>>(p, static_cast<int>(shape.tile_rows),
                             static_cast<unsigned>(row_tiles));
  check(cudaGetLastError(), "launching spmm_coo");
}

/// Two blocks of a multiprocessor take turns where whole rows of the weights fit for both; else one
/// has all of its shared memory, as each slab costs another pass over the rows' entries.
template <class T, class W>
void gather(Cuda backend, const CooList<T>& coo, const W* w, int64_t ldw, const float* w_scale,
            Matrix<T> out) {
  int device = 0, of_multiprocessor = 0, of_block = 0;
  constexpr const char* kWhat = "asking for a multiprocessor's shared memory";
  check(cudaGetDevice(&device), kWhat);
  check(cudaDeviceGetAttribute(&of_multiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor,
                               device),
        kWhat);
  check(cudaDeviceGetAttribute(&of_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), kWhat);
  constexpr int64_t kBeside = 3072;  // flags twice, and what a block costs
  const int64_t units =
      std::max<int64_t>(2, ceil_div(coo.cols * static_cast<int64_t>(sizeof(W)), kSector) * 2);
  const GatherShape half = gather_shape(of_multiprocessor / 2 - kBeside, units, out.rows, coo.cols);
  if (half.slabs == 1) {
    launch_gather<kGatherThreads / 2>(backend, coo, w, ldw, w_scale, out, half, units);
  } else {
    const GatherShape all = gather_shape(of_block - kBeside, units, out.rows, coo.cols);
    launch_gather<kGatherThreads>(backend, coo, w, ldw, w_scale, out, all, units);
  }
}

}  // namespace

template <class T>
void spmm_coo(Cuda backend, const CooList<T>& coo, Operand<T> w, Matrix<T> out) {
  preconditions::spmm_coo(coo, w, out);
  if (out.empty()) return;
  if (!w.transposed) return gather(backend, coo, w.data, w.ld, nullptr, out);
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
  gather(backend, coo, w.data, w.layout.ld, w_scale.data, out);
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
