// transform and flatten: matrices from one layout to another, bit for bit, as transform.hpp states.
//
// copy_kernel: RowMajor, Col32 and Col32_2R_4R4 keep 16 bytes of a row together, so that a chunk
//   goes from memory to memory through four registers. A thread takes four chunks; a warp 128
//   consecutive bytes of four rows, in the order in which the tiled side keeps its rows, so that it
//   touches whole lines on both sides. A block takes
//     32 rows x 512 bytes; or
//     128 rows x 128 bytes, 16 KiB of a panel of Col32, stored as a stream: s32 to and from Col32
//   Parts of a copy's rate, s32 from RowMajor to Col32 / back, 12288 x 4096 (NVIDIA H200):
//     32 x 512 bytes 0.80 / 0.93; 128 x 128 bytes 0.91 / 0.88; and stored as a stream 0.92 / 0.92
// tile_kernel: everything else, through a tile of 128 rows x 128 bytes in shared memory. A block
//   takes a tile, a thread four chunks:
//     RowMajor, Col32, Col32_2R_4R4   chunks of a row
//     Col4_4R2_8C                     units of 4 columns in every other one of 8 rows: four words
//     ColMajor                        chunks of four neighbouring columns, transposed in registers
//                                     4 x 4 elements at a time
//   Lines that do not start at multiples of 16 bytes go element by element, neighbouring lanes on
//   neighbouring elements. A whole tile needs no question at each access.
//   Microseconds of s8 at 1024 x 4096 / 12288 x 4096, with a question at each access, 555
//   instructions a thread, and without, 170 (NVIDIA H200):
//     row to Col4_4R2_8C  4.20, 3.89 / 27.6, 26.9    transposed  4.36, 3.91 / 28.1, 27.4
//
// Bytes: each element read once and written once, padding of a tiled output included. Any extents,
// leading dimensions and alignment; tiled data that does not start at a multiple of 16 bytes costs
// an access for each element.
#include <type_traits>

#include "cuda/error.hpp"
#include "cuda/vector_access.cuh"
#include "octet/transform.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int kChunksInFlight = 4;  // of a thread
constexpr int kLineChunks = 8;      // 128 bytes: a line of the cache
constexpr int kPanel = 32;          // columns of a panel of a tiled layout

// copy_kernel.
constexpr int kCopyRows = kThreads / kLineChunks;

// tile_kernel.
constexpr int kTileRows = 128;
static_assert(kTileRows * kLineChunks == kThreads * kChunksInFlight);
constexpr int kElementsInFlight = 8;  // of a thread, where lines go element by element

/// Rows of a batch of row-major matrices, one matrix after the other.
struct BatchRows {};

template <class L>
constexpr bool kIsLines =
    std::is_same_v<L, RowMajor> || std::is_same_v<L, ColMajor> || std::is_same_v<L, BatchRows>;
template <class L>
constexpr bool kIsTiled = !kIsLines<L>;
/// Whether 16 bytes of a row lie together.
template <class L>
constexpr bool kKeepsChunks = !std::is_same_v<L, ColMajor> && !std::is_same_v<L, Col4_4R2_8C>;
/// Whether a thread of copy_kernel takes chunks that lie below each other, and their stores are
/// streams.
template <class U, class From, class To>
constexpr bool kGoesDown = sizeof(U) == 4 && (kIsTiled<From> || kIsTiled<To>);

/// What is moved. U is an unsigned integer as wide as an element.
template <class U>
struct Move {
  const U* x;
  int64_t ldx;  // of a tiled layout: rows of a panel
  U* y;
  int64_t ldy;
  int64_t rows, cols;
  bool x_vectors, y_vectors;
  int64_t rows_of_matrix;  // of BatchRows; 0: one row like the next
  int64_t stride;
};

/// The row that lies in a place of a panel, among those of a tile of 32 rows.
template <class L>
__device__ __forceinline__ unsigned row_at(unsigned place) {
  if constexpr (std::is_same_v<L, Col32_2R_4R4>) {
    return place / 32 * 32 + place / 2 % 4 * 8 + place % 32 / 8 * 2 + place % 2;
  } else {
    return place;
  }
}

