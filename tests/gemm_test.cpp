// gemm_s8, gemm and scaled_gemm: see harness/operators/gemm.hpp.
#include "harness/operators/gemm.hpp"

#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(Gemm_s8, GemmS8, s8, PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_f16, Gemm, f16, PlannedGemm{});
OCTET_KERNEL_SUITE(Gemm_bf16, Gemm, bf16, PlannedGemm{});
OCTET_KERNEL_SUITE(ScaledGemm_f16, ScaledGemm, f16, PlannedScaledGemm{});
OCTET_KERNEL_SUITE(ScaledGemm_bf16, ScaledGemm, bf16, PlannedScaledGemm{});

}  // namespace
}  // namespace octet::harness
