// gemm_s8_mma for row-major operands; the kernel and its contract are in gemm_mma_kernel.cuh.
#include "cuda/gemm_mma.hpp"

#include "cuda/gemm_mma_kernel.cuh"

namespace octet::cuda {

void gemm_s8_mma(cudaStream_t stream, const GemmProblem& q, const s8* a, const s8* b,
                 const float* alpha, void* d) {
  if (q.b_layout != LayoutKind::row) return gemm_s8_mma_tiled(stream, q, a, b, alpha, d);
  launch_gemm_s8_mma(stream, q, MmaSource<RowMajor>{a, {q.lda}, q.a_stride},
                     MmaSource<RowMajor>{b, {q.ldb}, q.b_stride}, RowMajor{q.ldd}, alpha, d, q.n);
}

}  // namespace octet::cuda
