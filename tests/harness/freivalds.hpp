// Freivalds' check: a whole int32 product at the cost of reading it.
//
// For D[M,N] = A[M,K] . B[N,K]^T and random r modulo the prime p = 2^61 - 1, row i of D passes when
// D[i,:] . r equals A[i,:] . (B^T . r) modulo p. A row with a wrong entry passes with probability
// 1 / p (R. Freivalds, 1977). Costs M N + N K + M K multiplications.
#pragma once

#include <cstdint>

#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::harness {

struct FreivaldsResult {
  std::int64_t rows_wrong = 0;
  // The first wrong element of the first wrong row; -1 where there is none.
  std::int64_t row = -1, col = -1;
  std::int64_t expected = 0, actual = 0;
  std::int64_t zeros = 0;  // elements of d that are 0: a product of zeros proves little
};

/// `seed` must not depend on what computed d; the stream of r is apart from those of random.hpp.
/// Throws std::invalid_argument for extents that do not match.
FreivaldsResult freivalds(Matrix<const s8> a, Matrix<const s8> b, Matrix<const s32> d,
                          std::uint64_t seed);

}  // namespace octet::harness
