// quantize_rowwise and quantize_row_col: floating point to int8, bit-exact with quantize.hpp.
//
// The statistic is taken on bits: for magnitudes the order of unsigned integers is the order of the
// floats, and Inf and NaN come out above every finite value. A maximum does not depend on the order
// in which it is taken, so atomics leave the same bits at every run.
//
// quantize_rowwise
//   A block takes a row, or a warp where rows are short; the row stays in registers between the
//   statistic and the rounding. Rows beyond what registers hold are read twice.
//   Bytes: sizeof(T) read and 1 written an element.
// quantize_row_col
//   1. absmax_row_col_kernel   both statistics in one read, as bits in row_scale and col_scale
//   2. quantize_row_col_kernel tiles of 128 x 64: q_row as they lie, q_col through shared memory
//   3. scales_kernel           statistic to scale, in place
//   Bytes: 2 sizeof(T) read and 2 written an element.
//
// Any extents, leading dimensions and alignment. Accesses take 16 bytes (x, q_col) and 8 or 4
// (q_row) where alignment allows it.
#include <algorithm>

#include "cuda/error.hpp"
#include "cuda/vector_access.cuh"
#include "octet/quantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr unsigned kInfinityBits = 0x7f800000u;

// Row quantization.
constexpr int kChunksWanted = 4;  // loads that a thread has in flight
constexpr int kMaxChunks = 8;     // held in registers
constexpr int kMaxThreads = 768;  // of a row: leaves each 80 registers
constexpr int kRowsOfShort = 4;   // rows of a block, where a warp takes a row

// Row and column quantization.
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRowsInFlight = 4;         // rows that a warp loads before it uses the first one
constexpr int kMaxRowsOfBlock = 512;     // of the statistic
constexpr int64_t kBlocksWanted = 1024;  // of the statistic: several for each multiprocessor
constexpr int kTileRows = 128;           // 128 bytes of each column of q_col
constexpr int kTileCols = 64;            // 128 bytes of each row of a 16-bit x
constexpr int kUnits = kTileRows / 16;   // 16-byte units of a column of the tile

// Magnitudes of the elements in a word: two 16-bit ones or one of 32 bits.
template <class T>
__device__ __forceinline__ unsigned magnitudes(unsigned word) {
  return word & (sizeof(T) == 2 ? 0x7fff7fffu : 0x7fffffffu);
}
template <class T>
__device__ __forceinline__ unsigned larger(unsigned a, unsigned b) {
  if constexpr (sizeof(T) == 2) {
    return __vmaxu2(a, b);
  } else {
    return max(a, b);
  }
}
/// The f32 bits of the largest magnitude in a word.
template <class T>
__device__ __forceinline__ unsigned largest_bits(unsigned word) {
  if constexpr (sizeof(T) == 2) {
    return __float_as_uint(value_of<T>(max(word & 0xffffu, word >> 16)));
  } else {
    return word;
  }
}
template <class T>
__device__ __forceinline__ unsigned largest_bits(const Chunk& chunk) {
  unsigned word = magnitudes<T>(chunk.words[0]);
#pragma unroll
  for (int i = 1; i < 4; ++i) word = larger<T>(word, magnitudes<T>(chunk.words[i]));
  return largest_bits<T>(word);
}

/// 127 / absmax; 0 where every q is 0.
__device__ __forceinline__ float inverse_scale(unsigned absmax_bits) {
  if (absmax_bits >= kInfinityBits) return 0.0f;
  const float inverse = __fdiv_rn(127.0f, __uint_as_float(absmax_bits));
  return __float_as_uint(inverse) < kInfinityBits ? inverse : 0.0f;
}

__device__ __forceinline__ float scale(unsigned absmax_bits) {
  if (absmax_bits >= kInfinityBits) return __uint_as_float(0x7fc00000u);
  if (inverse_scale(absmax_bits) == 0.0f) return 0.0f;
  return __fdiv_rn(__uint_as_float(absmax_bits), 127.0f);
}

/// rint(x * inverse) in the low byte. The sum with 1.5 * 2^23 has a unit in the last place of 1, so
/// the adder itself rounds to the nearest integer, ties to even, and leaves it in two's complement.
/// |x| <= absmax keeps the product within 127 (1 + 2^-22), hence the result within 127.
__device__ __forceinline__ unsigned rounded(float x, float inverse) {
  return __float_as_uint(__fadd_rn(__fmul_rn(x, inverse), 12582912.0f));
}

