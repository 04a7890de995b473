// Which elements of a tensor a threshold sets apart (octet/outliers.hpp), asked by coordinate.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "octet/matrix.hpp"
#include "octet/outliers.hpp"

namespace octet::harness {

class OutlierRule {
 public:
  /// Nothing is set apart.
  OutlierRule() = default;

  template <class T>
  OutlierRule(Matrix<const T> x, float threshold, OutlierMode mode)
      : threshold_(threshold), by_column_(mode == OutlierMode::column) {
    if (!by_column_) return;
    columns_.resize(static_cast<std::size_t>(x.cols));
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (std::int64_t j = 0; j < x.cols; ++j) {
        if (is_outlier(static_cast<float>(x(i, j)))) columns_[static_cast<std::size_t>(j)] = true;
      }
    }
  }

  bool sets_any_apart() const { return threshold_ > 0; }
  /// Whether an element of this column with this value is set apart.
  bool operator()(float value, std::int64_t col) const {
    if (threshold_ == 0) return false;
    return by_column_ ? columns_[static_cast<std::size_t>(col)] : is_outlier(value);
  }

 private:
  /// True for NaN.
  bool is_outlier(float value) const { return !(std::fabs(value) < threshold_); }

  float threshold_ = 0;
  bool by_column_ = false;
  std::vector<bool> columns_;
};

}  // namespace octet::harness
