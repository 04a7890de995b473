// Forward, backward and weight gradients of a feed-forward layer, composed from the operators.
//
//   T tokens, D model, H hidden; A[T,D], w1[H,D], w2[D,H], grad[T,D], all row-major.
//
//   fc1_fprop  out1[T,H]    = A . w1^T + b1    fc2_fprop  out2[T,D]    = out1 . w2^T + b2
//   fc2_dgrad  d1[T,H]      = grad . w2        fc1_dgrad  d2[T,D]      = d1 . w1
//   fc2_wgrad  grad_w2[D,H] = grad^T . out1    fc1_wgrad  grad_w1[H,D] = d1^T . A
//
// and with a bias grad_b1[H], grad_b2[D], the sums of d1's and grad's rows. There is no activation
// function between the layers, as in the benchmark that this succeeds.
//
// In int8 each operand is scaled along the dimension that is not contracted, so a tensor is needed
// as it lies with row scales (fprop, dgrad) and transposed with column scales (wgrad; the weights'
// dgrad). A product is one scaled_gemm. The tiled layouts multiply, dequantize, and add a transform
// of each copy, plain, because quantize_row_col has transposed it already. With a threshold the
// outliers of A and out1, in the operators of outliers.hpp, are added in 16 bits to the four
// products that read these tensors.
//
// In e4m3 it is the same with the operators of quantize_e4m3.hpp and scaled_gemm_e4m3.hpp,
// row-major and without a threshold. The forward pass is summed in tensor cores, gradients are in
// f32 along K, as users of this type have it by default (Transformer Engine: use_split_accumulator
// for dgrad and wgrad; torchao: use_fast_accum for outputs).
//
// Gradients may be rounded to int8 stochastically (rounding.hpp). A run draws the words of the last
// set_rounding_offset, and the same run draws the same words: the results of equal inputs are
// equal.
//
// A step is a list of stages (stage.hpp). It knows no backend and owns no memory but its plans.
//
// With Overlap::branches, products run on one branch and what is not needed at once is quantized on
// another, each tensor beneath a product that does not read it:
//
//   products   a w1  fc1_fprop  fc2_dgrad  fc2_wgrad  fc2_fprop  fc1_dgrad  fc1_wgrad
//   beneath          w2 grad    out1       d1
//
// A product with something beneath it leaves that a share of the device.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "octet/backend.hpp"
#include "octet/branches.hpp"
#include "octet/layer.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"
#include "octet/stage.hpp"

namespace octet {

/// A step on one backend for tensors of T, f16 or bf16. Errors: std::invalid_argument that says
/// what of the shape, options or workspace is wrong, and those of the operators.
template <class B, class T>
class TrainingStep {
 public:
  /// Bytes of the workspace that a step of this shape needs.
  static std::int64_t workspace_bytes(const LayerShape& shape, Policy policy,
                                      const StepOptions& options = {}) {
    TrainingStep step(shape, policy, options);
    step.build({}, {}, nullptr);
    return step.used_;
  }

  /// `workspace` is memory of the backend, aligned to 256 bytes, of workspace_bytes; the step's
  /// results and intermediates live in it, kGap bytes apart. The inputs and it must outlive the
  /// step.
  TrainingStep(B backend, GemmWorkspace<B> gemm_workspace, const LayerShape& shape, Policy policy,
               const StepOptions& options, const LayerInputs<T>& inputs, std::byte* workspace,
               std::int64_t workspace_size,
               const std::optional<TransposedCopies<T>>& copies = std::nullopt)
      : TrainingStep(shape, policy, options) {
    if (workspace == nullptr || workspace_size < workspace_bytes(shape, policy, options)) {
      throw std::invalid_argument("training_step: the workspace is smaller than workspace_bytes()");
    }
    if (options.bias && (inputs.b1.length != shape.hidden || inputs.b2.length != shape.model)) {
      throw std::invalid_argument("training_step: a bias needs b1[hidden] and b2[model]");
    }
    backend_ = backend;
    gemm_workspace_ = std::move(gemm_workspace);
    build(inputs, copies, workspace);
    if (uses_branches()) branches_.emplace(backend, kPoints);
  }

  /// The stages in the order in which they run.
  std::vector<Stage<B, T>>& stages() { return stages_; }

