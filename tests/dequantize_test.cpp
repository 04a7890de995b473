// dequantize: see harness/operators/dequantize.hpp.
#include "harness/operators/dequantize.hpp"

#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(Dequantize_f16, Dequantize, f16, OCTET_FN(dequantize));
OCTET_KERNEL_SUITE(Dequantize_bf16, Dequantize, bf16, OCTET_FN(dequantize));
OCTET_KERNEL_SUITE(Dequantize_f32, Dequantize, f32, OCTET_FN(dequantize));

}  // namespace
}  // namespace octet::harness
