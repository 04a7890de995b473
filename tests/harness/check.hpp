// Comparisons of what a kernel left behind with what is true, and what they found.
//
// All of them run in parallel, copy nothing, and ask the truth by coordinate. A comparison that
// could not have failed is no pass: MISTRUSTED where the truth is nearly all zero or NaN, INVALID
// where it is not finite or has no norm.
//
// A failure's message says what differs, how often, where, and how it looks around the first place,
// so that a wrong index, an unwritten tail and a wrong scale can be told apart from the text.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/parallel.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::harness {

struct Check {
  std::string kind;  // bits, norms, bounded, freivalds; several joined with +
  bool passed = true;
  bool exact = false;
  std::int64_t compared = 0, mismatches = 0;
  // The largest among finite differences.
  double max_abs = 0, max_ulp = 0;
  double rel_frobenius = 0, worst_row = 0, worst_col = 0, cosine = 1;
  double bound = 0;
  std::string status = "PASSED";  // FAILED MISTRUSTED INVALID
  std::string message;
};

/// The worst of several: status FAILED before INVALID before MISTRUSTED, counts added, messages one
/// on each line. A Check without a kind checked nothing and leaves no trace.
Check merge(std::span<const Check> checks);
Check merge(std::initializer_list<Check> checks);

/// Whether a truth of zeros is what the case is about.
enum class Zeros { mistrusted, allowed };

/// The granularity of mismatch reports: a thread block's usual share.
inline constexpr std::int64_t kReportTile = 128;

// ------------------------------------------------------------------------------------- values

/// Comparisons here do not branch, so that loops over them become vector code.
template <class T>
bool is_nan(const T& x) {
  if constexpr (std::is_same_v<T, f16>) return (x.bits & 0x7fffu) > 0x7c00u;
  if constexpr (std::is_same_v<T, bf16>) return (x.bits & 0x7fffu) > 0x7f80u;
  if constexpr (std::is_same_v<T, e4m3>) return (x.bits & 0x7fu) == 0x7fu;
  if constexpr (std::is_same_v<T, f32>) {
    return (std::bit_cast<std::uint32_t>(x) & 0x7fffffffu) > 0x7f800000u;
  }
  return false;
}

template <class T>
bool same_bits(const T& a, const T& b) {
  if constexpr (std::is_integral_v<T>) {
    return a == b;
  } else if constexpr (sizeof(T) <= 2) {
    return (a.bits == b.bits) | (is_nan(a) & is_nan(b));
  } else {
    return (std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b)) |
           (is_nan(a) & is_nan(b));
  }
}

template <class T>
double to_double(T x) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<double>(x);
  } else {
    return static_cast<float>(x);
  }
}

/// Zero or NaN: what a kernel that does nothing or fails also leaves behind.
template <class T>
bool is_blank(const T& x) {
  if constexpr (std::is_integral_v<T>) {
    return x == 0;
  } else if constexpr (sizeof(T) == 1) {
    return ((x.bits & 0x7fu) == 0) | is_nan(x);
  } else if constexpr (sizeof(T) == 2) {
    return ((x.bits & 0x7fffu) == 0) | is_nan(x);
  } else {
    return (x == 0) | is_nan(x);
  }
}

/// Half the distance between numbers of T, f16, bf16 or f32, at this magnitude.
template <class T>
double half_ulp(double magnitude) {
  constexpr bool kIsF16 = std::is_same_v<T, f16>;
  constexpr int kFractionBits = kIsF16 ? 10 : std::is_same_v<T, bf16> ? 7 : 23;
  constexpr std::int64_t kBias = 1023, kMinExponent = kIsF16 ? -14 : -126;
  const std::int64_t exponent = (std::bit_cast<std::int64_t>(magnitude) >> 52) - kBias;
  const std::int64_t of_result = std::max(exponent, kMinExponent) - kFractionBits - 1;
  return std::bit_cast<double>((of_result + kBias) << 52);
}

