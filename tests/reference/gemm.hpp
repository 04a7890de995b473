// The truth about products (octet/gemm.hpp), one element at a time: exact for int8, f64 for the
// 16-bit types, whose products of two are exact in f64.
#pragma once

#include <cmath>
#include <cstdint>

#include "octet/gemm.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::reference {

/// sum_k a[i,k] b[j,k], exact.
inline std::int64_t dot_s8(Matrix<const s8> a, Matrix<const s8> b, std::int64_t i, std::int64_t j) {
  std::int64_t sum = 0;
  for (std::int64_t k = 0; k < a.cols; ++k) sum += std::int64_t{a(i, k)} * b(j, k);
  return sum;
}

/// rint(alpha * float(acc)), saturated to s8; NaN gives 0.
inline s8 rescale(s32 acc, float alpha) {
  const float value = alpha * static_cast<float>(acc);
  if (std::isnan(value)) return 0;
  if (value >= 127) return 127;
  if (value <= -128) return -128;
  return static_cast<s8>(std::nearbyint(value));  // ties to even
}

/// Element (i, j) of an operand that lies in either direction.
template <class T>
double element(const Operand<T>& m, std::int64_t i, std::int64_t j) {
  return static_cast<float>(m.data[m.transposed ? j * m.ld + i : i * m.ld + j]);
}

/// sum_k a[i,k] b[j,k].
template <class T>
double dot(const Operand<T>& a, const Operand<T>& b, std::int64_t i, std::int64_t j) {
  double sum = 0;
  for (std::int64_t k = 0; k < a.cols; ++k) sum += element(a, i, k) * element(b, j, k);
  return sum;
}

/// sum_k |a[i,k] b[j,k]|: what a rigorous bound on the sum's error is proportional to.
template <class T>
double dot_abs(const Operand<T>& a, const Operand<T>& b, std::int64_t i, std::int64_t j) {
  double sum = 0;
  for (std::int64_t k = 0; k < a.cols; ++k) sum += std::fabs(element(a, i, k) * element(b, j, k));
  return sum;
}

/// sqrt(sum_k (a[i,k] b[j,k])^2): how large the sum is when its terms have random signs.
template <class T>
double dot_norm(const Operand<T>& a, const Operand<T>& b, std::int64_t i, std::int64_t j) {
  double sum = 0;
  for (std::int64_t k = 0; k < a.cols; ++k) {
    const double term = element(a, i, k) * element(b, j, k);
    sum += term * term;
  }
  return std::sqrt(sum);
}

}  // namespace octet::reference
