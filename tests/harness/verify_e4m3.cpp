#include "harness/verify_e4m3.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <vector>

#include "harness/absmaxes.hpp"
#include "harness/line_sums.hpp"
#include "harness/projection.hpp"
#include "harness/random.hpp"
#include "reference/quantize_e4m3.hpp"

namespace octet::harness {
namespace {

using Doubles = std::vector<double>;

// Of the scales' product and the scaled sum, each rounded to f32.
constexpr double kScaleRounding = 0x1p-21;

void extent(std::string_view function, std::string_view what, std::int64_t value,
            std::int64_t expected) {
  if (value == expected) return;
  throw std::invalid_argument(
      fmt::format("{}: {} is {} but must be {}", function, what, value, expected));
}

Check compare_scales(std::string_view what, Vector<const float> actual,
                     const std::vector<float>& absmax) {
  return compare_bits(what, actual, [&](std::int64_t i) {
    return reference::scale_e4m3(absmax[static_cast<std::size_t>(i)]);
  });
}

/// The columns of x are the rows of its transpose.
template <class T, class L>
Check compare_rows(std::string_view what, Matrix<const T, L> x, Matrix<const e4m3> q,
                   const std::vector<float>& absmax) {
  std::vector<float> factor(absmax.size());
  std::transform(absmax.begin(), absmax.end(), factor.begin(), reference::multiplier_e4m3);
  return compare_bits(what, q,
                      truth_from(x, [f = factor.data()](std::int64_t i, std::int64_t, T value) {
                        return reference::quantize_e4m3_by(static_cast<float>(value), f[i]);
                      }));
}

Check nothing_to_compare() {
  Check check;
  check.kind = "bits";
  check.exact = true;
  return check;
}

template <class T>
double value_of(T x) {
  return static_cast<float>(x);
}

/// sum_k a[i,k] b[j,k], of magnitudes, and of squares.
struct Sums {
  double dot = 0, absolute = 0, squares = 0;
};
Sums sums_of(Matrix<const e4m3> a, Matrix<const e4m3> b, std::int64_t i, std::int64_t j) {
  Sums s;
  for (std::int64_t k = 0; k < a.cols; ++k) {
    const double product = value_of(a(i, k)) * value_of(b(j, k));
    s.dot += product;
    s.absolute += std::fabs(product);
    s.squares += product * product;
  }
  return s;
}

// ---- projection: sums of rows and columns with random signs ----

Doubles signs(std::int64_t length, std::uint64_t seed) {
  Doubles r(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < r.size(); ++i) r[i] = (word(seed, i) & 1) != 0 ? 1.0 : -1.0;
  return r;
}

/// weights[i] scale[i].
Doubles scaled(const Doubles& weights, Vector<const float> scale) {
  Doubles all(weights);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] *= scale(static_cast<std::int64_t>(i));
  }
  return all;
}

template <class T>
Lines<T> lines_of(Matrix<const T> m) {
  return {m.data, m.rows, m.cols, m.layout.ld};
}

constexpr auto kValue = [](double value) { return value; };
constexpr auto kSquare = [](double value) { return value * value; };

void judge_lines(std::string_view line, const Doubles& expected, const Doubles& actual,
                 const Doubles& variance, Check& check) {
  std::int64_t wrong = 0;
  std::size_t first = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // NaN fails.
    if (std::fabs(actual[i] - expected[i]) <= kProjectionFactor * std::sqrt(variance[i])) continue;
    if (wrong++ == 0) first = i;
  }
  if (wrong == 0) return;
  check.passed = false;
  check.status = "FAILED";
  check.mismatches += wrong;
  if (!check.message.empty()) check.message += "; ";
  check.message += fmt::format(
      "out: {} of {} {}s are not the product's, the first is {} {}: projected on random signs it "
      "is "
      "{:.6g} instead of {:.6g}",
      wrong, expected.size(), line, line, first, actual[first], expected[first]);
}

