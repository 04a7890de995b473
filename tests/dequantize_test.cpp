// dequantize and dequantize_rowwise: see harness/operators/dequantize.hpp.
#include "harness/operators/dequantize.hpp"

#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(Dequantize_f16, Dequantize, f16, OCTET_FN(dequantize));
OCTET_KERNEL_SUITE(Dequantize_bf16, Dequantize, bf16, OCTET_FN(dequantize));
OCTET_KERNEL_SUITE(Dequantize_f32, Dequantize, f32, OCTET_FN(dequantize));
OCTET_KERNEL_SUITE(DequantizeCol32_f16, DequantizeCol32, f16, OCTET_FN(dequantize));
OCTET_KERNEL_SUITE(DequantizeCol32_bf16, DequantizeCol32, bf16, OCTET_FN(dequantize));
OCTET_KERNEL_SUITE(DequantizeCol32_f32, DequantizeCol32, f32, OCTET_FN(dequantize));
OCTET_KERNEL_SUITE(DequantizeRowwise_f16, DequantizeRowwise, f16, OCTET_FN(dequantize_rowwise));
OCTET_KERNEL_SUITE(DequantizeRowwise_bf16, DequantizeRowwise, bf16, OCTET_FN(dequantize_rowwise));
OCTET_KERNEL_SUITE(DequantizeRowwise_f32, DequantizeRowwise, f32, OCTET_FN(dequantize_rowwise));

}  // namespace
}  // namespace octet::harness
