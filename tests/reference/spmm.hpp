// The truth about products with a list of entries (octet/outliers.hpp).
#pragma once

#include <cmath>
#include <cstdint>

namespace octet::reference {

/// The chain of entries [begin, end): acc = fma(value(e), weight(e), acc), from 0 on, in f32.
template <class Value, class Weight>
float spmm_chain(std::int64_t begin, std::int64_t end, const Value& value, const Weight& weight) {
  float acc = 0;
  for (std::int64_t e = begin; e < end; ++e) acc = std::fma(value(e), weight(e), acc);
  return acc;
}

/// What becomes of an output with 16-bit weights, and with int8 weights and their scale.
template <class T>
T spmm_add(T out, float sum) {
  return T(static_cast<float>(out) + sum);
}
template <class T>
T spmm_add(T out, float sum, float w_scale) {
  return T(std::fma(sum, w_scale, static_cast<float>(out)));
}

}  // namespace octet::reference
