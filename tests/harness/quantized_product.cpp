#include "harness/quantized_product.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>
#include <vector>

#include "reference/gemm.hpp"

namespace octet::harness {
namespace {

/// A little above half a unit in the last place at this magnitude.
template <class T>
double output_rounding(double magnitude) {
  constexpr bool kIsF16 = kDType<T> == DType::f16;
  return std::max(magnitude * (kIsF16 ? 0x1.01p-11 : 0x1.01p-8), kIsF16 ? 0x1p-25 : 0x1p-134);
}

/// Sums over k that bound one element's error: of what went through int8, and of what was set
/// apart.
struct Sums {
  double dot = 0, a_abs = 0, b_abs = 0, a_squares = 0, b_squares = 0, a_max = 0, b_max = 0;
  double depth = 0;
  double apart = 0, apart_abs = 0, apart_terms = 0;
};

template <class T>
Sums sums_of(const Operand<T>& a, const Operand<T>& b, std::int64_t i, std::int64_t j,
             const ProductExtras<T>& extras) {
  const auto is_apart = [](const Operand<T>& o, const OutlierRule& rule, double value,
                           std::int64_t row, std::int64_t k) {
    return rule(static_cast<float>(value), o.transposed ? row : k);
  };
  Sums s;
  for (std::int64_t k = 0; k < a.cols; ++k) {
    const double x = reference::element(a, i, k), y = reference::element(b, j, k);
    const bool x_apart = is_apart(a, extras.a_outliers, x, i, k);
    const bool y_apart = is_apart(b, extras.b_outliers, y, j, k);
    // An element that is not set apart belongs to its row's statistic, whatever it meets.
    if (!x_apart) s.a_max = std::max(s.a_max, std::fabs(x));
    if (!y_apart) s.b_max = std::max(s.b_max, std::fabs(y));
    if (x_apart || y_apart) {
      s.apart += x * y;
      s.apart_abs += std::fabs(x * y);
      ++s.apart_terms;
      continue;
    }
    s.dot += x * y;
    s.a_abs += std::fabs(x);
    s.b_abs += std::fabs(y);
    s.a_squares += x * x;
    s.b_squares += y * y;
    ++s.depth;
  }
  return s;
}

/// Of one element of a product in e4m3: as a whole, of magnitudes, of squares; the largest error of
/// its quantization, and its variance.
struct E4m3Sums {
  double dot = 0, absolute = 0, squares = 0, quantizer = 0, variance = 0;
};

/// The distance between e4m3 around x / scale, as one of x.
double e4m3_step(double x, double scale) {
  if (scale == 0 || x == 0) return 0;
  // A quotient a little under a power of two may be rounded as one above it.
  const int exponent = std::ilogb(std::fabs(x) / scale * (1 + 0x1p-20));
  return std::ldexp(scale, std::max(exponent, -6) - 3);
}

template <class T>
E4m3Sums e4m3_sums(const Operand<T>& a, const Operand<T>& b, std::int64_t i, std::int64_t j) {
  const auto scale_of = [](const Operand<T>& o, std::int64_t row) {
    double largest = 0;
    for (std::int64_t k = 0; k < o.cols; ++k) {
      largest = std::max(largest, std::fabs(reference::element(o, row, k)));
    }
    return largest / 448;
  };
  constexpr double kHalf = 0.5 + 0x1p-15;  // the quotient is rounded too
  const double sa = scale_of(a, i), sb = scale_of(b, j);
  E4m3Sums s;
  for (std::int64_t k = 0; k < a.cols; ++k) {
    const double x = reference::element(a, i, k), y = reference::element(b, j, k);
    const double dx = e4m3_step(x, sa), dy = e4m3_step(y, sb);
    s.dot += x * y;
    s.absolute += std::fabs(x * y);
    s.squares += x * x * y * y;
    s.quantizer += kHalf * (std::fabs(x) * dy + std::fabs(y) * dx) + kHalf * kHalf * dx * dy;
    s.variance += (x * x * dy * dy + y * y * dx * dx) / 12 + dx * dx * dy * dy / 144;
  }
  return s;
}

/// Of squares, over all samples: their errors, these over what independent rounding explains of
/// each, and the values. A sample's error counts by its own measure, as a row of outliers would
/// drown all others, and its elements' errors are not independent of each other.
struct SquareSums {
  double error = 0, of_explained = 0, truth = 0;