  /// One step, queued on the backend's stream. The first run makes the plans, on which it waits
  /// with nothing beside it; later ones can be captured in a graph. With WeightMode::kept an
  /// earlier run must have quantized the weights.
  void run(WeightMode mode) {
    if (branches_ && is_planned()) return run_branches(mode);
    for (Stage<B, T>& stage : stages_) {
      if (mode == WeightMode::kept && stage.weights) continue;
      run_on(backend_, stage, 0, options_.overlap != Overlap::none);
    }
  }

  /// One stage by itself, which reads what earlier stages left.
  void run(Stage<B, T>& stage) { run_on(backend_, stage, 0, false); }

  /// Makes the plan of a stage that needs one and has none, which overwrites the stage's result.
  void plan(Stage<B, T>& stage) {
    std::visit([this](auto& work) { plan_stage(gemm_workspace_, work); }, stage.work);
  }

  /// Words of their own for the gradients of the next runs: grad draws from `offset` on, d1 from
  /// the one after it, so two runs are independent when their offsets are two or more apart. A
  /// graph replays the words that were set when it was captured.
  void set_rounding_offset(std::uint64_t offset) {
    for (Stage<B, T>& stage : stages_) {
      auto* work = std::get_if<QuantizeStage<T>>(&stage.work);
      if (work != nullptr) work->rounding = rounding_of(stage.tensor, offset);
    }
  }

  /// The share of the device that a product spares while `beside` elements are quantized, so that
  /// both are done at about the same time.
  static constexpr double spared(ProductShape s, std::int64_t beside) {
    const double work = static_cast<double>(s.m) * static_cast<double>(s.n) *
                        static_cast<double>(std::max<std::int64_t>(s.k, 1));
    const double ratio = kSparedPerElement * static_cast<double>(beside) / std::max(work, 1.0);
    return std::min(ratio / (1 + ratio), kMostSpared);
  }

  /// What the step was made for.
  const LayerShape& shape() const { return shape_; }
  const StepOptions& options() const { return options_; }
  /// Result of a product: out1, out2, d1, d2, grad_w2, grad_w1 in the order of kProducts.
  Matrix<T> result(Product product) const { return results_[static_cast<std::size_t>(product)]; }
  /// Gradients of the biases; empty without them.
  Vector<T> grad_b1() const { return grad_b1_; }
  Vector<T> grad_b2() const { return grad_b2_; }
  /// Its 16-bit operands a[M,K] and b[N,K], also where the policy runs it in int8.
  const std::pair<Operand<T>, Operand<T>>& operands(Product product) const {
    return operands_[static_cast<std::size_t>(product)];
  }
  /// Where in the workspace something lives: (offset, bytes), ascending; the rest is gaps.
  const std::vector<std::pair<std::int64_t, std::int64_t>>& extents() const { return extents_; }

  /// Bytes between any two of them, for guards.
  static constexpr std::int64_t kGap = 256;
  static constexpr double kMostSpared = 0.4;

 private:
  /// What the branches wait for.
  enum Point : int { kA, kW1, kW2, kGrad, kOut1, kD1, kFc1Fprop, kFc2Dgrad, kPoints };

  /// Multiplications that the device does while it quantizes an element with every multiprocessor
  /// as fast as one of a few: 6 bytes at 80 GB/s and 1.55e15 / 2 / 132 multiplications a second
  /// each on an NVIDIA H200, from its copies and products. Of steps at 4k and 5k there, half of it
  /// costs up to 3 %, four times as much 2 to 3; twice as much is no slower.
  static constexpr double kSparedPerElement = 450;

  /// One copy of a tensor in eight bits: int8, or e4m3 where the policy has that.
  struct Copy {
    Matrix<s8> q;
    Vector<float> scale;
    bool weights = false;
  };
  /// A tensor's copies, and the outliers that are in neither of them.
  struct Quantized {
    Copy row, col;  // col is transposed
    CooList<T> outliers;
  };

  TrainingStep(const LayerShape& shape, Policy policy, const StepOptions& options)
      : shape_(shape), policy_(policy), options_(options) {
    if (policy.uses(Precision::e4m3)) {
      if (policy.uses(Precision::s8)) {
        throw std::invalid_argument(
            "training_step: the policy has passes in s8 and in e4m3, but a tensor is quantized to "
            "one of them: choose one beside native");
      }
      if (options.layout != StepLayout::row || options.threshold != 0 ||
          options.gradient_rounding != Rounding::nearest) {
        throw std::invalid_argument(
            "training_step: the policy has passes in e4m3, which need the layout row, the "
            "threshold 0 and rounding to nearest: the others are of int8");
      }
    }
    if (!(options.threshold >= 0)) {
      throw std::invalid_argument("training_step: the threshold must be 0 (none) or positive");
    }
    if (!(options.outlier_share > 0 && options.outlier_share <= 1)) {
      throw std::invalid_argument("training_step: outlier_share must lie above 0 and up to 1");
    }
  }

