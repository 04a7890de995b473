// Sums over rows; the contract, the order of additions included, is octet/column_sum.hpp.
//
// Strips of columns are shared among the threads; a strip's sums stay in the first-level cache and
// its loops along a row are written for the vectorizer. Each element is read once.
#include "octet/column_sum.hpp"

#include <algorithm>
#include <array>

#include "cpu/parallel.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

constexpr std::int64_t kStrip = 128;

/// Columns [begin, begin + width) of x, at most kStrip of them.
template <class T>
void sum_strip(Matrix<const T> x, Vector<T> sum, std::int64_t begin, std::int64_t width) {
  std::array<float, kStrip> total{};
  for (std::int64_t chunk = 0; chunk < x.rows; chunk += kColumnSumChunk) {
    std::array<float, kStrip> partial{};
    const std::int64_t end = std::min(chunk + kColumnSumChunk, x.rows);
    for (std::int64_t i = chunk; i < end; ++i) {
      const T* row = &x(i, begin);
      for (std::int64_t j = 0; j < width; ++j) partial[j] += static_cast<float>(row[j]);
    }
    for (std::int64_t j = 0; j < width; ++j) total[j] += partial[j];
  }
  for (std::int64_t j = 0; j < width; ++j) sum(begin + j) = T(total[j]);
}

}  // namespace

template <class T>
void column_sum(Cpu, Matrix<const T> x, Vector<T> sum) {
  preconditions::column_sum(x, sum);
  cpu::parallel_for((x.cols + kStrip - 1) / kStrip, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t strip = begin; strip < end; ++strip) {
      const std::int64_t first = strip * kStrip;
      sum_strip(x, sum, first, std::min(kStrip, x.cols - first));
    }
  });
}

template void column_sum(Cpu, Matrix<const f16>, Vector<f16>);
template void column_sum(Cpu, Matrix<const bf16>, Vector<bf16>);
template void column_sum(Cpu, Matrix<const f32>, Vector<f32>);

}  // namespace octet
