// A product that was computed in int8, against the 16-bit operands that it stands for.
//
// With c = 1/2 + 2^-15 (the quotient is rounded too) and scales s_a, s_b of its row and column, an
// element of a right product is off by no more than
//
//   c sum_k (|a_k| s_b + |b_k| s_a) + c^2 K s_a s_b
//
// and the rounding of the output; an operand that was rounded stochastically is off by up to a
// step, 1/2 more in its c. That holds for certain but is as large as the result when K is a
// thousand, and would pass a product that has nothing to do with its operands. So the samples as a
// whole, each by its own measure, are held to what independent rounding errors, uniform in half a
// step each way, add up to:
//
//   sum_k (a_k^2 s_b^2 + b_k^2 s_a^2) / 12 + K s_a^2 s_b^2 / 144     (variance of an element)
//
// Stochastic rounding of a fraction f has the variance f (1 - f), a sixth on average where nearest
// has a twelfth.
//
// An e4m3 operand's errors follow each element instead: half a unit of its last place, 2^-4 of the
// element at most and s 2^-10 at least, uniform in the unit. Their sum beside that of the addition
// (verify_e4m3.hpp) is the bound.
//
// What a threshold sets apart takes no part in these sums and these scales: it is added afterwards
// with all its bits, after which the result is rounded once more.
#pragma once

#include <cstdint>
#include <string_view>

#include "harness/check.hpp"
#include "harness/outlier_rule.hpp"
#include "harness/verify_e4m3.hpp"
#include "octet/gemm.hpp"

namespace octet::harness {

/// How far the samples' root mean square error may lie above that of independent rounding errors.
/// Correlated operands and few samples take it to about 1.2; a swapped scale or a dropped slice of
/// K far beyond.
inline constexpr double kQuantizerRmsFactor = 1.5;
/// Fewer samples than this are held by the elementwise bound alone.
inline constexpr std::int64_t kQuantizerRmsSamples = 256;

/// What a product computes beside a . b^T in int8. A rule speaks of its operand's tensor as it
/// lies: a transposed operand's rows are the tensor's columns.
template <class T>
struct ProductExtras {
  Vector<const T> bias{};  // empty: none
  OutlierRule a_outliers{}, b_outliers{};
  bool a_is_stochastic = false;
};

/// out[M,N] from e4m3 copies of a[M,K] and b[N,K], each scaled by its rows' absmax / 448.
template <class T>
Check verify_e4m3_product(std::string_view what, const Operand<T>& a, const Operand<T>& b,
                          Matrix<const T> out, const SumError& sum_error, std::uint64_t seed,
                          Vector<const T> bias = {});

/// out[M,N] from int8 copies of a[M,K] and b[N,K], each scaled by its rows' absmax / 127. T is f16
/// or bf16. rel_frobenius is set to the samples' relative error.
template <class T>
Check verify_quantized_product(std::string_view what, const Operand<T>& a, const Operand<T>& b,
                               Matrix<const T> out, std::uint64_t seed,
                               const ProductExtras<T>& extras = {});

}  // namespace octet::harness
