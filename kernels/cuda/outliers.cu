// coo_to_csr and extract_outliers; the contract is octet/outliers.hpp.
//
// coo_to_csr: a thread takes a row and finds its first entry by binary search in the list's rows.
//   Bytes: 8 written for each row, and log2(count) cached reads.
// extract_outliers: a warp takes 32 of the listed columns and eight rows of them, a lane one
//   column. Stores are contiguous; a gathered element costs the 32 bytes around it, which in the
//   tiled layouts, and in ColMajor, hold the next rows' elements too.
//   Bytes: 32 read and sizeof(T) written an element, at the most.
//
// Any extents, leading dimensions and alignment.
#include "octet/outliers.hpp"

#include <type_traits>

#include "cuda/error.hpp"
#include "cuda/vector_access.cuh"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRowsOfWarp = 8;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

__global__ void __launch_bounds__(kThreads)
    coo_to_csr_kernel(const s32* entry_rows, const int64_t* count, int64_t capacity,
                      int64_t* row_offsets, int64_t length) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= length) return;
  const int64_t entries = *count;
  if (entries > capacity) {
    row_offsets[row] = -1;
    return;
  }
  int64_t first = 0, last = entries;  // the answer lies in [first, last]
  while (first < last) {
    const int64_t middle = first + (last - first) / 2;
    if (entry_rows[middle] < row) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  row_offsets[row] = first;
}

/// blockIdx.x = row block * column blocks + column block. U is an unsigned integer as wide as the
/// element, whose value does not matter.
template <class U, class L>
__global__ void __launch_bounds__(kThreads)
    extract_outliers_kernel(Matrix<const U, L> w, Vector<const s32> columns, Matrix<U> out,
                            int64_t col_blocks) {
  const int64_t j = blockIdx.x % col_blocks * kWarp + threadIdx.x % kWarp;
  const int64_t first_row = (blockIdx.x / col_blocks * kWarps + threadIdx.x / kWarp) * kRowsOfWarp;
  if (j >= out.cols) return;
  const int64_t col = columns(j);
  const bool inside = col >= 0 && col < w.cols;
#pragma unroll
  for (int r = 0; r < kRowsOfWarp; ++r) {
    const int64_t i = first_row + r;
    if (i < out.rows) out(i, j) = inside ? w(i, col) : U{0};
  }
}

}  // namespace

template <class T>
void coo_to_csr(Cuda backend, const CooList<T>& coo, Vector<std::int64_t> row_offsets) {
  preconditions::coo_to_csr(coo, row_offsets);
  const dim3 blocks(static_cast<unsigned>(ceil_div(row_offsets.length, kThreads)));
  coo_to_csr_kernel<<<blocks, kThreads, 0, backend.stream>>>(coo.row, coo.count, coo.capacity,
                                                             row_offsets.data, row_offsets.length);
  check(cudaGetLastError(), "launching coo_to_csr");
}

template <class T, class L>
void extract_outliers(Cuda backend, Matrix<const T, L> w, Vector<const s32> columns,
                      Matrix<T> out) {
  preconditions::extract_outliers(w, columns, out);
  if (out.empty()) return;
  using U = std::conditional_t<sizeof(T) == 1, std::uint8_t, std::uint16_t>;
  const int64_t col_blocks = ceil_div(out.cols, kWarp);
  const dim3 blocks(static_cast<unsigned>(ceil_div(out.rows, kWarps * kRowsOfWarp) * col_blocks));
  extract_outliers_kernel<U, L><<<blocks, kThreads, 0, backend.stream>>>(
      {reinterpret_cast<const U*>(w.data), w.rows, w.cols, w.layout}, columns,
      {reinterpret_cast<U*>(out.data), out.rows, out.cols, out.layout}, col_blocks);
  check(cudaGetLastError(), "launching extract_outliers");
}

template void coo_to_csr(Cuda, const CooList<f16>&, Vector<std::int64_t>);
template void coo_to_csr(Cuda, const CooList<bf16>&, Vector<std::int64_t>);
template void coo_to_csr(Cuda, const CooList<f32>&, Vector<std::int64_t>);
template void extract_outliers(Cuda, Matrix<const s8>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cuda, Matrix<const s8, ColMajor>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cuda, Matrix<const s8, Col32>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cuda, Matrix<const s8, Col4_4R2_8C>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cuda, Matrix<const s8, Col32_2R_4R4>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cuda, Matrix<const f16>, Vector<const s32>, Matrix<f16>);
template void extract_outliers(Cuda, Matrix<const bf16>, Vector<const s32>, Matrix<bf16>);

}  // namespace octet
