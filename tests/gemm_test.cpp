// gemm_s8, gemm and scaled_gemm: see harness/operators/gemm*.hpp.
#include "harness/operators/gemm.hpp"

#include "harness/operators/gemm_batched.hpp"
#include "harness/operators/gemm_tiled.hpp"
#include "harness/operators/gemm_to_s8.hpp"
#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(Gemm_s8, GemmS8, s8, PlannedGemmS8{});
OCTET_PARTIAL_KERNEL_SUITE(Gemm_s8_sm90, GemmS8, s8, GemmS8By<ThroughSm90>{});
OCTET_KERNEL_SUITE(Gemm_s8_col_turing, GemmS8ColTuring, s8, PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_s8_col_ampere, GemmS8ColAmpere, s8, PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_s8_batched, GemmS8Batched, s8, PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_s8_to_s8, GemmToS8OneAlpha, s8, PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_s8_to_s8_row_alphas, GemmToS8RowAlphas, s8, PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_s8_to_s8_col_turing, GemmColTuringToS8OneAlpha, s8, PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_s8_to_s8_col_turing_row_alphas, GemmColTuringToS8RowAlphas, s8,
                   PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_s8_to_s8_col_ampere, GemmColAmpereToS8OneAlpha, s8, PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_s8_to_s8_col_ampere_row_alphas, GemmColAmpereToS8RowAlphas, s8,
                   PlannedGemmS8{});
OCTET_KERNEL_SUITE(Gemm_f16, Gemm, f16, PlannedGemm{});
OCTET_KERNEL_SUITE(Gemm_bf16, Gemm, bf16, PlannedGemm{});
OCTET_KERNEL_SUITE(Gemm_f16_bias, GemmBias, f16, PlannedGemm{});
OCTET_KERNEL_SUITE(Gemm_bf16_bias, GemmBias, bf16, PlannedGemm{});
OCTET_KERNEL_SUITE(Gemm_f16_batched, GemmBatched, f16, PlannedGemm{});
OCTET_KERNEL_SUITE(Gemm_bf16_batched, GemmBatched, bf16, PlannedGemm{});
OCTET_KERNEL_SUITE(ScaledGemm_f16, ScaledGemm, f16, PlannedScaledGemm{});
OCTET_KERNEL_SUITE(ScaledGemm_bf16, ScaledGemm, bf16, PlannedScaledGemm{});
OCTET_KERNEL_SUITE(ScaledGemm_f32, ScaledGemm, f32, PlannedScaledGemm{});
OCTET_PARTIAL_KERNEL_SUITE(ScaledGemm_f16_sm90, ScaledGemm, f16, ScaledGemmBy<ThroughSm90>{});
OCTET_PARTIAL_KERNEL_SUITE(ScaledGemm_bf16_sm90, ScaledGemm, bf16, ScaledGemmBy<ThroughSm90>{});
OCTET_PARTIAL_KERNEL_SUITE(ScaledGemm_f32_sm90, ScaledGemm, f32, ScaledGemmBy<ThroughSm90>{});
OCTET_PARTIAL_KERNEL_SUITE(ScaledGemm_f16_mma, ScaledGemm, f16, ScaledGemmBy<ThroughMma>{});
OCTET_PARTIAL_KERNEL_SUITE(ScaledGemm_f32_mma, ScaledGemm, f32, ScaledGemmBy<ThroughMma>{});
OCTET_PARTIAL_KERNEL_SUITE(ScaledGemm_f16_composed, ScaledGemm, f16,
                           ScaledGemmBy<ThroughLibrary>{});

}  // namespace
}  // namespace octet::harness
