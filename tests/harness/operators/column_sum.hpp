// column_sum: bit for bit what the reference says, in its order of additions.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "harness/description.hpp"
#include "harness/verify.hpp"
#include "octet/column_sum.hpp"

namespace octet::harness {

template <class B, class T>
struct ColumnSum : Description<B> {
  static constexpr std::string_view kOperator = "column_sum";
  static constexpr Pipe kPipe = Pipe::none;
  static std::string_view data(const Problem& p) {
    return p.special_values ? "gaussian with special values" : "gaussian";
  }
  /// The models' activations, because a bias is as long as a row of them.
  static std::vector<Problem> problems() {
    std::vector<Problem> problems;
    for (const Problem& p : model_matrices()) {
      if (p.m == p.layer.tokens()) problems.push_back(p);
    }
    return concatenate(std::move(problems), hostile_matrices());
  }

  ColumnSum(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        x(backend, this->ledger, "x", Role::input, p.m, p.n, p.ld_padding),
        sum(backend, this->ledger, "sum", Role::output, 1, p.n) {
    x.fill([&](Matrix<T> host) {
      fill(host, Distribution::gaussian, 1.0f, seed);
      if (p.special_values) plant_special_values(host);
    });
  }

  template <std::invocable<B, Matrix<const T>, Vector<T>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(x.view()), sum.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto sum = this->sum.host();
    // Without rows all sums are zero.
    return verify_column_sum<T>(x.view, {sum.view.data, sum.view.cols},
                                this->problem.m == 0 ? Zeros::allowed : Zeros::mistrusted);
  }

  Cost cost() const {
    const auto rows = static_cast<double>(this->problem.m),
               cols = static_cast<double>(this->problem.n);
    return {(rows + 1) * cols * sizeof(T), rows * cols};
  }

  Tensor<B, T> x, sum;

 private:
  /// Columns of zeros of either sign, of NaN, of infinities that agree and that do not, beyond the
  /// largest f16, and of subnormals.
  static void plant_special_values(Matrix<T> host) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (std::int64_t i = 0; i < host.rows; ++i) {
      host(i, 1) = T(0.0f);
      host(i, 2) = T(-0.0f);
      host(i, 9) = T(60000.0f);
      host(i, 10) = T(6e-8f);
    }
    host(5, 4) = T(std::numeric_limits<float>::quiet_NaN());
    host(0, 6) = T(kInfinity);
    host(1, 7) = T(-kInfinity);
    host(host.rows - 1, 7) = T(kInfinity);
    host(host.rows - 1, host.cols - 1) = T(-kInfinity);
  }
};

}  // namespace octet::harness
