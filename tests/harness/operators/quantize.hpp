// quantize_rowwise, quantize_colwise and quantize_row_col, rounding to nearest and stochastically:
// bit for bit what the reference says, on every shape.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "harness/description.hpp"
#include "harness/verify.hpp"
#include "octet/quantize.hpp"

namespace octet::harness {

inline std::vector<Problem> quantize_problems() {
  return concatenate(model_matrices(), hostile_matrices());
}

/// Rows and columns whose result is a case of its own: zeros, NaN, both infinities, a subnormal
/// absmax, the largest finite value.
template <class T>
void plant_special_values(Matrix<T> x) {
  const auto last = x.cols - 1;
  for (std::int64_t j = 0; j < x.cols; ++j) {
    x(2, j) = T(0.0f);
    x(11, j) = T(-0.0f);
    x(13, j) = T(j % 3 == 0 ? 6e-8f : 0.0f);
    x(14, j) = T(j % 2 == 0 ? 1e-38f : -1e-39f);  // 127 / absmax overflows in bf16 and f32
    x(17, j) = T(static_cast<float>(j % 255 - 127) * 0.5f);  // ties: q * 2 is odd for half of them
  }
  for (std::int64_t i = 0; i < x.rows; ++i) x(i, 5) = T(0.0f);
  x(3, 0) = T(std::numeric_limits<float>::quiet_NaN());
  x(7, last) = T(std::numeric_limits<float>::infinity());
  x(9, 40) = T(-std::numeric_limits<float>::infinity());
  x(20, 21) = T(65504.0f);
  x(21, 22) = T(-65504.0f);
}

template <class B, class T>
struct QuantizeBase : Description<B> {
  static std::string_view data(const Problem& p) {
    return p.special_values ? "gaussian with special values" : "gaussian";
  }

  QuantizeBase(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        x(backend, this->ledger, "x", Role::input, p.m, p.n, p.ld_padding),
        q_row(backend, this->ledger, "q_row", Role::output, p.m, p.n, p.ld_padding),
        row_scale(backend, this->ledger, "row_scale", Role::output, 1, p.m) {
    x.fill([&](Matrix<T> host) {
      fill(host, Distribution::gaussian, 1.0f, seed);
      if (p.special_values) plant_special_values(host);
    });
  }

  Tensor<B, T> x;
  Tensor<B, s8> q_row;
  Tensor<B, float> row_scale;
};

template <class B, class T>
struct QuantizeRowwise : QuantizeBase<B, T> {
  using QuantizeBase<B, T>::QuantizeBase;
  static constexpr std::string_view kOperator = "quantize_rowwise";
  static constexpr Pipe kPipe = Pipe::none;
  static std::vector<Problem> problems() { return quantize_problems(); }

  template <std::invocable<B, Matrix<const T>, Matrix<s8>, Vector<float>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(this->x.view()), this->q_row.view(),
       this->row_scale.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q = this->q_row.host();
    const auto scale = this->row_scale.host();
    return verify_quantize_rowwise<T>(x.view, q.view, {scale.view.data, scale.view.cols});
  }

  /// Reads each element, writes its int8 and the scales.
  Cost cost() const {
    const auto rows = static_cast<double>(this->problem.m);
    const auto size = rows * static_cast<double>(this->problem.n);
    return {size * (sizeof(T) + 1) + rows * sizeof(float), 2 * size};
  }
};

/// Without what QuantizeBase has for rows.
template <class B, class T>
struct QuantizeColwise : Description<B> {
  static constexpr std::string_view kOperator = "quantize_colwise";
  static constexpr Pipe kPipe = Pipe::none;
  static std::vector<Problem> problems() { return quantize_problems(); }
  static std::string_view data(const Problem& p) { return QuantizeBase<B, T>::data(p); }

  QuantizeColwise(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        x(backend, this->ledger, "x", Role::input, p.m, p.n, p.ld_padding),
        q_col(backend, this->ledger, "q_col", Role::output, p.n, p.m, p.ld_padding),
        col_scale(backend, this->ledger, "col_scale", Role::output, 1, p.n) {
    x.fill([&](Matrix<T> host) {
      fill(host, Distribution::gaussian, 1.0f, seed);
      if (p.special_values) plant_special_values(host);
    });
  }

  template <std::invocable<B, Matrix<const T>, Matrix<s8>, Vector<float>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(x.view()), q_col.view(), col_scale.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q_col = this->q_col.host();
    const auto col_scale = this->col_scale.host();
    return verify_quantize_colwise<T>(x.view, q_col.view,
                                      {col_scale.view.data, col_scale.view.cols});
  }

  /// Two reads, as in QuantizeRowCol, and one int8 write.
  Cost cost() const {
    const auto rows = static_cast<double>(this->problem.m),
               cols = static_cast<double>(this->problem.n);
    return {rows * cols * (2 * sizeof(T) + 1) + cols * sizeof(float), 2 * rows * cols};
  }