/// Quantizes a chunk of a row and stores it. NaN and Inf would survive a product with an inverse of
/// 0, so that is tested.
template <class T>
__device__ __forceinline__ void store_quantized(s8* target, const Chunk& chunk, float inverse,
                                                int64_t remaining, bool vectors) {
  constexpr int kWords = kChunk<T> / 4;
  unsigned words[kWords];
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    const unsigned packed = pack_bytes(rounded(element<T>(chunk, 4 * w), inverse),
                                       rounded(element<T>(chunk, 4 * w + 1), inverse),
                                       rounded(element<T>(chunk, 4 * w + 2), inverse),
                                       rounded(element<T>(chunk, 4 * w + 3), inverse));
    words[w] = inverse == 0.0f ? 0u : packed;
  }
  store_bytes(target, words, remaining, vectors);
}

/// The maximum over the threads of a row: a warp, or a block of one row.
__device__ __forceinline__ unsigned row_max(unsigned value) {
  __shared__ unsigned partial[kMaxThreads / kWarp];
  value = __reduce_max_sync(kAllLanes, value);
  if (blockDim.x == kWarp) return value;
  const unsigned lane = threadIdx.x % kWarp;
  if (lane == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  return __reduce_max_sync(kAllLanes, lane < blockDim.x / kWarp ? partial[lane] : 0u);
}

template <class T>
struct Rowwise {
  const T* x;
  int64_t ldx;
  s8* q;
  int64_t ldq;
  float* row_scale;
  int64_t rows, cols;
  bool x_vectors, q_vectors;
};

/// blockDim (threads of a row, rows); more than one row only where a warp takes each.
template <class T, int kChunks>
__global__ void __launch_bounds__(kMaxThreads) quantize_rowwise_kernel(const Rowwise<T> p) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= p.rows) return;  // whole warps that no barrier waits for
  const T* source = p.x + row * p.ldx;

  Chunk chunks[kChunks];
#pragma unroll
  for (int i = 0; i < kChunks; ++i) {
    const int64_t col = static_cast<int64_t>(threadIdx.x + i * blockDim.x) * kChunk<T>;
    chunks[i] = load_chunk(source + col, p.cols - col, p.x_vectors);
  }
  unsigned absmax = 0;
#pragma unroll
  for (int i = 0; i < kChunks; ++i) absmax = max(absmax, largest_bits<T>(chunks[i]));
  absmax = row_max(absmax);

  if (threadIdx.x == 0) p.row_scale[row] = scale(absmax);
  const float inverse = inverse_scale(absmax);
#pragma unroll
  for (int i = 0; i < kChunks; ++i) {
    const int64_t col = static_cast<int64_t>(threadIdx.x + i * blockDim.x) * kChunk<T>;
    store_quantized<T>(p.q + row * p.ldq + col, chunks[i], inverse, p.cols - col, p.q_vectors);
  }
}

/// A block for each row, which is read twice.
template <class T>
__global__ void __launch_bounds__(kMaxThreads) quantize_rowwise_reread_kernel(const Rowwise<T> p) {
  const int64_t row = blockIdx.x;
  const T* source = p.x + row * p.ldx;
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kChunk<T>;
  const int64_t step = static_cast<int64_t>(blockDim.x) * kChunk<T>;

  unsigned absmax = 0;
#pragma unroll 4
  for (int64_t col = first; col < p.cols; col += step) {
    absmax = max(absmax, largest_bits<T>(load_chunk(source + col, p.cols - col, p.x_vectors)));
  }
  absmax = row_max(absmax);

  if (threadIdx.x == 0) p.row_scale[row] = scale(absmax);
  const float inverse = inverse_scale(absmax);
#pragma unroll 4
  for (int64_t col = first; col < p.cols; col += step) {
    store_quantized<T>(p.q + row * p.ldq + col, load_chunk(source + col, p.cols - col, p.x_vectors),
                       inverse, p.cols - col, p.q_vectors);
  }
}

