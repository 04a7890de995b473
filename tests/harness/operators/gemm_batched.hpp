// Batched products: each matrix held to what the product of one is held to.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/operators/gemm.hpp"

namespace octet::harness {

/// The check of each matrix of a batch, whose messages say which. Of an empty batch the guards are
/// what is compared.
template <class F>
Check verify_each(const Problem& p, const F& verify) {
  Check all;
  if (p.matrices == 0) {
    all.kind = "guards";
    all.exact = true;
  }
  for (std::int64_t i = 0; i < p.matrices; ++i) {
    Check one = verify(i);
    if (!one.message.empty()) one.message = "matrix " + std::to_string(i) + ": " + one.message;
    all = merge({all, one});
  }
  return all;
}

/// A tensor for the matrices of a batch, `rows` x `cols` each.
template <class B, class T>
struct BatchTensor {
  BatchTensor(B backend, Ledger& ledger, std::string name, Role role, const Problem& p,
              std::int64_t rows, std::int64_t cols, bool shared = false)
      : problem(p),
        rows(rows),
        cols(cols),
        shared(shared),
        tensor(backend, ledger, std::move(name), role,
               rows * (shared || p.batching == Batching::interleaved ? 1 : p.matrices),
               cols * (!shared && p.batching == Batching::interleaved ? p.matrices : 1),
               p.ld_padding) {}

  Batch<T> batch() const { return batch_of(tensor.view(), problem, rows, cols, shared); }
  /// The batch as it lies on the host.
  Batch<const T> of(const HostMatrix<T>& host) const {
    return batch_of(host.view, problem, rows, cols, shared);
  }

  Problem problem;
  std::int64_t rows, cols;
  bool shared;
  Tensor<B, T> tensor;
};

inline std::vector<Problem> batched_problems() {
  return concatenate(attention_products(), hostile_batches());
}

template <class B, class>
struct GemmS8Batched : Description<B> {
  static constexpr std::string_view kOperator = "gemm_s8";
  static constexpr Pipe kPipe = Pipe::s8;
  static std::vector<Problem> problems() { return batched_problems(); }
  static std::string_view data(const Problem& p) { return int8_data(p); }

  GemmS8Batched(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        a(backend, this->ledger, "a", Role::input, p, p.m, p.k),
        b(backend, this->ledger, "b", Role::input, p, p.n, p.k, p.batching == Batching::shared_b),
        d(backend, this->ledger, "d", Role::output, p, p.m, p.n) {
    fill_int8_operands(p, seed, a.tensor, b.tensor);
  }

  template <std::invocable<B, Batch<const s8>, Batch<const s8>, Batch<s32>> Op>
  void run(Op& op) {
    op(this->backend, Batch<const s8>(a.batch()), Batch<const s8>(b.batch()), d.batch());
  }

  Check verify() {
    const auto host_a = a.tensor.host(), host_b = b.tensor.host();
    const auto host_d = d.tensor.host();
    return verify_each(this->problem, [&](std::int64_t i) {
      return verify_gemm_s8(a.of(host_a)[i], b.of(host_b)[i], d.of(host_d)[i],
                            this->seed + static_cast<std::uint64_t>(i));
    });
  }

  Cost cost() const { return product_cost(this->problem, sizeof(s8), sizeof(s32)); }

  static Baseline baseline(B backend, const Problem& p, std::uint64_t seed, int sets) {
    return f16_product(backend, p, seed, sets);
  }

  BatchTensor<B, s8> a, b;
  BatchTensor<B, s32> d;
};

/// Where a product is deeper than wide, b lies transposed, as the values of attention do. Every
/// second hostile problem has a bias.
template <class B, class T>
struct GemmBatched : Description<B> {
  static constexpr std::string_view kOperator = kDType<T> == DType::f16 ? "gemm_f16" : "gemm_bf16";
  static constexpr Pipe kPipe = Pipe::f16;
  static std::string_view data(const Problem&) { return "gaussian"; }
  static std::vector<Problem> problems() {
    std::vector<Problem> problems = batched_problems();
    for (std::size_t i = 0; i < problems.size(); i += 2) {
      if (!problems[i].size.empty()) continue;
      problems[i].bias = true;
      problems[i].name += "_bias";
    }
    return problems;
  }

  GemmBatched(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        b_transposed(p.k > p.n),
        a(backend, this->ledger, "a", Role::input, p, p.m, p.k),
        b(backend, this->ledger, "b", Role::input, p, b_transposed ? p.k : p.n,
          b_transposed ? p.n : p.k, p.batching == Batching::shared_b),
        d(backend, this->ledger, "d", Role::output, p, p.m, p.n),
        bias(backend, this->ledger, "bias", Role::input, 1, p.bias ? p.n : 0) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(std::max<std::int64_t>(p.k, 1)));
    a.tensor.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, 1.0f, seed + 1); });
    b.tensor.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, scale, seed + 2); });
    bias.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, 1.0f, seed + 3); });
  }

  template <std::invocable<B, Operand<T>, Operand<T>, Batch<T>, Vector<const T>> Op>
  void run(Op& op) {
    op(this->backend, Operand<T>(a.batch()), operand_b(b.batch()), d.batch(),
       Vector<const T>(bias.vector()));
  }

  Check verify() {
    const auto host_a = a.tensor.host(), host_b = b.tensor.host(), host_d = d.tensor.host();
    const auto host_bias = bias.host();
    const Vector<const T> biases(host_bias.view.data, host_bias.view.cols);
    return verify_each(this->problem, [&](std::int64_t i) {
      const Operand<T> one_a = a.of(host_a)[i];
      const Operand<T> one_b = operand_b(Batch<const T>(b.of(host_b)[i]));
      const Matrix<const T> out = d.of(host_d)[i];
      const std::uint64_t seed = this->seed + static_cast<std::uint64_t>(i);
      return this->problem.bias ? verify_gemm_with_bias<T>(one_a, one_b, biases, out, seed)
                                : verify_gemm<T>(one_a, one_b, out, seed);
    });
  }

  Cost cost() const { return product_cost(this->problem, sizeof(T), sizeof(T)); }

  Operand<T> operand_b(Batch<const T> batch) const {
    if (!b_transposed) return batch;
    return Batch<const T, ColMajor>(transposed(batch.first), batch.count, batch.stride);
  }

  bool b_transposed;
  BatchTensor<B, T> a, b, d;
  Tensor<B, T> bias;
};

}  // namespace octet::harness
