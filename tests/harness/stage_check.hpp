// What must be true of each stage of a training step, on the buffers that it ran on: everything bit
// for bit but 16-bit products, which are held by samples and a projection.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "harness/check.hpp"
#include "harness/operators/gemm.hpp"
#include "harness/operators/gemm_tiled.hpp"
#include "harness/tensor.hpp"
#include "harness/verify.hpp"
#include "harness/verify_outliers.hpp"
#include "octet/stage.hpp"
#include "reference/outliers.hpp"
#include "reference/spmm.hpp"

namespace octet::harness {

/// A failure that no comparison of elements found.
inline Check failure(std::string kind, std::string message) {
  Check check;
  check.kind = std::move(kind);
  check.passed = false;
  check.status = "FAILED";
  check.message = std::move(message);
  return check;
}

/// A matrix in any layout and the host memory that it lies in.
template <class T, class L>
struct LaidOut {
  template <class B>
  LaidOut(B backend, Matrix<const T, L> m)
      : memory(to_host(backend, Vector<const T>(m.data, m.capacity()))),
        view(memory.view.data, m.rows, m.cols, m.layout) {}
  HostMatrix<T> memory;
  Matrix<const T, L> view;
};

/// A 16-bit operand and the host memory that it lies in.
template <class T>
struct HostOperand {
  template <class B>
  HostOperand(B backend, const Operand<T>& o)
      : matrix(to_host(backend, o.transposed
                                    ? Matrix<const T>(o.data, o.cols, o.rows, RowMajor{o.ld})
                                    : Matrix<const T>(o.data, o.rows, o.cols, RowMajor{o.ld}))),
        operand(o.transposed ? Operand<T>(transposed(matrix.view)) : Operand<T>(matrix.view)) {}
  HostMatrix<T> matrix;
  Operand<T> operand;
};

/// A list and the host memory that it lies in. Of one that overflowed only the count means
/// anything.
template <class T>
struct StepList {
  template <class B>
  StepList(B backend, const CooList<T>& list)
      : count(to_host(backend, Vector<const std::int64_t>(list.count, 1)).view(0, 0)),
        capacity(list.capacity),
        length(overflowed() ? 0 : count),
        row(to_host(backend, Vector<const s32>(list.row, length))),
        col(to_host(backend, Vector<const s32>(list.col, length))),
        value(to_host(backend, Vector<const T>(list.value, length))) {}

  bool overflowed() const { return count < 0 || count > capacity; }
  HostList<T> host() const {
    return {{row.view.data, length}, {col.view.data, length}, {value.view.data, length}, count};
  }

  std::int64_t count, capacity, length;
  HostMatrix<s32> row, col;
  HostMatrix<T> value;
};

/// The function that a stage calls, as records name it.
template <class T, class B>
std::string_view operator_name(const Stage<B, T>& stage) {
  constexpr bool kIsF16 = kDType<T> == DType::f16;
  return std::visit(
      [&]<class W>(const W& work) -> std::string_view {
        if constexpr (std::is_same_v<W, QuantizeStage<T>>) {
          return work.q_col.data == nullptr ? "quantize_rowwise" : "quantize_row_col";
        } else if constexpr (std::is_same_v<W, DecomposeStage<T>>) {
          return "quantize_row_col";
        } else if constexpr (requires { work.y; }) {
          return "transform";
        } else if constexpr (std::is_same_v<W, ScaledGemmStage<B, T>>) {
          return "scaled_gemm";
        } else if constexpr (std::is_same_v<W, GemmStage<B, T>>) {
          return kIsF16 ? "gemm_f16" : "gemm_bf16";
        } else if constexpr (requires { work.plan; }) {
          return "gemm_s8";
        } else if constexpr (requires { work.acc; }) {
          return "dequantize";
        } else if constexpr (std::is_same_v<W, SpmmStage<T>>) {
          return "spmm_coo";
        } else if constexpr (std::is_same_v<W, SpmmTransposedStage<T>>) {
          return "spmm_coo_transposed";
        } else if constexpr (std::is_same_v<W, SortStage<T>>) {
          return "sort_by_column";
        } else {
          static_assert(std::is_same_v<W, ColumnSumStage<T>>);
          return "column_sum";
        }
      },
      stage.work);
}

template <class B, class T>
class StageCheck {
 public:
  StageCheck(B backend, std::uint64_t seed) : backend_(backend), seed_(seed) {}

  /// Keeps what a stage adds to, before it runs; nothing for the others. restore() puts it back.
  void keep(const Stage<B, T>& stage) {
    kept_.reset();
    std::visit(
        [this](const auto& work) {
          if constexpr (requires {
                          work.outliers;
                          work.out;
                        }) {
            kept_from_ = work.out;
            kept_.emplace(backend_, work.out.size());
            copy(backend_, kept_->data(), work.out.data, bytes(work.out));
          }
        },
        stage.work);
  }
  bool adds() const { return kept_.has_value(); }
  void forget() { kept_.reset(); }
  void restore() const { copy(backend_, kept_from_.data, kept_->data(), bytes(kept_from_)); }

