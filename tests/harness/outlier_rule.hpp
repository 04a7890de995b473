// Which elements of a tensor a threshold sets apart (octet/outliers.hpp), asked by coordinate.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/outlier_truth.hpp"
#include "octet/matrix.hpp"
#include "octet/outliers.hpp"
#include "reference/outliers.hpp"

namespace octet::harness {

class OutlierRule {
 public:
  /// Nothing is set apart.
  OutlierRule() = default;

  template <class T>
  OutlierRule(Matrix<const T> x, float threshold, OutlierMode mode)
      : threshold_(threshold), by_column_(mode == OutlierMode::column) {
    if (by_column_) columns_ = columns_with_outliers(x, threshold);
  }

  bool sets_any_apart() const { return threshold_ > 0; }
  /// Whether an element of this column with this value is set apart.
  bool operator()(float value, std::int64_t col) const {
    if (threshold_ == 0) return false;
    return by_column_ ? columns_[static_cast<std::size_t>(col)]
                      : reference::is_outlier(value, threshold_);
  }

 private:
  float threshold_ = 0;
  bool by_column_ = false;
  std::vector<bool> columns_;
};

}  // namespace octet::harness
