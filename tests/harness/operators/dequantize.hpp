// dequantize, from row-major accumulators and from Col32, with and without bias, and
// dequantize_rowwise: bit for bit what the reference says.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/description.hpp"
#include "harness/verify.hpp"
#include "octet/dequantize.hpp"

namespace octet::harness {

/// Scales whose products bring accumulators of 2^28 to about 1, all different. Special ones show
/// what a quantizer says of rows of zeros, NaN and Inf, and take the output beyond f16.
inline void fill_scales(Matrix<float> host, std::uint64_t seed, bool special_values) {
  fill(host, Distribution::gaussian, 1e-5f, seed);
  for (std::int64_t j = 0; j < host.cols; ++j) {
    host(0, j) = 6e-5f + (host(0, j) < 0 ? -host(0, j) : host(0, j));
  }
  if (!special_values) return;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  std::int64_t j = 1;
  for (const float value : {0.0f, -0.0f, kNan, kInfinity, -3e-5f, 1e3f, 1e-38f, 3e38f}) {
    host(0, j) = value;
    j += 2;
  }
}

/// The accumulators' tensor is row-major, or one line that holds the panels of Col32.
template <class B, class T, class L>
struct DequantizeFrom : Description<B> {
  static constexpr std::string_view kOperator = "dequantize";
  static constexpr Pipe kPipe = Pipe::none;
  static constexpr bool kIsTiled = std::is_same_v<L, Col32>;
  static std::string_view data(const Problem& p) {
    return p.special_values ? "uniform, scales with special values" : "uniform";
  }
  static std::vector<Problem> problems() {
    std::vector<Problem> problems = concatenate(model_matrices(), hostile_matrices());
    const std::size_t without_bias = problems.size();
    for (std::size_t i = 0; i < without_bias; ++i) {
      if (kIsTiled && !problems[i].size.empty()) continue;  // one of both says it all
      Problem p = problems[i];
      p.bias = true;
      p.name += "_bias";
      problems.push_back(std::move(p));
    }
    return problems;
  }

  DequantizeFrom(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        acc(backend, this->ledger, "acc", Role::input, kIsTiled ? 1 : p.m,
            kIsTiled ? panels().capacity(p.m + p.ld_padding, p.n) : p.n,
            kIsTiled ? 0 : p.ld_padding),
        row_scale(backend, this->ledger, "row_scale", Role::input, 1, p.m),
        col_scale(backend, this->ledger, "col_scale", Role::input, 1, p.n),
        bias(backend, this->ledger, "bias", Role::input, 1, p.bias ? p.n : 0),
        out(backend, this->ledger, "out", Role::output, p.m, p.n, p.ld_padding) {
    // Beyond 2^24, so that the conversion to float has to round. Padding of panels holds numbers
    // like the rest, which would show in the output.
    constexpr std::int32_t kMagnitude = 1 << 28;
    acc.fill([&](Matrix<s32> host) { fill_s32(host, kMagnitude, seed); });
    row_scale.fill([&](Matrix<float> host) { fill_scales(host, seed + 1, p.special_values); });
    col_scale.fill([&](Matrix<float> host) { fill_scales(host, seed + 2, p.special_values); });
    bias.fill([&](Matrix<T> host) {
      fill(host, Distribution::gaussian, 1.0f, seed + 3);
      if (p.special_values && p.bias) host(0, 7) = T(std::numeric_limits<float>::quiet_NaN());
    });
  }

  template <std::invocable<B, Matrix<const s32, L>, Vector<const float>, Vector<const float>,
                           Vector<const T>, Matrix<T>>
                Op>
  void run(Op& op) {
    op(this->backend, accumulators(acc.view().data), Vector<const float>(row_scale.vector()),
       Vector<const float>(col_scale.vector()), Vector<const T>(bias.vector()), out.view());
  }

  Check verify() {
    const auto acc = this->acc.host();
    const auto row_scale = this->row_scale.host();
    const auto col_scale = this->col_scale.host();
    const auto bias = this->bias.host();
    const auto out = this->out.host();
    return verify_dequantize<T>(
        accumulators(acc.view.data), {row_scale.view.data, row_scale.view.cols},
        {col_scale.view.data, col_scale.view.cols}, {bias.view.data, bias.view.cols}, out.view);
  }

  Cost cost() const {
    const auto rows = static_cast<double>(this->problem.m),
               cols = static_cast<double>(this->problem.n);
    return {rows * cols * (sizeof(s32) + sizeof(T)) + (rows + cols) * sizeof(float) +
                (this->problem.bias ? cols * sizeof(T) : 0),
            3 * rows * cols};
  }

  Tensor<B, s32> acc;
  Tensor<B, float> row_scale, col_scale;
  Tensor<B, T> bias;
  Tensor<B, T> out;

 private:
  /// Panels may be longer than the matrix has rows.
  Col32 panels() const { return {this->problem.m + this->problem.ld_padding}; }
  Matrix<const s32, L> accumulators(const s32* data) const {
    if constexpr (kIsTiled) {
      return {data, this->problem.m, this->problem.n, panels()};
    } else {
      return {data, this->problem.m, this->problem.n, acc.view().layout};
    }
  }
};

template <class B, class T>
struct Dequantize : DequantizeFrom<B, T, RowMajor> {
  using DequantizeFrom<B, T, RowMajor>::DequantizeFrom;
};
template <class B, class T>
struct DequantizeCol32 : DequantizeFrom<B, T, Col32> {
  using DequantizeFrom<B, T, Col32>::DequantizeFrom;
  static constexpr std::string_view kOperator = "dequantize_col32";
};

template <class B, class T>
struct DequantizeRowwise : Description<B> {
  static constexpr std::string_view kOperator = "dequantize_rowwise";
  static constexpr Pipe kPipe = Pipe::none;
  static std::string_view data(const Problem& p) {
    return p.special_values ? "uniform, scales with special values" : "uniform";
  }
  static std::vector<Problem> problems() {
    return concatenate(model_matrices(), hostile_matrices());
  }

  DequantizeRowwise(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        q(backend, this->ledger, "q", Role::input, p.m, p.n, p.ld_padding),
        row_scale(backend, this->ledger, "row_scale", Role::input, 1, p.m),
        out(backend, this->ledger, "out", Role::output, p.m, p.n, p.ld_padding) {
    q.fill([&](Matrix<s8> host) { fill_s8_uniform(host, seed); });
    row_scale.fill([&](Matrix<float> host) { fill_scales(host, seed + 1, p.special_values); });
  }

  template <std::invocable<B, Matrix<const s8>, Vector<const float>, Matrix<T>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const s8>(q.view()), Vector<const float>(row_scale.vector()),
       out.view());
  }

  Check verify() {
    const auto q = this->q.host();
    const auto row_scale = this->row_scale.host();
    const auto out = this->out.host();
    return verify_dequantize_rowwise<T>(q.view, {row_scale.view.data, row_scale.view.cols},
                                        out.view);
  }

  Cost cost() const {
    const auto rows = static_cast<double>(this->problem.m);
    const auto size = rows * static_cast<double>(this->problem.n);
    return {size * (sizeof(s8) + sizeof(T)) + rows * sizeof(float), size};
  }

  Tensor<B, s8> q;
  Tensor<B, float> row_scale;
  Tensor<B, T> out;
};

}  // namespace octet::harness