/// Offset of column `col` of the row in `place`, in a tiled layout that keeps chunks.
__device__ __forceinline__ int64_t panel_offset(int64_t place, int64_t col, int64_t ld) {
  return ((col >> 5) * ld + place) * kPanel + (col & 31);
}

/// Offset of the unit of Col4_4R2_8C that begins with `row` and `col`.
__device__ __forceinline__ int64_t unit_offset(int64_t row, int64_t col, int64_t ld) {
  return (col >> 5) * kPanel * ld + (row >> 3) * 256 + (row & 1) * 128 + (col & 31) / 4 * 16;
}

/// Offset of a row of x.
template <class L, class U>
__device__ __forceinline__ int64_t row_offset(const Move<U>& p, int64_t row) {
  if constexpr (std::is_same_v<L, BatchRows>) {
    if (p.rows_of_matrix != 0) {
      // A division of 32 bits takes a fifth of one of 64 bits.
      constexpr int64_t kLargest = 0xffffffff;
      const bool is_short = row <= kLargest && p.rows_of_matrix <= kLargest;
      const int64_t matrix =
          is_short ? static_cast<unsigned>(row) / static_cast<unsigned>(p.rows_of_matrix)
                   : row / p.rows_of_matrix;
      return matrix * p.stride + (row - matrix * p.rows_of_matrix) * p.ldx;
    }
  }
  return row * p.ldx;
}

/// Columns that a tiled layout keeps.
__device__ __forceinline__ int64_t padded_cols(int64_t cols) { return (cols + 31) & ~int64_t{31}; }

/// A chunk of x; what lies outside the matrix reads as zero where a tiled y would store it.
template <class L, class U>
__device__ __forceinline__ Chunk load_row_chunk(const Move<U>& p, int64_t row, int64_t place,
                                                int64_t col, bool vectors) {
  const int64_t remaining = row < p.rows ? p.cols - col : 0;
  if constexpr (kIsTiled<L>) {
    const U* source = p.x + panel_offset(place, col, p.ldx);
    return load_chunk(source, remaining > 0 ? kChunk<U> : 0, vectors);
  } else {
    const U* source = p.x + (remaining > 0 ? row_offset<L>(p, row) : 0) + col;
    return load_chunk(source, remaining, vectors);
  }
}

template <class L, bool kStreams, class U>
__device__ __forceinline__ void store_row_chunk(const Move<U>& p, int64_t row, int64_t place,
                                                int64_t col, const Chunk& chunk, bool vectors) {
  const auto put = [&](U* target, const Chunk& all, int64_t remaining, bool whole) {
    if (kStreams && whole && remaining >= kChunk<U>) {
      __stcs(reinterpret_cast<uint4*>(target),
             make_uint4(all.words[0], all.words[1], all.words[2], all.words[3]));
    } else {
      store_chunk(target, all, remaining, whole);
    }
  };
  if constexpr (kIsTiled<L>) {
    const bool is_inside = place < p.ldy && col < padded_cols(p.cols);
    put(p.y + panel_offset(place, col, p.ldy), chunk, is_inside ? kChunk<U> : 0, vectors);
  } else {
    put(p.y + row * p.ldy + col, chunk, row < p.rows ? p.cols - col : 0, vectors);
  }
}

/// Both sides keep chunks, at multiples of 16 bytes. blockIdx.x = row block * column blocks +
/// column block.
template <class U, class From, class To>
__global__ void __launch_bounds__(kThreads) copy_kernel(const Move<U> p, unsigned col_blocks) {
  using Order = std::conditional_t<kIsTiled<From>, From, To>;
  constexpr int kLineCols = kLineChunks * kChunk<U>;
  constexpr bool kIsDown = kGoesDown<U, From, To>;
  constexpr int kDown = kIsDown ? kCopyRows : 0;  // from one chunk of a thread to the next
  constexpr int kAcross = kIsDown ? 0 : kLineCols;
  constexpr int kRowsOfBlock = kIsDown ? kChunksInFlight * kCopyRows : kCopyRows;
  constexpr int kColsOfBlock = kIsDown ? kLineCols : kChunksInFlight * kLineCols;
  const unsigned in_block = threadIdx.x / kLineChunks;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / col_blocks) * kRowsOfBlock;
  const int64_t place = first_row + in_block, row = first_row + row_at<Order>(in_block);
  const int64_t col = static_cast<int64_t>(blockIdx.x % col_blocks) * kColsOfBlock +
                      threadIdx.x % kLineChunks * kChunk<U>;

  Chunk chunks[kChunksInFlight];
