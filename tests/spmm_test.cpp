// spmm_coo and spmm_coo_transposed: see harness/operators/spmm.hpp.
#include "harness/operators/spmm.hpp"

#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(SpmmCoo_f16, SpmmCoo, f16, OCTET_FN(spmm_coo));
OCTET_KERNEL_SUITE(SpmmCoo_bf16, SpmmCoo, bf16, OCTET_FN(spmm_coo));
OCTET_KERNEL_SUITE(SpmmCooColMajor_f16, SpmmCooColMajor, f16, OCTET_FN(spmm_coo));
OCTET_KERNEL_SUITE(SpmmCooColMajor_bf16, SpmmCooColMajor, bf16, OCTET_FN(spmm_coo));
OCTET_KERNEL_SUITE(SpmmCooS8_f16, SpmmCooS8, f16, OCTET_FN(spmm_coo));
OCTET_KERNEL_SUITE(SpmmCooS8_bf16, SpmmCooS8, bf16, OCTET_FN(spmm_coo));
OCTET_KERNEL_SUITE(SpmmCooTransposed_f16, SpmmCooTransposed, f16, OCTET_FN(spmm_coo_transposed));
OCTET_KERNEL_SUITE(SpmmCooTransposed_bf16, SpmmCooTransposed, bf16, OCTET_FN(spmm_coo_transposed));

}  // namespace
}  // namespace octet::harness
