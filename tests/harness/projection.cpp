#include "harness/projection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "harness/line_sums.hpp"
#include "harness/random.hpp"

namespace octet::harness {
namespace {

template <class T>
Operand<T> flipped(Operand<T> m) {
  std::swap(m.rows, m.cols);
  m.transposed = !m.transposed;
  return m;
}

/// sum over rows r of weights[r] f(m(r, c)), for each column c.
template <class T, class F>
std::vector<double> column_sums(const Operand<T>& m, const std::vector<double>& weights,
                                const F& f) {
  if (m.transposed) return sums_along(Lines<T>{m.data, m.cols, m.rows, m.ld}, weights, f);
  return sums_across(Lines<T>{m.data, m.rows, m.cols, m.ld}, weights, f);
}

/// sum over columns c of weights[c] f(m(r, c)), for each row r.
template <class T, class F>
std::vector<double> row_sums(const Operand<T>& m, const std::vector<double>& weights, const F& f) {
  return column_sums(flipped(m), weights, f);
}

std::vector<double> signs(std::int64_t length, std::uint64_t seed) {
  std::vector<double> r(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < r.size(); ++i) r[i] = (word(seed, i) & 1) != 0 ? 1.0 : -1.0;
  return r;
}

/// The rows of d, held against a . (b^T . r). For the columns, everything is transposed.
template <class T>
void check_rows(std::string_view what, std::string_view line, const Operand<T>& a,
                const Operand<T>& b, const Operand<T>& d, std::uint64_t seed, Check& check) {
  const auto value = [](double x) { return x; };
  const auto square = [](double x) { return x * x; };
  constexpr double kHalfUlp = kDType<T> == DType::f16 ? 0x1p-11 : 0x1p-8;
  constexpr double kSmallest = kDType<T> == DType::f16 ? 0x1p-25 : 0x1p-134;
  const auto rounding = [=](double x) {
    const double half_ulp = std::max(std::fabs(x) * kHalfUlp, kSmallest);
    return half_ulp * half_ulp;
  };
  const std::vector<double> r = signs(b.rows, seed);
  const std::vector<double> ones_n(static_cast<std::size_t>(b.rows), 1.0);
  const std::vector<double> ones_k(static_cast<std::size_t>(a.cols), 1.0);
  const std::vector<double> expected = row_sums(a, column_sums(b, r, value), value);
  const std::vector<double> actual = row_sums(d, r, value);
  const std::vector<double> output = row_sums(d, ones_n, rounding);
  const std::vector<double> a_squares = row_sums(a, ones_k, square);
  double b_squares = 0;
  for (const double x : row_sums(b, ones_k, square)) b_squares += x;
  const double accumulation = std::sqrt(static_cast<double>(a.cols)) / 4 * 0x1p-24;

  std::int64_t wrong = 0, first = -1;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double variance = output[i] + accumulation * accumulation * a_squares[i] * b_squares;
    // NaN fails.
    if (std::fabs(actual[i] - expected[i]) <= kProjectionFactor * std::sqrt(variance)) continue;
    if (wrong++ == 0) first = static_cast<std::int64_t>(i);
  }
  if (wrong == 0) return;
  check.passed = false;
  check.status = "FAILED";
  check.mismatches += wrong;
  if (!check.message.empty()) check.message += "; ";
  check.message += fmt::format(
      "{}: {} of {} {}s are not the product's, the first is {} {}: projected on random signs it is "
      "{:.6g} instead of {:.6g}",
      what, wrong, expected.size(), line, line, first, actual[static_cast<std::size_t>(first)],
      expected[static_cast<std::size_t>(first)]);
}

}  // namespace

template <class T>
Check verify_projection(std::string_view what, const Operand<T>& a, const Operand<T>& b,
                        Matrix<const T> out, std::uint64_t seed) {
  Check check;
  check.kind = "projection";
  check.compared = out.size();
  if (out.empty()) return check;
  const Operand<T> d = out;
  check_rows(what, "row", a, b, d, mix(seed), check);
  check_rows(what, "column", b, a, flipped(d), mix(seed + 1), check);
  return check;
}

template Check verify_projection(std::string_view, const Operand<f16>&, const Operand<f16>&,
                                 Matrix<const f16>, std::uint64_t);
template Check verify_projection(std::string_view, const Operand<bf16>&, const Operand<bf16>&,
                                 Matrix<const bf16>, std::uint64_t);

}  // namespace octet::harness
