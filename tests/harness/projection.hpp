// A whole 16-bit product at the cost of reading it: Freivalds' check, within rounding.
//
// For D[M,N] = A[M,K] . B[N,K]^T and r of random signs, row i of D . r must equal A . (B^T . r) up
// to what rounding leaves of N independent errors; the same from the left for every column. Samples
// see a few elements of each tile; this sees all of them: a wrong element among N right ones moves
// its row by its error, and the row's tolerance is kProjectionFactor times the root of the sum of
//
//   (half an ulp of T at D[i,j])^2 + (sqrt(K) / 4 * 2^-24 * |A_i| |B_j|)^2     over j
//
// whose second term allows for f32 accumulation in any order. A row or a column that is wrong, and
// a tile or a quarter of one that was not written, lie far beyond it; one element off by an ulp
// does not, and is the samples' part.
#pragma once

#include <cstdint>
#include <string_view>

#include "harness/check.hpp"
#include "octet/gemm.hpp"

namespace octet::harness {

/// Standard deviations: a right product fails once in 10^14 rows.
inline constexpr double kProjectionFactor = 8;

/// T is f16 or bf16. Names the first row or column that is wrong.
template <class T>
Check verify_projection(std::string_view what, const Operand<T>& a, const Operand<T>& b,
                        Matrix<const T> out, std::uint64_t seed);

}  // namespace octet::harness
