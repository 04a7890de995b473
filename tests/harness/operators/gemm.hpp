// gemm_s8, gemm (f16, bf16, with and without a bias) and scaled_gemm, row-major and one at a time;
// batches, tiled orders and s8 results have files of their own. int32 results are exact: Freivalds'
// check at any size, every element of small ones. 16-bit results hold a derived bound against f64
// samples.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/description.hpp"
#include "harness/plans.hpp"
#include "harness/verify.hpp"
#include "octet/gemm.hpp"
#include "octet/scaled_gemm.hpp"

namespace octet::harness {

/// An implementation that plans in its first call: one optional plan for each backend.
template <template <class> class Plan>
class Planned {
 public:
  template <class B>
  std::string plan(B) const {
    const auto& plan = std::get<std::optional<Plan<B>>>(plans_);
    return plan ? plan->algorithm : "";
  }

 protected:
  template <class B, class Make>
  const Plan<B>& planned(B backend, Make&& make) {
    auto& plan = std::get<std::optional<Plan<B>>>(plans_);
    if (!plan) {
      GemmWorkspace<B> workspace = make_pinned_workspace(backend);
      plan = make(workspace);
      keep_choice(backend, *plan);
    }
    return *plan;
  }

  /// By `kernel` where it takes the problem; the plan says what ran.
  template <class B, class Make>
  const Plan<B>& planned_by(B backend, std::string_view kernel, const GemmProblem& problem,
                            Make&& make) {
    auto& plan = std::get<std::optional<Plan<B>>>(plans_);
    if (!plan) {
      GemmWorkspace<B> workspace = make_gemm_workspace(backend);
      workspace.pinned[to_text(problem)] = kernel;
      plan = make(workspace);
    }
    return *plan;
  }

