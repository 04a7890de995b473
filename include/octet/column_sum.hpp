// Sums over the rows of a matrix: the gradient of a bias.
//
//   sum[j] = T( sum_i float(x[i,j]) )
//
// in f32 with one rounding to T, in one order on every backend, so that the bits are the same: rows
// in chunks of kColumnSumChunk, each summed from its first row on, starting from 0, then the
// chunks' sums added from the first chunk on, starting from 0.
//
// Errors: as in quantize.hpp. No rows: zeros. No columns: nothing is done.
#pragma once

#include <cstdint>

#include "octet/backend.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet {

/// Rows that are summed before the sums are added.
inline constexpr std::int64_t kColumnSumChunk = 64;

/// x[R,C] -> sum[C]. T is f16, bf16 or f32.
template <class T>
void column_sum(Cpu, Matrix<const T> x, Vector<T> sum);
template <class T>
void column_sum(Cuda, Matrix<const T> x, Vector<T> sum);

}  // namespace octet
