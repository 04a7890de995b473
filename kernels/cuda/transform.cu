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
//   neighbouring elements.
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
__device__ __forceinline__ int row_at(int place) {
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
  const int in_block = static_cast<int>(threadIdx.x) / kLineChunks;
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
/// hold one unit of 8 rows, neighbours or a quad apart, then find 8 different groups of banks.
template <class U>
struct Tile {
  static constexpr int kCols = kLineChunks * kChunk<U>;
  static constexpr int kQuadRows = kChunk<U>;  // rows of a chunk of a column

  uint4 units[kTileRows * kLineChunks];

  __device__ __forceinline__ U* at(int row, int col) {
    const int unit = col / kChunk<U> ^ (row + row / kQuadRows) % kLineChunks;
    return reinterpret_cast<U*>(units + row * kLineChunks + unit) + col % kChunk<U>;
  }
  __device__ __forceinline__ unsigned& word(int row, int col) {
    return *reinterpret_cast<unsigned*>(at(row, col));
  }
  __device__ __forceinline__ void put(int row, int col, const Chunk& chunk) {
    *reinterpret_cast<uint4*>(at(row, col)) =
        make_uint4(chunk.words[0], chunk.words[1], chunk.words[2], chunk.words[3]);
  }
  __device__ __forceinline__ Chunk get(int row, int col) {
    const uint4 all = *reinterpret_cast<const uint4*>(at(row, col));
    return {{all.x, all.y, all.z, all.w}};
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

/// Where a thread's quad begins: four columns of as many rows as a chunk of a column holds. Eight
/// lanes take 128 bytes of a column.
template <class U>
struct Quad {
  int row, col;

  __device__ __forceinline__ explicit Quad(int thread) {
    constexpr int kDown = kTileRows / Tile<U>::kQuadRows;  // 8 of bytes, 32 of words
    const int lane = thread % kWarp, warp = thread / kWarp;
    row = (lane % 8 + warp % (kDown / 8) * 8) * Tile<U>::kQuadRows;
    col = (lane / 8 + warp / (kDown / 8) * 4) * 4;
  }
};

/// columns[k] is a chunk of the quad's column k.
template <class U>
__device__ __forceinline__ void put_quad(Tile<U>& tile, const Quad<U>& at,
                                         const Chunk (&columns)[4]) {
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    unsigned words[4] = {columns[0].words[w], columns[1].words[w], columns[2].words[w],
                         columns[3].words[w]};
    if constexpr (sizeof(U) == 1) {
      transpose_bytes(words);
#pragma unroll
      for (int b = 0; b < 4; ++b) tile.word(at.row + 4 * w + b, at.col) = words[b];
    } else {
      static_assert(sizeof(U) == 4);
      tile.put(at.row + w, at.col, {{words[0], words[1], words[2], words[3]}});
    }
  }
}

template <class U>
__device__ __forceinline__ void get_quad(Tile<U>& tile, const Quad<U>& at, Chunk (&columns)[4]) {
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    unsigned words[4];
    if constexpr (sizeof(U) == 1) {
#pragma unroll
      for (int b = 0; b < 4; ++b) words[b] = tile.word(at.row + 4 * w + b, at.col);
      transpose_bytes(words);
    } else {
      static_assert(sizeof(U) == 4);
      const Chunk row = tile.get(at.row + w, at.col);
#pragma unroll
      for (int k = 0; k < 4; ++k) words[k] = row.words[k];
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) columns[k].words[w] = words[k];
  }
}

/// Where element n of a tile lies: along rows, or along columns.
template <class L, class U>
__device__ __forceinline__ void element_at(int n, int* row, int* col) {
  if constexpr (std::is_same_v<L, ColMajor>) {
    *row = n % kTileRows;
    *col = n / kTileRows;
  } else {
    *row = n / Tile<U>::kCols;
    *col = n % Tile<U>::kCols;
  }
}

/// The k-th chunk of a thread: a row's, in the order of the layout's places.
template <class L, class U>
__device__ __forceinline__ void chunk_at(int thread, int k, int* place, int* col) {
  const int n = k * kThreads + thread;
  *place = n / kLineChunks;
  *col = n % kLineChunks * kChunk<U>;
}

/// A unit of Col4_4R2_8C: words of the rows `row`, + 2, + 4, + 6. A warp takes the tile's width.
__device__ __forceinline__ void unit_at(int thread, int k, int* row, int* col) {
  const int group = k * (kThreads / kWarp) + thread / kWarp;
  *row = group / 2 * 8 + group % 2;
  *col = thread % kWarp * 4;
}
__device__ __forceinline__ int64_t unit_offset(int64_t row, int64_t col, int64_t ld) {
  return (col >> 5) * kPanel * ld + (row >> 3) * 256 + (row & 1) * 128 + (col & 31) / 4 * 16;
}

template <class L, class U>
__device__ __forceinline__ void load_tile(const Move<U>& p, int64_t first_row, int64_t first_col,
                                          Tile<U>& tile) {
  const int thread = static_cast<int>(threadIdx.x);
  if (!kIsTiled<L> && !p.x_vectors) {
    for (int base = thread; base < kTileRows * Tile<U>::kCols;
         base += kElementsInFlight * kThreads) {
      U values[kElementsInFlight];
#pragma unroll
      for (int e = 0; e < kElementsInFlight; ++e) {
        int row, col;
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
        int row, col;
        element_at<L, U>(base + e * kThreads, &row, &col);
        *tile.at(row, col) = values[e];
      }
    }
    return;
  }

  Chunk chunks[kChunksInFlight];
  if constexpr (kKeepsChunks<L>) {
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      int place, col;
      chunk_at<L, U>(thread, k, &place, &col);
      chunks[k] = load_row_chunk<L>(p, first_row + row_at<L>(place), first_row + place,
                                    first_col + col, p.x_vectors);
    }
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      int place, col;
      chunk_at<L, U>(thread, k, &place, &col);
      tile.put(row_at<L>(place), col, chunks[k]);
    }
  } else if constexpr (kIsTiled<L>) {
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      int row, col;
      unit_at(thread, k, &row, &col);
      const bool is_inside = first_row + row < p.rows && first_col + col < p.cols;
      chunks[k] = load_chunk(p.x + unit_offset(first_row + row, first_col + col, p.ldx),
                             is_inside ? kChunk<U> : 0, p.x_vectors);
    }
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      int row, col;
      unit_at(thread, k, &row, &col);
