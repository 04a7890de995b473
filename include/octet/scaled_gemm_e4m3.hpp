// The e4m3 product with a scale for each row and each column, from one call:
//
//   out[i,j] = T( row_scale[i] * col_scale[j] * sum_k a[i,k] b[j,k] + bias[j] or 0 )
//
// Where K is 0 it is the bias, or zero, whatever the scales.
// Products of two e4m3 are exact in f32; they are summed in f32 on the CPU and by tensor cores on
// CUDA (Accumulation), and rounded once to T: f16, bf16 or f32. The order of the sum is the
// library's own, so backends agree within rounding, not bit for bit.
//
// On CUDA through cuBLASLt alone, which was asked for its best algorithm and for whether it has
// one: from 12.9 on, on compute capability 9.0, with N and K multiples of 16 and rows of a, b and
// out at multiples of 16 bytes. M is free.
//
// Errors: std::invalid_argument that names the operator, the value and what would be right: those
// of scaled_gemm but for K, which is not limited. std::runtime_error where cuBLASLt has no kernel.
#pragma once

#include "octet/gemm.hpp"
#include "octet/matrix.hpp"

namespace octet {

/// Whether such products run at all on the workspace's device, found out by asking the library.
bool multiplies_e4m3(GemmWorkspace<Cpu>& workspace);
bool multiplies_e4m3(GemmWorkspace<Cuda>& workspace);

/// a[M,K], b[N,K], row_scale[M], col_scale[N], bias[N] or empty -> out[M,N]. Times its candidates
/// on these operands and overwrites `out`.
template <class T>
GemmPlan<Cpu> plan_scaled_gemm(GemmWorkspace<Cpu>& workspace, Matrix<const e4m3> a,
                               Matrix<const e4m3> b, Vector<const float> row_scale,
                               Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out,
                               Accumulation accumulation = Accumulation::tensor_core);
template <class T>
GemmPlan<Cuda> plan_scaled_gemm(GemmWorkspace<Cuda>& workspace, Matrix<const e4m3> a,
                                Matrix<const e4m3> b, Vector<const float> row_scale,
                                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out,
                                Accumulation accumulation = Accumulation::tensor_core);
template <class T>
void scaled_gemm(Cpu, const GemmPlan<Cpu>& plan, Matrix<const e4m3> a, Matrix<const e4m3> b,
                 Vector<const float> row_scale, Vector<const float> col_scale, Vector<const T> bias,
                 Matrix<T> out);
template <class T>
void scaled_gemm(Cuda, const GemmPlan<Cuda>& plan, Matrix<const e4m3> a, Matrix<const e4m3> b,
                 Vector<const float> row_scale, Vector<const float> col_scale, Vector<const T> bias,
                 Matrix<T> out);

}  // namespace octet