#pragma unroll
  for (int k = 0; k < kChunksInFlight; ++k) {
    chunks[k] =
        load_row_chunk<From>(p, row + k * kDown, place + k * kDown, col + k * kAcross, true);
  }
#pragma unroll
  for (int k = 0; k < kChunksInFlight; ++k) {
    store_row_chunk<To, kIsDown>(p, row + k * kDown, place + k * kDown, col + k * kAcross,
                                 chunks[k], true);
  }
}

/// A tile of the matrix, row by row, in 16-byte units that are permuted within each row: lanes that
/// hold one unit of 8 rows, neighbours or a quad apart, then find 8 different groups of banks. The
/// permutation of a row is the exclusive or of its bits' permutations, so that a thread computes an
/// offset once and reaches its other rows by constants.
template <class U>
struct Tile {
  static constexpr int kCols = kLineChunks * kChunk<U>;
  static constexpr int kQuadRows = kChunk<U>;  // rows of a chunk of a column

  uint4 units[kTileRows * kLineChunks];

  /// Bytes up to an element.
  static __device__ __forceinline__ unsigned offset(unsigned row, unsigned col) {
    return row * kLineBytes + (col / kChunk<U> ^ permutation(row)) * 16 +
           col % kChunk<U> * sizeof(U);
  }
  /// What is `rows` below an offset whose row has none of their bits.
  template <class V>
  __device__ __forceinline__ V& at(unsigned offset, unsigned rows = 0) {
    char* bytes = reinterpret_cast<char*>(units);
    return *reinterpret_cast<V*>(bytes + (offset ^ permutation(rows) * 16) + rows * kLineBytes);
  }
  __device__ __forceinline__ unsigned& word(unsigned offset, unsigned rows) {
    return at<unsigned>(offset, rows);
  }
  __device__ __forceinline__ void put(unsigned offset, unsigned rows, const Chunk& chunk) {
    at<uint4>(offset, rows) =
        make_uint4(chunk.words[0], chunk.words[1], chunk.words[2], chunk.words[3]);
  }
  __device__ __forceinline__ Chunk get(unsigned offset, unsigned rows) {
    const uint4 all = at<uint4>(offset, rows);
    return {{all.x, all.y, all.z, all.w}};
  }

 private:
  static constexpr unsigned kLineBytes = kLineChunks * 16;

  static __device__ __forceinline__ unsigned permutation(unsigned row) {
    return (row ^ row / kQuadRows) % kLineChunks;
  }
};

/// 4 x 4 bytes, a word a row.
__device__ __forceinline__ void transpose_bytes(unsigned (&rows)[4]) {
  const unsigned low01 = __byte_perm(rows[0], rows[1], 0x5140);
  const unsigned low23 = __byte_perm(rows[2], rows[3], 0x5140);
  const unsigned high01 = __byte_perm(rows[0], rows[1], 0x7362);
  const unsigned high23 = __byte_perm(rows[2], rows[3], 0x7362);
  rows[0] = __byte_perm(low01, low23, 0x5410);
  rows[1] = __byte_perm(low01, low23, 0x7632);
  rows[2] = __byte_perm(high01, high23, 0x5410);
  rows[3] = __byte_perm(high01, high23, 0x7632);
}

/// Where the four chunks of a thread lie: the place of the first one, from which the others are
/// kDown rows below each other, or columns beside each other. Of unsigned integers / and % are one
/// instruction each.
template <class L, class U>
struct ThreadChunks {
  static constexpr int kDown = std::is_same_v<L, ColMajor> ? 0 : kTileRows / kChunksInFlight;

  unsigned place, col;  // in the tile

