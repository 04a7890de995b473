// quantize_rowwise and quantize_row_col to e4m3, bit for bit what the reference says; scaled_gemm
// of e4m3, within what its sum and one rounding explain.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/description.hpp"
#include "harness/operators/gemm.hpp"
#include "harness/operators/quantize.hpp"
#include "harness/parallel.hpp"
#include "harness/verify_e4m3.hpp"
#include "octet/quantize_e4m3.hpp"
#include "octet/scaled_gemm_e4m3.hpp"

namespace octet::harness {

/// Those of int8 on CUDA. On the CPU, where the loops are int8's but for one line, one of the
/// models' matrices, those of one's own sizes, and every second small one.
template <class B>
std::vector<Problem> quantize_e4m3_problems() {
  std::vector<Problem> all = quantize_problems();
  if constexpr (!std::is_same_v<B, Cpu>) return all;
  std::vector<Problem> problems;
  int small = 0;
  for (Problem& p : all) {
    const bool is_own = std::ranges::any_of(
        model_sizes(), [&](const ModelSize& size) { return size.is_own && size.name == p.size; });
    const bool is_wanted =
        p.size.empty() ? p.special_values || ++small % 2 == 0 : is_own || p.name == "4k_1024x4096";
    if (is_wanted) problems.push_back(std::move(p));
  }
  return problems;
}

template <class B, class T>
struct QuantizeRowwiseE4m3 : Description<B> {
  static constexpr std::string_view kOperator = "quantize_rowwise_e4m3";
  static constexpr Pipe kPipe = Pipe::none;
  static std::vector<Problem> problems() { return quantize_e4m3_problems<B>(); }
  static std::string_view data(const Problem& p) { return QuantizeBase<B, T>::data(p); }

  QuantizeRowwiseE4m3(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        x(backend, this->ledger, "x", Role::input, p.m, p.n, p.ld_padding),
        q(backend, this->ledger, "q", Role::output, p.m, p.n, p.ld_padding),
        row_scale(backend, this->ledger, "row_scale", Role::output, 1, p.m) {
    x.fill([&](Matrix<T> host) {
      fill(host, Distribution::gaussian, 1.0f, seed);
      if (p.special_values) plant_special_values(host);
    });
  }

  template <std::invocable<B, Matrix<const T>, Matrix<e4m3>, Vector<float>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(x.view()), q.view(), row_scale.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q = this->q.host();
    const auto scale = row_scale.host();
    return verify_quantize_rowwise<T>(x.view, q.view, {scale.view.data, scale.view.cols});
  }

  /// Reads each element, writes its e4m3 and the scales.
  Cost cost() const {
    const auto rows = static_cast<double>(this->problem.m);
    const auto size = rows * static_cast<double>(this->problem.n);
    return {size * (sizeof(T) + 1) + rows * sizeof(float), 2 * size};
  }

  Tensor<B, T> x;
  Tensor<B, e4m3> q;
  Tensor<B, float> row_scale;
};

template <class B, class T>
struct QuantizeRowColE4m3 : QuantizeRowwiseE4m3<B, T> {
  static constexpr std::string_view kOperator = "quantize_row_col_e4m3";

  QuantizeRowColE4m3(B backend, const Problem& p, std::uint64_t seed)
      : QuantizeRowwiseE4m3<B, T>(backend, p, seed),
        q_col(backend, this->ledger, "q_col", Role::output, p.n, p.m, p.ld_padding),
        col_scale(backend, this->ledger, "col_scale", Role::output, 1, p.n) {}

