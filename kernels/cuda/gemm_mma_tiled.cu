// gemm_s8_mma for the tiled orders; the kernel and its contract are in gemm_mma_kernel.cuh.
#include "cuda/gemm_mma.hpp"

#include "cuda/gemm_mma_kernel.cuh"

namespace octet::cuda {

void gemm_s8_mma_tiled(cudaStream_t stream, const GemmProblem& q, const s8* a, const s8* b,
                       const float* alpha, void* d) {
  const MmaSource<Col32> a_source{a, {q.lda}, 0};
  const Col32 d_layout{q.ldd};
  const std::int64_t cols = (q.n + 31) / 32 * 32;
  if (q.b_layout == LayoutKind::col4_4r2_8c) {
    launch_gemm_s8_mma(stream, q, a_source, MmaSource<Col4_4R2_8C>{b, {q.ldb}, 0}, d_layout, alpha,
                       d, cols);
  } else {
    launch_gemm_s8_mma(stream, q, a_source, MmaSource<Col32_2R_4R4>{b, {q.ldb}, 0}, d_layout, alpha,
                       d, cols);
  }
}

}  // namespace octet::cuda