#pragma unroll
      for (int w = 0; w < 4; ++w) tile.word(row + 2 * w, col) = chunks[k].words[w];
    }
  } else {
    const Quad<U> quad(thread);
    const int64_t row = first_row + quad.row, col = first_col + quad.col;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      chunks[k] = load_chunk(p.x + (col + k) * p.ldx + row, col + k < p.cols ? p.rows - row : 0,
                             p.x_vectors);
    }
    put_quad(tile, quad, chunks);
  }
}

template <class L, class U>
__device__ __forceinline__ void store_tile(const Move<U>& p, int64_t first_row, int64_t first_col,
                                           Tile<U>& tile) {
  const int thread = static_cast<int>(threadIdx.x);
  if (!kIsTiled<L> && !p.y_vectors) {
#pragma unroll kElementsInFlight
    for (int n = thread; n < kTileRows * Tile<U>::kCols; n += kThreads) {
      int row, col;
      element_at<L, U>(n, &row, &col);
      const int64_t i = first_row + row, j = first_col + col;
      if (i < p.rows && j < p.cols) {
        p.y[std::is_same_v<L, ColMajor> ? j * p.ldy + i : i * p.ldy + j] = *tile.at(row, col);
      }
    }
    return;
  }

  if constexpr (kKeepsChunks<L>) {
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      int place, col;
      chunk_at<L, U>(thread, k, &place, &col);
      store_row_chunk<L, false>(p, first_row + row_at<L>(place), first_row + place, first_col + col,
                                tile.get(row_at<L>(place), col), p.y_vectors);
    }
  } else if constexpr (kIsTiled<L>) {
#pragma unroll
    for (int k = 0; k < kChunksInFlight; ++k) {
      int row, col;
      unit_at(thread, k, &row, &col);
      const int64_t i = first_row + row, j = first_col + col;
      Chunk unit;
#pragma unroll
      for (int w = 0; w < 4; ++w) unit.words[w] = tile.word(row + 2 * w, col);
      const bool is_inside = i < p.ldy && j < padded_cols(p.cols);
      store_chunk(p.y + unit_offset(i, j, p.ldy), unit, is_inside ? kChunk<U> : 0, p.y_vectors);
    }
  } else {
    const Quad<U> quad(thread);
    const int64_t row = first_row + quad.row, col = first_col + quad.col;
    Chunk chunks[4];
    get_quad(tile, quad, chunks);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      store_chunk(p.y + (col + k) * p.ldy + row, chunks[k], col + k < p.cols ? p.rows - row : 0,
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
