// The int8 product for every shape and alignment, without a library.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "octet/numeric.hpp"

namespace octet::cuda {

/// d[m,n] = a[m,k] . b[n,k]^T, row-major, exact; k up to kMaxS8Depth. Queued on `stream`, no
/// workspace. Compute capability 8.0 and later. Throws std::runtime_error when it cannot be
/// launched.
void gemm_s8_mma(cudaStream_t stream, const s8* a, std::int64_t lda, const s8* b, std::int64_t ldb,
                 s32* d, std::int64_t ldd, std::int64_t m, std::int64_t n, std::int64_t k);

}  // namespace octet::cuda
