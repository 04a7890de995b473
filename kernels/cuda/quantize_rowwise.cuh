// The kernels behind quantize_rowwise: floating point to bytes of Q, s8 or e4m3, with a scale for
// each row.
//
// A block takes a row, or a warp where rows are short; the row stays in registers between the
// statistic and the rounding. Rows beyond what registers hold are read twice.
// Bytes: sizeof(T) read and 1 written an element.
//
// Any extents, leading dimensions and alignment. Accesses take 16 bytes (x) and 8 or 4 (q) where
// alignment allows it.
#pragma once

#include <algorithm>

#include "cuda/error.hpp"
#include "cuda/quantize.cuh"
#include "octet/backend.hpp"
#include "octet/matrix.hpp"

namespace octet::cuda {

inline constexpr int kChunksWanted = 4;  // loads that a thread has in flight
inline constexpr int kMaxChunks = 8;     // held in registers
inline constexpr int kMaxThreads = 768;  // of a row: leaves each 80 registers
inline constexpr int kRowsOfShort = 4;   // rows of a block, where a warp takes a row

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
template <class T, class Q, int kChunks>
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

  if (threadIdx.x == 0) p.row_scale[row] = scale<Q>(absmax);
  const float inverse = inverse_scale<Q>(absmax);
#pragma unroll
  for (int i = 0; i < kChunks; ++i) {
    const int64_t col = static_cast<int64_t>(threadIdx.x + i * blockDim.x) * kChunk<T>;
    store_quantized<T, Q>(p.q + row * p.ldq + col, chunks[i], inverse, p.cols - col,
                          Access{p.q_vectors, false});
  }
}

/// A block for each row, which is read twice.
template <class T, class Q>
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

  if (threadIdx.x == 0) p.row_scale[row] = scale<Q>(absmax);
  const float inverse = inverse_scale<Q>(absmax);
#pragma unroll 4
  for (int64_t col = first; col < p.cols; col += step) {
    store_quantized<T, Q>(p.q + row * p.ldq + col,
                          load_chunk(source + col, p.cols - col, p.x_vectors), inverse,
                          p.cols - col, Access{p.q_vectors, false});
  }
}

/// x, whose extents were checked, to q.
template <class Q, class T>
void launch_quantize_rowwise(Cuda backend, Matrix<const T> x, Matrix<s8> q,
                             Vector<float> row_scale) {
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
  const dim3 blocks(static_cast<unsigned>(ceil_div(x.rows, rows)));
  const int64_t chunks_of_thread = ceil_div(chunks, threads);
  if (chunks_of_thread == 1) {
    quantize_rowwise_kernel<T, Q, 1><<<blocks, block, 0, backend.stream>>>(p);
  } else if (chunks_of_thread == 2) {
    quantize_rowwise_kernel<T, Q, 2><<<blocks, block, 0, backend.stream>>>(p);
  } else if (chunks_of_thread <= 4) {
    quantize_rowwise_kernel<T, Q, 4><<<blocks, block, 0, backend.stream>>>(p);
  } else if (chunks_of_thread <= kMaxChunks) {
    quantize_rowwise_kernel<T, Q, kMaxChunks><<<blocks, block, 0, backend.stream>>>(p);
  } else {
    quantize_rowwise_reread_kernel<T, Q><<<blocks, block, 0, backend.stream>>>(p);
  }
  check(cudaGetLastError(), "launching quantize_rowwise");
}

}  // namespace octet::cuda