/// One side: the lines of out are those of x, whose scales are `of_lines`; y is the other operand.
/// added[i] is what the bias contributes to line i, rounding[i] the variance of its rounding.
void check_lines(std::string_view line, Matrix<const e4m3> x, Vector<const float> of_lines,
                 Matrix<const e4m3> y, Vector<const float> across, const Doubles& r,
                 const Doubles& added, const Doubles& actual, const Doubles& rounding,
                 double accumulation, Check& check) {
  const Doubles weights = scaled(r, across);
  const Doubles ones(static_cast<std::size_t>(x.cols), 1.0);
  Doubles expected = sums_along(lines_of(x), sums_across(lines_of(y), weights, kValue), kValue);
  Doubles variance = sums_along(lines_of(x), ones, kSquare);
  const Doubles y_squares = sums_along(lines_of(y), ones, kSquare);
  double all_y = 0;
  for (std::size_t j = 0; j < y_squares.size(); ++j) {
    all_y += y_squares[j] * weights[j] * weights[j];
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double scale = of_lines(static_cast<std::int64_t>(i));
    expected[i] = expected[i] * scale + added[i];
    variance[i] = rounding[i] + accumulation * accumulation * scale * scale * variance[i] * all_y;
  }
  judge_lines(line, expected, actual, variance, check);
}

template <class T>
Check project(Matrix<const e4m3> a, Matrix<const e4m3> b, Vector<const float> row_scale,
              Vector<const float> col_scale, Vector<const T> bias, Matrix<const T> out,
              double typical, std::uint64_t seed) {
  Check check;
  check.kind = "projection";
  check.compared = out.size();
  const Doubles r = signs(out.cols, mix(seed)), s = signs(out.rows, mix(seed + 1));
  // Of one element `typical` is a part of sqrt(sum (a b)^2); |a| |b| is larger by sqrt(K).
  const double accumulation = typical / std::sqrt(static_cast<double>(a.cols)) + kScaleRounding;
  const Doubles ones_r(r.size(), 1.0), ones_s(s.size(), 1.0);
  const auto rounding = [](double value) {
    const double half = half_ulp<T>(std::fabs(value));
    return half * half;
  };
  double bias_sum = 0, sign_sum = 0;
  for (std::int64_t j = 0; j < bias.length; ++j) {
    bias_sum += value_of(bias(j)) * r[static_cast<std::size_t>(j)];
  }
  for (const double sign : s) sign_sum += sign;
  Doubles of_columns(r.size());
  for (std::int64_t j = 0; j < bias.length; ++j) {
    of_columns[static_cast<std::size_t>(j)] = value_of(bias(j)) * sign_sum;
  }
  check_lines("row", a, row_scale, b, col_scale, r, Doubles(s.size(), bias_sum),
              sums_along(lines_of(out), r, kValue), sums_along(lines_of(out), ones_r, rounding),
              accumulation, check);
  check_lines("column", b, col_scale, a, row_scale, s, of_columns,
              sums_across(lines_of(out), s, kValue), sums_across(lines_of(out), ones_s, rounding),
              accumulation, check);
  return check;
}

}  // namespace

SumError::SumError(Adder adder, Accumulation accumulation, std::int64_t k) {
  constexpr double kF32 = 0x1p-24, kCut = 0x1p-13;
  constexpr std::int64_t kInstruction = 32, kStretch = 128;
  certain = 2 * static_cast<double>(k) * kF32;
  typical = static_cast<double>(k) / 4 * kF32;
  if (adder == Adder::f32) return;
  const std::int64_t summed = accumulation == Accumulation::promoted ? std::min(k, kStretch) : k;
  const auto instructions = static_cast<double>((summed + kInstruction - 1) / kInstruction);
  certain += 33 * instructions * kCut;
  typical += (instructions + 3.2 * std::sqrt(instructions)) * kCut;
}

template <class T>
Check verify_quantize_rowwise(Matrix<const T> x, Matrix<const e4m3> q,
                              Vector<const float> row_scale) {
  constexpr std::string_view kName = "verify_quantize_rowwise";
  extent(kName, "q.rows", q.rows, x.rows);
  extent(kName, "q.cols", q.cols, x.cols);
  extent(kName, "row_scale.length", row_scale.length, x.rows);
  if (x.empty()) return nothing_to_compare();
  const std::vector<float> absmax = row_absmaxes(x);
  return merge({compare_scales("row_scale", row_scale, absmax), compare_rows("q", x, q, absmax)});
}

