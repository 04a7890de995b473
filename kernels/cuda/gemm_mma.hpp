// The int8 product for every shape, alignment and layout, without a library.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

#include "octet/gemm.hpp"

namespace octet::cuda {

/// Its tile of D, the depth of a step and the steps under way.
inline constexpr std::string_view kGemmS8MmaName = "gemm_s8_mma 128x128x64 stages 4";

/// d = a . b^T, exact, to s32, or to s8 by `alpha`; row-major, batched, or in the tiled orders; no
/// extent is 0. Queued on `stream`, no workspace. Compute capability 8.0 and later. Throws
/// std::runtime_error when it cannot be launched.
void gemm_s8_mma(cudaStream_t stream, const GemmProblem& problem, const s8* a, const s8* b,
                 const float* alpha, void* d);

/// Its part for a in Col32 and b in Col4_4R2_8C or Col32_2R_4R4.
void gemm_s8_mma_tiled(cudaStream_t stream, const GemmProblem& problem, const s8* a, const s8* b,
                       const float* alpha, void* d);

/// out[i,j] = T(fma(float(sum_k a[i,k] b[j,k]), row_scale[i] * col_scale[j], bias[j] or 0)) for
/// row-major operands and T f16, bf16 or f32; bias may be null. K of 0 counts as sums of 0.
template <class T>
void gemm_s8_mma_scaled(cudaStream_t stream, const GemmProblem& problem, const s8* a, const s8* b,
                        const float* row_scale, const float* col_scale, const T* bias, T* d);

}  // namespace octet::cuda
