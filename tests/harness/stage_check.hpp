// What must be true of each stage of a training step, on the buffers that it ran on: everything bit
// for bit but 16-bit products, which are held by samples and a projection.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "harness/check.hpp"
#include "harness/outlier_rule.hpp"
#include "harness/parallel.hpp"
#include "harness/tensor.hpp"
#include "harness/verify.hpp"
#include "octet/stage.hpp"

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

/// A list and the host memory that it lies in.
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
  auto entry(std::int64_t n) const {
    return std::tuple(row.view(0, n), col.view(0, n), value.view(0, n).bits);
  }

  std::int64_t count, capacity, length;
  HostMatrix<s32> row, col;
  HostMatrix<T> value;
};

/// Where the entries of each of `lines` rows (columns) begin, and the end of the last.
inline std::vector<std::int64_t> line_offsets(Matrix<const s32> line, std::int64_t lines) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(lines + 1));
  for (std::int64_t n = 0; n < line.cols; ++n) ++offsets[static_cast<std::size_t>(line(0, n) + 1)];
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  return offsets;
}

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
  void restore() const { copy(backend_, kept_from_.data, kept_->data(), bytes(kept_from_)); }

  Check operator()(const Stage<B, T>& stage) const {
    return std::visit([this](const auto& work) { return verify(work); }, stage.work);
  }

  /// `sum` is x's rows added up, in the order that column_sum has.
  Check column_sums(std::string_view what, Matrix<const T> x, Vector<const T> sum) const {
    const auto rows = to_host(backend_, x);
    const auto actual = to_host(backend_, sum);
    return compare_bits(what, Vector<const T>(actual.view.data, sum.length), [&](std::int64_t j) {
      float total = 0;
      for (std::int64_t i = 0; i < x.rows; i += kColumnSumChunk) {
        float part = 0;
        const std::int64_t end = std::min(i + kColumnSumChunk, x.rows);
        for (std::int64_t r = i; r < end; ++r) part += static_cast<float>(rows.view(r, j));
        total += part;
      }
      return T(total);
    });
  }

 private:
  static std::size_t bytes(Matrix<T> m) { return static_cast<std::size_t>(m.size()) * sizeof(T); }
  HostMatrix<T> host(Vector<const T> v) const { return to_host(backend_, v); }

  Check verify(const QuantizeStage<T>& s) const {
    const auto x = to_host(backend_, s.x);
    if (s.q_col.data != nullptr) return verify_quantized(x.view, s);
    const auto q = to_host(backend_, Matrix<const s8>(s.q_row));
    const auto scale = to_host(backend_, Vector<const float>(s.row_scale));
    return verify_quantize_rowwise<T>(x.view, q.view, {scale.view.data, s.row_scale.length});
  }

  template <class Work>
  Check verify_quantized(Matrix<const T> x, const Work& s) const {
    const auto q_row = to_host(backend_, Matrix<const s8>(s.q_row));
    const auto q_col = to_host(backend_, Matrix<const s8>(s.q_col));
    const auto row_scale = to_host(backend_, Vector<const float>(s.row_scale));
    const auto col_scale = to_host(backend_, Vector<const float>(s.col_scale));
    return verify_quantize_row_col<T>(x, q_row.view, {row_scale.view.data, s.row_scale.length},
                                      q_col.view, {col_scale.view.data, s.col_scale.length});
  }

  /// The list is what the rule says, and the copies are those of the tensor without it.
  Check verify(const DecomposeStage<T>& s) const {
    const auto x = to_host(backend_, s.x);
    const StepList<T> list(backend_, s.outliers);
    const OutlierRule rule(x.view, s.threshold, s.mode);
    std::vector<T> rest(static_cast<std::size_t>(x.view.size()));
    const Matrix<T> remaining(rest.data(), x.view.rows, x.view.cols);
    std::int64_t found = 0, wrong = 0;
    for (std::int64_t i = 0; i < x.view.rows; ++i) {
      for (std::int64_t j = 0; j < x.view.cols; ++j) {
        const T value = x.view(i, j);
        const bool is_apart = rule(static_cast<float>(value), j);
        remaining(i, j) = is_apart ? T(0.0f) : value;
        if (!is_apart) continue;
        if (found < list.length) {
          wrong += list.entry(found) != std::tuple(s32(i), s32(j), value.bits);
        }
        ++found;
      }
    }
    const Check copies = verify_quantized(Matrix<const T>(remaining), s);
    if (list.count != found) {
      return merge({copies, failure("list", fmt::format("outliers: {} were counted, but there are "
                                                        "{}",
                                                        list.count, found))});
    }
    if (list.overflowed()) {
      return merge(
          {copies,
           failure(
               "list",
               fmt::format(
                   "outliers: {} were found, but the list holds {}, so the results are NaN: raise "
                   "OCTET_OUTLIER_SHARE (StepOptions::outlier_share) or the threshold",
                   list.count, list.capacity))});
    }
    return merge({copies, list_check("outliers", found, wrong)});
  }

  static Check list_check(std::string_view what, std::int64_t entries, std::int64_t wrong) {
    Check check;
    if (wrong != 0) {
      check = failure("", fmt::format("{}: {} of {} entries are wrong", what, wrong, entries));
    }
    check.kind = "list";
    check.exact = true;
    check.compared = entries;
    check.mismatches = wrong;
    return check;
  }

  template <class L>
  Check verify(const TransformStage<L>& s) const {
    const auto x = to_host(backend_, s.x);
    const LaidOut<s8, L> y(backend_, Matrix<const s8, L>(s.y));
    // Everything that the layout allocates: what is beyond x must be zero.
    const std::int64_t cols = (s.y.cols + 31) / 32 * 32;
    const std::int64_t rows = cols == 0 ? 0 : s.y.capacity() / cols;
    return compare_bits(
        fmt::format("{} copy", L::kName), Matrix<const s8, L>(y.view.data, rows, cols, s.y.layout),
        [&](std::int64_t i, std::int64_t j) {
          return i < x.view.rows && j < x.view.cols ? x.view(i, j) : s8{0};
        },
        Zeros::allowed);
  }

  template <class L>
  Check verify(const GemmS8Stage<B, L>& s) const {
    if constexpr (std::is_same_v<L, RowMajor>) {
      const auto a = to_host(backend_, s.a), b = to_host(backend_, s.b);
      const auto acc = to_host(backend_, Matrix<const s32>(s.acc));
      return verify_gemm_s8(a.view, b.view, acc.view, seed_);
    } else {
      const LaidOut<s8, Col32> a(backend_, s.a);
      const LaidOut<s8, L> b(backend_, s.b);
      const LaidOut<s32, Col32> acc(backend_, Matrix<const s32, Col32>(s.acc));
      const auto rows_of_a = row_major(a.view), rows_of_b = row_major(b.view);
      const auto rows_of_acc = row_major(acc.view);
      const std::int64_t cols = (s.acc.cols + 31) / 32 * 32;
      std::int64_t spoiled = 0;
      for (std::int64_t i = 0; i < s.acc.rows; ++i) {
        for (std::int64_t j = s.acc.cols; j < cols; ++j) {
          spoiled += acc.view.data[acc.view.layout(i, j)] != 0;
        }
      }
      const Check product = verify_gemm_s8(rows_of_a.view, rows_of_b.view, rows_of_acc.view, seed_);
      if (spoiled == 0) return product;
      return merge({product, failure("bits", fmt::format("acc: {} elements of its padding are not "
                                                         "zero",
                                                         spoiled))});
    }
  }

  template <class U, class L>
  static HostMatrix<U> row_major(Matrix<const U, L> m) {
    HostMatrix<U> result;
    result.storage = std::make_shared_for_overwrite<U[]>(static_cast<std::size_t>(m.size()));
    const Matrix<U> out(result.storage.get(), m.rows, m.cols);
    parallel_for(m.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t j = 0; j < m.cols; ++j) out(i, j) = m(i, j);
      }
    });
    result.view = out;
    return result;
  }

  template <class L>
  Check verify(const DequantizeStage<T, L>& s) const {
    const LaidOut<s32, L> acc(backend_, s.acc);
    const auto row_scale = to_host(backend_, s.row_scale);
    const auto col_scale = to_host(backend_, s.col_scale);
    const auto bias = host(s.bias);
    const auto out = to_host(backend_, Matrix<const T>(s.out));
    const auto verify_rows = [&](Matrix<const s32> rows) {
      return verify_dequantize<T>(rows, {row_scale.view.data, s.row_scale.length},
                                  {col_scale.view.data, s.col_scale.length},
                                  {bias.view.data, s.bias.length}, out.view);
    };
    if constexpr (std::is_same_v<L, RowMajor>) {
      return verify_rows(acc.view);
    } else {
      return verify_rows(row_major(acc.view).view);
    }
  }

  Check verify(const GemmStage<B, T>& s) const {
    const HostOperand<T> a(backend_, s.a), b(backend_, s.b);
    const auto out = to_host(backend_, Matrix<const T>(s.out));
    if (s.bias.length == 0) return verify_gemm<T>(a.operand, b.operand, out.view, seed_);
    // [a, 1] . [b, bias]^T
    const auto bias = host(s.bias);
    const auto with_one = extended(a.operand, [](std::int64_t) { return T(1.0f); });
    const auto with_bias = extended(b.operand, [&](std::int64_t j) { return bias.view(0, j); });
    return verify_gemm<T>(with_one.view, with_bias.view, out.view, seed_);
  }

  template <class F>
  static HostMatrix<T> extended(const Operand<T>& m, const F& last) {
    HostMatrix<T> result;
    const std::int64_t cols = m.cols + 1;
    result.storage = std::make_shared_for_overwrite<T[]>(static_cast<std::size_t>(m.rows * cols));
    const Matrix<T> out(result.storage.get(), m.rows, cols);
    parallel_for(m.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t j = 0; j < m.cols; ++j) {
          out(i, j) = m.data[m.transposed ? j * m.ld + i : i * m.ld + j];
        }
        out(i, m.cols) = last(i);
      }
    });
    result.view = out;
    return result;
  }

  Check verify(const SortStage<T>& s) const {
    const StepList<T> from(backend_, s.by_row), to(backend_, s.by_column);
    if (to.count != from.count) {
      return failure("list", fmt::format("sorted list: it counts {} entries, but {} were sorted",
                                         to.count, from.count));
    }
    std::vector<std::int64_t> order(static_cast<std::size_t>(from.length));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t m, std::int64_t n) {
      return from.col.view(0, m) < from.col.view(0, n);
    });
    std::int64_t wrong = 0;
    for (std::int64_t n = 0; n < from.length; ++n) {
      wrong += to.entry(n) != from.entry(order[static_cast<std::size_t>(n)]);
    }
    return list_check("sorted list", from.length, wrong);
  }

  Check verify(const SpmmStage<T>& s) const {
    const StepList<T> list(backend_, s.outliers);
    const HostOperand<T> w(backend_, s.w);
    const Operand<T>& o = w.operand;
    return verify_addition(
        list, list.row.view, s.out.rows, s.out, [&](std::int64_t i, std::int64_t) { return i; },
        [&, o](std::int64_t n, std::int64_t, std::int64_t j) {
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

  /// out(i,j) is what was kept plus the fma chain over the entries of line_of(i, j), each times
  /// factor(entry, i, j).
  template <class Line, class Factor>
  Check verify_addition(const StepList<T>& list, Matrix<const s32> lines, std::int64_t line_count,
                        Matrix<T> out, const Line& line_of, const Factor& factor) const {
    const auto actual = to_host(backend_, Matrix<const T>(out));
    const auto before = to_host(backend_, Matrix<const T>(kept_->data(), out.rows, out.cols));
    const std::vector<std::int64_t> offsets = line_offsets(lines, line_count);
    return compare_bits(
        "sum with outliers", actual.view,
        [&](std::int64_t i, std::int64_t j) {
          if (list.overflowed()) return T(std::numeric_limits<float>::quiet_NaN());
          const auto line = static_cast<std::size_t>(line_of(i, j));
          if (offsets[line] == offsets[line + 1]) return before.view(i, j);
          float sum = 0;
          for (std::int64_t n = offsets[line]; n < offsets[line + 1]; ++n) {
            sum = std::fma(static_cast<float>(list.value.view(0, n)),
                           static_cast<float>(factor(n, i, j)), sum);
          }
          return T(static_cast<float>(before.view(i, j)) + sum);
        },
        list.overflowed() ? Zeros::allowed : Zeros::mistrusted);
  }

  Check verify(const ColumnSumStage<T>& s) const {
    return column_sums("sum of the rows", s.x, s.sum);
  }

  B backend_;
  std::uint64_t seed_;
  Matrix<T> kept_from_;
  std::optional<Buffer<B, T>> kept_;
};

}  // namespace octet::harness
