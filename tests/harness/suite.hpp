// One line registers a kernel for checking and timing:
//
//   OCTET_KERNEL_SUITE(QuantizeRowwise_f16, QuantizeRowwise, f16, OCTET_FN(quantize_rowwise));
//
// gives QuantizeRowwise_f16.MatchesReference and .Timing, once for each backend of this build that
// the implementation accepts and once for each problem:
// Cuda/QuantizeRowwise_f16.Timing/4k_1024x4096.
//
// The second argument describes the operator (harness/description.hpp). The last one is the slot
// for the implementation: any callable with the description's signature. OCTET_FN turns a function
// or an overload set into one; a callable with state (a plan made by its first call, which is never
// timed) lives as long as its case and may say in `std::string plan(B) const` what it chose.
#pragma once

#include <gtest/gtest.h>

#include <string_view>
#include <utility>
#include <vector>

#include "harness/run_case.hpp"
#include "harness/test_run.hpp"

namespace octet::harness {

template <template <class, class> class D, class T, class Op>
class KernelSuite : public testing::TestWithParam<Case> {
 public:
  static std::vector<Case> cases(std::string_view backend) {
    std::vector<Case> all;
    for_each_backend([&]<class B>(B) {
      if constexpr (kAccepts<B>) {
        if (backend != B::kName) return;
        for (Problem& p : D<B, T>::problems()) all.push_back({B::kName, std::move(p)});
      }
    });
    return all;
  }

 protected:
  void run(Depth depth) {
    for_each_backend([&]<class B>(B) {
      if constexpr (kAccepts<B>) {
        if (GetParam().backend != B::kName) return;
        const Problem& problem = GetParam().problem;
        const std::uint64_t seed = test_seed();
        Json record = new_record(B::kName, D<B, T>::kOperator, kDType<T>, problem, seed);
        record["data"] = D<B, T>::data(problem);
        if constexpr (requires { D<B, T>::layout(); }) record["layout"] = D<B, T>::layout();
        run_recorded(B{}, std::move(record), [&](B backend, Json& r) {
          Op op{};
          return run_case<D<B, T>>(backend, problem, seed, op, depth, r);
        });
      }
    });
  }

 private:
  template <class B>
  static constexpr bool kAccepts = requires(D<B, T>& d, Op& op) {
    d.run(op);
  };
};

}  // namespace octet::harness

/// A function or an overload set as a callable type's expression.
#define OCTET_FN(function) \
  [](auto... args) -> decltype(function(args...)) { return function(args...); }

#define OCTET_KERNEL_SUITE(suite, description, type, implementation)                               \
  using suite##Implementation = decltype(implementation);                                          \
  class suite : public ::octet::harness::KernelSuite<description, type, suite##Implementation> {}; \
  TEST_P(suite, MatchesReference) { run(::octet::harness::Depth::check); }                         \
  TEST_P(suite, Timing) { run(::octet::harness::Depth::check_and_time); }                          \
  OCTET_INSTANTIATE_ON_BACKENDS(suite)

/// The same of what only some backends have: without them a build has no such case.
#define OCTET_PARTIAL_KERNEL_SUITE(suite, description, type, implementation) \
  OCTET_KERNEL_SUITE(suite, description, type, implementation);              \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(suite)
