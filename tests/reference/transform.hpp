// The truth about transform and flatten (octet/transform.hpp): where each element belongs.
//
// Calls no kernel and is never tuned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "octet/matrix.hpp"

namespace octet::reference {

/// Everything that a tiled y holds: the elements of x in their places, zero in all others.
template <class T, class From, class To>
std::vector<T> tiled(Matrix<const T, From> x, const To& layout) {
  std::vector<T> all(static_cast<std::size_t>(layout.capacity(x.rows, x.cols)), T{0});
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) all[static_cast<std::size_t>(layout(i, j))] = x(i, j);
  }
  return all;
}

/// Row i of the matrices of x, one after the other, at column j.
template <class T>
T flattened(Batch<const T> x, std::int64_t i, std::int64_t j) {
  return x[i / x.first.rows](i % x.first.rows, j);
}

}  // namespace octet::reference
