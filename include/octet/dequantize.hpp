// From int32 accumulators, and from int8, back to floating point.
//
//   out[i,j] = T( fma( float(acc[i,j]), row_scale[i] * col_scale[j], bias[j] or 0 ) )
//
// in f32 with one rounding to T: float(acc), the product of the scales and the fma each round to
// nearest even, and every backend gives the same bits. bitsandbytes' constant 1 / (127 * 127) is
// inside the scales.
//
// Errors: as in quantize.hpp. No rows or no columns: nothing is done.
#pragma once

#include "octet/backend.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet {

/// acc[M,N], row_scale[M], col_scale[N], bias[N] or empty (no bias) -> out[M,N]. T is f16, bf16 or
/// f32; the bias has the output's type.
template <class T>
void dequantize(Cpu, Matrix<const s32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out);
template <class T>
void dequantize(Cuda, Matrix<const s32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out);

/// The same from accumulators in Col32; the output is row-major.
template <class T>
void dequantize(Cpu, Matrix<const s32, Col32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out);
template <class T>
void dequantize(Cuda, Matrix<const s32, Col32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out);

/// The inverse of quantize_rowwise: q[R,C], row_scale[R] -> out[i,j] = T(float(q[i,j]) *
/// row_scale[i]). A transposed copy with its column scales is a row-scaled matrix like any other.
template <class T>
void dequantize_rowwise(Cpu, Matrix<const s8> q, Vector<const float> row_scale, Matrix<T> out);
template <class T>
void dequantize_rowwise(Cuda, Matrix<const s8> q, Vector<const float> row_scale, Matrix<T> out);

}  // namespace octet