/// Numbers of T from a to b.
template <class T>
double ulp_distance(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return std::fabs(to_double(a) - to_double(b));
  } else {
    const auto rank = [](T x) -> double {
      std::uint32_t bits;
      if constexpr (sizeof(T) == 1) {
        bits = static_cast<std::uint32_t>(x.bits & 0x7f);
      } else if constexpr (sizeof(T) == 2) {
        bits = static_cast<std::uint32_t>(x.bits & 0x7fff);
      } else {
        bits = std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
      }
      return std::signbit(static_cast<float>(x)) ? -static_cast<double>(bits) : bits;
    };
    return std::fabs(rank(a) - rank(b));
  }
}

std::string to_text(s8 x);
std::string to_text(s32 x);
std::string to_text(f16 x);
std::string to_text(bf16 x);
std::string to_text(float x);
std::string to_text(e4m3 x);

// ------------------------------------------------------------------------------------- bits

/// Of a matrix, at most kBlock rows and columns: suits the caches also where the truth is read
/// across its rows.
struct Block {
  std::int64_t row_begin, row_end, col_begin, col_end;
};
inline constexpr std::int64_t kBlock = 64;

namespace detail {

/// Where mismatches lie; filled only once something is known to be wrong.
struct Differences {
  std::int64_t rows, cols;
  std::vector<std::int64_t> in_row, in_col, in_tile;  // tiles row-major

  Differences(std::int64_t rows, std::int64_t cols);
  std::int64_t tile_cols() const { return (cols + kReportTile - 1) / kReportTile; }
};

/// Values around a place, already as text.
using Neighbourhood = std::function<std::string(std::int64_t, std::int64_t)>;

std::string describe(std::string_view what, const Differences& differences,
                     std::pair<std::int64_t, std::int64_t> first,
                     std::pair<std::int64_t, std::int64_t> last, const Neighbourhood& expected,
                     const Neighbourhood& actual);
std::string describe_blank(std::string_view what, std::int64_t blank, std::int64_t compared);

/// The truth by coordinate within a block: what expected(block) makes, or else `expected` itself.
template <class F>
decltype(auto) in_block(const F& expected, const Block& block) {
  if constexpr (std::is_invocable_v<const F&, const Block&>) {
    return expected(block);
  } else {
    return (expected);
  }
}
template <class F>
auto at(const F& expected, std::int64_t i, std::int64_t j) {
  return in_block(expected, {i, i + 1, j, j + 1})(i, j);
}

/// A task has consecutive blocks, task(block) for each, and reduces at its end.
template <class MakeTask>
void for_each_block(std::int64_t rows, std::int64_t cols, const MakeTask& make_task) {
  if (rows <= 0 || cols <= 0) return;
  const std::int64_t across = (cols - 1) / kBlock + 1, down = (rows - 1) / kBlock + 1;
  const std::int64_t block_size = std::min(kBlock, rows) * std::min(kBlock, cols);
  parallel_for(across * down, (1 << 15) / block_size, [&](std::int64_t begin, std::int64_t end) {
    auto task = make_task();
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t i = t / across * kBlock, j = t % across * kBlock;
      task(Block{i, std::min(rows, i + kBlock), j, std::min(cols, j + kBlock)});
    }
  });
}

template <class T, class L, class F>
void locate(std::string_view what, Matrix<T, L> actual, const F& expected, Check& check) {
  using Value = std::remove_const_t<T>;
  Differences found(actual.rows, actual.cols);
  std::pair<std::int64_t, std::int64_t> first{-1, -1}, last{-1, -1};
  for (std::int64_t i = 0; i < actual.rows; ++i) {
    for (std::int64_t j = 0; j < actual.cols; ++j) {
      const Value e = at(expected, i, j), a = actual(i, j);
      if (same_bits(a, e)) continue;
      if (first.first < 0) first = {i, j};
      last = {i, j};
      ++found.in_row[static_cast<std::size_t>(i)];
      ++found.in_col[static_cast<std::size_t>(j)];
      ++found.in_tile[static_cast<std::size_t>(i / kReportTile * found.tile_cols() +
                                               j / kReportTile)];
      const double difference = std::fabs(to_double(a) - to_double(e));
      if (!std::isfinite(difference)) continue;
      check.max_abs = std::max(check.max_abs, difference);
      check.max_ulp = std::max(check.max_ulp, ulp_distance(a, e));
    }
  }
  check.message = describe(
      what, found, first, last,
      [&](std::int64_t i, std::int64_t j) { return to_text(Value(at(expected, i, j))); },
      [&](std::int64_t i, std::int64_t j) { return to_text(Value(actual(i, j))); });
}

}  // namespace detail

