// How an operator is described, once, for every backend, type and implementation:
//
//   template <class B, class T>
//   struct QuantizeRowwise : Description<B> {
//     static constexpr std::string_view kOperator = "quantize_rowwise";
//     static std::vector<Problem> problems();
//     static std::string_view data(const Problem&);  // what its tensors are filled with
//     static std::string layout();  // optional: of its operands, where they are not row-major
//     QuantizeRowwise(B backend, const Problem&, std::uint64_t seed);  // tensors, seeded data
//     template <std::invocable<B, Matrix<const T>, Matrix<s8>, Vector<float>> Op>
//     void run(Op& op);    // calls the implementation; this is what is timed
//     Check verify();      // what is true afterwards, on the same buffers
//     Cost cost() const;   // least bytes and operations, for the roofline
//     static constexpr Pipe kPipe = Pipe::none;  // tensor cores that its operations go through
//     static Baseline baseline(B, const Problem&, std::uint64_t seed, int sets);  // optional, and
//                                                         asked for the models' sizes alone
//   };
//
// The descriptions of octet's own operators are in harness/operators.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "harness/check.hpp"
#include "harness/problem.hpp"
#include "harness/random.hpp"
#include "harness/roofline.hpp"
#include "harness/tensor.hpp"
#include "harness/timer.hpp"

namespace octet::harness {

/// Least bytes moved and operations done by one call of an operator.
struct Cost {
  double bytes = 0, operations = 0;
};

/// Something else that does the job, timed in the same rounds on as many sets of operands. Without
/// one, the copy of the same bytes is what a time is held against.
struct Baseline {
  std::string name;       // "gemm_f16"; empty: none for this problem
  std::string algorithm;  // as a plan names it, or empty
  Contender contender;
  std::shared_ptr<void> keeps;  // what the calls work on
};

/// What the description of an operator starts from.
template <class B>
struct Description {
  Description(B backend, const Problem& problem, std::uint64_t seed)
      : backend(backend), problem(problem), seed(seed) {}

  B backend;
  Problem problem;
  std::uint64_t seed;
  Ledger ledger;  // every tensor of the case
};

}  // namespace octet::harness
