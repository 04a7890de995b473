// The truth about the outliers of large matrices: the reference's answers for blocks of rows, asked
// in parallel and put together. Knows no kernel and no backend.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "harness/parallel.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"
#include "reference/outliers.hpp"

namespace octet::harness {

namespace detail {

/// A matrix in blocks of rows, each worth a task and more than the merging of its columns.
template <class T>
class RowBlocks {
 public:
  explicit RowBlocks(Matrix<const T> x)
      : x_(x), rows_(std::max<std::int64_t>(64, (1 << 17) / std::max<std::int64_t>(1, x.cols))) {}

  std::int64_t count() const { return (x_.rows + rows_ - 1) / rows_; }
  /// body(block, its first row, its rows), in parallel.
  template <class Body>
  void for_each(const Body& body) const {
    parallel_for(count(), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        const std::int64_t first = block * rows_;
        body(block, first,
             Matrix<const T>(x_.data + x_.layout(first, 0), std::min(rows_, x_.rows - first),
                             x_.cols, x_.layout));
      }
    });
  }

 private:
  Matrix<const T> x_;
  std::int64_t rows_;
};

}  // namespace detail

/// reference::columns_with_outliers.
template <class T>
std::vector<bool> columns_with_outliers(Matrix<const T> x, float threshold) {
  std::vector<bool> found(static_cast<std::size_t>(x.cols));
  std::mutex mutex;
  detail::RowBlocks<T>(x).for_each([&](std::int64_t, std::int64_t, Matrix<const T> rows) {
    const std::vector<bool> in_rows = reference::columns_with_outliers(rows, threshold);
    const std::lock_guard lock(mutex);
    for (std::size_t j = 0; j < found.size(); ++j) found[j] = found[j] || in_rows[j];
  });
  return found;
}

/// reference::entries_not_kept.
template <class T, class F>
std::vector<reference::Entry<T>> entries_not_kept(Matrix<const T> x, const F& is_kept) {
  const detail::RowBlocks<T> blocks(x);
  std::vector<std::vector<reference::Entry<T>>> parts(static_cast<std::size_t>(blocks.count()));
  blocks.for_each([&](std::int64_t block, std::int64_t first, Matrix<const T> rows) {
    auto entries = reference::entries_not_kept(
        rows, [&](std::int64_t i, std::int64_t j) { return is_kept(first + i, j); });
    for (reference::Entry<T>& e : entries) e.row += static_cast<s32>(first);
    parts[static_cast<std::size_t>(block)] = std::move(entries);
  });
  std::vector<reference::Entry<T>> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// reference::absmaxes_of_kept.
template <class T, class F>
reference::Absmaxes absmaxes_of_kept(Matrix<const T> x, const F& is_kept) {
  reference::Absmaxes all{std::vector<float>(static_cast<std::size_t>(x.rows)),
                          std::vector<float>(static_cast<std::size_t>(x.cols))};
  std::mutex mutex;
  detail::RowBlocks<T>(x).for_each([&](std::int64_t, std::int64_t first, Matrix<const T> rows) {
    const reference::Absmaxes part = reference::absmaxes_of_kept(
        rows, [&](std::int64_t i, std::int64_t j) { return is_kept(first + i, j); });
    std::copy(part.rows.begin(), part.rows.end(), all.rows.begin() + first);
    const std::lock_guard lock(mutex);
    for (std::size_t j = 0; j < all.cols.size(); ++j) {
      float& absmax = all.cols[j];
      const bool is_nan = std::isnan(absmax) || std::isnan(part.cols[j]);
      absmax = is_nan ? std::numeric_limits<float>::quiet_NaN() : std::max(absmax, part.cols[j]);
    }
  });
  return all;
}

}  // namespace octet::harness