  Check operator()(const Stage<B, T>& stage) {
    if (const auto* work = std::get_if<DecomposeStage<T>>(&stage.work)) {
      // What remains of such a tensor is mostly zero, and so is its int8 product, by intention.
      const std::int64_t apart = StepList<T>(backend_, work->outliers).count;
      if (2 * apart > work->x.size()) zeros_ = Zeros::allowed;
    }
    return std::visit([this](const auto& work) { return verify(work); }, stage.work);
  }

  /// `sum` is x's rows added up.
  Check column_sums(std::string_view what, Matrix<const T> x, Vector<const T> sum) const {
    const auto rows = to_host(backend_, x);
    const auto actual = to_host(backend_, sum);
    Check check = verify_column_sum<T>(rows.view, {actual.view.data, sum.length});
    if (!check.message.empty()) check.message = fmt::format("{}: {}", what, check.message);
    return check;
  }

 private:
  static std::size_t bytes(Matrix<T> m) { return static_cast<std::size_t>(m.size()) * sizeof(T); }

  Check verify(const QuantizeStage<T>& s) const {
    const auto x = to_host(backend_, s.x);
    const auto q_row = to_host(backend_, Matrix<const s8>(s.q_row));
    const auto row_scale = to_host(backend_, Vector<const float>(s.row_scale));
    const Vector<const float> host_row_scale(row_scale.view.data, s.row_scale.length);
    if (s.q_col.data == nullptr) {
      return verify_quantize_rowwise<T>(x.view, q_row.view, host_row_scale);
    }
    const auto q_col = to_host(backend_, Matrix<const s8>(s.q_col));
    const auto col_scale = to_host(backend_, Vector<const float>(s.col_scale));
    return verify_quantize_row_col<T>(x.view, q_row.view, host_row_scale, q_col.view,
                                      {col_scale.view.data, s.col_scale.length});
  }

  Check verify(const DecomposeStage<T>& s) const {
    const auto x = to_host(backend_, s.x);
    const auto q_row = to_host(backend_, Matrix<const s8>(s.q_row));
    const auto q_col = to_host(backend_, Matrix<const s8>(s.q_col));
    const auto row_scale = to_host(backend_, Vector<const float>(s.row_scale));
    const auto col_scale = to_host(backend_, Vector<const float>(s.col_scale));
    const StepList<T> list(backend_, s.outliers);
    const Check check = verify_quantize_outliers<T>(
        x.view, s.threshold, s.mode, q_row.view, {row_scale.view.data, s.row_scale.length},
        q_col.view, {col_scale.view.data, s.col_scale.length}, list.host());
    if (!list.overflowed()) return check;
    return merge(
        {check,
         failure(
             "bits",
             fmt::format(
                 "outliers: {} were found, but the list holds {}, so the results are NaN: raise "
                 "OCTET_OUTLIER_SHARE (StepOptions::outlier_share) or the threshold",
                 list.count, list.capacity))});
  }

  template <class L>
  Check verify(const TransformStage<L>& s) const {
    const auto x = to_host(backend_, s.x);
    const LaidOut<s8, L> y(backend_, Matrix<const s8, L>(s.y));
    return verify_transform<s8>(x.view, y.view, zeros_);
  }

  template <class L>
  Check verify(const GemmS8Stage<B, L>& s) const {
    const LaidOut<s8, Col32> a(backend_, s.a);
    const LaidOut<s8, L> b(backend_, s.b);
    const LaidOut<s32, Col32> acc(backend_, Matrix<const s32, Col32>(s.acc));
    return merge({verify_gemm_s8(Unpacked<s8>(a.view).view, Unpacked<s8>(b.view).view,
                                 Unpacked<s32>(acc.view).view, seed_, zeros_),
                  verify_padding("acc's padding", acc.view)});
  }

  /// Against accumulators that pass Freivalds' check: those that the plan has, or of a product
  /// that is made for this.
  Check verify(const ScaledGemmStage<B, T>& s) const {
    const std::int64_t m = s.out.rows, n = s.out.cols;
    Matrix<const s32> acc = s.plan ? accumulators(*s.plan) : Matrix<const s32>();
    Buffer<B, s32> own;
    if (acc.data == nullptr) {
      own = Buffer<B, s32>(backend_, m * n);
      GemmWorkspace<B> workspace = make_gemm_workspace(backend_);
      const Matrix<s32> product(own.data(), m, n);
      gemm_s8(backend_, plan_gemm_s8(workspace, s.a, s.b, product), s.a, s.b, product);
      synchronize(backend_);
      acc = product;
    }
    const auto host_acc = to_host(backend_, acc);
    Check exact;
    {
      const auto a = to_host(backend_, s.a), b = to_host(backend_, s.b);
      exact = verify_gemm_s8(a.view, b.view, host_acc.view, seed_, zeros_);
    }
    const auto row_scale = to_host(backend_, s.row_scale);
    const auto col_scale = to_host(backend_, s.col_scale);
    const auto bias = to_host(backend_, s.bias);
    const auto out = to_host(backend_, Matrix<const T>(s.out));
    return merge({exact, verify_dequantize<T>(host_acc.view, {row_scale.view.data, m},
                                              {col_scale.view.data, n},
                                              {bias.view.data, s.bias.length}, out.view, zeros_)});
  }

