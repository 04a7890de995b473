#include "preconditions/common.hpp"

namespace octet::preconditions {

void dequantize(const Extents& acc, const Extents& row_scale, const Extents& col_scale,
                const Extents& bias, const Extents& out) {
  constexpr std::string_view kOp = "dequantize";
  view(kOp, "acc", acc);
  view(kOp, "row_scale", row_scale);
  view(kOp, "col_scale", col_scale);
  view(kOp, "bias", bias);
  view(kOp, "out", out);
  extent(kOp, "out.rows", out.rows, "acc.rows", acc.rows);
  extent(kOp, "out.cols", out.cols, "acc.cols", acc.cols);
  extent(kOp, "row_scale.length", row_scale.cols, "acc.rows", acc.rows);
  extent(kOp, "col_scale.length", col_scale.cols, "acc.cols", acc.cols);
  if (bias.cols != 0) extent(kOp, "bias.length", bias.cols, "acc.cols", acc.cols);
  disjoint(kOp, "out", out, "acc", acc);
  disjoint(kOp, "out", out, "row_scale", row_scale);
  disjoint(kOp, "out", out, "col_scale", col_scale);
  disjoint(kOp, "out", out, "bias", bias);
}

void dequantize_rowwise(const Extents& q, const Extents& row_scale, const Extents& out) {
  constexpr std::string_view kOp = "dequantize_rowwise";
  view(kOp, "q", q);
  view(kOp, "row_scale", row_scale);
  view(kOp, "out", out);
  extent(kOp, "out.rows", out.rows, "q.rows", q.rows);
  extent(kOp, "out.cols", out.cols, "q.cols", q.cols);
  extent(kOp, "row_scale.length", row_scale.cols, "q.rows", q.rows);
  disjoint(kOp, "out", out, "q", q);
  disjoint(kOp, "out", out, "row_scale", row_scale);
}

}  // namespace octet::preconditions
