#include "preconditions/common.hpp"

namespace octet::preconditions {

void quantize_rowwise(const Extents& x, const Extents& q, const Extents& row_scale) {
  constexpr std::string_view kOp = "quantize_rowwise";
  view(kOp, "x", x);
  view(kOp, "q", q);
  view(kOp, "row_scale", row_scale);
  extent(kOp, "q.rows", q.rows, "x.rows", x.rows);
  extent(kOp, "q.cols", q.cols, "x.cols", x.cols);
  extent(kOp, "row_scale.length", row_scale.cols, "x.rows", x.rows);
  disjoint(kOp, "q", q, "x", x);
  disjoint(kOp, "row_scale", row_scale, "x", x);
  disjoint(kOp, "row_scale", row_scale, "q", q);
}

void quantize_colwise(const Extents& x, const Extents& q_col, const Extents& col_scale) {
  constexpr std::string_view kOp = "quantize_colwise";
  view(kOp, "x", x);
  view(kOp, "q_col", q_col);
  view(kOp, "col_scale", col_scale);
  extent(kOp, "q_col.rows", q_col.rows, "x.cols", x.cols);
  extent(kOp, "q_col.cols", q_col.cols, "x.rows", x.rows);
  extent(kOp, "col_scale.length", col_scale.cols, "x.cols", x.cols);
  disjoint(kOp, "q_col", q_col, "x", x);
  disjoint(kOp, "col_scale", col_scale, "x", x);
  disjoint(kOp, "col_scale", col_scale, "q_col", q_col);
}

void quantize_row_col(const Extents& x, const Extents& q_row, const Extents& row_scale,
                      const Extents& q_col, const Extents& col_scale) {
  constexpr std::string_view kOp = "quantize_row_col";
  view(kOp, "x", x);
  view(kOp, "q_row", q_row);
  view(kOp, "row_scale", row_scale);
  view(kOp, "q_col", q_col);
  view(kOp, "col_scale", col_scale);
  extent(kOp, "q_row.rows", q_row.rows, "x.rows", x.rows);
  extent(kOp, "q_row.cols", q_row.cols, "x.cols", x.cols);
  extent(kOp, "row_scale.length", row_scale.cols, "x.rows", x.rows);
  extent(kOp, "q_col.rows", q_col.rows, "x.cols", x.cols);
  extent(kOp, "q_col.cols", q_col.cols, "x.rows", x.rows);
  extent(kOp, "col_scale.length", col_scale.cols, "x.cols", x.cols);
  disjoint(kOp, "q_row", q_row, "x", x);
  disjoint(kOp, "q_col", q_col, "x", x);
  disjoint(kOp, "q_col", q_col, "q_row", q_row);
  disjoint(kOp, "row_scale", row_scale, "x", x);
  disjoint(kOp, "col_scale", col_scale, "x", x);
  disjoint(kOp, "row_scale", row_scale, "col_scale", col_scale);
  disjoint(kOp, "row_scale", row_scale, "q_row", q_row);
  disjoint(kOp, "row_scale", row_scale, "q_col", q_col);
  disjoint(kOp, "col_scale", col_scale, "q_row", q_row);
  disjoint(kOp, "col_scale", col_scale, "q_col", q_col);
}

}  // namespace octet::preconditions
