// column_sum: see harness/operators/column_sum.hpp.
#include "harness/operators/column_sum.hpp"

#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(ColumnSum_f16, ColumnSum, f16, OCTET_FN(column_sum));
OCTET_KERNEL_SUITE(ColumnSum_bf16, ColumnSum, bf16, OCTET_FN(column_sum));
OCTET_KERNEL_SUITE(ColumnSum_f32, ColumnSum, f32, OCTET_FN(column_sum));

}  // namespace
}  // namespace octet::harness