template <class T>
Check verify_quantize_row_col(Matrix<const T> x, Matrix<const e4m3> q_row,
                              Vector<const float> row_scale, Matrix<const e4m3> q_col,
                              Vector<const float> col_scale) {
  constexpr std::string_view kName = "verify_quantize_row_col";
  extent(kName, "q_row.rows", q_row.rows, x.rows);
  extent(kName, "q_row.cols", q_row.cols, x.cols);
  extent(kName, "row_scale.length", row_scale.length, x.rows);
  extent(kName, "q_col.rows", q_col.rows, x.cols);
  extent(kName, "q_col.cols", q_col.cols, x.rows);
  extent(kName, "col_scale.length", col_scale.length, x.cols);
  if (x.empty()) return nothing_to_compare();
  const std::vector<float> row_absmax = row_absmaxes(x), col_absmax = col_absmaxes(x);
  return merge({compare_scales("row_scale", row_scale, row_absmax),
                compare_scales("col_scale", col_scale, col_absmax),
                compare_rows("q_row", x, q_row, row_absmax),
                compare_rows("q_col", transposed(x), q_col, col_absmax)});
}

template <class T>
Check verify_scaled_gemm(Matrix<const e4m3> a, Matrix<const e4m3> b, Vector<const float> row_scale,
                         Vector<const float> col_scale, Vector<const T> bias, Matrix<const T> out,
                         const SumError& sum_error, std::uint64_t seed, Zeros zeros) {
  constexpr std::string_view kName = "verify_scaled_gemm";
  extent(kName, "b.cols", b.cols, a.cols);
  extent(kName, "out.rows", out.rows, a.rows);
  extent(kName, "out.cols", out.cols, b.rows);
  extent(kName, "row_scale.length", row_scale.length, a.rows);
  extent(kName, "col_scale.length", col_scale.length, b.rows);
  if (bias.length != 0) extent(kName, "bias.length", bias.length, b.rows);
  if (a.cols == 0) zeros = Zeros::allowed;
  const std::vector<Coordinate> samples = sample_coordinates(out.rows, out.cols, seed);

  std::mutex mutex;
  double error = 0, allowed = 0, truth = 0;  // of squares, over all samples
  Check check = compare_bounded(
      "out", out, samples,
      [&](std::int64_t i, std::int64_t j) {
        const Sums s = sums_of(a, b, i, j);
        const double scale = static_cast<double>(row_scale(i)) * col_scale(j);
        const double added = bias.length == 0 ? 0 : value_of(bias(j));
        const double value = s.dot * scale + added;
        const double factor = std::fabs(scale);
        const double certain = (sum_error.certain + kScaleRounding) * s.absolute * factor +
                               kScaleRounding * std::fabs(added);
        const double typical =
            half_ulp<T>(std::fabs(value)) +
            kScaleRounding * (std::fabs(s.dot) * factor + std::fabs(added)) +
            sum_error.typical * factor * std::max(std::fabs(s.dot), std::sqrt(s.squares));
        const double difference = to_double(out(i, j)) - value;
        const std::lock_guard lock(mutex);
        error += difference * difference;
        allowed += typical * typical;
        truth += value * value;
        return Expected{value, certain + half_ulp<T>(std::fabs(value) + certain)};
      },
      zeros);
  if (truth > 0 && std::isfinite(error)) check.rel_frobenius = std::sqrt(error / truth);
  if (check.status == "PASSED" && error > allowed) {
    check.passed = false;
    check.status = "FAILED";
    check.mismatches = 1;
    check.message = fmt::format(
        "out: each of {} samples is within its bound, but their root mean square error {:.4g} is "
        "over {:.4g}, what rounding and the sum explain",
        samples.size(), std::sqrt(error / static_cast<double>(samples.size())),
        std::sqrt(allowed / static_cast<double>(samples.size())));
  }
  if (a.cols == 0 || out.empty() || check.status == "INVALID") return check;
  return merge({check, project(a, b, row_scale, col_scale, bias, out, sum_error.typical, seed)});
}

#define OCTET_INSTANTIATE(T)                                                                       \
  template Check verify_quantize_rowwise(Matrix<const T>, Matrix<const e4m3>,                      \
                                         Vector<const float>);                                     \
  template Check verify_quantize_row_col(Matrix<const T>, Matrix<const e4m3>, Vector<const float>, \
                                         Matrix<const e4m3>, Vector<const float>);                 \
  template Check verify_scaled_gemm(Matrix<const e4m3>, Matrix<const e4m3>, Vector<const float>,   \
                                    Vector<const float>, Vector<const T>, Matrix<const T>,         \
                                    const SumError&, std::uint64_t, Zeros)
OCTET_INSTANTIATE(f16);
OCTET_INSTANTIATE(bf16);
OCTET_INSTANTIATE(f32);

}  // namespace octet::harness
