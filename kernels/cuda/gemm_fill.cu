// fill_rows: every row of a batch of matrices becomes the same row, or zero.
//
// A block takes rows in turn and its threads the elements of a row, an element at a time: each
// element is written once and the row read from cache. It runs for products of depth 0 and for
// those whose bias no kernel adds, so nothing is made of alignment.
#include <algorithm>

#include "cuda/error.hpp"
#include "cuda/gemm_fill.hpp"

namespace octet::cuda {
namespace {

using std::int64_t;

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 65536;

template <class Word>
__global__ void __launch_bounds__(kThreads)
    fill_rows_kernel(const Word* __restrict__ row, Word* __restrict__ data, int64_t rows,
                     int64_t cols, int64_t ld, int64_t count, int64_t stride) {
  for (int64_t r = blockIdx.x; r < rows * count; r += gridDim.x) {
    Word* target = data + r / rows * stride + r % rows * ld;
    for (int64_t j = threadIdx.x; j < cols; j += kThreads) {
      target[j] = row == nullptr ? Word{} : row[j];
    }
  }
}

template <class Word>
void launch(cudaStream_t stream, const void* row, const Rows& t) {
  const auto blocks = static_cast<unsigned>(std::min(t.rows * t.count, kMostBlocks));
  fill_rows_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<const Word*>(row),
                                                    static_cast<Word*>(t.data), t.rows, t.cols,
                                                    t.ld, t.count, t.stride);
  check(cudaGetLastError(), "launching fill_rows_kernel");
}

}  // namespace

void fill_rows(cudaStream_t stream, const void* row, const Rows& target) {
  if (target.rows == 0 || target.cols == 0 || target.count == 0) return;
  if (target.element_bytes == 1) return launch<std::uint8_t>(stream, row, target);
  if (target.element_bytes == 2) return launch<std::uint16_t>(stream, row, target);
  launch<std::uint32_t>(stream, row, target);
}

}  // namespace octet::cuda
