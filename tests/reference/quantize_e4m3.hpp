// The truth about quantization to e4m3 (octet/quantize_e4m3.hpp): scalar, by coordinate.
//
// Rounds as e4m3 does, whose conversions numeric_test holds to a search among all numbers. Needs
// the default rounding mode, to nearest even. Calls no kernel and is never tuned.
#pragma once

#include <cmath>

#include "octet/numeric.hpp"

namespace octet::reference {

/// What an element is multiplied with; 0 where the contract says that q is 0 whatever x is.
inline float multiplier_e4m3(float absmax) {
  const float quotient = 448.0f / absmax;
  return std::isfinite(quotient) ? quotient : 0.0f;
}

/// What is stored: absmax / 448, 0 where 448 / absmax is not finite, NaN for NaN.
inline float scale_e4m3(float absmax) {
  if (std::isnan(absmax)) return absmax;
  return multiplier_e4m3(absmax) == 0 ? 0.0f : absmax / 448.0f;
}

/// q of x given multiplier_e4m3(absmax).
inline e4m3 quantize_e4m3_by(float x, float multiplier) {
  if (multiplier == 0) return e4m3::from_bits(0);
  return e4m3(x * multiplier);
}

}  // namespace octet::reference
