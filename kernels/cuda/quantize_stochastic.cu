// quantize_rowwise, quantize_colwise and quantize_row_col with stochastic rounding, bit-exact with
// octet/rounding.hpp.
//
//   1. two cudaMemsetAsync     clear the statistics
//   2. absmax_kernel           statistics as f32 bits in the scales' places, by atomic maxima
//   3. convert_kernel          the second read: q_row as it lies, q_col through shared memory
//   4. scales_kernel           statistic to scale, in place
//   Bytes: 2 sizeof(T) read and 1 written an element for each copy. Philox adds
//   about 15 integer instructions an element.
//
// A block takes kTileRows x kTileCols; a lane four neighbours of a row, which share a call of
// Philox, and a warp 128 columns. In convert_kernel a lane takes four rows of its columns at a
// time, so that four bytes of a column of q_col are a word.
//
// Any extents, leading dimensions and alignment. Accesses take 4 elements of x and 4 bytes of q
// where alignment allows it.
#include <cuda_runtime.h>

#include "cuda/error.hpp"
#include "cuda/quantize.cuh"
#include "octet/quantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kGroup = 4;                  // neighbours that share a call of Philox
constexpr int kTileCols = kWarp * kGroup;  // of a block
constexpr int kTileRows = 64;
constexpr int kAbsmaxBlocks = 5;            // of a multiprocessor: leaves each thread 48 registers
constexpr int kQuads = kTileRows / kGroup;  // words of a column of the tile

template <class T>
struct Stochastic {
  const T* x;
  int64_t ldx;
  s8* q_row;
  int64_t ldq_row;
  s8* q_col;
  int64_t ldq_col;
  float* row_scale;  // statistics, until scales_kernel; null: no such copy
  float* col_scale;
  int64_t rows, cols;
  unsigned col_blocks;
  bool x_vectors, q_row_vectors, q_col_vectors;
  StochasticRounding rounding;
};

/// Four neighbours from `source` on, of which `remaining` are in the row; 0 for the others.
template <class T>
__device__ __forceinline__ void load_group(const T* source, int64_t remaining, bool vectors,
                                           float (&values)[kGroup]) {
  if (vectors && remaining >= kGroup) {
    if constexpr (sizeof(T) == 2) {
      const uint2 words = __ldg(reinterpret_cast<const uint2*>(source));
      values[0] = value_of<T>(words.x & 0xffffu);
      values[1] = value_of<T>(words.x >> 16);
      values[2] = value_of<T>(words.y & 0xffffu);
      values[3] = value_of<T>(words.y >> 16);
    } else {
      const uint4 words = __ldg(reinterpret_cast<const uint4*>(source));
      values[0] = value_of<T>(words.x);
      values[1] = value_of<T>(words.y);
      values[2] = value_of<T>(words.z);
      values[3] = value_of<T>(words.w);
    }
    return;
  }
#pragma unroll
  for (int e = 0; e < kGroup; ++e) {
    values[e] = e < remaining ? value_of<T>(reinterpret_cast<const Bits<T>*>(source)[e]) : 0.0f;
  }
}

/// blockIdx.x = row block * column blocks + column block, in both kernels.
template <class T>
__device__ __forceinline__ int64_t first_row_of(const Stochastic<T>& p) {
  return static_cast<int64_t>(blockIdx.x / p.col_blocks) * kTileRows;
}
template <class T>
__device__ __forceinline__ int64_t first_col_of(const Stochastic<T>& p) {
  return static_cast<int64_t>(blockIdx.x % p.col_blocks) * kTileCols;
}