  template <
      std::invocable<B, Matrix<const T>, Matrix<e4m3>, Vector<float>, Matrix<e4m3>, Vector<float>>
          Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T>(this->x.view()), this->q.view(), this->row_scale.vector(),
       q_col.view(), col_scale.vector());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q = this->q.host();
    const auto row_scale = this->row_scale.host();
    const auto q_col = this->q_col.host();
    const auto col_scale = this->col_scale.host();
    return verify_quantize_row_col<T>(x.view, q.view, {row_scale.view.data, row_scale.view.cols},
                                      q_col.view, {col_scale.view.data, col_scale.view.cols});
  }

  /// As quantize_row_col's.
  Cost cost() const {
    const auto rows = static_cast<double>(this->problem.m),
               cols = static_cast<double>(this->problem.n);
    return {rows * cols * (2 * sizeof(T) + 2) + (rows + cols) * sizeof(float), 4 * rows * cols};
  }

  Tensor<B, e4m3> q_col;
  Tensor<B, float> col_scale;
};

/// What quantization makes of a gaussian.
inline void fill_e4m3(Matrix<e4m3> host, std::uint64_t seed) {
  const Source<float> source(Distribution::gaussian, 448.0f / 4.3f, seed, host.cols);
  parallel_for(host.rows, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(static_cast<std::size_t>(host.cols));
    for (std::int64_t i = begin; i < end; ++i) {
      source.fill_row(i, 0, host.cols, row.data());
      for (std::int64_t j = 0; j < host.cols; ++j) {
        host(i, j) = e4m3(row[static_cast<std::size_t>(j)]);
      }
    }
  });
}

/// Whether the backend's device multiplies e4m3, asked once.
template <class B>
bool device_multiplies_e4m3(B backend) {
  static const bool answer = [&] {
    GemmWorkspace<B> workspace = make_gemm_workspace(backend);
    return multiplies_e4m3(workspace);
  }();
  return answer;
}

template <class B>
constexpr Adder adder_of() {
  return std::is_same_v<B, Cpu> ? Adder::f32 : Adder::tensor_cores;
}

/// Products that hurt, N and K multiples of 16 as the library needs them; the CPU takes any.
template <class B>
std::vector<Problem> scaled_gemm_e4m3_problems() {
  std::vector<Problem> problems;
  const auto add = [&](std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t padding = 0) {
    Problem p;
    p.m = m;
    p.n = n;
    p.k = k;
    p.ld_padding = padding;
    p.bias = problems.size() % 2 == 1;
    p.name = fmt::format("{}x{}x{}{}{}", m, n, k,
                         padding == 0 ? "" : fmt::format("_pad{}", padding), p.bias ? "_bias" : "");
    problems.push_back(std::move(p));
  };
  add(0, 16, 16);
  add(16, 16, 0);
  add(16, 32, 0);
  add(1, 16, 16);
  add(16, 16, 16);
  add(1, 544, 160);
  add(17, 48, 80);
  add(127, 128, 64, 16);
  add(129, 144, 1040, 32);
  add(384, 320, 1088, 16);
  add(2, 32, 131072);
  add(1021, 512, 80);
  add(641, 416, 1040);
  add(257, 272, 4112);
  if constexpr (std::is_same_v<B, Cpu>) {
    add(1, 1, 1);
    add(3, 5, 7);
    add(129, 127, 65, 1);
    add(255, 257, 1031, 3);
    return problems;
  } else {
    return concatenate(model_products(/*distinct_shapes=*/true), problems);
  }
}

/// How it is summed is a part of the type: the sum's error, hence the check, depends on it.
template <class B, class T, Accumulation accumulation>
struct ScaledGemmE4m3By : Description<B> {
  static constexpr std::string_view kOperator = "scaled_gemm_e4m3";
  static constexpr Pipe kPipe = Pipe::e4m3;
  static std::string_view data(const Problem&) { return "quantized gaussian"; }
  static std::vector<Problem> problems() { return scaled_gemm_e4m3_problems<B>(); }

