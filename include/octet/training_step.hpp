// Forward, backward and weight gradients of a feed-forward layer, composed from the operators.
//
//   T tokens, D model, H hidden; A[T,D], w1[H,D], w2[D,H], grad[T,D], all row-major.
//
//   fc1_fprop  out1[T,H]    = A . w1^T         fc2_fprop  out2[T,D]    = out1 . w2^T
//   fc2_dgrad  d1[T,H]      = grad . w2        fc1_dgrad  d2[T,D]      = d1 . w1
//   fc2_wgrad  grad_w2[D,H] = grad^T . out1    fc1_wgrad  grad_w1[H,D] = d1^T . A
//
// There is no activation function between the layers, as in the benchmark that this succeeds. In
// int8 each operand is scaled along the dimension that is not contracted, so a tensor is needed as
// it lies with row scales (fprop, dgrad) and transposed with column scales (wgrad; the weights'
// dgrad).
//
// A step is a list of stages over views, so that whoever runs it can also time, check or replay
// each stage on the very same buffers. It knows no backend and owns no memory but its plans.
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
#include "octet/dequantize.hpp"
#include "octet/gemm.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"
#include "octet/quantize.hpp"

namespace octet {

struct LayerShape {
  std::int64_t batch = 0, seq = 0, model = 0, hidden = 0;

  constexpr std::int64_t tokens() const { return batch * seq; }
  /// Floating-point or integer operations of the six products: 12 T D H.
  constexpr std::int64_t operations() const { return 12 * tokens() * model * hidden; }
};

enum class Pass : std::uint8_t { fprop, dgrad, wgrad };
enum class Precision : std::uint8_t { s8, native };  // native: the tensors' own 16-bit type

/// Which passes run in int8.
struct Policy {
  Precision fprop = Precision::s8, dgrad = Precision::s8, wgrad = Precision::s8;

  static constexpr Policy native() {
    return {Precision::native, Precision::native, Precision::native};
  }
  constexpr Precision of(Pass pass) const {
    return pass == Pass::fprop ? fprop : pass == Pass::dgrad ? dgrad : wgrad;
  }
  constexpr bool uses(Precision p) const { return fprop == p || dgrad == p || wgrad == p; }
};

/// Whether a step quantizes its weights, or finds them quantized by an earlier run.
enum class WeightMode : std::uint8_t { every_step, kept };

enum class Product : std::uint8_t {
  fc1_fprop,
  fc2_fprop,
  fc2_dgrad,
  fc1_dgrad,
  fc2_wgrad,
  fc1_wgrad
};
inline constexpr std::array kProducts = {Product::fc1_fprop, Product::fc2_fprop,
                                         Product::fc2_dgrad, Product::fc1_dgrad,
                                         Product::fc2_wgrad, Product::fc1_wgrad};

constexpr std::string_view name(Product product) {
  constexpr std::array<std::string_view, 6> kNames = {"fc1_fprop", "fc2_fprop", "fc2_dgrad",
                                                      "fc1_dgrad", "fc2_wgrad", "fc1_wgrad"};
  return kNames[static_cast<std::size_t>(product)];
}

constexpr Pass pass_of(Product product) { return static_cast<Pass>(static_cast<int>(product) / 2); }

struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0;
};

constexpr ProductShape shape_of(Product product, const LayerShape& layer) {
  const std::int64_t t = layer.tokens(), d = layer.model, h = layer.hidden;
  switch (product) {
    case Product::fc1_fprop:
    case Product::fc2_dgrad:
      return {t, h, d};
    case Product::fc2_fprop:
    case Product::fc1_dgrad:
      return {t, d, h};
    case Product::fc2_wgrad:
      return {d, h, t};
    case Product::fc1_wgrad:
      return {h, d, t};
  }
  return {};
}

/// What a step is given: a[T,D], w1[H,D], w2[D,H], grad[T,D].
template <class T>
struct LayerInputs {
  Matrix<const T> a, w1, w2, grad;
};

/// Copies that somebody transposed beforehand, for 16-bit products whose operands all have K
/// contiguous: a[D,T], w1[D,H], w2[H,D], grad[D,T], out1[H,T], d1[H,T].
template <class T>
struct TransposedCopies {
  Matrix<const T> a, w1, w2, grad, out1, d1;
};

/// One call of an operator, on views.
template <class T>
struct QuantizeStage {
  Matrix<const T> x;
  Matrix<s8> q_row;
  Vector<float> row_scale;
  Matrix<s8> q_col;  // no data: the row copy alone is wanted
  Vector<float> col_scale;
};
template <class B>
struct GemmS8Stage {
  Matrix<const s8> a, b;
  Matrix<s32> acc;
  std::optional<GemmPlan<B>> plan;  // made by the first run
};
template <class T>
struct DequantizeStage {
  Matrix<const s32> acc;
  Vector<const float> row_scale, col_scale;
  Matrix<T> out;
};
template <class B, class T>
struct GemmStage {
  Operand<T> a, b;
  Matrix<T> out;
  std::optional<GemmPlan<B>> plan;  // made by the first run
};

