// dequantize and dequantize_rowwise: int32 accumulators and int8 to floating point, as
// dequantize.hpp states it.
//
// dequantize: a thread takes as many columns as 16 bytes of the output hold, whose scales and bias
// it keeps, of four rows; with f32, whose 16 bytes are four columns, a second such group 128
// columns on, so that every type has 128 bytes of loads in flight. A warp takes 256 columns, a
// block 32 rows.
// Accumulators in Col32 differ in their offsets alone: a row of a panel is 128 contiguous bytes,
// and the rows of a block 4 KiB. Bytes: 4 read and sizeof(T) written an element, the scales once a
// block.
// dequantize_rowwise: the same blocks; a thread reads as many columns as 16 bytes of the output
// hold. Bytes: 1 read and sizeof(T) written an element.
//
// Any extents, leading dimensions and alignment; accesses take 16 bytes (int8: 8, or 4 with f32)
// where alignment allows it.
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
/// Groups of columns that a thread takes, kWarp * kThreadCols apart.
template <class T>
constexpr int kGroups = 8 / kThreadCols<T>;
constexpr int kBlockCols = kWarp * 8;
constexpr int kPanel = 32;  // columns of a panel of Col32
constexpr int kThreadRows = 4;
constexpr int kBlockRows = kThreads / kWarp * kThreadRows;

template <class T>
struct Dequantize {
  const s32* acc;
  int64_t acc_row, acc_panel;  // from a row to the next, from 32 columns to the next 32
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
  const int64_t first_col = static_cast<int64_t>(blockIdx.x % col_blocks) * kBlockCols +
                            static_cast<int>(threadIdx.x % kWarp) * kCols;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / col_blocks) * kBlockRows +
                            static_cast<int>(threadIdx.x / kWarp) * kThreadRows;
  if (first_col >= p.cols) return;

  // Accumulators are loaded as bits: s32 and f32 share a chunk's shape.
  Chunk acc[kThreadRows][kGroups<T>][kCols / 4];
  float row_scale[kThreadRows];
#pragma unroll
  for (int i = 0; i < kThreadRows; ++i) {
    const int64_t row = first_row + i;
#pragma unroll
    for (int g = 0; g < kGroups<T>; ++g) {
      const int64_t col = first_col + g * kWarp * kCols;
      const int64_t inside = row < p.rows ? p.cols - col : 0;
      const s32* source = p.acc + row * p.acc_row + col / kPanel * p.acc_panel + col % kPanel;
#pragma unroll
      for (int c = 0; c < kCols; c += 4) {
        acc[i][g][c / 4] = load_chunk(source + c, inside - c, p.acc_vectors);
      }
    }
    row_scale[i] = row < p.rows ? __ldg(p.row_scale + row) : 0.0f;
  }

#pragma unroll
  for (int g = 0; g < kGroups<T>; ++g) {
    const int64_t col = first_col + g * kWarp * kCols;
    const int64_t cols_left = p.cols - col;
    if (cols_left <= 0) break;
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
        const float value = __int2float_rn(static_cast<s32>(acc[i][g][c / 4].words[c % 4]));
        values[c] = __fmaf_rn(value, __fmul_rn(row_scale[i], col_scale[c]), bias[c]);
      }
      store_values(p.out + (first_row + i) * p.ldout + col, values, cols_left, p.out_vectors);
    }
  }
}

/// kCols int8 of a row, four to a word; zero beyond `remaining`.
template <int kCols>
__device__ __forceinline__ void load_bytes(const s8* source, int64_t remaining, bool vectors,
                                           unsigned (&words)[kCols / 4]) {
  if (vectors && remaining >= kCols) {
    if constexpr (kCols == 8) {
      const uint2 all = __ldg(reinterpret_cast<const uint2*>(source));
      words[0] = all.x;
      words[1] = all.y;
    } else {
      static_assert(kCols == 4);
      words[0] = __ldg(reinterpret_cast<const unsigned*>(source));
    }
  } else {
#pragma unroll
    for (int w = 0; w < kCols / 4; ++w) words[w] = 0;
#pragma unroll
    for (int c = 0; c < kCols; ++c) {
      if (c < remaining) {
        words[c / 4] |= static_cast<unsigned>(static_cast<unsigned char>(source[c])) << (c % 4 * 8);
      }
    }
  }
}

template <class T>
struct DequantizeRowwise {
  const s8* q;
  int64_t ldq;
  const float* row_scale;
  T* out;
  int64_t ldout;
  int64_t rows, cols;
  bool q_vectors, out_vectors;
};

/// blockIdx.x = row block * column blocks + column block.
template <class T>
__global__ void __launch_bounds__(kThreads)
    dequantize_rowwise_kernel(const DequantizeRowwise<T> p, unsigned col_blocks) {
  constexpr int kCols = kThreadCols<T>;
  const int64_t first_col = static_cast<int64_t>(blockIdx.x % col_blocks) * kBlockCols +
                            static_cast<int>(threadIdx.x % kWarp) * kCols;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / col_blocks) * kBlockRows +
                            static_cast<int>(threadIdx.x / kWarp) * kThreadRows;
  unsigned q[kThreadRows][kGroups<T>][kCols / 4];
  float row_scale[kThreadRows];