template <class T>
struct RowCol {
  const T* x;
  int64_t ldx;
  s8* q_row;
  int64_t ldq_row;
  s8* q_col;
  int64_t ldq_col;
  unsigned* row_absmax;  // bits, until the last pass
  unsigned* col_absmax;
  int64_t rows, cols;
  bool x_vectors, q_row_vectors, q_col_vectors;
};

/// A block takes `rows_of_block` rows of 32 chunks; a warp takes four rows at a time, a lane the
/// same columns of each. blockIdx.x = row block * column blocks + column block.
template <class T>
__global__ void __launch_bounds__(kThreads)
    absmax_row_col_kernel(const RowCol<T> p, int rows_of_block, unsigned col_blocks) {
  constexpr int kCols = kWarp * kChunk<T>;
  __shared__ unsigned row_part[kMaxRowsOfBlock];
  __shared__ unsigned col_part[kWarps][kWarp * 4];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / col_blocks) * rows_of_block;
  const int64_t first_col = static_cast<int64_t>(blockIdx.x % col_blocks) * kCols;
  const int64_t col = first_col + lane * kChunk<T>;
  const T* source = p.x + first_row * p.ldx + col;
  const int rows = static_cast<int>(min(p.rows - first_row, static_cast<int64_t>(rows_of_block)));

  Chunk columns{};
  for (int row = warp * kRowsInFlight; row < rows; row += kWarps * kRowsInFlight) {
    Chunk chunks[kRowsInFlight];
#pragma unroll
    for (int i = 0; i < kRowsInFlight; ++i) {
      chunks[i] =
          load_chunk(source + (row + i) * p.ldx, row + i < rows ? p.cols - col : 0, p.x_vectors);
    }
#pragma unroll
    for (int i = 0; i < kRowsInFlight; ++i) {
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        columns.words[w] = larger<T>(columns.words[w], magnitudes<T>(chunks[i].words[w]));
      }
      const unsigned absmax = __reduce_max_sync(kAllLanes, largest_bits<T>(chunks[i]));
      if (lane == 0 && row + i < rows) row_part[row + i] = absmax;
    }
  }
#pragma unroll
  for (int w = 0; w < 4; ++w) col_part[warp][lane * 4 + w] = columns.words[w];
  __syncthreads();

  for (int row = threadIdx.x; row < rows; row += kThreads) {
    atomicMax(p.row_absmax + first_row + row, row_part[row]);
  }
  if (threadIdx.x < kCols && first_col + threadIdx.x < p.cols) {
    constexpr int kOfWord = 4 / static_cast<int>(sizeof(T));
    unsigned word = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      word = larger<T>(word, col_part[w][threadIdx.x / kOfWord]);
    }
    if constexpr (kOfWord == 2) word = word >> (threadIdx.x % 2 * 16) & 0xffffu;
    atomicMax(p.col_absmax + first_col + threadIdx.x, largest_bits<T>(word));
  }
}

/// A block takes a tile; a thread takes four consecutive rows of a chunk, so that it can pack four
/// int8 along q_col's contiguous dimension. In shared memory a column of the tile is eight 16-byte
/// units, permuted by the column's chunk, so that packed words scatter without bank conflicts.
template <class T>
__global__ void __launch_bounds__(kThreads)
    quantize_row_col_kernel(const RowCol<T> p, unsigned col_blocks) {
  constexpr int kLanes = kTileCols / kChunk<T>;              // across a row of the tile
  constexpr int kWarpRows = kWarp / kLanes * 4;              // of a warp at a time
  constexpr int kPasses = kTileRows / (kWarps * kWarpRows);  // over the tile
  static_assert(kPasses * kWarps * kWarpRows == kTileRows);
  __shared__ uint4 tile[kTileCols][kUnits];
  __shared__ float row_inverse[kTileRows];
  __shared__ float col_inverse[kTileCols];
  const auto unit = [](int col, int u) { return u ^ (col / 8 % kUnits); };
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp, warp = thread / kWarp;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / col_blocks) * kTileRows;
  const int64_t first_col = static_cast<int64_t>(blockIdx.x % col_blocks) * kTileCols;
  const int tile_col = lane % kLanes * kChunk<T>;
  const int tile_row = warp * kWarpRows + lane / kLanes * 4;
  const int64_t cols_left = p.cols - first_col - tile_col;

  Chunk chunks[kPasses][4];
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t row = first_row + pass * kWarps * kWarpRows + tile_row + i;
      chunks[pass][i] = load_chunk(p.x + row * p.ldx + first_col + tile_col,
                                   row < p.rows ? cols_left : 0, p.x_vectors);
    }
  }
  if (thread < kTileRows) {
    const int64_t row = first_row + thread;
    row_inverse[thread] = row < p.rows ? inverse_scale(p.row_absmax[row]) : 0.0f;
  } else if (thread < kTileRows + kTileCols) {
    const int64_t col = first_col + thread - kTileRows;
    col_inverse[thread - kTileRows] = col < p.cols ? inverse_scale(p.col_absmax[col]) : 0.0f;
  }
  __syncthreads();

