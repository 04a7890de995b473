// quantize_row_col with a threshold; the kernels are those of quantize_row_col.cuh.
//
// element: absmax_kernel leaves out what is not under the threshold, notes in the workspace which
//   chunks of a piece of a row hold outliers and how many there are, and counts them by its rows. A
//   few blocks of convert_kernel sum up the counts before their rows and pieces, and write the
//   entries in order, reading again the chunks that were noted. No launch more than without a
//   threshold.
//   Bytes: as without one, 8 for each row and 32 chunks written and read, and the list.
// column: one read more, for the columns' absmax; columns_kernel then lists those over the
//   threshold, and entry n of row i lies at i * columns + n.
//
// Counts are sums and statistics maxima, whose order does not show; every entry's place follows
// from counts alone. So a list is the same at every run.
#include <bit>
#include <cstdint>

#include "cuda/quantize_row_col.cuh"
#include "octet/outliers.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

constexpr const char* kWhat = "launching quantize_row_col with a threshold";
constexpr int kColumnThreads = 1024;

/// One block lists the columns whose absmax is not under the limit, ascending; a thread takes a
/// column at a time.
__global__ void __launch_bounds__(kColumnThreads)
    columns_kernel(const unsigned* column_absmax, int64_t cols, unsigned limit, s32* columns,
                   int* column_count) {
  __shared__ int warp_counts[kColumnThreads / kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  wait_for_predecessor();
  int before = 0;
  for (int64_t first = 0; first < cols; first += kColumnThreads) {
    const int64_t col = first + threadIdx.x;
    const bool listed = col < cols && (column_absmax[col] & ~kStatistic) >= limit;
    const unsigned found = __ballot_sync(kAllLanes, listed);
    if (lane == 0) warp_counts[warp] = __popc(found);
    __syncthreads();
    const int count = warp_counts[lane];
    const int of_earlier_warps = __reduce_add_sync(kAllLanes, lane < warp ? count : 0);
    if (listed) {
      columns[before + of_earlier_warps + __popc(found & ((1u << lane) - 1))] =
          static_cast<s32>(col);
    }
    before += __reduce_add_sync(kAllLanes, count);
    __syncthreads();
  }
  if (threadIdx.x == 0) *column_count = before;
}

/// The f32 bits of a limit in T's bits.
template <class T>
unsigned f32_bits(unsigned limit) {
  if constexpr (sizeof(T) == 4) {
    return limit;
  } else {
    return std::bit_cast<unsigned>(
        static_cast<float>(T::from_bits(static_cast<std::uint16_t>(limit))));
  }
}

}  // namespace

template <class T>
void quantize_row_col(Cuda backend, Matrix<const T> x, float threshold, OutlierMode mode,
                      Matrix<s8> q_row, Vector<float> row_scale, Matrix<s8> q_col,
                      Vector<float> col_scale, CooList<T> outliers, Vector<std::byte> workspace) {
  preconditions::quantize_row_col(x, threshold, q_row, row_scale, q_col, col_scale, outliers,
                                  workspace);
  const cudaStream_t stream = backend.stream;
  if (x.empty()) {
    check(cudaMemsetAsync(outliers.count, 0, sizeof(*outliers.count), stream), kWhat);
    return;
  }
  const OutlierWorkspace parts(x.rows, x.cols);
  std::byte* const memory = workspace.data;
  auto* const group_counts = reinterpret_cast<unsigned long long*>(memory + parts.group_counts);
  auto* const column_absmax = reinterpret_cast<unsigned*>(memory + parts.column_absmax);
  auto* const columns = reinterpret_cast<s32*>(memory + parts.columns);
  auto* const column_count = reinterpret_cast<int*>(memory + parts.column_count);
  const unsigned limit = outlier_bits<T>(threshold);

  RowCol<T> p = row_col_of(x, q_row, row_scale, q_col, col_scale);
  const int64_t pieces_of_row = ceil_div(x.cols, kWarp * kChunk<T>);
  const int64_t pieces = x.rows * pieces_of_row;
  const int64_t pieces_of_block = ceil_div(ceil_div(pieces, kListBlocks), kThreads) * kThreads;
  const int rows_of_group = rows_of_absmax<T>(x.rows, x.cols);
  p.outliers = {limit,
                reinterpret_cast<uint2*>(memory + parts.pieces),
                pieces_of_row,
                pieces_of_block,
                group_counts,
                rows_of_group,
                column_absmax,
                columns,
                column_count,
                outliers,
                static_cast<unsigned>(ceil_div(pieces, pieces_of_block)),
                1};
  unsigned* const rows = words_of(row_scale.data);
  unsigned* const cols = words_of(col_scale.data);
  if (mode == OutlierMode::element) {
    clear(kWhat, stream,
          {{rows, cols, reinterpret_cast<unsigned*>(group_counts)},
           {x.rows, x.cols, 2 * ceil_div(x.rows, rows_of_group)}});
    take_absmax<Copies::row_col, Kept::below_threshold>(kWhat, stream, p);
    convert<Copies::row_col, Kept::below_threshold>(kWhat, stream, p);
    return;
  }
  constexpr int64_t kMostColumnBlocks = 256;
  const int64_t column_blocks = ceil_div(x.rows, kWarps);
  p.outliers.list_blocks =
      static_cast<unsigned>(column_blocks < kMostColumnBlocks ? column_blocks : kMostColumnBlocks);
  clear(kWhat, stream, {{rows, cols, column_absmax}, {x.rows, x.cols, x.cols}});
  RowCol<T> all = p;
  all.col_scale = reinterpret_cast<float*>(column_absmax);
  take_absmax<Copies::col, Kept::all>(kWhat, stream, all);
  launch_dependent(kWhat, stream, 1, kColumnThreads, columns_kernel, column_absmax, x.cols,
                   f32_bits<T>(limit), columns, column_count);
  take_absmax<Copies::row_col, Kept::unlisted_columns>(kWhat, stream, p);
  convert<Copies::row_col, Kept::unlisted_columns>(kWhat, stream, p);
}

template void quantize_row_col(Cuda, Matrix<const f16>, float, OutlierMode, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>, CooList<f16>,
                               Vector<std::byte>);
template void quantize_row_col(Cuda, Matrix<const bf16>, float, OutlierMode, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>, CooList<bf16>,
                               Vector<std::byte>);
template void quantize_row_col(Cuda, Matrix<const f32>, float, OutlierMode, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>, CooList<f32>,
                               Vector<std::byte>);

}  // namespace octet
