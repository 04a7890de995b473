#include "harness/quantized_product.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
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

/// Sums over k that bound one element's error.
struct Sums {
  double dot = 0, a_abs = 0, b_abs = 0, a_squares = 0, b_squares = 0, a_max = 0, b_max = 0;
};

template <class T>
Sums sums_of(const Operand<T>& a, const Operand<T>& b, std::int64_t i, std::int64_t j) {
  Sums s;
  for (std::int64_t k = 0; k < a.cols; ++k) {
    const double x = reference::element(a, i, k), y = reference::element(b, j, k);
    s.dot += x * y;
    s.a_abs += std::fabs(x);
    s.b_abs += std::fabs(y);
    s.a_squares += x * x;
    s.b_squares += y * y;
    s.a_max = std::max(s.a_max, std::fabs(x));
    s.b_max = std::max(s.b_max, std::fabs(y));
  }
  return s;
}

}  // namespace

template <class T>
Check verify_quantized_product(std::string_view what, const Operand<T>& a, const Operand<T>& b,
                               Matrix<const T> out, std::uint64_t seed) {
  constexpr double kC = 0.5 + 0x1p-15;
  // Of the scales, their product and the conversion of the accumulator, each rounded to f32.
  constexpr double kDequantizeRounding = 0x1p-21;
  const auto depth = static_cast<double>(a.cols);
  const std::vector<Coordinate> samples = sample_coordinates(out.rows, out.cols, seed);

  std::mutex mutex;
  double error = 0, explained = 0, truth = 0;  // of squares, over all samples
  Check check = compare_bounded(what, out, samples, [&](std::int64_t i, std::int64_t j) {
    const Sums s = sums_of(a, b, i, j);
    const double sa = s.a_max / 127, sb = s.b_max / 127;
    const double quantizer = kC * (s.a_abs * sb + s.b_abs * sa) + kC * kC * depth * sa * sb;
    const double magnitude = std::fabs(s.dot) + quantizer;
    const double bound =
        quantizer + kDequantizeRounding * magnitude + output_rounding<T>(magnitude);
    const double variance = (s.a_squares * sb * sb + s.b_squares * sa * sa) / 12 +
                            depth * sa * sa * sb * sb / 144 +
                            std::pow(output_rounding<T>(std::fabs(s.dot)), 2);
    const double difference = to_double(out(i, j)) - s.dot;
    const std::lock_guard lock(mutex);
    error += difference * difference;
    explained += variance;
    truth += s.dot * s.dot;
    return Expected{s.dot, bound};
  });
  if (truth > 0 && std::isfinite(error)) check.rel_frobenius = std::sqrt(error / truth);
  const double factor = std::sqrt(error / explained);
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

template Check verify_quantized_product(std::string_view, const Operand<f16>&, const Operand<f16>&,
                                        Matrix<const f16>, std::uint64_t);
template Check verify_quantized_product(std::string_view, const Operand<bf16>&,
                                        const Operand<bf16>&, Matrix<const bf16>, std::uint64_t);

}  // namespace octet::harness