  template <class U>
  U* take(std::int64_t count) {
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(U));
    const std::int64_t offset = used_;
    extents_.emplace_back(offset, bytes);
    used_ += (bytes + 255) / 256 * 256 + kGap;
    return base_ == nullptr ? nullptr : reinterpret_cast<U*>(base_ + offset);
  }
  template <class U, class L = RowMajor>
  Matrix<U, L> take_matrix(std::int64_t rows, std::int64_t cols) {
    const std::int64_t capacity = Matrix<U, L>(nullptr, rows, cols).capacity();
    return {take<U>(capacity), rows, cols};
  }
  template <class U>
  Vector<U> take_vector(std::int64_t length) {
    return {take<U>(length), length};
  }
  CooList<T> take_list(std::int64_t rows, std::int64_t cols) {
    const std::int64_t capacity = options_.outlier_capacity(rows * cols);
    return {take<s32>(capacity),
            take<s32>(capacity),
            take<T>(capacity),
            capacity,
            take<std::int64_t>(1),
            rows,
            cols};
  }

  void build(const LayerInputs<T>& in, const std::optional<TransposedCopies<T>>& copies,
             std::byte* workspace) {
    base_ = workspace;
    used_ = kGap;
    const std::int64_t t = shape_.tokens(), d = shape_.model, h = shape_.hidden;
    const bool fprop = policy_.fprop != Precision::native,
               dgrad = policy_.dgrad != Precision::native,
               wgrad = policy_.wgrad != Precision::native;
    take_results();
    if (options_.threshold > 0 && (fprop || wgrad)) take_scratch();
    const Matrix<T> out1 = result(Product::fc1_fprop), d1 = result(Product::fc2_dgrad);

    Quantized qa, qw1, qw2, qout1, qgrad, qd1;
    const auto quantize_a = [&] {
      mark(kA, [&] { qa = quantize_activations("a", Product::fc1_fprop, in.a); });
    };
    const auto quantize_w1 = [&] {
      mark(kW1, [&] { qw1 = quantize("w1", Product::fc1_fprop, true, in.w1, h, d, fprop, dgrad); });
    };
    const auto quantize_w2 = [&] {
      mark(kW2, [&] { qw2 = quantize("w2", Product::fc2_fprop, true, in.w2, d, h, fprop, dgrad); });
    };
    const auto quantize_out1 = [&] {
      mark(kOut1, [&] { qout1 = quantize_activations("out1", Product::fc2_fprop, out1); });
    };
    const auto quantize_grad = [&] {
      mark(kGrad, [&] {
        qgrad = quantize("grad", Product::fc2_dgrad, false, in.grad, t, d, dgrad, wgrad);
      });
    };
    const auto quantize_d1 = [&] {
      mark(kD1, [&] { qd1 = quantize("d1", Product::fc1_dgrad, false, d1, t, h, dgrad, wgrad); });
    };
    const auto fc1_fprop = [&] {
      mark(kFc1Fprop, [&] { multiply(Product::fc1_fprop, qa.row, qw1.row, in.a, in.w1, in.b1); });
      add_outliers(Product::fc1_fprop, qa.outliers, in.w1);
    };
    const auto fc2_fprop = [&] {
      multiply(Product::fc2_fprop, qout1.row, qw2.row, out1, in.w2, in.b2);
      add_outliers(Product::fc2_fprop, qout1.outliers, in.w2);
    };
    const auto fc2_dgrad = [&] {
      mark(kFc2Dgrad, [&] {
        multiply(Product::fc2_dgrad, qgrad.row, qw2.col, in.grad,
                 copies ? Operand<T>(copies->w2) : Operand<T>(transposed(in.w2)));
      });
    };
    const auto fc1_dgrad = [&] {
      multiply(Product::fc1_dgrad, qd1.row, qw1.col, d1,
               copies ? Operand<T>(copies->w1) : Operand<T>(transposed(in.w1)));
    };
    const auto fc2_wgrad = [&] {
      multiply(Product::fc2_wgrad, qgrad.col, qout1.col,
               copies ? Operand<T>(copies->grad) : Operand<T>(transposed(in.grad)),
               copies ? Operand<T>(copies->out1) : Operand<T>(transposed(Matrix<const T>(out1))));
      add_outliers_transposed(Product::fc2_wgrad, in.grad, qout1.outliers);
    };
    const auto fc1_wgrad = [&] {
      multiply(Product::fc1_wgrad, qd1.col, qa.col,
               copies ? Operand<T>(copies->d1) : Operand<T>(transposed(Matrix<const T>(d1))),
               copies ? Operand<T>(copies->a) : Operand<T>(transposed(in.a)));
      add_outliers_transposed(Product::fc1_wgrad, d1, qa.outliers);
    };

    if (!uses_branches()) {
      // Each tensor is quantized just before the first product that reads it, while it is in cache.
      quantize_a();
      quantize_w1();
      fc1_fprop();
      quantize_out1();
      quantize_w2();
      fc2_fprop();
      quantize_grad();
      sum_columns(Product::fc2_wgrad, in.grad, grad_b2_);
      fc2_dgrad();
      quantize_d1();
      sum_columns(Product::fc1_wgrad, d1, grad_b1_);
      fc1_dgrad();
      fc2_wgrad();
      fc1_wgrad();
      return;
    }
    quantize_a();
    quantize_w1();
    beneath({kA, kW1}, quantize_w2);
    beneath({kA, kW1}, quantize_grad);
    fc1_fprop();
    beneath({kFc1Fprop}, quantize_out1);
    behind({kW2, kGrad}, fc2_dgrad);
    beneath({kFc2Dgrad}, quantize_d1);
    behind({kGrad, kOut1}, fc2_wgrad);
    sum_columns(Product::fc2_wgrad, in.grad, grad_b2_);
    behind({kW2, kOut1}, fc2_fprop);
    sum_columns(Product::fc1_wgrad, d1, grad_b1_);
    behind({kD1}, fc1_dgrad);
    behind({kD1}, fc1_wgrad);
    count_beside();
  }