#pragma unroll
  for (int i = 0; i < kThreadRows; ++i) {
    const int64_t row = first_row + i;
#pragma unroll
    for (int g = 0; g < kGroups<T>; ++g) {
      const int64_t col = first_col + g * kWarp * kCols;
      load_bytes<kCols>(p.q + row * p.ldq + col, row < p.rows ? p.cols - col : 0, p.q_vectors,
                        q[i][g]);
    }
    row_scale[i] = row < p.rows ? __ldg(p.row_scale + row) : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < kThreadRows; ++i) {
    if (first_row + i >= p.rows) break;
#pragma unroll
    for (int g = 0; g < kGroups<T>; ++g) {
      const int64_t col = first_col + g * kWarp * kCols;
      float values[kCols];
#pragma unroll
      for (int c = 0; c < kCols; ++c) {
        const auto byte = static_cast<s8>(q[i][g][c / 4] >> (c % 4 * 8) & 0xffu);
        values[c] = __fmul_rn(static_cast<float>(byte), row_scale[i]);
      }
      store_values(p.out + (first_row + i) * p.ldout + col, values, p.cols - col, p.out_vectors);
    }
  }
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// What the layouts of the accumulators share: all but their strides.
template <class T>
void launch(Cuda backend, const s32* acc, int64_t acc_row, int64_t acc_panel, bool acc_vectors,
            Vector<const float> row_scale, Vector<const float> col_scale, Vector<const T> bias,
            Matrix<T> out) {
  const Dequantize<T> p{acc,
                        acc_row,
                        acc_panel,
                        row_scale.data,
                        col_scale.data,
                        bias.length == 0 ? nullptr : bias.data,
                        out.data,
                        out.layout.ld,
                        out.rows,
                        out.cols,
                        acc_vectors,
                        aligned_rows(col_scale.data, 0, 1, 16),
                        aligned_rows(bias.data, 0, 1, 16),
                        aligned_rows(out.data, out.layout.ld, out.rows, 16)};
  const int64_t col_blocks = ceil_div(out.cols, kBlockCols);
  const int64_t row_blocks = ceil_div(out.rows, kBlockRows);
  dequantize_kernel<T>
      <<<static_cast<unsigned>(row_blocks * col_blocks), kThreads, 0, backend.stream>>>(
          p, static_cast<unsigned>(col_blocks));
  check(cudaGetLastError(), "launching dequantize");
}

}  // namespace

template <class T>
void dequantize(Cuda backend, Matrix<const s32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out) {
  preconditions::dequantize(acc, row_scale, col_scale, bias, out);
  if (acc.empty()) return;
  launch<T>(backend, acc.data, acc.layout.ld, kPanel,
            aligned_rows(acc.data, acc.layout.ld, acc.rows, 16), row_scale, col_scale, bias, out);
}

template <class T>
void dequantize(Cuda backend, Matrix<const s32, Col32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out) {
  preconditions::dequantize(acc, row_scale, col_scale, bias, out);
  if (acc.empty()) return;
  launch<T>(backend, acc.data, kPanel, acc.layout.rows * kPanel, aligned_rows(acc.data, 0, 1, 16),
            row_scale, col_scale, bias, out);
}

template <class T>
void dequantize_rowwise(Cuda backend, Matrix<const s8> q, Vector<const float> row_scale,
                        Matrix<T> out) {
  preconditions::dequantize_rowwise(q, row_scale, out);
  if (q.empty()) return;
  const DequantizeRowwise<T> p{
      q.data,
      q.layout.ld,
      row_scale.data,
      out.data,
      out.layout.ld,
      q.rows,
      q.cols,
      aligned_rows(q.data, q.layout.ld, q.rows, static_cast<std::uintptr_t>(kThreadCols<T>)),
      aligned_rows(out.data, out.layout.ld, out.rows, 16)};
  const int64_t col_blocks = ceil_div(q.cols, kBlockCols);
  const int64_t row_blocks = ceil_div(q.rows, kBlockRows);
  dequantize_rowwise_kernel<T>
      <<<static_cast<unsigned>(row_blocks * col_blocks), kThreads, 0, backend.stream>>>(
          p, static_cast<unsigned>(col_blocks));
  check(cudaGetLastError(), "launching dequantize_rowwise");
}

template void dequantize<f16>(Cuda, Matrix<const s32>, Vector<const float>, Vector<const float>,
                              Vector<const f16>, Matrix<f16>);
template void dequantize<bf16>(Cuda, Matrix<const s32>, Vector<const float>, Vector<const float>,
                               Vector<const bf16>, Matrix<bf16>);
template void dequantize<f32>(Cuda, Matrix<const s32>, Vector<const float>, Vector<const float>,
                              Vector<const f32>, Matrix<f32>);
template void dequantize<f16>(Cuda, Matrix<const s32, Col32>, Vector<const float>,
                              Vector<const float>, Vector<const f16>, Matrix<f16>);
template void dequantize<bf16>(Cuda, Matrix<const s32, Col32>, Vector<const float>,
                               Vector<const float>, Vector<const bf16>, Matrix<bf16>);
template void dequantize<f32>(Cuda, Matrix<const s32, Col32>, Vector<const float>,
                              Vector<const float>, Vector<const f32>, Matrix<f32>);
template void dequantize_rowwise<f16>(Cuda, Matrix<const s8>, Vector<const float>, Matrix<f16>);
template void dequantize_rowwise<bf16>(Cuda, Matrix<const s8>, Vector<const float>, Matrix<bf16>);
template void dequantize_rowwise<f32>(Cuda, Matrix<const s8>, Vector<const float>, Matrix<f32>);

}  // namespace octet
