// Quantization to int8 with one scale for each row, or for each row and each column.
//
//   absmax = max |x| over the row (column), in f32
//   scale  = absmax / 127
//   q      = rint(x * (127 / absmax)), ties to even, in [-127, 127]; -128 never occurs
//
// All in f32 with IEEE division and no contraction, so that every backend gives the same bits.
//   - all-zero row (column), or 127 / absmax not finite: scale 0, q 0
//   - NaN or Inf in a row (column): its scale is NaN and its q 0, so the output shows it
//   - no rows or no columns: nothing is done, no error
// With a StochasticRounding the same, but q is rounded as rounding.hpp says. With a threshold:
// outliers.hpp.
//
// Errors: std::invalid_argument that names the operator, the value and what would be right, for
// extents that differ, null data, a leading dimension under the number of columns, or outputs that
// overlap the input.
//
// Source: LLM.int8() (Dettmers et al., 2022), vector-wise quantization; bitsandbytes' double_quant.
#pragma once

#include "octet/backend.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"
#include "octet/rounding.hpp"

namespace octet {

/// x[R,C] -> q[R,C], row_scale[R]. T is f16, bf16 or f32.
template <class T>
void quantize_rowwise(Cpu, Matrix<const T> x, Matrix<s8> q, Vector<float> row_scale);
template <class T>
void quantize_rowwise(Cuda, Matrix<const T> x, Matrix<s8> q, Vector<float> row_scale);
template <class T>
void quantize_rowwise(Cpu, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q,
                      Vector<float> row_scale);
template <class T>
void quantize_rowwise(Cuda, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q,
                      Vector<float> row_scale);

/// The transposed copy alone: x[R,C] -> q_col[C,R], col_scale[C]. T is f16, bf16 or f32.
template <class T>
void quantize_colwise(Cpu, Matrix<const T> x, Matrix<s8> q_col, Vector<float> col_scale);
template <class T>
void quantize_colwise(Cuda, Matrix<const T> x, Matrix<s8> q_col, Vector<float> col_scale);
template <class T>
void quantize_colwise(Cpu, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_col,
                      Vector<float> col_scale);
template <class T>
void quantize_colwise(Cuda, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_col,
                      Vector<float> col_scale);

/// Both int8 copies that training needs, from one call: x[R,C] -> q_row[R,C] with row_scale[R], and
/// q_col[C,R], the transposed copy, with col_scale[C]. T is f16, bf16 or f32.
template <class T>
void quantize_row_col(Cpu, Matrix<const T> x, Matrix<s8> q_row, Vector<float> row_scale,
                      Matrix<s8> q_col, Vector<float> col_scale);
template <class T>
void quantize_row_col(Cuda, Matrix<const T> x, Matrix<s8> q_row, Vector<float> row_scale,
                      Matrix<s8> q_col, Vector<float> col_scale);
template <class T>
void quantize_row_col(Cpu, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_row,
                      Vector<float> row_scale, Matrix<s8> q_col, Vector<float> col_scale);
template <class T>
void quantize_row_col(Cuda, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_row,
                      Vector<float> row_scale, Matrix<s8> q_col, Vector<float> col_scale);

}  // namespace octet