  __device__ __forceinline__ explicit ThreadChunks(unsigned thread) {
    if constexpr (std::is_same_v<L, ColMajor>) {
      // A quad: four columns of as many rows as a chunk of a column holds. Eight lanes take 128
      // bytes of a column.
      constexpr unsigned kGroups = kTileRows / Tile<U>::kQuadRows / 8;  // 1 of bytes, 4 of words
      const unsigned lane = thread % kWarp, warp = thread / kWarp;
      place = (lane % 8 + warp % kGroups * 8) * Tile<U>::kQuadRows;
      col = (lane / 8 + warp / kGroups * 4) * 4;
    } else if constexpr (std::is_same_v<L, Col4_4R2_8C>) {
      // A unit: words of the rows `place`, + 2, + 4, + 6. A warp takes the tile's width.
      const unsigned warp = thread / kWarp;
      place = warp / 2 * 8 + warp % 2;
      col = thread % kWarp * 4;
    } else {
      place = thread / kLineChunks;
      col = thread % kLineChunks * kChunk<U>;
    }
  }
  __device__ __forceinline__ unsigned tile_offset() const {
    return Tile<U>::offset(row_at<L>(place), col);
  }
  /// Elements from the matrix's begin to the first chunk, and from each to the next.
  __device__ __forceinline__ int64_t first(int64_t first_row, int64_t first_col, int64_t ld) const {
    const int64_t i = first_row + place, j = first_col + col;
    if constexpr (std::is_same_v<L, ColMajor>) {
      return j * ld + i;
    } else if constexpr (std::is_same_v<L, Col4_4R2_8C>) {
      return unit_offset(i, j, ld);
    } else if constexpr (kIsTiled<L>) {
      return panel_offset(i, j, ld);
    } else {
      return i * ld + j;
    }
  }
  static __device__ __forceinline__ int64_t step(int64_t ld) {
    return std::is_same_v<L, ColMajor> ? ld : kDown * (kIsTiled<L> ? int64_t{kPanel} : ld);
  }
};

/// columns[k] is a chunk of the quad's column k.
template <class U>
__device__ __forceinline__ void put_quad(Tile<U>& tile, unsigned at, const Chunk (&columns)[4]) {
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    unsigned words[4] = {columns[0].words[w], columns[1].words[w], columns[2].words[w],
                         columns[3].words[w]};
    if constexpr (sizeof(U) == 1) {
      transpose_bytes(words);
#pragma unroll
      for (int b = 0; b < 4; ++b) tile.word(at, 4 * w + b) = words[b];
    } else {
      static_assert(sizeof(U) == 4);
      tile.put(at, w, {{words[0], words[1], words[2], words[3]}});
    }
  }
}

template <class U>
__device__ __forceinline__ void get_quad(Tile<U>& tile, unsigned at, Chunk (&columns)[4]) {
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    unsigned words[4];
    if constexpr (sizeof(U) == 1) {
#pragma unroll
      for (int b = 0; b < 4; ++b) words[b] = tile.word(at, 4 * w + b);
      transpose_bytes(words);
    } else {
      static_assert(sizeof(U) == 4);
      const Chunk row = tile.get(at, w);
#pragma unroll
      for (int k = 0; k < 4; ++k) words[k] = row.words[k];
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) columns[k].words[w] = words[k];
  }
}

/// Where element n of a tile lies: along rows, or along columns.
template <class L, class U>
__device__ __forceinline__ void element_at(unsigned n, unsigned* row, unsigned* col) {
  if constexpr (std::is_same_v<L, ColMajor>) {
    *row = n % kTileRows;
    *col = n / kTileRows;
  } else {
    *row = n / Tile<U>::kCols;
    *col = n % Tile<U>::kCols;
  }
}

/// Whether a tile has no end of the matrix in it.
template <class U>
__device__ __forceinline__ bool is_whole(const Move<U>& p, int64_t first_row, int64_t first_col) {
  return first_row + kTileRows <= p.rows && first_col + Tile<U>::kCols <= p.cols;
}

