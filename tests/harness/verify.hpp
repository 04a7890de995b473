// Whole operators, checked on host views of what they read and left behind.
//
// Quantize, dequantize, transform, flatten and column sums are compared bit for bit with
// tests/reference at every element. An int8 product is checked by Freivalds at any size and element
// by element where that costs at most 2^24 multiplications. A 16-bit product is sampled in every
// 128 x 128 tile against f64, and projected as a whole.
//
// Zeros::allowed is for cases whose truth is mostly zero or NaN by intention.
//
// Errors: std::invalid_argument that names the operator, for extents that do not match.
#pragma once

#include <cstdint>

#include "harness/check.hpp"
#include "octet/gemm.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"
#include "octet/rounding.hpp"

namespace octet::harness {

/// T is f16, bf16 or f32.
template <class T>
Check verify_quantize_rowwise(Matrix<const T> x, Matrix<const s8> q, Vector<const float> row_scale,
                              Zeros zeros = Zeros::mistrusted);
template <class T>
Check verify_quantize_colwise(Matrix<const T> x, Matrix<const s8> q_col,
                              Vector<const float> col_scale, Zeros zeros = Zeros::mistrusted);
template <class T>
Check verify_quantize_row_col(Matrix<const T> x, Matrix<const s8> q_row,
                              Vector<const float> row_scale, Matrix<const s8> q_col,
                              Vector<const float> col_scale, Zeros zeros = Zeros::mistrusted);

/// The same of what was rounded stochastically.
template <class T>
Check verify_quantize_rowwise(Matrix<const T> x, StochasticRounding rounding, Matrix<const s8> q,
                              Vector<const float> row_scale, Zeros zeros = Zeros::mistrusted);
template <class T>
Check verify_quantize_colwise(Matrix<const T> x, StochasticRounding rounding,
                              Matrix<const s8> q_col, Vector<const float> col_scale,
                              Zeros zeros = Zeros::mistrusted);
template <class T>
Check verify_quantize_row_col(Matrix<const T> x, StochasticRounding rounding,
                              Matrix<const s8> q_row, Vector<const float> row_scale,
                              Matrix<const s8> q_col, Vector<const float> col_scale,
                              Zeros zeros = Zeros::mistrusted);

/// The bias is empty or as long as a row.
template <class T>
Check verify_dequantize(Matrix<const s32> acc, Vector<const float> row_scale,
                        Vector<const float> col_scale, Vector<const T> bias, Matrix<const T> out,
                        Zeros zeros = Zeros::mistrusted);

/// Each element of y, and of a tiled y everything in its memory, whose padding must be zero. T and
/// the layouts are those of transform.
template <class T, class From, class To>
Check verify_transform(Matrix<const T, From> x, Matrix<const T, To> y,
                       Zeros zeros = Zeros::mistrusted);
/// T is f16, bf16 or f32.
template <class T>
Check verify_flatten(Batch<const T> x, Matrix<const T> y, Zeros zeros = Zeros::mistrusted);
template <class T>
Check verify_dequantize(Matrix<const s32, Col32> acc, Vector<const float> row_scale,
                        Vector<const float> col_scale, Vector<const T> bias, Matrix<const T> out,
                        Zeros zeros = Zeros::mistrusted);
template <class T>
Check verify_dequantize_rowwise(Matrix<const s8> q, Vector<const float> row_scale,
                                Matrix<const T> out, Zeros zeros = Zeros::mistrusted);

/// T is f16, bf16 or f32.
template <class T>
Check verify_column_sum(Matrix<const T> x, Vector<const T> sum, Zeros zeros = Zeros::mistrusted);

/// `seed` chooses r, so that no kernel can know it.
Check verify_gemm_s8(Matrix<const s8> a, Matrix<const s8> b, Matrix<const s32> acc,
                     std::uint64_t seed, Zeros zeros = Zeros::mistrusted);

/// T is f16 or bf16. Besides the projection two bounds have to hold:
///   - each sample: 2 K 2^-24 sum |a||b| for f32 accumulation in any order (twice, for tensor cores
///     that truncate), and half an ulp of T. Rigorous, but at K = 49152 as large as the result.
///   - all samples together, root mean square: half an ulp of T, and K / 4 * 2^-24 of the sum's
///     size, which for random signs is sqrt(sum (a b)^2). Random errors stay far below it; a slice
///     of K that was left out does not.
template <class T>
Check verify_gemm(const Operand<T>& a, const Operand<T>& b, Matrix<const T> out, std::uint64_t seed,
                  Zeros zeros = Zeros::mistrusted);

}  // namespace octet::harness