/// Every element of `actual` against expected(i, j), bit for bit; NaN equals NaN. Or against
/// expected(block)(i, j), for a truth that is made block by block.
template <class T, class L, class F>
Check compare_bits(std::string_view what, Matrix<T, L> actual, const F& expected,
                   Zeros zeros = Zeros::mistrusted) {
  using Value = std::remove_const_t<T>;
  Check check;
  check.kind = "bits";
  check.exact = true;
  check.compared = actual.size();
  std::int64_t blank = 0;
  std::mutex mutex;
  detail::for_each_block(actual.rows, actual.cols, [&] {
    struct Task {
      Matrix<T, L> actual;
      const F& expected;
      Check& check;
      std::int64_t& all_blank;
      std::mutex& mutex;
      std::int64_t mismatches = 0, blank = 0;

      void operator()(const Block& block) {
        std::int64_t wrong = 0, empty = 0;
        std::array<Value, static_cast<std::size_t>(kBlock)> truth;
        const auto count = static_cast<std::size_t>(block.col_end - block.col_begin);
        const auto& truth_of = detail::in_block(expected, block);
        for (std::int64_t i = block.row_begin; i < block.row_end; ++i) {
          for (std::size_t n = 0; n < count; ++n) {
            truth[n] = truth_of(i, block.col_begin + static_cast<std::int64_t>(n));
          }
          int wrong_of_row = 0, empty_of_row = 0;
          for (std::size_t n = 0; n < count; ++n) {
            const Value& a = actual(i, block.col_begin + static_cast<std::int64_t>(n));
            wrong_of_row += !same_bits<Value>(a, truth[n]);
            empty_of_row += is_blank(truth[n]);
          }
          wrong += wrong_of_row;
          empty += empty_of_row;
        }
        mismatches += wrong;
        blank += empty;
      }
      ~Task() {
        const std::lock_guard lock(mutex);
        check.mismatches += mismatches;
        all_blank += blank;
      }
    };
    return Task{actual, expected, check, blank, mutex};
  });
  if (check.mismatches > 0) {
    check.passed = false;
    check.status = "FAILED";
    detail::locate(what, actual, expected, check);
  } else if (zeros == Zeros::mistrusted && check.compared >= 64 &&
             blank * 100 > check.compared * 99) {
    check.passed = false;
    check.status = "MISTRUSTED";
    check.message = detail::describe_blank(what, blank, check.compared);
  }
  return check;
}

namespace detail {

/// A block of a matrix, copied to where its rows lie in one piece.
template <class T>
class BlockCopy {
 public:
  BlockCopy(Matrix<const T, ColMajor> x, const Block& block) : block_(block) {
    for (std::int64_t j = block.col_begin; j < block.col_end; ++j) {
      for (std::int64_t i = block.row_begin; i < block.row_end; ++i) values_[at(i, j)] = x(i, j);
    }
  }
  T operator()(std::int64_t i, std::int64_t j) const { return values_[at(i, j)]; }

 private:
  std::size_t at(std::int64_t i, std::int64_t j) const {
    return static_cast<std::size_t>((i - block_.row_begin) * kBlock + (j - block_.col_begin));
  }

  Block block_;
  std::array<T, static_cast<std::size_t>(kBlock* kBlock)> values_{};
};

}  // namespace detail

/// value(i, j, x(i, j)) as a truth.
template <class T, class L, class F>
auto truth_from(Matrix<const T, L> x, const F& value) {
  if constexpr (std::is_same_v<L, ColMajor>) {
    return [x, value](const Block& block) {
      return [value, copy = detail::BlockCopy<T>(x, block)](std::int64_t i, std::int64_t j) {
        return value(i, j, copy(i, j));
      };
    };
  } else {
    return [x, value](std::int64_t i, std::int64_t j) { return value(i, j, x(i, j)); };
  }
}

/// The same for expected(i).
template <class T, class F>
requires std::is_invocable_v<const F&, std::int64_t> Check compare_bits(
    std::string_view what, Vector<T> actual, const F& expected, Zeros zeros = Zeros::mistrusted) {
  return compare_bits(
      what, Matrix<T>(actual.data, 1, actual.length),
      [&](std::int64_t, std::int64_t j) { return expected(j); }, zeros);
}