template <class B, class T>
struct Stage {
  std::string_view tensor;  // what is quantized ("a", "w1", ...); empty for the other operators
  Product product;          // the product that it belongs to, the first one that needs it
  bool weights = false;     // left out when quantized weights are kept
  std::variant<QuantizeStage<T>, GemmS8Stage<B>, DequantizeStage<T>, GemmStage<B, T>> work;
};

template <class B, class T>
class TrainingStep {
 public:
  /// Bytes of the workspace that a step of this shape and policy needs.
  static std::int64_t workspace_bytes(const LayerShape& shape, Policy policy) {
    TrainingStep step(shape, policy);
    step.build({}, {}, nullptr);
    return step.used_;
  }

  /// `workspace` is memory of the backend, aligned to 256 bytes, of workspace_bytes; the step's
  /// results and intermediates live in it, kGap bytes apart. The inputs and it must outlive the
  /// step.
  TrainingStep(B backend, GemmWorkspace<B> gemm_workspace, const LayerShape& shape, Policy policy,
               const LayerInputs<T>& inputs, std::byte* workspace, std::int64_t workspace_size,
               const std::optional<TransposedCopies<T>>& copies = std::nullopt)
      : TrainingStep(shape, policy) {
    if (workspace == nullptr || workspace_size < workspace_bytes(shape, policy)) {
      throw std::invalid_argument("training_step: the workspace is smaller than workspace_bytes()");
    }
    backend_ = backend;
    gemm_workspace_ = std::move(gemm_workspace);
    build(inputs, copies, workspace);
  }

  /// The stages in the order in which they run.
  std::vector<Stage<B, T>>& stages() { return stages_; }

  /// One step, queued on the backend's stream. The first run makes the plans; later ones can be
  /// captured in a graph. With WeightMode::kept an earlier run must have quantized the weights.
  void run(WeightMode mode) {
    for (Stage<B, T>& stage : stages_) {
      if (mode == WeightMode::every_step || !stage.weights) run(stage);
    }
  }

  void run(Stage<B, T>& stage) {
    std::visit([this](auto& work) { run_work(work); }, stage.work);
  }

  /// Makes the plan of a stage that needs one and has none, which overwrites the stage's result.
  void plan(Stage<B, T>& stage) {
    std::visit([this](auto& work) { plan_work(work); }, stage.work);
  }

  const LayerShape& shape() const { return shape_; }
  /// Result of a product: out1, out2, d1, d2, grad_w2, grad_w1 in the order of kProducts.
  Matrix<T> result(Product product) const { return results_[static_cast<std::size_t>(product)]; }
  /// Its 16-bit operands a[M,K] and b[N,K], also where the policy runs it in int8.
  const std::pair<Operand<T>, Operand<T>>& operands(Product product) const {
    return operands_[static_cast<std::size_t>(product)];
  }
  /// Where in the workspace something lives: (offset, bytes), ascending; the rest is gaps.
  const std::vector<std::pair<std::int64_t, std::int64_t>>& extents() const { return extents_; }

  static constexpr std::int64_t kGap = 256;

 private:
  /// A tensor and its int8 copies.
  struct Quantized {
    Matrix<s8> row;
    Vector<float> row_scale;
    Matrix<s8> col;  // transposed
    Vector<float> col_scale;
  };

  TrainingStep(const LayerShape& shape, Policy policy) : shape_(shape), policy_(policy) {}

