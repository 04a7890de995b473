// gemm_s8 with s8 results: bit for bit what the reference makes of int32 accumulators of their own
// that have passed Freivalds' check. The alphas put a third of the results beyond s8's range, and
// ties, NaN, both infinities and zero into some rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <vector>

#include "harness/operators/gemm_tiled.hpp"
#include "reference/gemm.hpp"

namespace octet::harness {

enum class Alphas { one, per_row };

/// A CPU's time is for the small ones: it makes s8 of accumulators that other suites time.
template <class B>
std::vector<Problem> to_s8_problems() {
  return std::is_same_v<B, Cpu> ? hostile_products() : tiled_problems<B>();
}

/// Powers of two in every other row, so that products lie halfway between integers.
inline void fill_alphas(Matrix<float> host, const Problem& p, std::uint64_t seed) {
  const double deviation = p.product ? 127 / 4.3 : 74;
  const double of_sum =
      deviation * deviation * std::sqrt(static_cast<double>(std::max<std::int64_t>(p.k, 1)));
  const float base = std::exp2(-std::round(static_cast<float>(std::log2(of_sum / 128))));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (std::int64_t i = 0; i < host.cols; ++i) {
    const auto part = static_cast<float>(word(seed, static_cast<std::uint64_t>(i)) % 1000) / 1000;
    float alpha = i % 2 == 0 ? base : -base * (0.25f + part);
    if (i % 32 == 7) alpha = std::numeric_limits<float>::quiet_NaN();
    if (i % 32 == 13) alpha = i % 64 == 13 ? kInfinity : -kInfinity;
    if (i % 32 == 19) alpha = 0;
    host(0, i) = alpha;
  }
}

inline Check verify_rescaled(Matrix<const s32> acc, Vector<const float> alpha, Matrix<const s8> d,
                             const Problem& p) {
  return compare_bits(
      "d", d,
      [&](std::int64_t i, std::int64_t j) {
        return reference::rescale(acc(i, j), alpha(alpha.length == 1 ? 0 : i));
      },
      p.k == 0 ? Zeros::allowed : Zeros::mistrusted);
}

template <class B, Alphas kAlphas>
struct GemmToS8 : Int8Operands<B> {
  static constexpr std::string_view kOperator = "gemm_s8";
  static constexpr Pipe kPipe = Pipe::s8;
  static std::vector<Problem> problems() { return to_s8_problems<B>(); }

  GemmToS8(B backend, const Problem& p, std::uint64_t seed)
      : Int8Operands<B>(backend, p, seed),
        alpha(backend, this->ledger, "alpha", Role::input, 1, kAlphas == Alphas::one ? 1 : p.m),
        d(backend, this->ledger, "d", Role::output, p.m, p.n, p.ld_padding) {
    alpha.fill([&](Matrix<float> host) { fill_alphas(host, p, seed + 3); });
  }

  template <
      std::invocable<B, Matrix<const s8>, Matrix<const s8>, Vector<const float>, Matrix<s8>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const s8>(this->a.view()), Matrix<const s8>(this->b.view()),
       Vector<const float>(alpha.vector()), d.view());
  }

  Check verify() {
    Ledger ledger;
    Tensor<B, s32> acc(this->backend, ledger, "acc", Role::output, this->problem.m,
                       this->problem.n);
    PlannedGemmS8 product;
    product(this->backend, Matrix<const s8>(this->a.view()), Matrix<const s8>(this->b.view()),
            acc.view());
    synchronize(this->backend);
    const auto host_acc = acc.host();
    const auto a = this->a.host(), b = this->b.host(), d = this->d.host();
    const auto alpha = this->alpha.host();
    return merge({verify_gemm_s8(a.view, b.view, host_acc.view, this->seed),
                  verify_rescaled(host_acc.view, {alpha.view.data, alpha.view.cols}, d.view,
                                  this->problem)});
  }

  Cost cost() const { return product_cost(this->problem, sizeof(s8), sizeof(s8)); }

  Tensor<B, float> alpha;
  Tensor<B, s8> d;
};

template <class B, class L, Alphas kAlphas>
struct GemmTiledToS8 : TiledInt8Operands<B, L> {
  static constexpr std::string_view kOperator = "gemm_s8";
  static constexpr Pipe kPipe = Pipe::s8;
  static std::vector<Problem> problems() { return to_s8_problems<B>(); }

  GemmTiledToS8(B backend, const Problem& p, std::uint64_t seed)
      : TiledInt8Operands<B, L>(backend, p, seed),
        alpha(backend, this->ledger, "alpha", Role::input, 1, kAlphas == Alphas::one ? 1 : p.m),
        d(backend, this->ledger, "d", Role::output, p.m, p.n, p.ld_padding) {
    alpha.fill([&](Matrix<float> host) { fill_alphas(host, p, seed + 3); });
  }

  template <std::invocable<B, Matrix<const s8, Col32>, Matrix<const s8, L>, Vector<const float>,
                           Matrix<s8, Col32>>
                Op>
  void run(Op& op) {
    op(this->backend, Matrix<const s8, Col32>(this->a.view()), Matrix<const s8, L>(this->b.view()),
       Vector<const float>(alpha.vector()), d.view());
  }

  Check verify() {
    Ledger ledger;
    TiledTensor<B, s32, Col32> acc(this->backend, ledger, "acc", Role::output, this->problem.m,
                                   this->problem.n, 0);
    PlannedGemmS8 product;
    product(this->backend, Matrix<const s8, Col32>(this->a.view()),
            Matrix<const s8, L>(this->b.view()), acc.view());
    synchronize(this->backend);
    const auto host_acc = acc.tensor.host();
    const Unpacked<s32> accumulators(acc.of(host_acc));
    const auto host = d.tensor.host();
    const auto alpha = this->alpha.host();
    return merge({this->verify_accumulators(accumulators.view),
                  verify_rescaled(accumulators.view, {alpha.view.data, alpha.view.cols},
                                  Unpacked<s8>(d.of(host)).view, this->problem),
                  verify_padding<s8>("d's padding", d.of(host))});
  }

  Cost cost() const { return product_cost(this->problem, sizeof(s8), sizeof(s8)); }

  Tensor<B, float> alpha;
  TiledTensor<B, s8, Col32> d;
};

template <class B, class>
using GemmToS8OneAlpha = GemmToS8<B, Alphas::one>;
template <class B, class>
using GemmToS8RowAlphas = GemmToS8<B, Alphas::per_row>;
template <class B, class>
using GemmColTuringToS8OneAlpha = GemmTiledToS8<B, Col4_4R2_8C, Alphas::one>;
template <class B, class>
using GemmColTuringToS8RowAlphas = GemmTiledToS8<B, Col4_4R2_8C, Alphas::per_row>;
template <class B, class>
using GemmColAmpereToS8OneAlpha = GemmTiledToS8<B, Col32_2R_4R4, Alphas::one>;
template <class B, class>
using GemmColAmpereToS8RowAlphas = GemmTiledToS8<B, Col32_2R_4R4, Alphas::per_row>;

}  // namespace octet::harness