template <class L, class U>
__device__ __forceinline__ void load_elements(const Move<U>& p, int64_t first_row,
                                              int64_t first_col, Tile<U>& tile) {
  for (unsigned base = threadIdx.x; base < kTileRows * Tile<U>::kCols;
       base += kElementsInFlight * kThreads) {
    U values[kElementsInFlight];
#pragma unroll
    for (int e = 0; e < kElementsInFlight; ++e) {
      unsigned row, col;
      element_at<L, U>(base + e * kThreads, &row, &col);
      const int64_t i = first_row + row, j = first_col + col;
      const bool is_inside = i < p.rows && j < p.cols;
      if constexpr (std::is_same_v<L, ColMajor>) {
        values[e] = is_inside ? __ldg(p.x + j * p.ldx + i) : U{0};
      } else {
        values[e] = is_inside ? __ldg(p.x + row_offset<L>(p, i) + j) : U{0};
      }
    }
#pragma unroll
    for (int e = 0; e < kElementsInFlight; ++e) {
      unsigned row, col;
      element_at<L, U>(base + e * kThreads, &row, &col);
      tile.template at<U>(Tile<U>::offset(row, col)) = values[e];
    }
  }
}

template <class L, class U>
__device__ __forceinline__ void store_elements(const Move<U>& p, int64_t first_row,
                                               int64_t first_col, Tile<U>& tile) {
#pragma unroll kElementsInFlight
  for (unsigned n = threadIdx.x; n < kTileRows * Tile<U>::kCols; n += kThreads) {
    unsigned row, col;
    element_at<L, U>(n, &row, &col);
    const int64_t i = first_row + row, j = first_col + col;
    if (i < p.rows && j < p.cols) {
      p.y[std::is_same_v<L, ColMajor> ? j * p.ldy + i : i * p.ldy + j] =
          tile.template at<U>(Tile<U>::offset(row, col));
    }
  }
}

template <class L, class U>
__device__ __forceinline__ void load_tile(const Move<U>& p, int64_t first_row, int64_t first_col,
                                          Tile<U>& tile) {
  if (!kIsTiled<L> && !p.x_vectors) {
    load_elements<L>(p, first_row, first_col, tile);
    return;
  }

  using Places = ThreadChunks<L, U>;
  const Places first(threadIdx.x);
  Chunk chunks[kChunksInFlight];
  if (!std::is_same_v<L, BatchRows> && p.x_vectors && is_whole(p, first_row, first_col)) {
    const U* source = p.x + first.first(first_row, first_col, p.ldx);
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      chunks[k] = load_whole_chunk(source + k * Places::step(p.ldx));
    }
  } else {
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      const int64_t place = first_row + first.place + k * Places::kDown;
      const int64_t col = first_col + first.col;
      if constexpr (kKeepsChunks<L>) {
        const int64_t row = first_row + row_at<L>(first.place + k * Places::kDown);
        chunks[k] = load_row_chunk<L>(p, row, place, col, p.x_vectors);
      } else if constexpr (kIsTiled<L>) {
        const bool is_inside = place < p.rows && col < p.cols;
        chunks[k] = load_chunk(p.x + unit_offset(place, col, p.ldx), is_inside ? kChunk<U> : 0,
                               p.x_vectors);
      } else {
        chunks[k] = load_chunk(p.x + (col + k) * p.ldx + place,
                               col + k < p.cols ? p.rows - place : 0, p.x_vectors);
      }
    }
  }

  const unsigned at = first.tile_offset();
  if constexpr (std::is_same_v<L, ColMajor>) {
    put_quad(tile, at, chunks);
  } else {
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      if constexpr (kKeepsChunks<L>) {
        tile.put(at, k * Places::kDown, chunks[k]);
      } else {
#pragma unroll
        for (int w = 0; w < 4; ++w) tile.word(at, k * Places::kDown + 2 * w) = chunks[k].words[w];
      }
    }
  }
}

template <class L, class U>
__device__ __forceinline__ void store_tile(const Move<U>& p, int64_t first_row, int64_t first_col,
                                           Tile<U>& tile) {
  if (!kIsTiled<L> && !p.y_vectors) {
    store_elements<L>(p, first_row, first_col, tile);
    return;
  }

  using Places = ThreadChunks<L, U>;
  const Places first(threadIdx.x);
  const unsigned at = first.tile_offset();
  Chunk chunks[kChunksInFlight];
  if constexpr (std::is_same_v<L, ColMajor>) {
    get_quad(tile, at, chunks);
  } else {
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      if constexpr (kKeepsChunks<L>) {
        chunks[k] = tile.get(at, k * Places::kDown);
      } else {
#pragma unroll
        for (int w = 0; w < 4; ++w) chunks[k].words[w] = tile.word(at, k * Places::kDown + 2 * w);
      }
    }
  }

  if (p.y_vectors && is_whole(p, first_row, first_col)) {
    U* target = p.y + first.first(first_row, first_col, p.ldy);
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      store_chunk(target + k * Places::step(p.ldy), chunks[k], kChunk<U>, true);
    }
    return;
  }
