// The int8 product with floating-point output: gemm_s8 and dequantize in one call.
//
//   out[i,j] = T( fma( float(sum_k a[i,k] b[j,k]), row_scale[i] * col_scale[j], bias[j] or 0 ) )
//
// T is f16, bf16 or f32. The same bits as the two calls, on every backend and by every kernel that
// a plan may choose.
//
// Errors: std::invalid_argument that names the operator, the value and what would be right: those
// of gemm_s8 and dequantize, and a plan that was made for another problem.
#pragma once

#include <memory>
#include <string>

#include "octet/gemm.hpp"
#include "octet/matrix.hpp"

namespace octet {

template <class B>
struct ScaledGemmPlanState;  // defined in the backend's library

/// A product of a known problem, ready to run. It keeps its workspace alive.
template <class B>
struct ScaledGemmPlan {
  GemmProblem problem;    // its result is T
  std::string algorithm;  // what was chosen, and by how much, for people and records
  std::string choice;     // the same for GemmWorkspace::pinned; empty where nothing was chosen
  std::shared_ptr<ScaledGemmPlanState<B>> state;
};

/// a[M,K], b[N,K], row_scale[M], col_scale[N], bias[N] or empty -> out[M,N]. Times its candidates
/// on these operands and overwrites `out`; plans that keep accumulators between a product and
/// dequantize share those of their workspace, 4 M N bytes of the largest one.
///
/// GemmWorkspace::pinned takes a kernel alone, too: "sm90", "mma" or "cublaslt". One that does not
/// take the problem is passed over.
template <class T>
ScaledGemmPlan<Cpu> plan_scaled_gemm(GemmWorkspace<Cpu>& workspace, Matrix<const s8> a,
                                     Matrix<const s8> b, Vector<const float> row_scale,
                                     Vector<const float> col_scale, Vector<const T> bias,
                                     Matrix<T> out);
template <class T>
ScaledGemmPlan<Cuda> plan_scaled_gemm(GemmWorkspace<Cuda>& workspace, Matrix<const s8> a,
                                      Matrix<const s8> b, Vector<const float> row_scale,
                                      Vector<const float> col_scale, Vector<const T> bias,
                                      Matrix<T> out);
template <class T>
void scaled_gemm(Cpu, const ScaledGemmPlan<Cpu>& plan, Matrix<const s8> a, Matrix<const s8> b,
                 Vector<const float> row_scale, Vector<const float> col_scale, Vector<const T> bias,
                 Matrix<T> out);
template <class T>
void scaled_gemm(Cuda, const ScaledGemmPlan<Cuda>& plan, Matrix<const s8> a, Matrix<const s8> b,
                 Vector<const float> row_scale, Vector<const float> col_scale, Vector<const T> bias,
                 Matrix<T> out);

/// The accumulators that the last product of this plan has left, [M,N], where it has any in memory;
/// else no data. They last until another product of the plan's workspace.
Matrix<const s32> accumulators(const ScaledGemmPlan<Cpu>& plan);
Matrix<const s32> accumulators(const ScaledGemmPlan<Cuda>& plan);

}  // namespace octet