 private:
  std::tuple<std::optional<Plan<Cpu>>, std::optional<Plan<Cuda>>> plans_;
};

/// Any of gemm_s8's overloads.
struct PlannedGemmS8 : Planned<GemmPlan> {
  template <class B, class... Args>
  void operator()(B backend, Args... args) {
    gemm_s8(backend, planned(backend, [&](auto& w) { return plan_gemm_s8(w, args...); }), args...);
  }
};

/// D is a matrix or a batch.
struct PlannedGemm : Planned<GemmPlan> {
  template <class B, class T, class D>
  void operator()(B backend, Operand<T> a, Operand<T> b, D d, Vector<const T> bias = {}) {
    const auto& plan =
        planned(backend, [&](auto& w) { return plan_gemm<T>(w, a, b, Batch<T>(d), bias); });
    gemm<T>(backend, plan, a, b, Batch<T>(d), bias);
  }
};

struct PlannedScaledGemm : Planned<ScaledGemmPlan> {
  template <class B, class T>
  void operator()(B backend, Matrix<const s8> a, Matrix<const s8> b, Vector<const float> row_scale,
                  Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out) {
    const auto& plan = planned(backend, [&](auto& w) {
      return plan_scaled_gemm<T>(w, a, b, row_scale, col_scale, bias, out);
    });
    scaled_gemm<T>(backend, plan, a, b, row_scale, col_scale, bias, out);
  }
};

// The kernels that a plan on CUDA chooses among.
struct ThroughSm90 {
  static constexpr std::string_view kKernel = "sm90";
};
struct ThroughMma {
  static constexpr std::string_view kKernel = "mma";
};
struct ThroughLibrary {
  static constexpr std::string_view kKernel = "cublaslt";
};

/// gemm_s8 by one kernel, so that it is checked where another one is faster.
template <class Through>
struct GemmS8By : Planned<GemmPlan> {
  template <std::same_as<Cuda> B>
  void operator()(B backend, Matrix<const s8> a, Matrix<const s8> b, Matrix<s32> d) {
    const GemmProblem problem{.m = a.rows,
                              .n = b.rows,
                              .k = a.cols,
                              .lda = a.layout.ld,
                              .ldb = b.layout.ld,
                              .ldd = d.layout.ld};
    const auto& plan = this->planned_by(backend, Through::kKernel, problem,
                                        [&](auto& w) { return plan_gemm_s8(w, a, b, d); });
    gemm_s8(backend, plan, a, b, d);
  }
};

template <class Through>
struct ScaledGemmBy : Planned<ScaledGemmPlan> {
  template <std::same_as<Cuda> B, class T>
  void operator()(B backend, Matrix<const s8> a, Matrix<const s8> b, Vector<const float> row_scale,
                  Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out) {
    const GemmProblem problem{.m = a.rows,
                              .n = b.rows,
                              .k = a.cols,
                              .result = kDType<T>,
                              .lda = a.layout.ld,
                              .ldb = b.layout.ld,
                              .ldd = out.layout.ld,
                              .bias = bias.length != 0};
    const auto& plan = this->planned_by(backend, Through::kKernel, problem, [&](auto& w) {
      return plan_scaled_gemm<T>(w, a, b, row_scale, col_scale, bias, out);
    });
    scaled_gemm<T>(backend, plan, a, b, row_scale, col_scale, bias, out);
  }
};

inline Cost product_cost(const Problem& p, std::size_t operand_bytes, std::size_t result_bytes) {
  const auto m = static_cast<double>(p.m), n = static_cast<double>(p.n),
             k = static_cast<double>(p.k);
  const auto matrices = static_cast<double>(p.matrices);
  return {matrices * ((m * k + n * k) * static_cast<double>(operand_bytes) +
                      m * n * static_cast<double>(result_bytes)),
          matrices * 2 * m * n * k};
}

/// A batch out of a tensor that holds its matrices as the problem says.
template <class T>
Batch<T> batch_of(Matrix<T> tensor, const Problem& p, std::int64_t rows, std::int64_t cols,
                  bool shared = false) {
  const std::int64_t ld = tensor.layout.ld;
  std::int64_t stride = p.batching == Batching::interleaved ? cols : rows * ld;
  if (shared) stride = 0;
  return {{tensor.data, rows, cols, RowMajor{ld}}, p.matrices, stride};
}

/// The f16 product of the same shape, its operands K-contiguous: what an int8 product replaces.
template <class B>
Baseline f16_product(B backend, const Problem& p, std::uint64_t seed, int sets) {
  if (p.size.empty()) return {};
  struct Operands {
    std::vector<std::unique_ptr<Tensor<B, f16>>> tensors;
    PlannedGemm product;
    Ledger ledger;
  };
  const auto keeps = std::make_shared<Operands>();
  const auto tensor = [&](std::int64_t rows, std::int64_t cols) {
    keeps->tensors.push_back(std::make_unique<Tensor<B, f16>>(backend, keeps->ledger, "baseline",
                                                              Role::input, rows, cols));
    return keeps->tensors.back().get();
  };
  Baseline baseline{"gemm_f16", "", {}, keeps};
  for (int i = 0; i < sets; ++i) {
    auto* a = tensor(p.matrices * p.m, p.k);
    auto* b = tensor(p.matrices * p.n, p.k);
    auto* d = tensor(p.matrices * p.m, p.n);
    const auto set = static_cast<std::uint64_t>(2 * i);
    a->fill([&](Matrix<f16> m) { fill(m, Distribution::gaussian, 1.0f, seed + set); });
    b->fill([&](Matrix<f16> m) { fill(m, Distribution::gaussian, 0.01f, seed + set + 1); });
    baseline.contender.calls.push_back([backend, a, b, d, p, operands = keeps.get()] {
      operands->product(backend, Operand<f16>(batch_of(a->view(), p, p.m, p.k)),
                        Operand<f16>(batch_of(b->view(), p, p.n, p.k)),
                        batch_of(d->view(), p, p.m, p.n));
    });
  }
  baseline.contender.calls.front()();  // plans
  baseline.algorithm = keeps->product.plan(backend);
  return baseline;
}

/// What int8 operands hold. Small problems use all of s8, -128 included; the models' sizes what a
/// quantizer makes of a gaussian, because the data decides what a product costs in power.
inline std::string_view int8_data(const Problem& p) {
  return p.size.empty() ? "uniform" : "quantized gaussian";
}

/// Fills tensors, in whichever layout, with int8_data().
template <class A, class B>
void fill_int8_operands(const Problem& p, std::uint64_t seed, A& a, B& b) {
  const auto fill_operand = [&](auto& operand, std::uint64_t operand_seed) {
    operand.fill([&](Matrix<s8> host) {
      p.size.empty() ? fill_s8_uniform(host, operand_seed) : fill_s8(host, operand_seed);
    });
  };
  fill_operand(a, seed + 1);
  fill_operand(b, seed + 2);
}

/// a[M,K] and b[N,K] in int8.
template <class B>
struct Int8Operands : Description<B> {
  static std::string_view data(const Problem& p) { return int8_data(p); }

