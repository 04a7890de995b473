// The truth about sums over rows (octet/column_sum.hpp): chunks from their first row on, then the
// chunks from the first one on, each addition rounded to f32.
#pragma once

#include <cstdint>

#include "octet/matrix.hpp"

namespace octet::reference {

/// Before the rounding to the output's type.
template <class T, class L>
float column_sum(Matrix<T, L> x, std::int64_t j) {
  constexpr std::int64_t kChunk = 64;
  float sum = 0;
  for (std::int64_t chunk = 0; chunk < x.rows; chunk += kChunk) {
    float of_chunk = 0;
    for (std::int64_t i = chunk; i < chunk + kChunk && i < x.rows; ++i) {
      of_chunk += static_cast<float>(x(i, j));
    }
    sum += of_chunk;
  }
  return sum;
}

}  // namespace octet::reference
