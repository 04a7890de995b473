// gemm_s8_mma with scaled results: each pair of accumulators becomes two elements of D with one
// rounding, as dequantize has it. The kernel and its contract are in gemm_mma_kernel.cuh.
//
// Bytes: those of the product; the two scales and the bias of an element come through L1.
#include "cuda/gemm_mma.hpp"
#include "cuda/gemm_mma_kernel.cuh"
#include "cuda/vector_access.cuh"

namespace octet::cuda {
namespace {

/// T(fma(float(acc), row_scale * col_scale, bias)), as its bits.
template <class T>
struct Scaled {
  using Result = Bits<T>;
  const float* row_scale;
  const float* col_scale;
  const Bits<T>* bias;  // nullptr: none

  __device__ __forceinline__ Result operator()(std::int64_t row, std::int64_t col, s32 acc) const {
    const float scale = __fmul_rn(__ldg(row_scale + row), __ldg(col_scale + col));
    const float add = bias != nullptr ? value_of<T>(__ldg(bias + col)) : 0.0f;
    return static_cast<Result>(bits_of<T>(__fmaf_rn(__int2float_rn(acc), scale, add)));
  }
};

}  // namespace

template <class T>
void gemm_s8_mma_scaled(cudaStream_t stream, const GemmProblem& q, const s8* a, const s8* b,
                        const float* row_scale, const float* col_scale, const T* bias, T* d) {
  launch_gemm_s8_mma(stream, q, MmaSource<RowMajor>{a, {q.lda}, 0},
                     MmaSource<RowMajor>{b, {q.ldb}, 0}, RowMajor{q.ldd},
                     reinterpret_cast<Bits<T>*>(d), q.n,
                     Scaled<T>{row_scale, col_scale, reinterpret_cast<const Bits<T>*>(bias)});
}

template void gemm_s8_mma_scaled(cudaStream_t, const GemmProblem&, const s8*, const s8*,
                                 const float*, const float*, const f16*, f16*);
template void gemm_s8_mma_scaled(cudaStream_t, const GemmProblem&, const s8*, const s8*,
                                 const float*, const float*, const bf16*, bf16*);
template void gemm_s8_mma_scaled(cudaStream_t, const GemmProblem&, const s8*, const s8*,
                                 const float*, const float*, const f32*, f32*);

}  // namespace octet::cuda
