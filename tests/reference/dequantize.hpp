// The truth about dequantization (octet/dequantize.hpp): every operation rounded to f32, then once
// to T.
#pragma once

#include <cmath>

#include "octet/numeric.hpp"

namespace octet::reference {

/// `bias` is 0 where there is none.
template <class T>
T dequantize(s32 acc, float row_scale, float col_scale, float bias) {
  const float scale = row_scale * col_scale;
  return T(std::fma(static_cast<float>(acc), scale, bias));
}

template <class T>
T dequantize_rowwise(s8 q, float row_scale) {
  return T(static_cast<float>(q) * row_scale);
}

}  // namespace octet::reference