  template <class U>
  U* take(std::int64_t count) {
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(U));
    const std::int64_t offset = used_;
    extents_.emplace_back(offset, bytes);
    used_ += (bytes + 255) / 256 * 256 + kGap;
    return base_ == nullptr ? nullptr : reinterpret_cast<U*>(base_ + offset);
  }
  template <class U>
  Matrix<U> take_matrix(std::int64_t rows, std::int64_t cols) {
    return {take<U>(rows * cols), rows, cols};
  }

  void build(const LayerInputs<T>& in, const std::optional<TransposedCopies<T>>& copies,
             std::byte* workspace) {
    base_ = workspace;
    used_ = kGap;
    std::int64_t largest = 0;
    for (Product p : kProducts) {
      const ProductShape s = shape_of(p, shape_);
      results_[static_cast<std::size_t>(p)] = take_matrix<T>(s.m, s.n);
      if (policy_.of(pass_of(p)) == Precision::s8) largest = std::max(largest, s.m * s.n);
    }
    accumulators_ = take<s32>(largest);

    const std::int64_t t = shape_.tokens(), d = shape_.model, h = shape_.hidden;
    const bool fprop = policy_.fprop == Precision::s8, dgrad = policy_.dgrad == Precision::s8,
               wgrad = policy_.wgrad == Precision::s8;
    const Matrix<T> out1 = result(Product::fc1_fprop), d1 = result(Product::fc2_dgrad);

    // Each tensor is quantized just before the first product that reads it, while it is in cache.
    const Quantized qa = quantize("a", Product::fc1_fprop, false, in.a, t, d, fprop, wgrad);
    const Quantized qw1 = quantize("w1", Product::fc1_fprop, true, in.w1, h, d, fprop, dgrad);
    multiply(Product::fc1_fprop, qa.row, qa.row_scale, qw1.row, qw1.row_scale, in.a, in.w1);

    const Quantized qout1 = quantize("out1", Product::fc2_fprop, false, out1, t, h, fprop, wgrad);
    const Quantized qw2 = quantize("w2", Product::fc2_fprop, true, in.w2, d, h, fprop, dgrad);
    multiply(Product::fc2_fprop, qout1.row, qout1.row_scale, qw2.row, qw2.row_scale, out1, in.w2);

    const Quantized qgrad =
        quantize("grad", Product::fc2_dgrad, false, in.grad, t, d, dgrad, wgrad);
    multiply(Product::fc2_dgrad, qgrad.row, qgrad.row_scale, qw2.col, qw2.col_scale, in.grad,
             copies ? Operand<T>(copies->w2) : Operand<T>(transposed(in.w2)));

    const Quantized qd1 = quantize("d1", Product::fc1_dgrad, false, d1, t, h, dgrad, wgrad);
    multiply(Product::fc1_dgrad, qd1.row, qd1.row_scale, qw1.col, qw1.col_scale, d1,
             copies ? Operand<T>(copies->w1) : Operand<T>(transposed(in.w1)));

    multiply(Product::fc2_wgrad, qgrad.col, qgrad.col_scale, qout1.col, qout1.col_scale,
             copies ? Operand<T>(copies->grad) : Operand<T>(transposed(in.grad)),
             copies ? Operand<T>(copies->out1) : Operand<T>(transposed(Matrix<const T>(out1))));
    multiply(Product::fc1_wgrad, qd1.col, qd1.col_scale, qa.col, qa.col_scale,
             copies ? Operand<T>(copies->d1) : Operand<T>(transposed(Matrix<const T>(d1))),
             copies ? Operand<T>(copies->a) : Operand<T>(transposed(in.a)));
  }

  Quantized quantize(std::string_view tensor, Product product, bool weights, Matrix<const T> x,
                     std::int64_t rows, std::int64_t cols, bool row, bool col) {
    Quantized q;
    if (!row && !col) return q;
    q.row = take_matrix<s8>(rows, cols);
    q.row_scale = {take<float>(rows), rows};
    if (col) {
      q.col = take_matrix<s8>(cols, rows);
      q.col_scale = {take<float>(cols), cols};
    }
    stages_.push_back(
        {tensor, product, weights, QuantizeStage<T>{x, q.row, q.row_scale, q.col, q.col_scale}});
    return q;
  }

  void multiply(Product product, Matrix<const s8> qa, Vector<const float> a_scale,
                Matrix<const s8> qb, Vector<const float> b_scale, Operand<T> a, Operand<T> b) {
    const Matrix<T> out = result(product);
    operands_[static_cast<std::size_t>(product)] = {a, b};
    if (policy_.of(pass_of(product)) == Precision::native) {
      stages_.push_back({"", product, false, GemmStage<B, T>{a, b, out, std::nullopt}});
      return;
    }
    const Matrix<s32> acc(accumulators_, out.rows, out.cols);
    stages_.push_back({"", product, false, GemmS8Stage<B>{qa, qb, acc, std::nullopt}});
    stages_.push_back({"", product, false, DequantizeStage<T>{acc, a_scale, b_scale, out}});
  }

  void run_work(QuantizeStage<T>& s) {
    if (s.q_col.data == nullptr) {
      quantize_rowwise<T>(backend_, s.x, s.q_row, s.row_scale);
    } else {
      quantize_row_col<T>(backend_, s.x, s.q_row, s.row_scale, s.q_col, s.col_scale);
    }
  }
  void run_work(GemmS8Stage<B>& s) {
    plan_work(s);
    gemm_s8(backend_, *s.plan, s.a, s.b, s.acc);
  }
  void run_work(DequantizeStage<T>& s) {
    dequantize<T>(backend_, s.acc, s.row_scale, s.col_scale, {}, s.out);
  }
  void run_work(GemmStage<B, T>& s) {
    plan_work(s);
    gemm<T>(backend_, *s.plan, s.a, s.b, s.out);
  }

  template <class Work>
  void plan_work(Work&) {}
  void plan_work(GemmS8Stage<B>& s) {
    if (!s.plan) s.plan = plan_gemm_s8(gemm_workspace_, s.a, s.b, s.acc);
  }
  void plan_work(GemmStage<B, T>& s) {
    if (!s.plan) s.plan = plan_gemm<T>(gemm_workspace_, s.a, s.b, s.out);
  }

  B backend_{};
  GemmWorkspace<B> gemm_workspace_;
  LayerShape shape_;
  Policy policy_;
  std::vector<Stage<B, T>> stages_;
  std::array<Matrix<T>, kProducts.size()> results_{};
  std::array<std::pair<Operand<T>, Operand<T>>, kProducts.size()> operands_{};
  s32* accumulators_ = nullptr;
  std::byte* base_ = nullptr;
  std::int64_t used_ = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> extents_;
};

}  // namespace octet
