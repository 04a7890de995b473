// One line gives this project's kernel octet's problems, checks, timing and records.
#include "quantize_rows.hpp"

#include "octet/harness/operators/quantize.hpp"
#include "octet/harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(QuantizeRows_f16, QuantizeRowwise, f16, OCTET_FN(outside::quantize_rows));

}  // namespace
}  // namespace octet::harness
