// The int8 product with floating-point output: gemm_s8 and dequantize in one call.
//
//   out[i,j] = T( fma( float(sum_k a[i,k] b[j,k]), row_scale[i] * col_scale[j], bias[j] or 0 ) )
//
// The same bits as the two calls.
#pragma once

#include <memory>

#include "octet/buffer.hpp"
#include "octet/dequantize.hpp"
#include "octet/gemm.hpp"

namespace octet {

/// A gemm_s8 plan and the accumulators between the two calls.
template <class B>
struct ScaledGemmPlan {
  GemmPlan<B> product;
  std::shared_ptr<Buffer<B, s32>> accumulators;

  Matrix<s32> accumulator_view() const {
    return {accumulators->data(), product.problem.m, product.problem.n};
  }
};

/// a[M,K], b[N,K]: the operands that `scaled_gemm` will be given, or others that lie alike.
/// Allocates 4 M N bytes.
template <class B>
ScaledGemmPlan<B> plan_scaled_gemm(B backend, GemmWorkspace<B>& workspace, Matrix<const s8> a,
                                   Matrix<const s8> b) {
  ScaledGemmPlan<B> plan;
  plan.accumulators = std::make_shared<Buffer<B, s32>>(backend, a.rows * b.rows);
  plan.product =
      plan_gemm_s8(workspace, a, b, Matrix<s32>(plan.accumulators->data(), a.rows, b.rows));
  return plan;
}

/// a[M,K], b[N,K], row_scale[M], col_scale[N], bias[N] or empty -> out[M,N]. Errors: those of
/// gemm_s8 and dequantize.
template <class B, class T>
void scaled_gemm(B backend, const ScaledGemmPlan<B>& plan, Matrix<const s8> a, Matrix<const s8> b,
                 Vector<const float> row_scale, Vector<const float> col_scale, Vector<const T> bias,
                 Matrix<T> out) {
  gemm_s8(backend, plan.product, a, b, plan.accumulator_view());
  dequantize<T>(backend, plan.accumulator_view(), row_scale, col_scale, bias, out);
}

}  // namespace octet
