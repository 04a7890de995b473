// Weighted sums along and across the lines of a matrix, for checks that project it on a vector.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "harness/parallel.hpp"

namespace octet::harness {

/// `count` contiguous pieces of `length` elements, `ld` apart.
template <class T>
struct Lines {
  const T* data;
  std::int64_t count, length, ld;
};

/// sum over k of weights[k] f(line[k]), for each line. The order of additions is fixed.
template <class T, class F>
std::vector<double> sums_along(const Lines<T>& m, const std::vector<double>& weights, const F& f) {
  constexpr std::size_t kLanes = 16;  // hide the additions' latency
  std::vector<double> sums(static_cast<std::size_t>(m.count));
  const auto length = static_cast<std::size_t>(m.length);
  parallel_for(m.count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const T* const line = m.data + n * m.ld;
      const double* const weight = weights.data();
      std::array<double, kLanes> sum{};
      std::size_t k = 0;
      for (; k + kLanes <= length; k += kLanes) {
        for (std::size_t i = 0; i < kLanes; ++i) {
          sum[i] += weight[k + i] * f(static_cast<float>(line[k + i]));
        }
      }
      for (std::size_t i = 0; k < length; ++k, ++i) {
        sum[i] += weight[k] * f(static_cast<float>(line[k]));
      }
      for (std::size_t i = 1; i < kLanes; ++i) sum[0] += sum[i];
      sums[static_cast<std::size_t>(n)] = sum[0];
    }
  });
  return sums;
}

/// sum over lines n of weights[n] f(line n[k]), for each k.
template <class T, class F>
std::vector<double> sums_across(const Lines<T>& m, const std::vector<double>& weights, const F& f) {
  constexpr std::int64_t kStrip = 256;  // whose sums stay in the cache
  std::vector<double> sums(static_cast<std::size_t>(m.length));
  parallel_for((m.length + kStrip - 1) / kStrip, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t strip = begin; strip < end; ++strip) {
      std::array<double, static_cast<std::size_t>(kStrip)> sum{};
      const std::int64_t first = strip * kStrip;
      const auto length = static_cast<std::size_t>(std::min(kStrip, m.length - first));
      for (std::int64_t n = 0; n < m.count; ++n) {
        const T* const line = m.data + n * m.ld + first;
        const double weight = weights[static_cast<std::size_t>(n)];
        for (std::size_t k = 0; k < length; ++k) {
          sum[k] += weight * f(static_cast<float>(line[k]));
        }
      }
      std::copy_n(sum.begin(), length, sums.begin() + first);
    }
  });
  return sums;
}

}  // namespace octet::harness
