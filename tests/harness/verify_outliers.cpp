#include "harness/verify_outliers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "harness/outlier_truth.hpp"
#include "reference/quantize.hpp"

namespace octet::harness {
namespace {

/// What counts in the statistics.
template <class T>
class Kept {
 public:
  Kept(Matrix<const T> x, float threshold, OutlierMode mode) : x_(x), threshold_(threshold) {
    if (mode == OutlierMode::column) listed_ = columns_with_outliers(x, threshold);
  }
  bool operator()(std::int64_t i, std::int64_t j) const { return (*this)(j, x_(i, j)); }
  /// Of a value in column j.
  bool operator()(std::int64_t j, T value) const {
    if (!listed_.empty()) return !listed_[static_cast<std::size_t>(j)];
    return !reference::is_outlier(static_cast<float>(value), threshold_);
  }
  bool is_of_elements() const { return listed_.empty(); }

 private:
  Matrix<const T> x_;
  float threshold_;
  std::vector<bool> listed_;  // of column mode
};

/// column(i, j) of an element of x is where it lies in the tensor.
template <class T, class L, class Column>
Check compare_kept(std::string_view what, Matrix<const T, L> x, const Kept<T>& is_kept,
                   float threshold, Matrix<const s8> q, const std::vector<float>& factors,
                   const Column& column, Zeros zeros) {
  const float* const factor = factors.data();
  if (is_kept.is_of_elements()) {
    return compare_bits(what, q,
                        truth_from(x,
                                   [=](std::int64_t i, std::int64_t, T value) {
                                     const auto number = static_cast<float>(value);
                                     const s8 rounded = reference::quantize_by(number, factor[i]);
                                     return reference::is_outlier(number, threshold) ? s8{0}
                                                                                     : rounded;
                                   }),
                        zeros);
  }
  return compare_bits(what, q,
                      truth_from(x,
                                 [&, factor](std::int64_t i, std::int64_t j, T value) {
                                   return is_kept(column(i, j), value)
                                              ? reference::quantize_by(static_cast<float>(value),
                                                                       factor[i])
                                              : s8{0};
                                 }),
                      zeros);
}

std::vector<float> each(const std::vector<float>& absmax, float (*function)(float)) {
  std::vector<float> result(absmax.size());
  std::transform(absmax.begin(), absmax.end(), result.begin(), function);
  return result;
}

auto element_of(const std::vector<float>& values) {
  return [&values](std::int64_t i) { return values[static_cast<std::size_t>(i)]; };
}

}  // namespace

template <class T>
std::vector<reference::Entry<T>> true_outliers(Matrix<const T> x, float threshold,
                                               OutlierMode mode) {
  return entries_not_kept(x, Kept<T>(x, threshold, mode));
}

template <class T>
Check verify_list(const HostList<T>& actual, const std::vector<reference::Entry<T>>& expected) {
  const auto count = static_cast<std::int64_t>(expected.size());
  Check check;
  check.kind = "bits";
  check.exact = true;
  check.compared = 1;
  if (actual.count != count) {
    check.passed = false;
    check.status = "FAILED";
    check.mismatches = 1;
    check.message =
        fmt::format("count: {} entries are listed, but there are {}", actual.count, count);
    return check;
  }
  if (count > actual.value.length) return check;
  const auto at = [&](std::int64_t n) -> const reference::Entry<T>& {
    return expected[static_cast<std::size_t>(n)];
  };
  return merge({check,
                compare_bits(
                    "list.row", Vector<const s32>(actual.row.data, count),
                    [&](std::int64_t n) { return at(n).row; }, Zeros::allowed),
                compare_bits(
                    "list.col", Vector<const s32>(actual.col.data, count),
                    [&](std::int64_t n) { return at(n).col; }, Zeros::allowed),
                compare_bits(
                    "list.value", Vector<const T>(actual.value.data, count),
                    [&](std::int64_t n) { return at(n).value; }, Zeros::allowed)});
}

template <class T>
Check verify_quantize_outliers(Matrix<const T> x, float threshold, OutlierMode mode,
                               Matrix<const s8> q_row, Vector<const float> row_scale,
                               Matrix<const s8> q_col, Vector<const float> col_scale,
                               const HostList<T>& outliers) {
  const Kept<T> is_kept(x, threshold, mode);
  const auto entries = entries_not_kept(x, is_kept);
  const Check list = verify_list(outliers, entries);
  if (x.empty()) return list;
  const reference::Absmaxes absmax = absmaxes_of_kept(x, is_kept);
  const std::vector<float> row_truth = each(absmax.rows, reference::scale);
  const std::vector<float> col_truth = each(absmax.cols, reference::scale);
  const std::vector<float> row_factor = each(absmax.rows, reference::multiplier);
  const std::vector<float> col_factor = each(absmax.cols, reference::multiplier);
  const Zeros zeros =
      2 * static_cast<std::int64_t>(entries.size()) > x.size() ? Zeros::allowed : Zeros::mistrusted;
  return merge({list, compare_bits("row_scale", row_scale, element_of(row_truth), zeros),
                compare_bits("col_scale", col_scale, element_of(col_truth), zeros),
                compare_kept(
                    "q_row", x, is_kept, threshold, q_row, row_factor,
                    [](std::int64_t, std::int64_t j) { return j; }, zeros),
                compare_kept(
                    "q_col", transposed(x), is_kept, threshold, q_col, col_factor,
                    [](std::int64_t i, std::int64_t) { return i; }, zeros)});
}

template std::vector<reference::Entry<f16>> true_outliers(Matrix<const f16>, float, OutlierMode);
template std::vector<reference::Entry<bf16>> true_outliers(Matrix<const bf16>, float, OutlierMode);
template std::vector<reference::Entry<f32>> true_outliers(Matrix<const f32>, float, OutlierMode);
template Check verify_list(const HostList<f16>&, const std::vector<reference::Entry<f16>>&);
template Check verify_list(const HostList<bf16>&, const std::vector<reference::Entry<bf16>>&);
template Check verify_list(const HostList<f32>&, const std::vector<reference::Entry<f32>>&);
template Check verify_quantize_outliers(Matrix<const f16>, float, OutlierMode, Matrix<const s8>,
                                        Vector<const float>, Matrix<const s8>, Vector<const float>,
                                        const HostList<f16>&);
template Check verify_quantize_outliers(Matrix<const bf16>, float, OutlierMode, Matrix<const s8>,
                                        Vector<const float>, Matrix<const s8>, Vector<const float>,
                                        const HostList<bf16>&);
template Check verify_quantize_outliers(Matrix<const f32>, float, OutlierMode, Matrix<const s8>,
                                        Vector<const float>, Matrix<const s8>, Vector<const float>,
                                        const HostList<f32>&);

}  // namespace octet::harness