  template <class L>
  Check verify(const DequantizeStage<T, L>& s) const {
    const LaidOut<s32, L> acc(backend_, s.acc);
    const auto row_scale = to_host(backend_, s.row_scale);
    const auto col_scale = to_host(backend_, s.col_scale);
    const auto bias = to_host(backend_, s.bias);
    const auto out = to_host(backend_, Matrix<const T>(s.out));
    return verify_dequantize<T>(acc.view, {row_scale.view.data, s.row_scale.length},
                                {col_scale.view.data, s.col_scale.length},
                                {bias.view.data, s.bias.length}, out.view, zeros_);
  }

  Check verify(const GemmStage<B, T>& s) const {
    const HostOperand<T> a(backend_, s.a), b(backend_, s.b);
    const auto out = to_host(backend_, Matrix<const T>(s.out));
    if (s.bias.length == 0) return verify_gemm<T>(a.operand, b.operand, out.view, seed_);
    const auto bias = to_host(backend_, s.bias);
    return verify_gemm_with_bias<T>(a.operand, b.operand, {bias.view.data, s.bias.length}, out.view,
                                    seed_);
  }

  Check verify(const SortStage<T>& s) const {
    const StepList<T> from(backend_, s.by_row), to(backend_, s.by_column);
    if (from.overflowed()) {
      if (to.count == from.count) return {};
      return failure("bits", fmt::format("count: {} entries are listed, but {} were sorted",
                                         to.count, from.count));
    }
    std::vector<reference::Entry<T>> entries;
    for (std::int64_t n = 0; n < from.length; ++n) {
      entries.push_back({from.row.view(0, n), from.col.view(0, n), from.value.view(0, n)});
    }
    return verify_list(to.host(), reference::sorted_by_column(std::move(entries)));
  }

  Check verify(const SpmmStage<T>& s) const {
    const StepList<T> list(backend_, s.outliers);
    const HostOperand<T> w(backend_, s.w);
    const Operand<T>& o = w.operand;
    return verify_addition(
        list, list.row.view, s.out.rows, s.out, [&](std::int64_t i, std::int64_t) { return i; },
        [&](std::int64_t n, std::int64_t, std::int64_t j) {
          const std::int64_t k = list.col.view(0, n);
          return o.data[o.transposed ? k * o.ld + j : j * o.ld + k];
        });
  }

  Check verify(const SpmmTransposedStage<T>& s) const {
    const StepList<T> list(backend_, s.outliers);
    const auto x = to_host(backend_, s.x);
    return verify_addition(
        list, list.col.view, s.out.cols, s.out, [&](std::int64_t, std::int64_t j) { return j; },
        [&](std::int64_t n, std::int64_t i, std::int64_t) {
          return x.view(list.row.view(0, n), i);
        });
  }

  /// out(i,j) is what was kept plus the chain over the entries of line_of(i, j), each times
  /// factor(entry, i, j); NaN where the list has overflowed.
  template <class Line, class Factor>
  Check verify_addition(const StepList<T>& list, Matrix<const s32> lines, std::int64_t line_count,
                        Matrix<T> out, const Line& line_of, const Factor& factor) const {
    const auto actual = to_host(backend_, Matrix<const T>(out));
    const auto before = to_host(backend_, Matrix<const T>(kept_->data(), out.rows, out.cols));
    std::vector<std::int64_t> first(static_cast<std::size_t>(line_count + 1));
    for (std::int64_t n = 0; n < list.length; ++n) {
      ++first[static_cast<std::size_t>(lines(0, n) + 1)];
    }
    std::partial_sum(first.begin(), first.end(), first.begin());
    return compare_bits(
        "sum with outliers", actual.view,
        [&](std::int64_t i, std::int64_t j) {
          if (list.overflowed()) return T(std::numeric_limits<float>::quiet_NaN());
          const auto line = static_cast<std::size_t>(line_of(i, j));
          if (first[line] == first[line + 1]) return before.view(i, j);
          const float sum = reference::spmm_chain(
              first[line], first[line + 1],
              [&](std::int64_t n) { return static_cast<float>(list.value.view(0, n)); },
              [&](std::int64_t n) { return static_cast<float>(factor(n, i, j)); });
          return reference::spmm_add(before.view(i, j), sum);
        },
        list.overflowed() ? Zeros::allowed : Zeros::mistrusted);
  }

  Check verify(const ColumnSumStage<T>& s) const {
    return column_sums("sum of the rows", s.x, s.sum);
  }

  B backend_;
  std::uint64_t seed_;
  Zeros zeros_ = Zeros::mistrusted;
  Matrix<T> kept_from_;
  std::optional<Buffer<B, T>> kept_;
};

}  // namespace octet::harness
