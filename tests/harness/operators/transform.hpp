// transform and flatten: every byte that they write is what the reference says, padding included,
// and nothing else is touched. Timed beside cublasLtMatrixTransform.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/cuda/matrix_transform.hpp"
#include "harness/description.hpp"
#include "harness/host_array.hpp"
#include "harness/verify.hpp"
#include "octet/transform.hpp"

namespace octet::harness {

/// Whether a layout keeps its elements in lines, with a leading dimension whose gaps belong to
/// others.
template <class L>
inline constexpr bool kHasLines = std::is_same_v<L, RowMajor> || std::is_same_v<L, ColMajor>;

/// The layout of a rows x cols matrix whose lines (of a tiled layout: panels) are longer than
/// packed ones. Tiled panels grow by whole tiles.
template <class L>
L padded_layout(std::int64_t rows, std::int64_t cols, std::int64_t padding) {
  L layout = L::packed(rows, cols);
  if constexpr (kHasLines<L>) {
    layout.ld += padding;
  } else if constexpr (std::is_same_v<L, Col32>) {
    layout.rows += padding;
  } else {
    layout = L::packed(layout.padded_rows + padding, cols);
  }
  return layout;
}

/// The leading dimension, or the rows of a tiled layout's panels.
template <class L>
std::int64_t leading(const L& layout) {
  if constexpr (kHasLines<L>) {
    return layout.ld;
  } else if constexpr (std::is_same_v<L, Col32>) {
    return layout.rows;
  } else {
    return layout.padded_rows;
  }
}

/// A tensor in any layout. Gaps between lines are guarded; the padding of a tiled layout belongs to
/// the matrix.
template <class B, class T, class L>
class LayoutTensor {
 public:
  LayoutTensor(B backend, Ledger& ledger, std::string name, Role role, std::int64_t rows,
               std::int64_t cols, std::int64_t padding)
      : rows_(rows),
        cols_(cols),
        layout_(padded_layout<L>(rows, cols, padding)),
        memory_(backend, ledger, std::move(name), role, lines(), kHasLines<L> ? line() : all(),
                kHasLines<L> ? padding : 0) {}

  Matrix<T, L> view() const { return on(memory_.view().data); }
  /// Its bytes on the host, and the same as a matrix.
  std::pair<HostMatrix<T>, Matrix<const T, L>> host() const {
    auto host = memory_.host();
    const Matrix<const T, L> view = on(host.view.data);
    return {std::move(host), view};
  }
  /// value(i, j) is asked in parallel.
  template <class F>
  void fill(const F& value) {
    memory_.fill([&](Matrix<T> host) {
      const Matrix<T, L> m = on(host.data);
      detail::for_each_block(rows_, cols_, [&] {
        return [&](const Block& block) {
          for (std::int64_t i = block.row_begin; i < block.row_end; ++i) {
            for (std::int64_t j = block.col_begin; j < block.col_end; ++j) m(i, j) = value(i, j);
          }
        };
      });
    });
  }
  /// Through `write`, which gets a row-major host matrix: the memory itself where it is row-major.
  template <class F>
  void fill_rows(const F& write) {
    if constexpr (std::is_same_v<L, RowMajor>) {
      memory_.fill(write);
    } else {
      const std::shared_ptr<T[]> storage = host_array<T>(rows_ * cols_);
      const Matrix<T> packed(storage.get(), rows_, cols_);
      write(packed);
      fill([&](std::int64_t i, std::int64_t j) { return packed(i, j); });
    }
  }

 private:
  template <class U>
  Matrix<U, L> on(U* data) const {
    return {data, rows_, cols_, layout_};
  }
  std::int64_t lines() const {
    return !kHasLines<L> ? 1 : std::is_same_v<L, RowMajor> ? rows_ : cols_;
  }
  std::int64_t line() const { return std::is_same_v<L, RowMajor> ? cols_ : rows_; }
  std::int64_t all() const { return rows_ == 0 || cols_ == 0 ? 0 : layout_.capacity(rows_, cols_); }

