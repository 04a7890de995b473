// Products that are added to an output, checked on what the output was before and is afterwards.
//
// One call is compared bit for bit at every element. Launches that are timed pile up, and a
// replayed graph does not say how many there were; but the output is then the same number of
// additions from where it began, at every element. Each element leaves only certain numbers
// possible (its sequence never turns back, and ends where a sum is absorbed by rounding): one
// number must explain all of them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "harness/check.hpp"
#include "octet/matrix.hpp"

namespace octet::harness {

namespace detail {

/// Numbers of additions, first to last, after which an element has a value.
struct Additions {
  static constexpr std::int64_t kNoEnd = std::numeric_limits<std::int64_t>::max();
  std::int64_t first = 1, last = kNoEnd;
  bool empty() const { return first > last; }
};

/// `next` adds once. A sequence of 16-bit numbers that never turns back ends before 2^16 of them.
template <class T, class Next>
Additions additions(T before, T after, const Next& next) {
  constexpr std::int64_t kLongest = 1 << 16;
  Additions found{Additions::kNoEnd, 0};
  T value = before;
  for (std::int64_t k = 1; k <= kLongest; ++k) {
    const T following = next(value);
    const bool stays = same_bits(following, value);
    if (same_bits(following, after)) {
      found.first = std::min(found.first, k);
      found.last = stays ? Additions::kNoEnd : k;
    }
    if (stays || (same_bits(value, after) && !same_bits(following, after) && k > 1)) break;
    value = following;
  }
  return found;
}

}  // namespace detail

/// next(i, j) makes a function of one addition to element (i, j). `times` is how many there were,
/// or nothing: then up to kCompleteSamples elements, or samples of all tiles, are asked.
template <class T, class Next>
Check verify_additions(std::string_view what, Matrix<const T> before, Matrix<const T> after,
                       std::optional<std::int64_t> times, std::uint64_t seed, const Next& next,
                       Zeros zeros) {
  if (times) {
    return compare_bits(
        what, after,
        [&](std::int64_t i, std::int64_t j) {
          const auto add = next(i, j);
          T value = before(i, j);
          for (std::int64_t k = 0; k < *times; ++k) value = add(value);
          return value;
        },
        zeros);
  }
  const std::vector<Coordinate> samples = sample_coordinates(after.rows, after.cols, seed);
  std::vector<detail::Additions> found(samples.size());
  parallel_for(static_cast<std::int64_t>(samples.size()), 16,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t s = begin; s < end; ++s) {
                   const auto [i, j] = samples[static_cast<std::size_t>(s)];
                   found[static_cast<std::size_t>(s)] =
                       detail::additions(before(i, j), after(i, j), next(i, j));
                 }
               });
  Check check;
  check.kind = "bits";
  check.exact = true;
  check.compared = static_cast<std::int64_t>(samples.size());
  detail::Additions common;
  for (std::size_t s = 0; s < samples.size(); ++s) {
    const detail::Additions narrowed{std::max(common.first, found[s].first),
                                     std::min(common.last, found[s].last)};
    if (!narrowed.empty()) {
      common = narrowed;
      continue;
    }
    if (++check.mismatches > 1) continue;
    const auto [i, j] = samples[s];
    check.passed = false;
    check.status = "FAILED";
    check.message = fmt::format(
        "{}: at ({}, {}) {} became {}, which no number of additions that fits the elements before "
        "it explains",
        what, i, j, to_text(before(i, j)), to_text(after(i, j)));
  }
  return check;
}

}  // namespace octet::harness
