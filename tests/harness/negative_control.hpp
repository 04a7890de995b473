// What negative controls share: a small case, and what the harness must say of an implementation.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "harness/run_case.hpp"
#include "harness/suite.hpp"
#include "harness/test_run.hpp"
#include "octet/quantize.hpp"

namespace octet::harness {

inline Problem small_matrix() {
  Problem p;
  p.name = "129x200_pad8";
  p.m = 129;
  p.n = 200;
  p.ld_padding = 8;
  return p;
}

inline Problem small_product() {
  Problem p = small_matrix();
  p.k = 288;
  return p;
}

/// quantize_rowwise that never reaches the tensor's last row.
struct UnwrittenTail {
  template <class B, class Q>
  void operator()(B backend, Matrix<const f16> x, Matrix<Q> q, Vector<float> row_scale) {
    x.rows -= 1;
    q.rows -= 1;
    row_scale.length -= 1;
    quantize_rowwise<f16>(backend, x, q, row_scale);
  }
};

/// quantize_rowwise with one row that is another row's result.
struct OneWrongRow {
  template <class B, class Q>
  void operator()(B backend, Matrix<const f16> x, Matrix<Q> q, Vector<float> row_scale) {
    quantize_rowwise<f16>(backend, x, q, row_scale);
    copy(backend, &q(77, 0), &q(76, 0), static_cast<std::size_t>(q.cols));
  }
};

/// What run_case says of an implementation on each backend where a device answers.
template <template <class, class> class D, class T, class Op>
void expect_verdict(const Problem& problem, Depth depth, std::string_view status,
                    std::string_view message) {
  for_each_backend([&]<class B>(B) {
    if (!available(B{})) {
      EXPECT_FALSE(options().requires_backend(B::kName)) << "no " << B::kName << " device answers";
      return;
    }
    const B backend = make_backend<B>();
    const std::uint64_t seed = test_seed();
    Json record = new_record(B::kName, D<B, T>::kOperator, kDType<T>, problem, seed);
    set_environment(record, backend);
    Op op;
    Check check;
    try {
      check = run_case<D<B, T>>(backend, problem, seed, op, depth, record);
    } catch (const Unsupported&) {
      return;  // as on a backend without a device
    }
    EXPECT_EQ(check.status, status) << B::kName << ": " << check.message;
    EXPECT_NE(check.message.find(message), std::string::npos)
        << B::kName << ": '" << check.message << "' does not say '" << message << "'";
  });
}

}  // namespace octet::harness
