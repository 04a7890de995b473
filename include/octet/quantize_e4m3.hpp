// Quantization to e4m3 with one scale for each row, or for each row and each column.
//
//   absmax = max |x| over the row (column), in f32
//   scale  = absmax / 448
//   q      = e4m3(x * (448 / absmax)), rounded to nearest even
//
// The rules are those of int8 (quantize.hpp) with 448, the largest e4m3, in the place of 127: f32
// arithmetic that gives the same bits on every backend, zeros where 448 / absmax is not finite, a
// NaN scale and zeros where an element is NaN or Inf. No q is NaN.
//
// Errors: those of quantize.hpp.
//
// Source: Micikevicius et al., "FP8 Formats for Deep Learning", 2022; a scale for each row as in
// torchao's row-wise float8 training.
#pragma once

#include "octet/backend.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet {

/// x[R,C] -> q[R,C], row_scale[R]. T is f16, bf16 or f32.
template <class T>
void quantize_rowwise(Cpu, Matrix<const T> x, Matrix<e4m3> q, Vector<float> row_scale);
template <class T>
void quantize_rowwise(Cuda, Matrix<const T> x, Matrix<e4m3> q, Vector<float> row_scale);

/// Both copies that training needs, from one call: x[R,C] -> q_row[R,C] with row_scale[R], and
/// q_col[C,R], the transposed copy, with col_scale[C]. T is f16, bf16 or f32.
template <class T>
void quantize_row_col(Cpu, Matrix<const T> x, Matrix<e4m3> q_row, Vector<float> row_scale,
                      Matrix<e4m3> q_col, Vector<float> col_scale);
template <class T>
void quantize_row_col(Cuda, Matrix<const T> x, Matrix<e4m3> q_row, Vector<float> row_scale,
                      Matrix<e4m3> q_col, Vector<float> col_scale);

}  // namespace octet