#pragma unroll
  for (int k = 0; k < kChunksInFlight; ++k) {
    const int64_t place = first_row + first.place + k * Places::kDown;
    const int64_t col = first_col + first.col;
    if constexpr (kKeepsChunks<L>) {
      const int64_t row = first_row + row_at<L>(first.place + k * Places::kDown);
      store_row_chunk<L, false>(p, row, place, col, chunks[k], p.y_vectors);
    } else if constexpr (kIsTiled<L>) {
      const bool is_inside = place < p.ldy && col < padded_cols(p.cols);
      store_chunk(p.y + unit_offset(place, col, p.ldy), chunks[k], is_inside ? kChunk<U> : 0,
                  p.y_vectors);
    } else {
      store_chunk(p.y + (col + k) * p.ldy + place, chunks[k], col + k < p.cols ? p.rows - place : 0,
                  p.y_vectors);
    }
  }
}

/// blockIdx.x = row block * column blocks + column block.
template <class U, class From, class To>
__global__ void __launch_bounds__(kThreads) tile_kernel(const Move<U> p, unsigned col_blocks) {
  __shared__ Tile<U> tile;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / col_blocks) * kTileRows;
  const int64_t first_col = static_cast<int64_t>(blockIdx.x % col_blocks) * Tile<U>::kCols;
  load_tile<From>(p, first_row, first_col, tile);
  __syncthreads();
  store_tile<To>(p, first_row, first_col, tile);
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <class L>
int64_t leading(const L& layout) {
  if constexpr (std::is_same_v<L, Col32>) {
    return layout.rows;
  } else if constexpr (kIsTiled<L>) {
    return layout.padded_rows;
  } else {
    return layout.ld;
  }
}

/// Whether each line, or a tiled layout's first byte, lies at a multiple of 16 bytes.
template <class T, class L>
bool vectors(const Matrix<T, L>& m) {
  const int64_t lines = std::is_same_v<L, ColMajor> ? m.cols : m.rows;
  return aligned_rows(m.data, leading(m.layout), kIsTiled<L> ? 1 : lines, 16);
}

template <class From, class To, class U>
void launch(Cuda backend, const Move<U>& p) {
  // The padding of a tiled y is written too.
  const int64_t rows = kIsTiled<To> ? p.ldy : p.rows;
  if constexpr (kKeepsChunks<From> && kKeepsChunks<To>) {
    if (p.x_vectors && p.y_vectors) {
      constexpr int kAcross = kGoesDown<U, From, To> ? 1 : kChunksInFlight;
      const int64_t col_blocks = ceil_div(p.cols, kAcross * kLineChunks * kChunk<U>);
      const int64_t blocks = ceil_div(rows, kCopyRows * kChunksInFlight / kAcross) * col_blocks;
      copy_kernel<U, From, To><<<static_cast<unsigned>(blocks), kThreads, 0, backend.stream>>>(
          p, static_cast<unsigned>(col_blocks));
      return;
    }
  }
  const int64_t col_blocks = ceil_div(p.cols, Tile<U>::kCols);
  const int64_t blocks = ceil_div(rows, kTileRows) * col_blocks;
  tile_kernel<U, From, To><<<static_cast<unsigned>(blocks), kThreads, 0, backend.stream>>>(
      p, static_cast<unsigned>(col_blocks));
}

template <class T, class From, class To>
void move(Cuda backend, Matrix<const T, From> x, Matrix<T, To> y) {
  using U = Bits<T>;
  launch<From, To>(backend, Move<U>{reinterpret_cast<const U*>(x.data), leading(x.layout),
                                    reinterpret_cast<U*>(y.data), leading(y.layout), x.rows, x.cols,
                                    vectors(x), vectors(y), 0, 0});
}

}  // namespace