  std::int64_t rows_, cols_;
  L layout_;
  Tensor<B, T> memory_;
};

/// On a GPU the models' activations and weights, on a CPU one of them; and tiles -1 and +1, lines
/// that are aligned and not, panels longer than needed.
template <class B>
std::vector<Problem> transform_problems() {
  std::vector<Problem> problems;
  for (Problem& p : model_matrices()) {
    const bool is_small = p.m * p.n <= std::int64_t{1} << 22;
    const bool is_huge = p.m * p.n > std::int64_t{1} << 27;
    if (!is_huge && (is_small || !std::is_same_v<B, Cpu>)) problems.push_back(std::move(p));
  }
  for (const auto& [m, n, padding] : {std::tuple{0, 5, 0},
                                      {5, 0, 0},
                                      {1, 1, 0},
                                      {7, 1, 0},
                                      {31, 33, 0},
                                      {64, 64, 0},
                                      {65, 63, 0},
                                      {31, 32, 1},
                                      {129, 127, 1},
                                      {128, 136, 8},
                                      {257, 255, 7},
                                      {256, 512, 32},
                                      {33, 4099, 0},
                                      {4099, 33, 16}}) {
    Problem p;
    p.m = m;
    p.n = n;
    p.ld_padding = padding;
    p.name = fmt::format("{}x{}", m, n);
    if (padding != 0) p.name += fmt::format("_pad{}", padding);
    problems.push_back(std::move(p));
  }
  return problems;
}

/// y = x from one layout to another. Suites name their pair with an alias template.
template <class B, class T, class From, class To>
struct Transform : Description<B> {
  static constexpr std::string_view kOperator = "transform";
  static constexpr Pipe kPipe = Pipe::none;
  static std::string layout() { return fmt::format("{} to {}", From::kName, To::kName); }
  static std::string_view data(const Problem&) { return "uniform"; }
  static std::vector<Problem> problems() { return transform_problems<B>(); }

  Transform(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        x(backend, this->ledger, "x", Role::input, p.m, p.n, p.ld_padding),
        y(backend, this->ledger, "y", Role::output, p.m, p.n, p.ld_padding) {
    x.fill_rows([&](Matrix<T> host) {
      if constexpr (std::is_same_v<T, s8>) {
        fill_s8_uniform(host, seed);
      } else {
        fill_s32(host, std::numeric_limits<s32>::max(), seed);
      }
    });
  }

  template <std::invocable<B, Matrix<const T, From>, Matrix<T, To>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const T, From>(x.view()), y.view());
  }

  Check verify() {
    const auto [x_memory, x_view] = x.host();
    const auto [y_memory, y_view] = y.host();
    return verify_transform<T>(x_view, y_view);
  }

  /// Reads each element, writes it, and the padding of a tiled output.
  Cost cost() const {
    const auto size = static_cast<double>(this->problem.m) * static_cast<double>(this->problem.n);
    double written = size;
    if constexpr (!kHasLines<To>) {
      if (size > 0) written = static_cast<double>(y.view().capacity());
    }
    return {(size + written) * sizeof(T), 0};
  }

  /// Where cuBLASLt takes the pair.
  static Baseline baseline(B backend, const Problem& p, std::uint64_t seed, int sets) {
    if constexpr (!std::is_same_v<B, Cuda>) {
      return {};
    } else {
      if (p.m == 0 || p.n == 0) return {};
      struct Operands {
        std::unique_ptr<MatrixTransform> transform;
        std::vector<std::unique_ptr<Transform>> sets;
      };
      const auto keeps = std::make_shared<Operands>();
      Baseline baseline{"cublasLtMatrixTransform", "", {}, keeps};
      for (int i = 0; i < sets; ++i) {
        const auto set = static_cast<std::uint64_t>(i);
        keeps->sets.push_back(std::make_unique<Transform>(backend, p, seed + set));
        const auto from = keeps->sets.back()->x.view();
        const auto to = keeps->sets.back()->y.view();
        if (keeps->transform == nullptr) {
          keeps->transform = std::make_unique<MatrixTransform>(
              kDType<T>, p.m, p.n, MatrixTransform::Side{kLayout<From>, leading(from.layout)},
              MatrixTransform::Side{kLayout<To>, leading(to.layout)});
          if (!keeps->transform->run(backend.stream, from.data, to.data)) return {};
        }
        baseline.contender.calls.push_back([backend, from, to, transform = keeps->transform.get()] {
          transform->run(backend.stream, from.data, to.data);
        });
      }
      return baseline;
    }
  }

