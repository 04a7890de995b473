// dequantize: int32 accumulators to floating point, as dequantize.hpp states it.
//
// A thread takes as many columns as 16 bytes of the output hold, whose scales and bias it keeps, of
// four rows; a warp takes 256 columns (128 of f32), a block 32 rows. Bytes: 4 read and sizeof(T)
// written an element, the scales once a block. Any extents, leading dimensions and alignment;
// accesses take 16 bytes where alignment allows it.
#include "cuda/error.hpp"
#include "cuda/vector_access.cuh"
#include "octet/dequantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

constexpr int kWarp = 32;
constexpr int kThreads = 256;
// One 16-byte store a row: two of them, 32 bytes apart from the neighbour's, halved the rate of
// f32.
template <class T>
constexpr int kThreadCols = kChunk<T>;
template <class T>
constexpr int kBlockCols = kWarp* kThreadCols<T>;
constexpr int kThreadRows = 4;
constexpr int kBlockRows = kThreads / kWarp * kThreadRows;

template <class T>
struct Dequantize {
  const s32* acc;
  int64_t ldacc;
  const float* row_scale;
  const float* col_scale;
  const T* bias;  // nullptr: none
  T* out;
  int64_t ldout;
  int64_t rows, cols;
  bool acc_vectors, col_scale_vectors, bias_vectors, out_vectors;
};

/// kCols elements of a row as values; zero beyond `remaining`.
template <class T, int kCols>
__device__ __forceinline__ void load_values(const T* source, int64_t remaining, bool vectors,
                                            float (&values)[kCols]) {
  static_assert(kCols % kChunk<T> == 0);
#pragma unroll
  for (int c = 0; c < kCols; c += kChunk<T>) {
    const Chunk chunk = load_chunk(source + c, remaining - c, vectors);
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) values[c + e] = element<T>(chunk, e);
  }
}

template <class T>
__device__ __forceinline__ void store_values(T* target, const float (&values)[kThreadCols<T>],
                                             int64_t remaining, bool vectors) {
  constexpr int kOfWord = 4 / static_cast<int>(sizeof(T));
  if (vectors && remaining >= kThreadCols<T>) {
    unsigned words[4];
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      words[w] = bits_of<T>(values[w * kOfWord]);
      if constexpr (kOfWord == 2) words[w] |= bits_of<T>(values[w * 2 + 1]) << 16;
    }
    *reinterpret_cast<uint4*>(target) = make_uint4(words[0], words[1], words[2], words[3]);
  } else {
#pragma unroll
    for (int c = 0; c < kThreadCols<T>; ++c) {
      if (c < remaining) {
        reinterpret_cast<Bits<T>*>(target)[c] = static_cast<Bits<T>>(bits_of<T>(values[c]));
      }
    }
  }
}

/// blockIdx.x = row block * column blocks + column block.
template <class T>
__global__ void __launch_bounds__(kThreads)
    dequantize_kernel(const Dequantize<T> p, unsigned col_blocks) {
  constexpr int kCols = kThreadCols<T>;
  const int64_t col =
      static_cast<int64_t>(blockIdx.x % col_blocks) * kBlockCols<T> + threadIdx.x % kWarp * kCols;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / col_blocks) * kBlockRows +
                            threadIdx.x / kWarp * kThreadRows;
  const int64_t cols_left = p.cols - col;
  if (cols_left <= 0) return;

  // Accumulators are loaded as bits: s32 and f32 share a chunk's shape.
  Chunk acc[kThreadRows][kCols / 4];
  float row_scale[kThreadRows];
#pragma unroll
  for (int i = 0; i < kThreadRows; ++i) {
    const int64_t row = first_row + i;
    const int64_t inside = row < p.rows ? cols_left : 0;
    const s32* source = p.acc + row * p.ldacc + col;
#pragma unroll
    for (int c = 0; c < kCols; c += 4) {
      acc[i][c / 4] = load_chunk(source + c, inside - c, p.acc_vectors);
    }
    row_scale[i] = row < p.rows ? __ldg(p.row_scale + row) : 0.0f;
  }
  float col_scale[kCols];
  load_values(p.col_scale + col, cols_left, p.col_scale_vectors, col_scale);
  float bias[kCols] = {};
  if (p.bias != nullptr) load_values(p.bias + col, cols_left, p.bias_vectors, bias);

#pragma unroll
  for (int i = 0; i < kThreadRows; ++i) {
    if (first_row + i >= p.rows) break;
    float values[kCols];
#pragma unroll
    for (int c = 0; c < kCols; ++c) {
      const float value = __int2float_rn(static_cast<s32>(acc[i][c / 4].words[c % 4]));
      values[c] = __fmaf_rn(value, __fmul_rn(row_scale[i], col_scale[c]), bias[c]);
    }
    store_values(p.out + (first_row + i) * p.ldout + col, values, cols_left, p.out_vectors);
  }
}

}  // namespace

template <class T>
void dequantize(Cuda backend, Matrix<const s32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out) {
  preconditions::dequantize(acc, row_scale, col_scale, bias, out);
  if (acc.empty()) return;
  const Dequantize<T> p{acc.data,
                        acc.layout.ld,
                        row_scale.data,
                        col_scale.data,
                        bias.length == 0 ? nullptr : bias.data,
                        out.data,
                        out.layout.ld,
                        acc.rows,
                        acc.cols,
                        aligned_rows(acc.data, acc.layout.ld, acc.rows, 16),
                        aligned_rows(col_scale.data, 0, 1, 16),
                        aligned_rows(bias.data, 0, 1, 16),
                        aligned_rows(out.data, out.layout.ld, acc.rows, 16)};
  const int64_t col_blocks = (acc.cols + kBlockCols<T> - 1) / kBlockCols<T>;
  const int64_t row_blocks = (acc.rows + kBlockRows - 1) / kBlockRows;
  dequantize_kernel<T>
      <<<static_cast<unsigned>(row_blocks * col_blocks), kThreads, 0, backend.stream>>>(
          p, static_cast<unsigned>(col_blocks));
  check(cudaGetLastError(), "launching dequantize");
}

template void dequantize<f16>(Cuda, Matrix<const s32>, Vector<const float>, Vector<const float>,
                              Vector<const f16>, Matrix<f16>);
template void dequantize<bf16>(Cuda, Matrix<const s32>, Vector<const float>, Vector<const float>,
                               Vector<const bf16>, Matrix<bf16>);
template void dequantize<f32>(Cuda, Matrix<const s32>, Vector<const float>, Vector<const float>,
                              Vector<const f32>, Matrix<f32>);

}  // namespace octet