template <class T, class From, class To>
void transform(Cuda backend, Matrix<const T, From> x, Matrix<T, To> y) {
  preconditions::transform(x, y);
  if (x.empty()) return;
  if constexpr (std::is_same_v<From, ColMajor> && !kIsTiled<To>) {
    move(backend, transposed(x), transposed(y));
  } else {
    move(backend, x, y);
  }
  check(cudaGetLastError(), "launching transform");
}

template <class T>
void flatten(Cuda backend, Batch<const T> x, Matrix<T> y) {
  preconditions::flatten(x.first, x.count, x.stride, y);
  if (y.empty()) return;
  using U = Bits<T>;
  const Matrix<const T>& first = x.first;
  const bool strides_agree = x.count == 1 || x.stride == first.rows * first.layout.ld;
  // Rows of different matrices can be neighbours: every stride counts.
  const bool x_vectors = vectors(first) && aligned_rows(first.data, x.stride, x.count, 16);
  launch<BatchRows, RowMajor>(
      backend, Move<U>{reinterpret_cast<const U*>(first.data), first.layout.ld,
                       reinterpret_cast<U*>(y.data), y.layout.ld, y.rows, y.cols, x_vectors,
                       vectors(y), strides_agree ? 0 : first.rows, x.stride});
  check(cudaGetLastError(), "launching flatten");
}

template void transform(Cuda, Matrix<const s8, RowMajor>, Matrix<s8, RowMajor>);
template void transform(Cuda, Matrix<const s8, RowMajor>, Matrix<s8, ColMajor>);
template void transform(Cuda, Matrix<const s8, RowMajor>, Matrix<s8, Col32>);
template void transform(Cuda, Matrix<const s8, RowMajor>, Matrix<s8, Col4_4R2_8C>);
template void transform(Cuda, Matrix<const s8, RowMajor>, Matrix<s8, Col32_2R_4R4>);
template void transform(Cuda, Matrix<const s8, ColMajor>, Matrix<s8, RowMajor>);
template void transform(Cuda, Matrix<const s8, ColMajor>, Matrix<s8, ColMajor>);
template void transform(Cuda, Matrix<const s8, ColMajor>, Matrix<s8, Col32>);
template void transform(Cuda, Matrix<const s8, ColMajor>, Matrix<s8, Col4_4R2_8C>);
template void transform(Cuda, Matrix<const s8, ColMajor>, Matrix<s8, Col32_2R_4R4>);
template void transform(Cuda, Matrix<const s8, Col32>, Matrix<s8, RowMajor>);
template void transform(Cuda, Matrix<const s8, Col32>, Matrix<s8, ColMajor>);
template void transform(Cuda, Matrix<const s8, Col4_4R2_8C>, Matrix<s8, RowMajor>);
template void transform(Cuda, Matrix<const s8, Col4_4R2_8C>, Matrix<s8, ColMajor>);
template void transform(Cuda, Matrix<const s8, Col32_2R_4R4>, Matrix<s8, RowMajor>);
template void transform(Cuda, Matrix<const s8, Col32_2R_4R4>, Matrix<s8, ColMajor>);
template void transform(Cuda, Matrix<const s32, RowMajor>, Matrix<s32, RowMajor>);
template void transform(Cuda, Matrix<const s32, RowMajor>, Matrix<s32, ColMajor>);
template void transform(Cuda, Matrix<const s32, RowMajor>, Matrix<s32, Col32>);
template void transform(Cuda, Matrix<const s32, ColMajor>, Matrix<s32, RowMajor>);
template void transform(Cuda, Matrix<const s32, ColMajor>, Matrix<s32, ColMajor>);
template void transform(Cuda, Matrix<const s32, ColMajor>, Matrix<s32, Col32>);
template void transform(Cuda, Matrix<const s32, Col32>, Matrix<s32, RowMajor>);
template void transform(Cuda, Matrix<const s32, Col32>, Matrix<s32, ColMajor>);
template void flatten(Cuda, Batch<const f16>, Matrix<f16>);
template void flatten(Cuda, Batch<const bf16>, Matrix<bf16>);
template void flatten(Cuda, Batch<const f32>, Matrix<f32>);

}  // namespace octet