  void add(double difference, double variance, double value) {
    error += difference * difference;
    of_explained += difference * difference / variance;
    truth += value * value;
  }
};

/// The samples passed one by one; as a whole they are held to what independent rounding explains.
Check judge_samples(std::string_view what, Check check, const SquareSums& sums) {
  if (sums.truth > 0 && std::isfinite(sums.error)) {
    check.rel_frobenius = std::sqrt(sums.error / sums.truth);
  }
  const double factor =
      std::sqrt(sums.of_explained / static_cast<double>(std::max<std::int64_t>(1, check.compared)));
  if (check.status == "PASSED" && check.compared >= kQuantizerRmsSamples &&
      factor > kQuantizerRmsFactor) {
    check.passed = false;
    check.status = "FAILED";
    check.mismatches = 1;
    check.message = fmt::format(
        "{}: each of {} samples is within its bound, but their root mean square error is {:.3g} "
        "times what independent rounding explains, over {:.3g}",
        what, check.compared, factor, kQuantizerRmsFactor);
  }
  return check;
}

}  // namespace

template <class T>
Check verify_quantized_product(std::string_view what, const Operand<T>& a, const Operand<T>& b,
                               Matrix<const T> out, std::uint64_t seed,
                               const ProductExtras<T>& extras) {
  constexpr double kC = 0.5 + 0x1p-15;
  // Of the scales, their product and the conversion of the accumulator, each rounded to f32.
  constexpr double kDequantizeRounding = 0x1p-21;
  const double c_a = extras.a_is_stochastic ? kC + 0.5 : kC;
  const double variance_a = extras.a_is_stochastic ? 1.0 / 6 : 1.0 / 12;  // of a step
  constexpr double kVarianceB = 1.0 / 12;
  const bool decomposed = extras.a_outliers.sets_any_apart() || extras.b_outliers.sets_any_apart();
  const std::vector<Coordinate> samples = sample_coordinates(out.rows, out.cols, seed);

  std::mutex mutex;
  SquareSums sums;
  Check check = compare_bounded(what, out, samples, [&](std::int64_t i, std::int64_t j) {
    const Sums s = sums_of(a, b, i, j, extras);
    const double sa = s.a_max / 127, sb = s.b_max / 127;
    const double quantizer = kC * s.a_abs * sb + c_a * s.b_abs * sa + c_a * kC * s.depth * sa * sb;
    const double first = s.dot + (extras.bias.length == 0 ? 0 : to_double(extras.bias(j)));
    const double value = first + s.apart;
    const double magnitude = std::fabs(first) + quantizer;
    double bound = quantizer + kDequantizeRounding * magnitude + output_rounding<T>(magnitude);
    double variance = s.a_squares * sb * sb * kVarianceB + s.b_squares * sa * sa * variance_a +
                      s.depth * sa * sa * sb * sb * variance_a * kVarianceB +
                      std::pow(output_rounding<T>(std::fabs(first)), 2);
    if (decomposed) {
      const double summation = (s.apart_terms + 1) * 0x1p-24 * (s.apart_abs + magnitude);
      bound += summation + output_rounding<T>(std::fabs(value) + quantizer + summation);
      variance += std::pow(output_rounding<T>(std::fabs(value)), 2);
    }
    const double difference = to_double(out(i, j)) - value;
    const std::lock_guard lock(mutex);
    sums.add(difference, variance, value);
    return Expected{value, bound};
  });
  return judge_samples(what, std::move(check), sums);
}

template <class T>
Check verify_e4m3_product(std::string_view what, const Operand<T>& a, const Operand<T>& b,
                          Matrix<const T> out, const SumError& sum_error, std::uint64_t seed,
                          Vector<const T> bias) {
  constexpr double kScaleRounding = 0x1p-21;
  const std::vector<Coordinate> samples = sample_coordinates(out.rows, out.cols, seed);
  std::mutex mutex;
  SquareSums sums;
  Check check = compare_bounded(what, out, samples, [&](std::int64_t i, std::int64_t j) {
    const E4m3Sums s = e4m3_sums(a, b, i, j);
    const double value = s.dot + (bias.length == 0 ? 0 : to_double(bias(j)));
    const double added = (sum_error.certain + kScaleRounding) * (s.absolute + s.quantizer);
    const double magnitude = std::fabs(value) + s.quantizer + added;
    const double bound =
        s.quantizer + added + kScaleRounding * magnitude + output_rounding<T>(magnitude);
    const double sum = sum_error.typical * std::max(std::fabs(s.dot), std::sqrt(s.squares));
    const double variance =
        s.variance + sum * sum + std::pow(output_rounding<T>(std::fabs(value)), 2);
    const double difference = to_double(out(i, j)) - value;
    const std::lock_guard lock(mutex);
    sums.add(difference, variance, value);
    return Expected{value, bound};
  });
  return judge_samples(what, std::move(check), sums);
}

template Check verify_quantized_product(std::string_view, const Operand<f16>&, const Operand<f16>&,
                                        Matrix<const f16>, std::uint64_t,
                                        const ProductExtras<f16>&);
template Check verify_quantized_product(std::string_view, const Operand<bf16>&,
                                        const Operand<bf16>&, Matrix<const bf16>, std::uint64_t,
                                        const ProductExtras<bf16>&);

template Check verify_e4m3_product(std::string_view, const Operand<f16>&, const Operand<f16>&,
                                   Matrix<const f16>, const SumError&, std::uint64_t,
                                   Vector<const f16>);
template Check verify_e4m3_product(std::string_view, const Operand<bf16>&, const Operand<bf16>&,
                                   Matrix<const bf16>, const SumError&, std::uint64_t,
                                   Vector<const bf16>);

}  // namespace octet::harness
