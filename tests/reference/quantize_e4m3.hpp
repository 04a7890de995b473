// The truth about quantization to e4m3 (octet/quantize_e4m3.hpp): scalar, by coordinate.
//
// Needs the default rounding mode, to nearest even. Calls no kernel and is never tuned.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "octet/numeric.hpp"

namespace octet::reference {

/// The e4m3 nearest to x, which is not NaN: in a binade of 2^e numbers are 2^(e-3) apart, and under
/// 2^-6 they are 2^-9 apart.
inline e4m3 nearest_e4m3(float x) {
  const double magnitude = std::min(std::fabs(static_cast<double>(x)), 448.0);
  const int binade = magnitude == 0 ? -6 : std::max(std::ilogb(magnitude), -6);
  // Eight steps lead from one binade to the next; a step that rounds up there is its first code.
  const double steps = std::nearbyint(std::ldexp(magnitude, 3 - binade));
  const int code = (binade + 6) * 8 + static_cast<int>(steps);
  return e4m3::from_bits(static_cast<std::uint8_t>(code | (std::signbit(x) ? 0x80 : 0)));
}

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
  return nearest_e4m3(x * multiplier);
}

}  // namespace octet::reference
