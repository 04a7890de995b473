// quantize_rowwise, quantize_colwise and quantize_row_col: see harness/operators/quantize.hpp.
#include "harness/operators/quantize.hpp"

#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(QuantizeRowwise_f16, QuantizeRowwise, f16, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeRowwise_bf16, QuantizeRowwise, bf16, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeRowwise_f32, QuantizeRowwise, f32, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeColwise_f16, QuantizeColwise, f16, OCTET_FN(quantize_colwise));
OCTET_KERNEL_SUITE(QuantizeColwise_bf16, QuantizeColwise, bf16, OCTET_FN(quantize_colwise));
OCTET_KERNEL_SUITE(QuantizeColwise_f32, QuantizeColwise, f32, OCTET_FN(quantize_colwise));
OCTET_KERNEL_SUITE(QuantizeRowCol_f16, QuantizeRowCol, f16, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeRowCol_bf16, QuantizeRowCol, bf16, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeRowCol_f32, QuantizeRowCol, f32, OCTET_FN(quantize_row_col));

}  // namespace
}  // namespace octet::harness