#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    const int row = pass * kWarps * kWarpRows + tile_row;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (first_row + row + i < p.rows) {
        store_quantized<T>(p.q_row + (first_row + row + i) * p.ldq_row + first_col + tile_col,
                           chunks[pass][i], row_inverse[row + i], cols_left, p.q_row_vectors);
      }
    }
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      const int col = tile_col + e;
      const float inverse = col_inverse[col];
      const unsigned packed = pack_bytes(rounded(element<T>(chunks[pass][0], e), inverse),
                                         rounded(element<T>(chunks[pass][1], e), inverse),
                                         rounded(element<T>(chunks[pass][2], e), inverse),
                                         rounded(element<T>(chunks[pass][3], e), inverse));
      unsigned* words = reinterpret_cast<unsigned*>(&tile[col][unit(col, row / 16)]);
      words[row / 4 % 4] = inverse == 0.0f ? 0u : packed;
    }
  }
  __syncthreads();

#pragma unroll
  for (int i = thread; i < kTileCols * kUnits; i += kThreads) {
    const int col = i / kUnits, u = i % kUnits;
    const int64_t row = first_row + u * 16;
    if (first_col + col < p.cols && row < p.rows) {
      const uint4 value = tile[col][unit(col, u)];
      const unsigned words[4] = {value.x, value.y, value.z, value.w};
      store_bytes(p.q_col + (first_col + col) * p.ldq_col + row, words, p.rows - row,
                  p.q_col_vectors);
    }
  }
}

/// A thread takes a row's or a column's statistic.
__global__ void __launch_bounds__(kThreads)
    scales_kernel(float* row_scale, int64_t rows, float* col_scale, int64_t cols) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows + cols) return;
  float* target = i < rows ? row_scale + i : col_scale + (i - rows);
  *target = scale(__float_as_uint(*target));
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Blocks along x, the one dimension of a grid that goes beyond 65535.
dim3 grid(int64_t blocks) { return dim3(static_cast<unsigned>(blocks)); }

void zero(cudaStream_t stream, float* data, int64_t length) {
  check(cudaMemsetAsync(data, 0, static_cast<std::size_t>(length) * sizeof(float), stream),
        "zeroing the statistics of quantize");
}

}  // namespace

template <class T>
void quantize_rowwise(Cuda backend, Matrix<const T> x, Matrix<s8> q, Vector<float> row_scale) {
  preconditions::quantize_rowwise(x, q, row_scale);
  if (x.empty()) return;
  const Rowwise<T> p{x.data,
                     x.layout.ld,
                     q.data,
                     q.layout.ld,
                     row_scale.data,
                     x.rows,
                     x.cols,
                     aligned_rows(x.data, x.layout.ld, x.rows, 16),
                     aligned_rows(q.data, q.layout.ld, x.rows, kChunk<T>)};
  const int64_t chunks = ceil_div(x.cols, kChunk<T>);
  const int64_t threads =
      std::min<int64_t>(ceil_div(ceil_div(chunks, kChunksWanted), kWarp) * kWarp, kMaxThreads);
  const int64_t rows = threads == kWarp ? kRowsOfShort : 1;
  const dim3 block(static_cast<unsigned>(threads), static_cast<unsigned>(rows));
  const dim3 blocks = grid(ceil_div(x.rows, rows));
  const int64_t chunks_of_thread = ceil_div(chunks, threads);
  if (chunks_of_thread == 1) {
    quantize_rowwise_kernel<T, 1><<<blocks, block, 0, backend.stream>>>(p);
  } else if (chunks_of_thread == 2) {
    quantize_rowwise_kernel<T, 2><<<blocks, block, 0, backend.stream>>>(p);
  } else if (chunks_of_thread <= 4) {
    quantize_rowwise_kernel<T, 4><<<blocks, block, 0, backend.stream>>>(p);
  } else if (chunks_of_thread <= kMaxChunks) {
    quantize_rowwise_kernel<T, kMaxChunks><<<blocks, block, 0, backend.stream>>>(p);
  } else {
    quantize_rowwise_reread_kernel<T><<<blocks, block, 0, backend.stream>>>(p);
  }
  check(cudaGetLastError(), "launching quantize_rowwise");
}