  // ---- branches ----

  bool uses_branches() const {
    return options_.overlap == Overlap::branches && policy_.uses(Precision::s8) &&
           options_.layout == StepLayout::row && options_.threshold == 0;
  }

  /// The other branch may wait for what `make` adds.
  template <class Make>
  void mark(Point point, const Make& make) {
    const std::size_t first = stages_.size();
    make();
    if (stages_.size() > first) stages_.back().point = point;
  }

  /// What `make` adds is quantized on the second branch, behind these points of the first.
  template <class Make>
  void beneath(const std::vector<int>& after, const Make& make) {
    const std::size_t first = stages_.size();
    make();
    for (std::size_t i = first; i < stages_.size(); ++i) {
      stages_[i].branch = 1;
      stages_[i].after = after;
    }
  }

  /// What `make` adds runs on the first branch behind these points of the second.
  template <class Make>
  void behind(const std::vector<int>& after, const Make& make) {
    const std::size_t first = stages_.size();
    make();
    for (std::size_t i = first; i < stages_.size(); ++i) stages_[i].after = after;
  }

  /// How much the second branch quantizes beside each product: what stands before it in the list.
  void count_beside() {
    std::array<std::int64_t, 2> given{};
    for (Stage<B, T>& stage : stages_) {
      if (const auto* work = std::get_if<QuantizeStage<T>>(&stage.work)) {
        if (stage.branch == 0) continue;
        given[0] += work->x.size();
        if (!stage.weights) given[1] += work->x.size();
      } else if (std::holds_alternative<ScaledGemmStage<B, T>>(stage.work)) {
        stage.beside = std::exchange(given, {});
      }
    }
  }

  bool is_planned() const {
    return std::ranges::all_of(stages_, [](const Stage<B, T>& stage) {
      return std::visit(
          [](const auto& work) {
            if constexpr (requires { work.plan; }) return work.plan.has_value();
            return true;
          },
          stage.work);
    });
  }

  void run_branches(WeightMode mode) {
    std::array<bool, kPoints> is_marked{};
    std::array<std::array<bool, kPoints>, 2> is_known{};  // to a branch
    branches_->fork();
    for (Stage<B, T>& stage : stages_) {
      if (mode == WeightMode::kept && stage.weights) continue;
      const auto branch = static_cast<std::size_t>(stage.branch);
      bool waits = false;
      for (const int of : stage.after) {
        const auto point = static_cast<std::size_t>(of);
        if (!is_marked[point] || std::exchange(is_known[branch][point], true)) continue;
        branches_->wait(stage.branch, of);
        waits = true;
      }
      const auto beside = stage.beside[mode == WeightMode::kept ? 1 : 0];
      // A launch that overlaps the kernel before it waits for that one alone.
      run_on((*branches_)[stage.branch], stage, beside, !waits);
      if (stage.point < 0) continue;
      branches_->mark(stage.branch, stage.point);
      is_marked[static_cast<std::size_t>(stage.point)] = true;
    }
    branches_->join();
  }

