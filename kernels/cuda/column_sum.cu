// column_sum: sums over rows in the order that column_sum.hpp fixes.
//
// A block takes 64 bytes of columns and all rows. Its groups of 16 threads take a chunk of 64 rows
// each, a thread 4 bytes of columns, with the loads of 32 rows in flight; the chunks' sums meet in
// shared memory, where one thread a column adds them in their order, and the block goes on to its
// next chunks. Bytes: sizeof(T) read an element. Any extents, leading dimensions and alignment;
// loads take 4 bytes where alignment allows it.
#include <algorithm>

#include "cuda/error.hpp"
#include "cuda/vector_access.cuh"
#include "octet/column_sum.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

constexpr int kWidth = 16;       // threads that share a chunk
constexpr int kMostChunks = 32;  // that a block has under way
constexpr int kRowsInFlight = 32;
constexpr int kChunkRows = static_cast<int>(kColumnSumChunk);
static_assert(kChunkRows % kRowsInFlight == 0);

template <class T>
constexpr int kThreadCols = 4 / static_cast<int>(sizeof(T));
template <class T>
constexpr int kBlockCols = kWidth* kThreadCols<T>;

template <class T>
struct ColumnSum {
  const T* x;
  int64_t ldx;
  int64_t rows, cols;
  T* sum;
  bool vectors;
};

/// The 4 bytes of a row from `source` on, of which `remaining` columns are inside.
template <class T>
__device__ __forceinline__ unsigned load_word(const T* source, int64_t remaining, bool vectors) {
  if (vectors && remaining >= kThreadCols<T>) {
    return __ldg(reinterpret_cast<const unsigned*>(source));
  }
  unsigned word = 0;
#pragma unroll
  for (int c = 0; c < kThreadCols<T>; ++c) {
    if (c < remaining) {
      word |= static_cast<unsigned>(reinterpret_cast<const Bits<T>*>(source)[c]) << (c * 16);
    }
  }
  return word;
}

/// threadIdx.x = place in the 64 bytes, threadIdx.y = chunk of the block's round.
template <class T>
__global__ void __launch_bounds__(kWidth* kMostChunks) column_sum_kernel(const ColumnSum<T> p) {
  constexpr int kCols = kThreadCols<T>;
  __shared__ float partial[kMostChunks][kBlockCols<T>];
  const int64_t block_col = static_cast<int64_t>(blockIdx.x) * kBlockCols<T>;
  const int64_t col = block_col + static_cast<int>(threadIdx.x) * kCols;
  const int thread = static_cast<int>(threadIdx.y * kWidth + threadIdx.x);
  const int64_t rows_of_round = static_cast<int64_t>(blockDim.y) * kChunkRows;
  float total = 0.0f;  // of column block_col + thread, in the first threads

  for (int64_t round = 0; round < p.rows; round += rows_of_round) {
    const int64_t chunk = round + static_cast<int64_t>(threadIdx.y) * kChunkRows;
    float sum[kCols] = {};
    if (chunk + kChunkRows <= p.rows) {
#pragma unroll 1
      for (int i = 0; i < kChunkRows; i += kRowsInFlight) {
        unsigned words[kRowsInFlight];
#pragma unroll
        for (int r = 0; r < kRowsInFlight; ++r) {
          words[r] = load_word(p.x + (chunk + i + r) * p.ldx + col, p.cols - col, p.vectors);
        }
#pragma unroll
        for (int r = 0; r < kRowsInFlight; ++r) {
#pragma unroll
          for (int c = 0; c < kCols; ++c) {
            sum[c] =
                __fadd_rn(sum[c], value_of<T>(words[r] >> (c * 16) & (kCols == 2 ? 0xffffu : ~0u)));
          }
        }
      }
    } else {
#pragma unroll 4
      for (int64_t i = chunk; i < p.rows; ++i) {
        const unsigned word = load_word(p.x + i * p.ldx + col, p.cols - col, p.vectors);
#pragma unroll
        for (int c = 0; c < kCols; ++c) {
          sum[c] = __fadd_rn(sum[c], value_of<T>(word >> (c * 16) & (kCols == 2 ? 0xffffu : ~0u)));
        }
      }
    }
#pragma unroll
    for (int c = 0; c < kCols; ++c) {
      partial[threadIdx.y][static_cast<int>(threadIdx.x) * kCols + c] = sum[c];
    }
    __syncthreads();
    const int64_t chunks_left = (p.rows - round + kChunkRows - 1) / kChunkRows;
    const int chunks = static_cast<int>(min(chunks_left, static_cast<int64_t>(blockDim.y)));
    if (thread < kBlockCols<T>) {
      for (int k = 0; k < chunks; ++k) total = __fadd_rn(total, partial[k][thread]);
    }
    __syncthreads();
  }
  if (thread < kBlockCols<T> && block_col + thread < p.cols) {
    reinterpret_cast<Bits<T>*>(p.sum)[block_col + thread] = static_cast<Bits<T>>(bits_of<T>(total));
  }
}

}  // namespace

template <class T>
void column_sum(Cuda backend, Matrix<const T> x, Vector<T> sum) {
  preconditions::column_sum(x, sum);
  if (x.cols == 0) return;
  const ColumnSum<T> p{x.data, x.layout.ld, x.rows,
                       x.cols, sum.data,    aligned_rows(x.data, x.layout.ld, x.rows, 4)};
  // A warp at least, and as many threads as the block has columns.
  const int64_t chunks =
      std::clamp<int64_t>((x.rows + kChunkRows - 1) / kChunkRows, 2, kMostChunks);
  const int64_t blocks = (x.cols + kBlockCols<T> - 1) / kBlockCols<T>;
  column_sum_kernel<T><<<static_cast<unsigned>(blocks), dim3(kWidth, static_cast<unsigned>(chunks)),
                         0, backend.stream>>>(p);
  check(cudaGetLastError(), "launching column_sum");
}

template void column_sum<f16>(Cuda, Matrix<const f16>, Vector<f16>);
template void column_sum<bf16>(Cuda, Matrix<const bf16>, Vector<bf16>);
template void column_sum<f32>(Cuda, Matrix<const f32>, Vector<f32>);

}  // namespace octet