template <class T>
void quantize_row_col(Cuda backend, Matrix<const T> x, Matrix<s8> q_row, Vector<float> row_scale,
                      Matrix<s8> q_col, Vector<float> col_scale) {
  preconditions::quantize_row_col(x, q_row, row_scale, q_col, col_scale);
  if (x.empty()) return;
  zero(backend.stream, row_scale.data, row_scale.length);
  zero(backend.stream, col_scale.data, col_scale.length);
  const RowCol<T> p{x.data,
                    x.layout.ld,
                    q_row.data,
                    q_row.layout.ld,
                    q_col.data,
                    q_col.layout.ld,
                    reinterpret_cast<unsigned*>(row_scale.data),
                    reinterpret_cast<unsigned*>(col_scale.data),
                    x.rows,
                    x.cols,
                    aligned_rows(x.data, x.layout.ld, x.rows, 16),
                    aligned_rows(q_row.data, q_row.layout.ld, x.rows, kChunk<T>),
                    aligned_rows(q_col.data, q_col.layout.ld, x.cols, 16)};

  const int64_t col_blocks = ceil_div(x.cols, kWarp * kChunk<T>);
  const int64_t rows_wanted = ceil_div(x.rows * col_blocks, kBlocksWanted);
  const int64_t rows_of_block =
      std::clamp<int64_t>(ceil_div(rows_wanted, kWarps * kRowsInFlight) * kWarps * kRowsInFlight,
                          kWarps * kRowsInFlight, kMaxRowsOfBlock);
  absmax_row_col_kernel<T>
      <<<grid(ceil_div(x.rows, rows_of_block) * col_blocks), kThreads, 0, backend.stream>>>(
          p, static_cast<int>(rows_of_block), static_cast<unsigned>(col_blocks));
  check(cudaGetLastError(), "launching quantize_row_col's statistic");

  const int64_t tile_cols = ceil_div(x.cols, kTileCols);
  quantize_row_col_kernel<T>
      <<<grid(ceil_div(x.rows, kTileRows) * tile_cols), kThreads, 0, backend.stream>>>(
          p, static_cast<unsigned>(tile_cols));
  check(cudaGetLastError(), "launching quantize_row_col");

  scales_kernel<<<grid(ceil_div(x.rows + x.cols, kThreads)), kThreads, 0, backend.stream>>>(
      row_scale.data, x.rows, col_scale.data, x.cols);
  check(cudaGetLastError(), "launching quantize_row_col's scales");
}

template void quantize_rowwise<f16>(Cuda, Matrix<const f16>, Matrix<s8>, Vector<float>);
template void quantize_rowwise<bf16>(Cuda, Matrix<const bf16>, Matrix<s8>, Vector<float>);
template void quantize_rowwise<f32>(Cuda, Matrix<const f32>, Matrix<s8>, Vector<float>);
template void quantize_row_col<f16>(Cuda, Matrix<const f16>, Matrix<s8>, Vector<float>, Matrix<s8>,
                                    Vector<float>);
template void quantize_row_col<bf16>(Cuda, Matrix<const bf16>, Matrix<s8>, Vector<float>,
                                     Matrix<s8>, Vector<float>);
template void quantize_row_col<f32>(Cuda, Matrix<const f32>, Matrix<s8>, Vector<float>, Matrix<s8>,
                                    Vector<float>);

}  // namespace octet
