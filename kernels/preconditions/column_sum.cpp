#include "preconditions/common.hpp"

namespace octet::preconditions {

void column_sum(const Extents& x, const Extents& sum) {
  constexpr std::string_view kOp = "column_sum";
  view(kOp, "x", x);
  view(kOp, "sum", sum);
  extent(kOp, "sum.length", sum.cols, "x.cols", x.cols);
  disjoint(kOp, "sum", sum, "x", x);
}

}  // namespace octet::preconditions
