#include "preconditions/common.hpp"

namespace octet::preconditions {

void transform(const Extents& x, const Extents& y) {
  constexpr std::string_view kOp = "transform";
  view(kOp, "x", x);
  view(kOp, "y", y);
  extent(kOp, "y.rows", y.rows, "x.rows", x.rows);
  extent(kOp, "y.cols", y.cols, "x.cols", x.cols);
  disjoint(kOp, "y", y, "x", x);
}

void flatten(const Extents& first, std::int64_t count, std::int64_t stride, const Extents& y) {
  constexpr std::string_view kOp = "flatten";
  if (count < 0) reject(kOp, "x.count is {}, but a batch cannot have fewer than 0 matrices", count);
  if (stride < 0) reject(kOp, "x.stride is {}, but matrices must follow each other", stride);
  Extents x = first;
  view(kOp, "x", x);
  view(kOp, "y", y);
  extent(kOp, "y.rows", y.rows, "x.count * x.rows", count * x.rows);
  extent(kOp, "y.cols", y.cols, "x.cols", x.cols);
  if (x.capacity != 0) x.capacity = count == 0 ? 0 : x.capacity + (count - 1) * stride;
  disjoint(kOp, "y", y, "x", x);
}

}  // namespace octet::preconditions