template <class T, bool kRow, bool kCol>
__global__ void __launch_bounds__(kThreads, kAbsmaxBlocks) absmax_kernel(const Stochastic<T> p) {
  __shared__ unsigned col_part[kWarps][kTileCols];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t first_row = first_row_of(p), first_col = first_col_of(p);
  const int64_t col = first_col + lane * kGroup;
  unsigned columns[kGroup] = {};
#pragma unroll 4
  for (int i = warp; i < kTileRows; i += kWarps) {
    const int64_t row = first_row + i;
    if (row >= p.rows) break;
    float values[kGroup];
    load_group(p.x + row * p.ldx + col, p.cols - col, p.x_vectors, values);
    unsigned of_row = 0;
#pragma unroll
    for (int e = 0; e < kGroup; ++e) {
      const unsigned magnitude = __float_as_uint(values[e]) & 0x7fffffffu;
      columns[e] = max(columns[e], magnitude);
      of_row = max(of_row, magnitude);
    }
    if constexpr (kRow) {
      of_row = __reduce_max_sync(kAllLanes, of_row);
      if (lane == 0) atomicMax(reinterpret_cast<unsigned*>(p.row_scale) + row, of_row);
    }
  }
  if constexpr (kCol) {
#pragma unroll
    for (int e = 0; e < kGroup; ++e) col_part[warp][lane * kGroup + e] = columns[e];
    __syncthreads();
    if (threadIdx.x < kTileCols && first_col + threadIdx.x < p.cols) {
      unsigned absmax = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) absmax = max(absmax, col_part[w][threadIdx.x]);
      atomicMax(reinterpret_cast<unsigned*>(p.col_scale) + first_col + threadIdx.x, absmax);
    }
  }
}

/// q in the low byte. NaN and Inf would survive a product with an inverse of 0, so that is tested.
__device__ __forceinline__ unsigned rounded(float x, float inverse, unsigned word) {
  return inverse == 0.0f ? 0u
                         : static_cast<unsigned>(round_stochastically(__fmul_rn(x, inverse), word));
}

template <class T, bool kRow, bool kCol>
__global__ void __launch_bounds__(kThreads) convert_kernel(const Stochastic<T> p) {
  // Word (e, quad, lane) holds rows [4 quad, 4 quad + 4) of column 4 lane + e: lanes write
  // neighbouring words, and the odd pitch has those that read a column meet different banks.
  __shared__ unsigned tile[kGroup][kQuads][kWarp + 1];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t first_row = first_row_of(p), first_col = first_col_of(p);
  const int64_t col = first_col + lane * kGroup;
  float col_inverse[kGroup] = {};
  if constexpr (kCol) {
#pragma unroll
    for (int e = 0; e < kGroup; ++e) {
      if (col + e < p.cols) col_inverse[e] = inverse_scale(__float_as_uint(p.col_scale[col + e]));
    }
  }

  for (int quad = warp; quad < kQuads; quad += kWarps) {
    unsigned bytes[kGroup] = {};  // of each column
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      const int64_t row = first_row + quad * kGroup + i;
      if (row >= p.rows) break;
      float values[kGroup];
      load_group(p.x + row * p.ldx + col, p.cols - col, p.x_vectors, values);
      const PhiloxWords words = rounding_words(p.rounding, row, col, p.cols);
      if constexpr (kRow) {
        const float inverse = inverse_scale(__float_as_uint(p.row_scale[row]));
        const unsigned packed[1] = {pack_bytes(
            rounded(values[0], inverse, words[0]), rounded(values[1], inverse, words[1]),
            rounded(values[2], inverse, words[2]), rounded(values[3], inverse, words[3]))};
        store_int8(p.q_row + row * p.ldq_row + col, packed, p.cols - col,
                   Access{p.q_row_vectors, false});
      }
      if constexpr (kCol) {
#pragma unroll
        for (int e = 0; e < kGroup; ++e) {
          bytes[e] |= (rounded(values[e], col_inverse[e], words[e]) & 0xffu) << (8 * i);
        }
      }
    }
    if constexpr (kCol) {
#pragma unroll
      for (int e = 0; e < kGroup; ++e) tile[e][quad][lane] = bytes[e];
    }
  }
  if constexpr (!kCol) return;
  __syncthreads();

  // Half a warp takes a column.
  for (int i = threadIdx.x; i < kTileCols * kQuads; i += kThreads) {
    const int quad = i % kQuads, tile_col = i / kQuads;
    const int64_t row = first_row + quad * kGroup;
    if (first_col + tile_col >= p.cols || row >= p.rows) continue;
    const unsigned words[1] = {tile[tile_col % kGroup][quad][tile_col / kGroup]};
    store_int8(p.q_col + (first_col + tile_col) * p.ldq_col + row, words, p.rows - row,
               Access{p.q_col_vectors, false});
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

template <class T>
Stochastic<T> stochastic_of(Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_row,
                            Vector<float> row_scale, Matrix<s8> q_col, Vector<float> col_scale) {
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
          static_cast<unsigned>(ceil_div(x.cols, kTileCols)),
          aligned_rows(x.data, x.layout.ld, x.rows, kGroup * sizeof(T)),
          aligned_rows(q_row.data, q_row.layout.ld, x.rows, kGroup),
          aligned_rows(q_col.data, q_col.layout.ld, x.cols, kGroup),
          rounding};
}

