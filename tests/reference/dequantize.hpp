// The truth about dequantization (octet/dequantize.hpp): three roundings in f32, then one to T.
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

}  // namespace octet::reference