  void run_on(B backend, Stage<B, T>& stage, std::int64_t beside, bool launches_early) {
    if (auto* product = std::get_if<ScaledGemmStage<B, T>>(&stage.work)) {
      plan(stage);
      product->plan->spared = spared(shape_of(stage.product, shape_), beside);
      product->plan->launches_early = launches_early;
    }
    std::visit([&](auto& work) { run_stage(backend, gemm_workspace_, work); }, stage.work);
  }

  // ---- parts ----

  void take_results() {
    std::int64_t largest = 0;
    for (Product p : kProducts) {
      const ProductShape s = shape_of(p, shape_);
      results_[static_cast<std::size_t>(p)] = take_matrix<T>(s.m, s.n);
      if (options_.layout == StepLayout::row || policy_.of(pass_of(p)) != Precision::s8) continue;
      largest = std::max(largest, Matrix<s32, Col32>(nullptr, s.m, s.n).capacity());
    }
    if (largest > 0) accumulators_ = take<s32>(largest);
    if (!options_.bias) return;
    grad_b1_ = take_vector<T>(shape_.hidden);
    grad_b2_ = take_vector<T>(shape_.model);
  }

  /// What decomposing and sorting share; neither leaves anything in it.
  void take_scratch() {
    std::int64_t bytes = 0;
    for (const std::int64_t cols : {shape_.model, shape_.hidden}) {
      const std::int64_t capacity = options_.outlier_capacity(shape_.tokens() * cols);
      bytes = std::max({bytes, quantize_row_col_workspace_bytes(shape_.tokens(), cols),
                        sort_by_column_workspace_bytes(backend_, capacity)});
    }
    scratch_ = take_vector<std::byte>(bytes);
  }

  /// a or out1, which both the forward pass and the weights' gradients read.
  Quantized quantize_activations(std::string_view tensor, Product product, Matrix<const T> x) {
    const bool fprop = policy_.fprop != Precision::native,
               wgrad = policy_.wgrad != Precision::native;
    const ProductShape s = shape_of(product, shape_);
    if (options_.threshold == 0 || (!fprop && !wgrad)) {
      return quantize(tensor, product, false, x, s.m, s.k, fprop, wgrad);
    }
    const Quantized q = take_quantized(s.m, s.k, true, false);
    const CooList<T> outliers = take_list(s.m, s.k);
    stages_.push_back({tensor, product, false,
                       DecomposeStage<T>{x, options_.threshold, options_.outlier_mode, q.row.q,
                                         q.row.scale, q.col.q, q.col.scale, outliers, scratch_}});
    return {q.row, q.col, outliers};
  }

  Quantized quantize(std::string_view tensor, Product product, bool weights, Matrix<const T> x,
                     std::int64_t rows, std::int64_t cols, bool row, bool col) {
    if (!row && !col) return {};
    const Quantized q = take_quantized(rows, cols, col, weights);
    if (policy_.uses(Precision::e4m3)) {
      stages_.push_back(
          {tensor, product, weights,
           QuantizeE4m3Stage<T>{x, as_e4m3(q.row.q), q.row.scale, as_e4m3(q.col.q), q.col.scale}});
      return q;
    }
    stages_.push_back(
        {tensor, product, weights,
         QuantizeStage<T>{x, q.row.q, q.row.scale, q.col.q, q.col.scale, rounding_of(tensor, 0)}});
    return q;
  }

  /// Of what is neither grad nor d1: to nearest.
  std::optional<StochasticRounding> rounding_of(std::string_view tensor,
                                                std::uint64_t offset) const {
    if (options_.gradient_rounding == Rounding::nearest) return std::nullopt;
    if (tensor != "grad" && tensor != "d1") return std::nullopt;
    return StochasticRounding{options_.rounding_seed, tensor == "grad" ? offset : offset + 1};
  }