  Int8Operands(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        a(backend, this->ledger, "a", Role::input, p.m, p.k, p.ld_padding),
        b(backend, this->ledger, "b", Role::input, p.n, p.k, p.ld_padding) {
    fill_int8_operands(p, seed, a, b);
  }

  static Baseline baseline(B backend, const Problem& p, std::uint64_t seed, int sets) {
    return f16_product(backend, p, seed, sets);
  }

  Tensor<B, s8> a, b;
};

template <class B, class>
struct GemmS8 : Int8Operands<B> {
  static constexpr std::string_view kOperator = "gemm_s8";
  static constexpr Pipe kPipe = Pipe::s8;
  static std::vector<Problem> problems() {
    return concatenate(model_products(/*distinct_shapes=*/true), hostile_products());
  }

  GemmS8(B backend, const Problem& p, std::uint64_t seed)
      : Int8Operands<B>(backend, p, seed),
        d(backend, this->ledger, "d", Role::output, p.m, p.n, p.ld_padding) {}

  template <std::invocable<B, Matrix<const s8>, Matrix<const s8>, Matrix<s32>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const s8>(this->a.view()), Matrix<const s8>(this->b.view()), d.view());
  }

  Check verify() {
    const auto a = this->a.host(), b = this->b.host();
    const auto d = this->d.host();
    return verify_gemm_s8(a.view, b.view, d.view, this->seed);
  }

  Cost cost() const { return product_cost(this->problem, sizeof(s8), sizeof(s32)); }

  Tensor<B, s32> d;
};

/// As the training step meets it: weights and gradients of the backward passes lie transposed.
template <class B, class T>
struct Gemm : Description<B> {
  static constexpr std::string_view kOperator = kDType<T> == DType::f16 ? "gemm_f16" : "gemm_bf16";
  static std::string_view data(const Problem&) { return "gaussian"; }
  static constexpr Pipe kPipe = Pipe::f16;
  static std::vector<Problem> problems() {
    return concatenate(model_products(/*distinct_shapes=*/false), hostile_products());
  }

  Gemm(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        a_transposed(p.product && pass_of(*p.product) == Pass::wgrad),
        b_transposed(p.product && pass_of(*p.product) != Pass::fprop),
        a(backend, this->ledger, "a", Role::input, a_transposed ? p.k : p.m,
          a_transposed ? p.m : p.k, p.ld_padding),
        b(backend, this->ledger, "b", Role::input, b_transposed ? p.k : p.n,
          b_transposed ? p.n : p.k, p.ld_padding),
        d(backend, this->ledger, "d", Role::output, p.m, p.n, p.ld_padding) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(std::max<std::int64_t>(p.k, 1)));
    a.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, 1.0f, seed + 1); });
    b.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, scale, seed + 2); });
  }

  template <std::invocable<B, Operand<T>, Operand<T>, Matrix<T>> Op>
  void run(Op& op) {
    op(this->backend, operand(Matrix<const T>(a.view()), a_transposed),
       operand(Matrix<const T>(b.view()), b_transposed), d.view());
  }

  Check verify() {
    const auto a = this->a.host(), b = this->b.host(), d = this->d.host();
    return verify_gemm<T>(operand(a.view, a_transposed), operand(b.view, b_transposed), d.view,
                          this->seed);
  }

  Cost cost() const { return product_cost(this->problem, sizeof(T), sizeof(T)); }

  static Operand<T> operand(Matrix<const T> m, bool is_transposed) {
    return is_transposed ? Operand<T>(transposed(m)) : Operand<T>(m);
  }

  bool a_transposed, b_transposed;
  Tensor<B, T> a, b, d;
};

/// a with one more column, of ones, or b with the bias: their product is the one with the bias.
template <class T>
struct Extended {
  std::vector<T> storage;
  Operand<T> operand;

  template <class Last>
  Extended(const Operand<T>& o, const Last& last)
      : storage(static_cast<std::size_t>(o.rows * (o.cols + 1))) {
    const Matrix<T> m(storage.data(), o.rows, o.cols + 1);
    parallel_for(o.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t k = 0; k < o.cols; ++k) {
          m(i, k) = o.data[o.transposed ? k * o.ld + i : i * o.ld + k];
        }
        m(i, o.cols) = last(i);
      }
    });
    operand = m;
  }
};

template <class T>
Check verify_gemm_with_bias(const Operand<T>& a, const Operand<T>& b, Vector<const T> bias,
                            Matrix<const T> out, std::uint64_t seed) {
  const Extended<T> ones(a, [](std::int64_t) { return T(1.0f); });
  const Extended<T> biases(b, [&](std::int64_t j) { return bias(j); });
  return verify_gemm<T>(ones.operand, biases.operand, out, seed);
}