  ScaledGemmE4m3By(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        a(backend, this->ledger, "a", Role::input, p.m, p.k, p.ld_padding),
        b(backend, this->ledger, "b", Role::input, p.n, p.k, p.ld_padding),
        row_scale(backend, this->ledger, "row_scale", Role::input, 1, p.m),
        col_scale(backend, this->ledger, "col_scale", Role::input, 1, p.n),
        bias(backend, this->ledger, "bias", Role::input, 1, p.bias ? p.n : 0),
        out(backend, this->ledger, "out", Role::output, p.m, p.n, p.ld_padding) {
    if (!device_multiplies_e4m3(backend)) {
      throw Unsupported("cuBLASLt multiplies no e4m3 with a scale for each row on this device");
    }
    a.fill([&](Matrix<e4m3> host) { fill_e4m3(host, seed + 1); });
    b.fill([&](Matrix<e4m3> host) { fill_e4m3(host, seed + 2); });
    const auto fill_scales = [&](Matrix<float> host, std::uint64_t n) {
      fill(host, Distribution::gaussian, 1e-3f, seed + n);
    };
    row_scale.fill([&](Matrix<float> host) { fill_scales(host, 3); });
    col_scale.fill([&](Matrix<float> host) { fill_scales(host, 4); });
    bias.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, 1.0f, seed + 5); });
  }

  static Baseline baseline(B backend, const Problem& p, std::uint64_t seed, int sets) {
    return f16_product(backend, p, seed, sets);
  }

  template <std::invocable<B, Matrix<const e4m3>, Matrix<const e4m3>, Vector<const float>,
                           Vector<const float>, Vector<const T>, Matrix<T>, Accumulation>
                Op>
  void run(Op& op) {
    op(this->backend, Matrix<const e4m3>(a.view()), Matrix<const e4m3>(b.view()),
       Vector<const float>(row_scale.vector()), Vector<const float>(col_scale.vector()),
       Vector<const T>(bias.vector()), out.view(), accumulation);
  }

  Check verify() {
    const auto a = this->a.host(), b = this->b.host();
    const auto row_scale = this->row_scale.host(), col_scale = this->col_scale.host();
    const auto bias = this->bias.host(), out = this->out.host();
    return verify_scaled_gemm<T>(a.view, b.view, {row_scale.view.data, row_scale.view.cols},
                                 {col_scale.view.data, col_scale.view.cols},
                                 {bias.view.data, bias.view.cols}, out.view,
                                 SumError(adder_of<B>(), accumulation, this->problem.k), this->seed,
                                 this->problem.k == 0 ? Zeros::allowed : Zeros::mistrusted);
  }

  Cost cost() const { return product_cost(this->problem, sizeof(e4m3), sizeof(T)); }

  Tensor<B, e4m3> a, b;
  Tensor<B, float> row_scale, col_scale;
  Tensor<B, T> bias, out;
};
template <class B, class T>
struct ScaledGemmE4m3 : ScaledGemmE4m3By<B, T, Accumulation::tensor_core> {
  using ScaledGemmE4m3By<B, T, Accumulation::tensor_core>::ScaledGemmE4m3By;
};
template <class B, class T>
struct ScaledGemmE4m3Promoted : ScaledGemmE4m3By<B, T, Accumulation::promoted> {
  using ScaledGemmE4m3By<B, T, Accumulation::promoted>::ScaledGemmE4m3By;
  /// A CPU sums in one way alone.
  static std::vector<Problem> problems() {
    std::vector<Problem> problems = scaled_gemm_e4m3_problems<B>();
    if (std::is_same_v<B, Cpu>) problems.resize(5);
    return problems;
  }
};

struct PlannedScaledGemmE4m3 : Planned<GemmPlan> {
  template <class B, class T>
  void operator()(B backend, Matrix<const e4m3> a, Matrix<const e4m3> b,
                  Vector<const float> row_scale, Vector<const float> col_scale,
                  Vector<const T> bias, Matrix<T> out, Accumulation accumulation) {
    const auto& plan = planned(backend, [&](auto& w) {
      return plan_scaled_gemm<T>(w, a, b, row_scale, col_scale, bias, out, accumulation);
    });
    scaled_gemm<T>(backend, plan, a, b, row_scale, col_scale, bias, out);
  }
};

}  // namespace octet::harness