  Quantized take_quantized(std::int64_t rows, std::int64_t cols, bool col, bool weights) {
    Quantized q;
    q.row = {take_matrix<s8>(rows, cols), take_vector<float>(rows), weights};
    if (col) q.col = {take_matrix<s8>(cols, rows), take_vector<float>(cols), weights};
    return q;
  }

  void multiply(Product product, const Copy& qa, const Copy& qb, Operand<T> a, Operand<T> b,
                Vector<const T> bias = {}) {
    if (!options_.bias) bias = {};
    operands_[static_cast<std::size_t>(product)] = {a, b};
    if (policy_.of(pass_of(product)) == Precision::native) {
      stages_.push_back(
          {"", product, false, GemmStage<B, T>{a, b, bias, result(product), std::nullopt}});
      return;
    }
    if (policy_.of(pass_of(product)) == Precision::e4m3) {
      const Accumulation accumulation =
          pass_of(product) == Pass::fprop ? Accumulation::tensor_core : Accumulation::promoted;
      stages_.push_back(
          {"", product, false,
           ScaledGemmE4m3Stage<B, T>{as_e4m3(qa.q), as_e4m3(qb.q), qa.scale, qb.scale, bias,
                                     result(product), accumulation, std::nullopt}});
      return;
    }
    switch (options_.layout) {
      case StepLayout::row:
        stages_.push_back({"", product, false,
                           ScaledGemmStage<B, T>{qa.q, qb.q, qa.scale, qb.scale, bias,
                                                 result(product), std::nullopt}});
        return;
      case StepLayout::col_turing:
        return multiply_tiled<Col4_4R2_8C>(product, qa, qb, bias);
      case StepLayout::col_ampere:
        return multiply_tiled<Col32_2R_4R4>(product, qa, qb, bias);
    }
  }

  template <class L>
  void multiply_tiled(Product product, const Copy& qa, const Copy& qb, Vector<const T> bias) {
    const Matrix<T> out = result(product);
    const Matrix<const s8, Col32> a = laid_out<Col32>(product, qa);
    const Matrix<const s8, L> b = laid_out<L>(product, qb);
    const Matrix<s32, Col32> acc(accumulators_, out.rows, out.cols);
    stages_.push_back({"", product, false, GemmS8Stage<B, L>{a, b, acc, std::nullopt}});
    stages_.push_back(
        {"", product, false, DequantizeStage<T, Col32>{acc, qa.scale, qb.scale, bias, out}});
  }

  template <class L>
  Matrix<s8, L> laid_out(Product product, const Copy& copy) {
    const Matrix<s8, L> y = take_matrix<s8, L>(copy.q.rows, copy.q.cols);
    stages_.push_back({"", product, copy.weights, TransformStage<L>{copy.q, y}});
    return y;
  }

  static Matrix<e4m3> as_e4m3(Matrix<s8> q) {
    return {reinterpret_cast<e4m3*>(q.data), q.rows, q.cols, q.layout};
  }

  void add_outliers(Product product, const CooList<T>& outliers, Matrix<const T> w) {
    if (!has_outliers(product)) return;
    stages_.push_back({"", product, false, SpmmStage<T>{outliers, w, result(product)}});
  }

  void add_outliers_transposed(Product product, Matrix<const T> x, const CooList<T>& outliers) {
    if (!has_outliers(product)) return;
    const CooList<T> by_column = take_list(outliers.rows, outliers.cols);
    stages_.push_back({"", product, false, SortStage<T>{outliers, by_column, scratch_}});
    stages_.push_back({"", product, false, SpmmTransposedStage<T>{x, by_column, result(product)}});
  }

  bool has_outliers(Product product) const {
    return options_.threshold > 0 && policy_.of(pass_of(product)) == Precision::s8;
  }

  void sum_columns(Product product, Matrix<const T> x, Vector<T> sum) {
    if (options_.bias) stages_.push_back({"", product, false, ColumnSumStage<T>{x, sum}});
  }

  B backend_{};
  GemmWorkspace<B> gemm_workspace_;
  LayerShape shape_;
  Policy policy_;
  StepOptions options_;
  std::vector<Stage<B, T>> stages_;
  std::optional<Branches<B>> branches_;
  std::array<Matrix<T>, kProducts.size()> results_{};
  std::array<std::pair<Operand<T>, Operand<T>>, kProducts.size()> operands_{};
  Vector<T> grad_b1_, grad_b2_;
  s32* accumulators_ = nullptr;
  Vector<std::byte> scratch_;
  std::byte* base_ = nullptr;
  std::int64_t used_ = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> extents_;
};

}  // namespace octet
