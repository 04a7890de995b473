#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "preconditions/common.hpp"
#include "preconditions/outlier_split.hpp"

namespace octet {

std::int64_t quantize_row_col_workspace_bytes(std::int64_t rows, std::int64_t cols) {
  return rows <= 0 || cols <= 0 ? 0 : OutlierWorkspace(rows, cols).bytes;
}

}  // namespace octet

namespace octet::preconditions {
namespace {

using Named = std::pair<std::string_view, const Extents*>;

void list(std::string_view op, std::string_view what, const ListExtents& coo) {
  constexpr std::int64_t kMost = std::numeric_limits<s32>::max();
  if (coo.rows < 0 || coo.cols < 0 || coo.rows > kMost || coo.cols > kMost) {
    reject(op, "{} is {} x {}, but its indices hold extents from 0 to {}", what, coo.rows, coo.cols,
           kMost);
  }
  const std::array<Named, 4> parts = {Named{"row", &coo.row}, Named{"col", &coo.col},
                                      Named{"value", &coo.value}, Named{"count", &coo.count}};
  for (const auto& [name, part] : parts) view(op, fmt::format("{}.{}", what, name), *part);
}

void workspace_of(std::string_view op, const Extents& workspace, std::int64_t bytes) {
  constexpr std::uintptr_t kAlignment = 256;
  if (workspace.cols < bytes) {
    reject(op, "workspace has {} bytes, but {} are needed", workspace.cols, bytes);
  }
  view(op, "workspace", workspace);
  if (reinterpret_cast<std::uintptr_t>(workspace.data) % kAlignment != 0) {
    reject(op, "workspace is at address {}, but a multiple of {} is needed",
           fmt::ptr(workspace.data), kAlignment);
  }
}

/// Each output against every other one and against every input.
void all_disjoint(std::string_view op, std::span<const Named> outputs,
                  std::span<const Named> inputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& [name, output] = outputs[i];
    for (const auto& [other, input] : inputs) disjoint(op, name, *output, other, *input);
    for (const auto& [other, earlier] : outputs.first(i)) {
      disjoint(op, name, *output, other, *earlier);
    }
  }
}

}  // namespace

void quantize_row_col(const Extents& x, float threshold, const Extents& q_row,
                      const Extents& row_scale, const Extents& q_col, const Extents& col_scale,
                      const ListExtents& outliers, const Extents& workspace) {
  constexpr std::string_view kOp = "quantize_row_col";
  quantize_row_col(x, q_row, row_scale, q_col, col_scale);
  if (!(threshold > 0)) {
    reject(kOp, "threshold is {}, but a positive number is needed", threshold);
  }
  list(kOp, "outliers", outliers);
  extent(kOp, "outliers.rows", outliers.rows, "x.rows", x.rows);
  extent(kOp, "outliers.cols", outliers.cols, "x.cols", x.cols);
  workspace_of(kOp, workspace, quantize_row_col_workspace_bytes(x.rows, x.cols));
  const std::array<Named, 5> others = {Named{"x", &x}, Named{"q_row", &q_row},
                                       Named{"row_scale", &row_scale}, Named{"q_col", &q_col},
                                       Named{"col_scale", &col_scale}};
  const std::array<Named, 5> outputs = {
      Named{"outliers.row", &outliers.row}, Named{"outliers.col", &outliers.col},
      Named{"outliers.value", &outliers.value}, Named{"outliers.count", &outliers.count},
      Named{"workspace", &workspace}};
  all_disjoint(kOp, outputs, others);
}

void coo_to_csr(const ListExtents& coo, const Extents& row_offsets) {
  constexpr std::string_view kOp = "coo_to_csr";
  list(kOp, "coo", coo);
  view(kOp, "row_offsets", row_offsets);
  extent(kOp, "row_offsets.length", row_offsets.cols, "coo.rows + 1", coo.rows + 1);
  const std::array<Named, 2> inputs = {Named{"coo.row", &coo.row}, Named{"coo.count", &coo.count}};
  const std::array<Named, 1> outputs = {Named{"row_offsets", &row_offsets}};
  all_disjoint(kOp, outputs, inputs);
}

void sort_by_column(const ListExtents& by_row, const ListExtents& by_column,
                    const Extents& workspace, std::int64_t workspace_bytes) {
  constexpr std::string_view kOp = "sort_by_column";
  list(kOp, "by_row", by_row);
  list(kOp, "by_column", by_column);
  extent(kOp, "by_column.rows", by_column.rows, "by_row.rows", by_row.rows);
  extent(kOp, "by_column.cols", by_column.cols, "by_row.cols", by_row.cols);
  if (by_column.row.cols < by_row.row.cols) {
    reject(kOp, "by_column.capacity is {}, but at least by_row.capacity, {}, is needed",
           by_column.row.cols, by_row.row.cols);
  }
  workspace_of(kOp, workspace, workspace_bytes);
  const std::array<Named, 4> inputs = {
      Named{"by_row.row", &by_row.row}, Named{"by_row.col", &by_row.col},
      Named{"by_row.value", &by_row.value}, Named{"by_row.count", &by_row.count}};
  const std::array<Named, 5> outputs = {
      Named{"by_column.row", &by_column.row}, Named{"by_column.col", &by_column.col},
      Named{"by_column.value", &by_column.value}, Named{"by_column.count", &by_column.count},
      Named{"workspace", &workspace}};
  all_disjoint(kOp, outputs, inputs);
}

void extract_outliers(const Extents& w, const Extents& columns, const Extents& out) {
  constexpr std::string_view kOp = "extract_outliers";
  view(kOp, "w", w);
  view(kOp, "columns", columns);
  view(kOp, "out", out);
  extent(kOp, "out.rows", out.rows, "w.rows", w.rows);
  extent(kOp, "out.cols", out.cols, "columns.length", columns.cols);
  disjoint(kOp, "out", out, "w", w);
  disjoint(kOp, "out", out, "columns", columns);
}

}  // namespace octet::preconditions