  LayoutTensor<B, T, From> x;
  LayoutTensor<B, T, To> y;
};

/// x[batch, seq, model] inside a larger tensor: rows ld_padding longer than they need to be, and
/// between its matrices three rows that belong to nobody.
template <class B, class T>
struct Flatten : Description<B> {
  static constexpr std::string_view kOperator = "flatten";
  static constexpr Pipe kPipe = Pipe::none;
  static constexpr std::int64_t kRowsBetween = 3;
  static std::string_view data(const Problem&) { return "gaussian"; }

  static std::vector<Problem> problems() {
    std::vector<Problem> problems;
    for (const ModelSize& size : model_sizes()) {
      if (std::is_same_v<B, Cpu> && size.name != "4k" && !size.is_own) continue;
      problems.push_back(tensor(size.layer, 64, size.name));
      problems.back().name.replace(0, size.name.size(), size.test_name());
    }
    for (const auto& [batch, seq, model, padding] : {std::tuple{0, 5, 7, 0},
                                                     {3, 0, 8, 0},
                                                     {1, 1, 1, 0},
                                                     {1, 64, 64, 0},
                                                     {2, 31, 33, 1},
                                                     {5, 1, 129, 3},
                                                     {3, 127, 64, 8},
                                                     {2, 65, 520, 24},
                                                     {64, 3, 17, 0},
                                                     {7, 129, 255, 2}}) {
      problems.push_back(tensor({batch, seq, model, 0}, padding, ""));
    }
    return problems;
  }

  Flatten(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        x(backend, this->ledger, "x", Role::input,
          std::max<std::int64_t>(p.layer.batch * (p.layer.seq + kRowsBetween), 1), p.layer.model,
          p.ld_padding),
        y(backend, this->ledger, "y", Role::output, p.m, p.n, p.size.empty() ? p.ld_padding : 0) {
    x.fill([&](Matrix<T> host) { fill(host, Distribution::gaussian, 1.0f, seed); });
  }

  template <std::invocable<B, Batch<const T>, Matrix<T>> Op>
  void run(Op& op) {
    op(this->backend, batch(Matrix<const T>(x.view())), y.view());
  }

  Check verify() {
    const auto x = this->x.host();
    const auto y = this->y.host();
    return verify_flatten<T>(batch(x.view), y.view);
  }

  Cost cost() const {
    return {2.0 * static_cast<double>(this->problem.m) * static_cast<double>(this->problem.n) *
                sizeof(T),
            0};
  }

  Batch<const T> batch(Matrix<const T> all) const {
    const LayerShape& l = this->problem.layer;
    return {Matrix<const T>(all.data, l.seq, l.model, all.layout), l.batch,
            (l.seq + kRowsBetween) * all.layout.ld};
  }

  Tensor<B, T> x, y;

 private:
  static Problem tensor(const LayerShape& layer, std::int64_t padding, const std::string& size) {
    Problem p;
    p.size = size;
    p.layer = layer;
    p.m = layer.tokens();
    p.n = layer.model;
    p.ld_padding = padding;
    p.name = fmt::format("{}{}x{}x{}", size.empty() ? "" : size + "_", layer.batch, layer.seq,
                         layer.model);
    if (padding != 0) p.name += fmt::format("_pad{}", padding);
    return p;
  }
};

}  // namespace octet::harness
