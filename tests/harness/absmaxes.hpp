// The absmax of every row and of every column: what reference::row_absmax and col_absmax say, as
// vector code, for matrices that take a scalar loop seconds.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <vector>

#include "harness/parallel.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::harness {

namespace detail {

inline std::int64_t rows_of_task(std::int64_t cols) {
  constexpr std::int64_t kElements = 1 << 17;
  return std::max<std::int64_t>(1, kElements / std::max<std::int64_t>(1, cols));
}

/// Magnitudes in the order of their bits; what is not finite is above all that is.
template <class T>
std::uint32_t magnitude_bits(T x) {
  return std::bit_cast<std::uint32_t>(static_cast<float>(x)) & 0x7fffffffu;
}
inline float absmax_of(std::uint32_t bits) {
  return bits < 0x7f800000u ? std::bit_cast<float>(bits) : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace detail

/// NaN for a row that is not finite.
template <class T>
std::vector<float> row_absmaxes(Matrix<const T> x) {
  std::vector<float> absmax(static_cast<std::size_t>(x.rows));
  parallel_for(x.rows, detail::rows_of_task(x.cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* const row = x.data + x.layout(i, 0);
      std::uint32_t largest = 0;
      for (std::int64_t j = 0; j < x.cols; ++j) {
        largest = std::max(largest, detail::magnitude_bits(row[j]));
      }
      absmax[static_cast<std::size_t>(i)] = detail::absmax_of(largest);
    }
  });
  return absmax;
}

/// By blocks of rows, as memory lies: column by column a full-size matrix takes minutes.
template <class T>
std::vector<float> col_absmaxes(Matrix<const T> x) {
  std::vector<std::uint32_t> largest(static_cast<std::size_t>(x.cols));
  std::mutex mutex;
  const std::int64_t grain =
      std::max(detail::rows_of_task(x.cols), std::min<std::int64_t>(64, x.rows));
  parallel_for(x.rows, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint32_t> block(largest.size());
    std::uint32_t* const of_block = block.data();
    for (std::int64_t i = begin; i < end; ++i) {
      const T* const row = x.data + x.layout(i, 0);
      for (std::int64_t j = 0; j < x.cols; ++j) {
        of_block[j] = std::max(of_block[j], detail::magnitude_bits(row[j]));
      }
    }
    const std::lock_guard lock(mutex);
    for (std::size_t j = 0; j < block.size(); ++j) largest[j] = std::max(largest[j], block[j]);
  });
  std::vector<float> absmax(largest.size());
  std::transform(largest.begin(), largest.end(), absmax.begin(), detail::absmax_of);
  return absmax;
}

}  // namespace octet::harness