  Tensor<B, T> x;
  Tensor<B, s8> q_col;
  Tensor<B, float> col_scale;
};

template <class B, class T>
struct QuantizeRowCol : QuantizeBase<B, T> {
  static constexpr std::string_view kOperator = "quantize_row_col";
  static constexpr Pipe kPipe = Pipe::none;
  static std::vector<Problem> problems() { return quantize_problems(); }

  QuantizeRowCol(B backend, const Problem& p, std::uint64_t seed)
      : QuantizeBase<B, T>(backend, p, seed),
        q_col(backend, this->ledger, "q_col", Role::output, p.n, p.m, p.ld_padding),
        col_scale(backend, this->ledger, "col_scale", Role::output, 1, p.n) {}

  template <
      std::invocable<B, Matrix<const T>, Matrix<s8>, Vector<float>, Matrix<s8>, Vector<float>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(this->x.view()), this->q_row.view(), this->row_scale.vector(),
       q_col.view(), col_scale.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q_row = this->q_row.host();
    const auto row_scale = this->row_scale.host();
    const auto q_col = this->q_col.host();
    const auto col_scale = this->col_scale.host();
    return verify_quantize_row_col<T>(x.view, q_row.view,
                                      {row_scale.view.data, row_scale.view.cols}, q_col.view,
                                      {col_scale.view.data, col_scale.view.cols});
  }

  /// Two reads, because no element can be written before its row and its column are known, and two
  /// int8 writes.
  Cost cost() const {
    const auto rows = static_cast<double>(this->problem.m),
               cols = static_cast<double>(this->problem.n);
    return {rows * cols * (2 * sizeof(T) + 2) + (rows + cols) * sizeof(float), 4 * rows * cols};
  }

  Tensor<B, s8> q_col;
  Tensor<B, float> col_scale;
};

// ---- stochastic rounding ----

/// What gradients are: activations' shapes. The others are around the tile and around the four
/// neighbours that share random words.
inline std::vector<Problem> stochastic_problems(bool with_models) {
  std::vector<Problem> problems;
  for (Problem& p : model_matrices()) {
    if (with_models && p.m == p.layer.tokens()) problems.push_back(std::move(p));
  }
  for (Problem& p : hostile_matrices()) {
    const bool is_kept = p.special_values || p.m * p.n < 64 || p.ld_padding > 0 ||
                         (p.m >= 63 && p.m <= 65) || std::min(p.m, p.n) == 2;
    if (is_kept && p.m != 17 && p.n != 17 && p.m != 61 && p.m * p.n < 1000000)
      problems.push_back(std::move(p));
  }
  return problems;
}

/// Both numbers take more than 32 bits.
inline StochasticRounding rounding_of(std::uint64_t seed) {
  return {mix(seed) | std::uint64_t{1} << 63, (mix(seed + 1) >> 16) | std::uint64_t{1} << 40};
}

template <class B, class T>
struct QuantizeRowwiseStochastic : QuantizeRowwise<B, T> {
  using QuantizeRowwise<B, T>::QuantizeRowwise;
  static std::vector<Problem> problems() { return stochastic_problems(false); }

  template <std::invocable<B, Matrix<const T>, StochasticRounding, Matrix<s8>, Vector<float>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(this->x.view()), rounding_of(this->seed), this->q_row.view(),
       this->row_scale.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q = this->q_row.host();
    const auto scale = this->row_scale.host();
    return verify_quantize_rowwise<T>(x.view, rounding_of(this->seed), q.view,
                                      {scale.view.data, scale.view.cols});
  }
};

template <class B, class T>
struct QuantizeColwiseStochastic : QuantizeColwise<B, T> {
  using QuantizeColwise<B, T>::QuantizeColwise;
  static std::vector<Problem> problems() { return stochastic_problems(false); }

  template <std::invocable<B, Matrix<const T>, StochasticRounding, Matrix<s8>, Vector<float>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(this->x.view()), rounding_of(this->seed), this->q_col.view(),
       this->col_scale.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q_col = this->q_col.host();
    const auto scale = this->col_scale.host();
    return verify_quantize_colwise<T>(x.view, rounding_of(this->seed), q_col.view,
                                      {scale.view.data, scale.view.cols});
  }
};

template <class B, class T>
struct QuantizeRowColStochastic : QuantizeRowCol<B, T> {
  using QuantizeRowCol<B, T>::QuantizeRowCol;
  static std::vector<Problem> problems() { return stochastic_problems(true); }

  template <std::invocable<B, Matrix<const T>, StochasticRounding, Matrix<s8>, Vector<float>,
                           Matrix<s8>, Vector<float>>
                Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(this->x.view()), rounding_of(this->seed), this->q_row.view(),
       this->row_scale.vector(), this->q_col.view(), this->col_scale.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q_row = this->q_row.host();
    const auto row_scale = this->row_scale.host();
    const auto q_col = this->q_col.host();
    const auto col_scale = this->col_scale.host();
    return verify_quantize_row_col<T>(x.view, rounding_of(this->seed), q_row.view,
                                      {row_scale.view.data, row_scale.view.cols}, q_col.view,
                                      {col_scale.view.data, col_scale.view.cols});
  }
};

}  // namespace octet::harness