template <bool kRow, bool kCol, class T>
void launch(const char* what, cudaStream_t stream, const Stochastic<T>& p) {
  const int64_t rows = kRow ? p.rows : 0, cols = kCol ? p.cols : 0;
  const auto clear = [&](float* statistics, int64_t length) {
    if (length == 0) return;
    check(cudaMemsetAsync(statistics, 0, static_cast<std::size_t>(length) * sizeof(float), stream),
          what);
  };
  clear(p.row_scale, rows);
  clear(p.col_scale, cols);
  const dim3 blocks(static_cast<unsigned>(ceil_div(p.rows, kTileRows) * p.col_blocks));
  absmax_kernel<T, kRow, kCol><<<blocks, kThreads, 0, stream>>>(p);
  check(cudaGetLastError(), what);
  convert_kernel<T, kRow, kCol><<<blocks, kThreads, 0, stream>>>(p);
  check(cudaGetLastError(), what);
  scales_kernel<<<dim3(static_cast<unsigned>(ceil_div(rows + cols, kThreads))), kThreads, 0,
                  stream>>>(p.row_scale, rows, p.col_scale, cols);
  check(cudaGetLastError(), what);
}

}  // namespace

template <class T>
void quantize_rowwise(Cuda backend, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q,
                      Vector<float> row_scale) {
  preconditions::quantize_rowwise(x, q, row_scale);
  if (x.empty()) return;
  launch<true, false>("launching quantize_rowwise with stochastic rounding", backend.stream,
                      stochastic_of(x, rounding, q, row_scale, {}, {}));
}

template <class T>
void quantize_colwise(Cuda backend, Matrix<const T> x, StochasticRounding rounding,
                      Matrix<s8> q_col, Vector<float> col_scale) {
  preconditions::quantize_colwise(x, q_col, col_scale);
  if (x.empty()) return;
  launch<false, true>("launching quantize_colwise with stochastic rounding", backend.stream,
                      stochastic_of(x, rounding, {}, {}, q_col, col_scale));
}

template <class T>
void quantize_row_col(Cuda backend, Matrix<const T> x, StochasticRounding rounding,
                      Matrix<s8> q_row, Vector<float> row_scale, Matrix<s8> q_col,
                      Vector<float> col_scale) {
  preconditions::quantize_row_col(x, q_row, row_scale, q_col, col_scale);
  if (x.empty()) return;
  launch<true, true>("launching quantize_row_col with stochastic rounding", backend.stream,
                     stochastic_of(x, rounding, q_row, row_scale, q_col, col_scale));
}

template void quantize_rowwise<f16>(Cuda, Matrix<const f16>, StochasticRounding, Matrix<s8>,
                                    Vector<float>);
template void quantize_rowwise<bf16>(Cuda, Matrix<const bf16>, StochasticRounding, Matrix<s8>,
                                     Vector<float>);
template void quantize_rowwise<f32>(Cuda, Matrix<const f32>, StochasticRounding, Matrix<s8>,
                                    Vector<float>);
template void quantize_colwise<f16>(Cuda, Matrix<const f16>, StochasticRounding, Matrix<s8>,
                                    Vector<float>);
template void quantize_colwise<bf16>(Cuda, Matrix<const bf16>, StochasticRounding, Matrix<s8>,
                                     Vector<float>);
template void quantize_colwise<f32>(Cuda, Matrix<const f32>, StochasticRounding, Matrix<s8>,
                                    Vector<float>);
template void quantize_row_col<f16>(Cuda, Matrix<const f16>, StochasticRounding, Matrix<s8>,
                                    Vector<float>, Matrix<s8>, Vector<float>);
template void quantize_row_col<bf16>(Cuda, Matrix<const bf16>, StochasticRounding, Matrix<s8>,
                                     Vector<float>, Matrix<s8>, Vector<float>);
template void quantize_row_col<f32>(Cuda, Matrix<const f32>, StochasticRounding, Matrix<s8>,
                                    Vector<float>, Matrix<s8>, Vector<float>);

}  // namespace octet