template <class B, class T>
struct GemmBias : Gemm<B, T> {
  static std::vector<Problem> problems() {
    std::vector<Problem> problems;
    for (Problem p : Gemm<B, T>::problems()) {
      // Every model's forward products; the CPU's time is for one of them.
      if (p.product && pass_of(*p.product) != Pass::fprop) continue;
      if (std::is_same_v<B, Cpu> && p.product && p.name != "4k_fc2_fprop") continue;
      p.bias = true;
      p.name += "_bias";
      problems.push_back(std::move(p));
    }
    return problems;
  }

  GemmBias(B backend, const Problem& p, std::uint64_t seed)
      : Gemm<B, T>(backend, p, seed), bias(backend, this->ledger, "bias", Role::input, 1, p.n) {
    bias.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, 1.0f, seed + 3); });
  }

  template <std::invocable<B, Operand<T>, Operand<T>, Matrix<T>, Vector<const T>> Op>
  void run(Op& op) {
    op(this->backend, this->operand(Matrix<const T>(this->a.view()), this->a_transposed),
       this->operand(Matrix<const T>(this->b.view()), this->b_transposed), this->d.view(),
       Vector<const T>(bias.vector()));
  }

  Check verify() {
    const auto a = this->a.host(), b = this->b.host(), d = this->d.host(), bias = this->bias.host();
    return verify_gemm_with_bias<T>(this->operand(a.view, this->a_transposed),
                                    this->operand(b.view, this->b_transposed),
                                    {bias.view.data, bias.view.cols}, d.view, this->seed);
  }

  Tensor<B, T> bias;
};

/// Judged against accumulators of its own that have passed Freivalds' check.
template <class B, class T>
struct ScaledGemm : Int8Operands<B> {
  static constexpr std::string_view kOperator = "scaled_gemm";
  static constexpr Pipe kPipe = Pipe::s8;
  static std::vector<Problem> problems() {
    std::vector<Problem> problems = GemmS8<B, T>::problems();
    for (std::size_t i = 0; i < problems.size(); i += 2) {
      Problem& p = problems[i];
      if (p.product && pass_of(*p.product) != Pass::fprop) continue;
      p.bias = true;
      p.name += "_bias";
    }
    return problems;
  }

  ScaledGemm(B backend, const Problem& p, std::uint64_t seed)
      : Int8Operands<B>(backend, p, seed),
        row_scale(backend, this->ledger, "row_scale", Role::input, 1, p.m),
        col_scale(backend, this->ledger, "col_scale", Role::input, 1, p.n),
        bias(backend, this->ledger, "bias", Role::input, 1, p.bias ? p.n : 0),
        out(backend, this->ledger, "out", Role::output, p.m, p.n, p.ld_padding) {
    row_scale.fill(
        [&](Matrix<float> host) { fill(host, Distribution::gaussian, 1e-2f, seed + 3); });
    col_scale.fill(
        [&](Matrix<float> host) { fill(host, Distribution::gaussian, 1e-2f, seed + 4); });
    bias.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, 1.0f, seed + 5); });
  }

  template <std::invocable<B, Matrix<const s8>, Matrix<const s8>, Vector<const float>,
                           Vector<const float>, Vector<const T>, Matrix<T>>
                Op>
  void run(Op& op) {
    op(this->backend, Matrix<const s8>(this->a.view()), Matrix<const s8>(this->b.view()),
       Vector<const float>(row_scale.vector()), Vector<const float>(col_scale.vector()),
       Vector<const T>(bias.vector()), out.view());
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
    Check exact;
    {
      const auto a = this->a.host(), b = this->b.host();
      exact = verify_gemm_s8(a.view, b.view, host_acc.view, this->seed);
    }
    const auto row_scale = this->row_scale.host(), col_scale = this->col_scale.host();
    const auto bias = this->bias.host();
    const auto out = this->out.host();
    return merge(
        {exact, verify_dequantize<T>(host_acc.view, {row_scale.view.data, row_scale.view.cols},
                                     {col_scale.view.data, col_scale.view.cols},
                                     {bias.view.data, bias.view.cols}, out.view)});
  }

  Cost cost() const { return product_cost(this->problem, sizeof(s8), sizeof(T)); }

  Tensor<B, float> row_scale, col_scale;
  Tensor<B, T> bias, out;
};

}  // namespace octet::harness
