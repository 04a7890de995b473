// The truth about quantization (octet/quantize.hpp): scalar, by coordinate, f32 as IEEE 754 has it.
//
// Needs the default rounding mode, to nearest even. Calls no kernel and is never tuned.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::reference {

/// max |x| of row i; NaN when an element is NaN or Inf.
template <class T, class L>
float row_absmax(Matrix<T, L> x, std::int64_t i) {
  float absmax = 0;
  for (std::int64_t j = 0; j < x.cols; ++j) {
    const float magnitude = std::fabs(static_cast<float>(x(i, j)));
    if (!std::isfinite(magnitude)) return std::numeric_limits<float>::quiet_NaN();
    absmax = std::max(absmax, magnitude);
  }
  return absmax;
}

/// max |x| of column j; NaN when an element is NaN or Inf.
template <class T, class L>
float col_absmax(Matrix<T, L> x, std::int64_t j) {
  float absmax = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const float magnitude = std::fabs(static_cast<float>(x(i, j)));
    if (!std::isfinite(magnitude)) return std::numeric_limits<float>::quiet_NaN();
    absmax = std::max(absmax, magnitude);
  }
  return absmax;
}

/// What an element is multiplied with; 0 where the contract says that q is 0 whatever x is.
inline float multiplier(float absmax) {
  const float quotient = 127.0f / absmax;
  return std::isfinite(quotient) ? quotient : 0.0f;
}

/// What is stored: absmax / 127, 0 where 127 / absmax is not finite, NaN for NaN.
inline float scale(float absmax) {
  if (std::isnan(absmax)) return absmax;
  return multiplier(absmax) == 0 ? 0.0f : absmax / 127.0f;
}

/// q of x given multiplier(absmax).
inline s8 quantize_by(float x, float multiplier) {
  if (multiplier == 0) return 0;
  return static_cast<s8>(std::clamp(std::nearbyint(x * multiplier), -127.0f, 127.0f));
}

/// q of x in a row (column) of this absmax.
inline s8 quantize(float x, float absmax) { return quantize_by(x, multiplier(absmax)); }

}  // namespace octet::reference