// ------------------------------------------------------------------------------------- norms

/// The largest errors, and the smallest cosine, that pass.
struct Bounds {
  double rel_frobenius = 0;
  double worst_row = std::numeric_limits<double>::infinity();
  double worst_col = std::numeric_limits<double>::infinity();
  double cosine = -1;
};

/// A row whose norm is under this part of the rows' root mean square is judged against that part
/// instead: a row of zeros has no relative error, and one of rounding dust no meaningful one. The
/// same for columns.
inline constexpr double kNormFloor = 1e-3;

namespace detail {

/// Sums over a row, a column or everything.
struct ErrorSums {
  double error = 0, expected = 0;  // of squares
};

struct NormSums {
  std::vector<ErrorSums> rows, cols;
  double actual = 0, cross = 0;  // of squares, of products
  double max_abs = 0;
  std::optional<std::pair<std::int64_t, std::int64_t>> bad_expected, bad_actual;  // not finite
};

Check judge_norms(std::string_view what, const NormSums& sums, const Bounds& bounds);

}  // namespace detail

/// || actual - expected || / || expected || of the whole, of the worst row and of the worst column,
/// and the cosine between both. A single broken row hides in the norm of the whole, so all three
/// are asked. Sums are f64 in an order that no thread count changes.
template <class T, class L, class F>
requires std::is_invocable_v<const F&, std::int64_t, std::int64_t> Check
compare_norms(std::string_view what, Matrix<T, L> actual, const F& expected, const Bounds& bounds) {
  constexpr std::int64_t kRows = 2048, kCols = 512;  // of a task
  const std::int64_t down = (actual.rows + kRows - 1) / kRows;
  const std::int64_t across = (actual.cols + kCols - 1) / kCols;
  struct Part {
    std::vector<detail::ErrorSums> rows, cols;
    double actual = 0, cross = 0, max_abs = 0;
    std::optional<std::pair<std::int64_t, std::int64_t>> bad_expected, bad_actual;
  };
  std::vector<Part> parts(static_cast<std::size_t>(down * across));
  parallel_for(down * across, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t t = first; t < last; ++t) {
      Part part;
      const std::int64_t i0 = t / across * kRows, i1 = std::min(actual.rows, i0 + kRows);
      const std::int64_t j0 = t % across * kCols, j1 = std::min(actual.cols, j0 + kCols);
      part.rows.resize(static_cast<std::size_t>(i1 - i0));
      part.cols.resize(static_cast<std::size_t>(j1 - j0));
      for (std::int64_t i = i0; i < i1; ++i) {
        constexpr std::int64_t kLanes = 8;  // hide the additions' latency
        struct Lane {
          double error = 0, expected = 0, actual = 0, cross = 0, max_abs = 0;
        };
        std::array<Lane, static_cast<std::size_t>(kLanes)> lanes;
        detail::ErrorSums* const cols = part.cols.data();
        const auto add = [&](std::int64_t j, Lane& lane) {
          const double e = to_double(expected(i, j)), a = to_double(actual(i, j)), d = a - e;
          lane.error += d * d;
          lane.expected += e * e;
          lane.actual += a * a;
          lane.cross += a * e;
          lane.max_abs = std::max(lane.max_abs, std::fabs(d));
          cols[j - j0].error += d * d;
          cols[j - j0].expected += e * e;
        };
        std::int64_t next = j0;
        for (; next + kLanes <= j1; next += kLanes) {
          for (std::int64_t n = 0; n < kLanes; ++n) {
            add(next + n, lanes[static_cast<std::size_t>(n)]);
          }
        }
        for (; next < j1; ++next) add(next, lanes[0]);
        detail::ErrorSums row;
        double squares = 0, cross = 0, max_abs = 0;
        for (const Lane& lane : lanes) {
          row.error += lane.error;
          row.expected += lane.expected;
          squares += lane.actual;
          cross += lane.cross;
          max_abs = std::max(max_abs, lane.max_abs);
        }
        part.rows[static_cast<std::size_t>(i - i0)] = row;
        part.actual += squares;
        part.cross += cross;
        part.max_abs = std::max(part.max_abs, max_abs);
        // A value that is not finite leaves its trace in the sums: only then is it looked for.
        if (!std::isfinite(row.error + row.expected + squares)) {
          for (std::int64_t j = j0; j < j1; ++j) {
            if (!part.bad_expected && !std::isfinite(to_double(expected(i, j)))) {
              part.bad_expected = {i, j};
            }
            if (!part.bad_actual && !std::isfinite(to_double(actual(i, j)))) {
              part.bad_actual = {i, j};
            }
          }
        }
      }
      parts[static_cast<std::size_t>(t)] = std::move(part);
    }
  });

  detail::NormSums sums;
  sums.rows.resize(static_cast<std::size_t>(actual.rows));
  sums.cols.resize(static_cast<std::size_t>(actual.cols));
  const auto add = [](detail::ErrorSums& to, const detail::ErrorSums& from) {
    to.error += from.error;
    to.expected += from.expected;
  };
  for (std::int64_t t = 0; t < down * across; ++t) {
    const Part& part = parts[static_cast<std::size_t>(t)];
    for (std::size_t i = 0; i < part.rows.size(); ++i) {
      add(sums.rows[static_cast<std::size_t>(t / across * kRows) + i], part.rows[i]);
    }
    for (std::size_t j = 0; j < part.cols.size(); ++j) {
      add(sums.cols[static_cast<std::size_t>(t % across * kCols) + j], part.cols[j]);
    }
    sums.actual += part.actual;
    sums.cross += part.cross;
    sums.max_abs = std::max(sums.max_abs, part.max_abs);
    if (!sums.bad_expected) sums.bad_expected = part.bad_expected;
    if (!sums.bad_actual) sums.bad_actual = part.bad_actual;
  }
  return detail::judge_norms(what, sums, bounds);
}

