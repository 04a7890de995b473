// The operators of e4m3, checked on host views of what they read and left behind.
//
// Quantization is compared bit for bit with tests/reference at every element. A product is sampled
// in every 128 x 128 tile against f64, and projected as a whole (projection.hpp tells how), with a
// tolerance that follows from how it was summed.
//
// Errors: std::invalid_argument that names the operator, for extents that do not match.
#pragma once

#include <cstdint>

#include "harness/check.hpp"
#include "octet/gemm.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::harness {

/// T is f16, bf16 or f32.
template <class T>
Check verify_quantize_rowwise(Matrix<const T> x, Matrix<const e4m3> q,
                              Vector<const float> row_scale);
template <class T>
Check verify_quantize_row_col(Matrix<const T> x, Matrix<const e4m3> q_row,
                              Vector<const float> row_scale, Matrix<const e4m3> q_col,
                              Vector<const float> col_scale);

/// Who adds up a product.
enum class Adder : std::uint8_t { f32, tensor_cores };

/// How far a sum of K products may be off, as parts of sum |a b| (for certain) and of the sum's
/// size, sqrt(sum (a b)^2) or more (as a root mean square).
///
/// f32: as for 16-bit products (verify.hpp). Tensor cores of compute capability 9.0 add 32 products
/// and what they have so far in one instruction; each of the 33 is cut off below 2^-13 of the
/// largest (DeepSeek-AI, "DeepSeek-V3 Technical Report", 2024, section 3.5.2: "the highest 14 bits
/// of each mantissa product"). So an instruction is off by 33 * 2^-13 of the largest for certain.
/// As a rule what they have so far is the largest and its loss is to one side, half a unit on
/// average, hence adds up over the instructions, while those of the 32 products are
/// independent, 1.6 units together: bounded here by twice that. Accumulation::promoted begins anew
/// after 128 of K.
struct SumError {
  double certain = 0, typical = 0;
  SumError(Adder adder, Accumulation accumulation, std::int64_t k);
};

/// out[M,N] of scaled_gemm. T is f16, bf16 or f32; the bias is empty or as long as a row.
/// rel_frobenius is set to the samples' relative error.
template <class T>
Check verify_scaled_gemm(Matrix<const e4m3> a, Matrix<const e4m3> b, Vector<const float> row_scale,
                         Vector<const float> col_scale, Vector<const T> bias, Matrix<const T> out,
                         const SumError& sum_error, std::uint64_t seed,
                         Zeros zeros = Zeros::mistrusted);

}  // namespace octet::harness
