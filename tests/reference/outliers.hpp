// The truth about outliers (octet/outliers.hpp): scalar, by coordinate. `is_kept(i, j)` says what
// counts.
//
// Calls no kernel and is never tuned.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::reference {

/// not (|x| < threshold), so NaN is.
inline bool is_outlier(float x, float threshold) { return !(std::fabs(x) < threshold); }

/// For each column whether it holds an outlier.
template <class T>
std::vector<bool> columns_with_outliers(Matrix<const T> x, float threshold) {
  std::vector<bool> found(static_cast<std::size_t>(x.cols));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) {
      if (is_outlier(static_cast<float>(x(i, j)), threshold)) {
        found[static_cast<std::size_t>(j)] = true;
      }
    }
  }
  return found;
}

/// max |x| over what is kept, of each row and of each column; NaN where something kept is NaN or
/// Inf.
struct Absmaxes {
  std::vector<float> rows, cols;
};
template <class T, class F>
Absmaxes absmaxes_of_kept(Matrix<const T> x, const F& is_kept) {
  const auto take = [](float& absmax, float value) {
    if (std::isnan(absmax)) return;
    const float magnitude = std::fabs(value);
    absmax = std::isfinite(magnitude) ? std::max(absmax, magnitude)
                                      : std::numeric_limits<float>::quiet_NaN();
  };
  Absmaxes absmax{std::vector<float>(static_cast<std::size_t>(x.rows)),
                  std::vector<float>(static_cast<std::size_t>(x.cols))};
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) {
      if (!is_kept(i, j)) continue;
      take(absmax.rows[static_cast<std::size_t>(i)], static_cast<float>(x(i, j)));
      take(absmax.cols[static_cast<std::size_t>(j)], static_cast<float>(x(i, j)));
    }
  }
  return absmax;
}

template <class T>
struct Entry {
  s32 row, col;
  T value;
};

/// What is not kept, by row and then column.
template <class T, class F>
std::vector<Entry<T>> entries_not_kept(Matrix<const T> x, const F& is_kept) {
  std::vector<Entry<T>> entries;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) {
      if (is_kept(i, j)) continue;
      entries.push_back({static_cast<s32>(i), static_cast<s32>(j), x(i, j)});
    }
  }
  return entries;
}

/// By column and then row.
template <class T>
std::vector<Entry<T>> sorted_by_column(std::vector<Entry<T>> entries) {
  std::sort(entries.begin(), entries.end(), [](const Entry<T>& a, const Entry<T>& b) {
    return a.col != b.col ? a.col < b.col : a.row < b.row;
  });
  return entries;
}

/// The entries before row i.
template <class T>
std::int64_t first_of_row(const std::vector<Entry<T>>& by_row, std::int64_t i) {
  return std::count_if(by_row.begin(), by_row.end(), [&](const Entry<T>& e) { return e.row < i; });
}

}  // namespace octet::reference