/// The same against another matrix of the same extents.
template <class T, class L, class U, class M>
Check compare_norms(std::string_view what, Matrix<T, L> actual, Matrix<U, M> expected,
                    const Bounds& bounds) {
  return compare_norms(
      what, actual, [&](std::int64_t i, std::int64_t j) { return to_double(expected(i, j)); },
      bounds);
}

// ------------------------------------------------------------------------------------- samples

struct Coordinate {
  std::int64_t i = 0, j = 0;
  auto operator<=>(const Coordinate&) const = default;
};

/// Every coordinate of a matrix of up to kCompleteSamples elements; else all corners, seeded places
/// along all edges, and one seeded place in every 128 x 128 tile, so that no tile goes unseen.
inline constexpr std::int64_t kCompleteSamples = 4096;
std::vector<Coordinate> sample_coordinates(std::int64_t rows, std::int64_t cols,
                                           std::uint64_t seed);

struct Expected {
  double value = 0;  // exact, or as good as
  double bound = 0;  // the largest |actual - value| that rounding explains
};

namespace detail {
struct Sample {
  Coordinate at;
  Expected expected;
  double actual;
};
Check judge_bounded(std::string_view what, std::span<const Sample> samples, double largest,
                    Zeros zeros);

template <class T>
double largest_finite() {
  if constexpr (std::is_same_v<T, f16>) return 65504;
  if constexpr (std::is_same_v<T, bf16>) return 0x1.fep127;
  return std::numeric_limits<float>::max();
}
}  // namespace detail

/// Samples of `actual` against a value with its derived elementwise bound. INVALID where the value
/// is beyond what T holds.
template <class T, class L, class F>
Check compare_bounded(std::string_view what, Matrix<T, L> actual,
                      std::span<const Coordinate> samples, const F& expected,
                      Zeros zeros = Zeros::mistrusted) {
  std::vector<detail::Sample> found(samples.size());
  parallel_for(
      static_cast<std::int64_t>(samples.size()), 16, [&](std::int64_t begin, std::int64_t end) {
        for (auto n = static_cast<std::size_t>(begin); n < static_cast<std::size_t>(end); ++n) {
          const auto [i, j] = samples[n];
          found[n] = {samples[n], expected(i, j), to_double(actual(i, j))};
        }
      });
  return detail::judge_bounded(what, found, detail::largest_finite<std::remove_const_t<T>>(),
                               zeros);
}

}  // namespace octet::harness
