// Decomposed quantization and lists of outliers, bit for bit against tests/reference, on host views
// of what was read and left behind.
//
// Of a list that overflowed only the count means anything. Zeros are expected where most elements
// are set apart.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/check.hpp"
#include "octet/outliers.hpp"
#include "reference/outliers.hpp"

namespace octet::harness {

/// What is set apart, by row. T is f16, bf16 or f32.
template <class T>
std::vector<reference::Entry<T>> true_outliers(Matrix<const T> x, float threshold,
                                               OutlierMode mode);

/// A list on the host, its count included.
template <class T>
struct HostList {
  Vector<const s32> row, col;
  Vector<const T> value;
  std::int64_t count = 0;
};

template <class T>
Check verify_list(const HostList<T>& actual, const std::vector<reference::Entry<T>>& expected);

template <class T>
Check verify_quantize_outliers(Matrix<const T> x, float threshold, OutlierMode mode,
                               Matrix<const s8> q_row, Vector<const float> row_scale,
                               Matrix<const s8> q_col, Vector<const float> col_scale,
                               const HostList<T>& outliers);

}  // namespace octet::harness
