// cuSPARSE's product of a list with a dense matrix: what spmm_coo is held against.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "octet/backend.hpp"
#include "octet/numeric.hpp"

namespace octet::harness {

/// out[m,n] += list[m,k] . w[n,k]^T, all of it in device memory, the list sorted by row. w is
/// row-major, or [k,n] where w_is_transposed.
struct CusparseProblem {
  DType type = DType::f16;
  std::int64_t m = 0, n = 0, k = 0;
  const s32* row = nullptr;
  const s32* col = nullptr;
  const void* value = nullptr;
  std::int64_t entries = 0;
  const void* w = nullptr;
  std::int64_t ldw = 0;
  bool w_is_transposed = false;
  void* out = nullptr;
  std::int64_t ldout = 0;
};

struct CusparseCall {
  std::function<void()> run;  // empty where there is no cuSPARSE, or none that takes the problem
  std::string algorithm;
};

/// Runs every algorithm that takes the problem on its operands, which adds to the output, and keeps
/// the one that took the least time. The call owns its workspace; values are 16 bits, sums f32.
CusparseCall cusparse_spmm(Cuda backend, const CusparseProblem& problem);

}  // namespace octet::harness
