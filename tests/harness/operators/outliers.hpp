// quantize_row_col with a threshold, coo_to_csr, sort_by_column and extract_outliers: bit for bit
// what the reference says, lists that overflow included.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/description.hpp"
#include "harness/operators/quantize.hpp"
#include "harness/parallel.hpp"
#include "harness/verify_outliers.hpp"
#include "octet/outliers.hpp"

namespace octet::harness {

/// Room for a list of no entries, whatever x holds.
inline constexpr std::int64_t kNoRoom = std::numeric_limits<std::int64_t>::min() / 2;

inline OutlierMode mode_of(const Problem& p) {
  return p.outlier_columns ? OutlierMode::column : OutlierMode::element;
}

/// About one element in a thousand becomes an outlier of threshold 6, in seeded places.
template <class T>
void plant_outliers(Matrix<T> x, std::uint64_t seed) {
  constexpr std::uint64_t kApart = 1999;  // at the most
  std::uint64_t n = 0;
  const auto step = [&] { return static_cast<std::int64_t>(1 + word(seed, n++) % kApart); };
  for (std::int64_t at = step(); at < x.size(); at += step()) {
    const auto size = static_cast<float>(6 + n % 23);
    x(at / x.cols, at % x.cols) = T(n % 2 == 0 ? size : -size);
  }
}

/// Exactly at the threshold, just under it, NaN, Inf and both zeros in one column, beyond 515, a
/// row and a column of outliers alone, a row and a column of zeros.
template <class T>
void plant_special_outliers(Matrix<T> x, float threshold) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < x.cols; ++j) {
    x(4, j) = T(threshold * (j % 2 == 0 ? 2.0f : -3.0f));
    x(6, j) = T(0.0f);
  }
  for (std::int64_t i = 0; i < x.rows; ++i) {
    x(i, 10) = T(threshold + static_cast<float>(i));
    x(i, 12) = T(-0.0f);
  }
  x(0, 0) = T(threshold);
  x(0, 1) = T(-threshold);
  x(0, 2) = T(threshold * 0.99f);
  x(1, 3) = T(kNan);
  x(2, 12) = T(kInfinity);
  x(3, x.cols - 1) = T(-kInfinity);
  x(x.rows - 1, 0) = T(600.0f);
  x(x.rows - 1, x.cols - 1) = T(-65504.0f);
}

/// Sizes and thresholds that hurt, in both modes: nothing listed, everything, an empty list's
/// capacity, one entry too few.
inline std::vector<Problem> hostile_outliers() {
  std::vector<Problem> problems;
  const auto add = [&](Problem p, float threshold, bool columns, std::int64_t room,
                       std::string_view name) {
    p.threshold = threshold;
    p.outlier_columns = columns;
    p.list_room = room;
    p.name += fmt::format("_{}{}", columns ? "columns_" : "", name);
    problems.push_back(std::move(p));
  };
  for (const bool columns : {false, true}) {
    for (Problem p : hostile_matrices()) {
      // Gaussians end at 4.33: about 5 %, of columns a few.
      if (!p.special_values) add(p, columns ? 3.5f : 2.0f, columns, 3, "some");
      if (p.special_values) add(p, 6.0f, columns, 0, "exact");
    }
    Problem p;
    p.m = 131;
    p.n = 530;
    p.ld_padding = 6;
    p.name = "131x530_pad6";
    add(p, 1e-30f, columns, 0, "everything");
    add(p, std::numeric_limits<float>::infinity(), columns, 0, "nothing");
    add(p, 3.0f, columns, kNoRoom, "no_room");
    add(p, 3.0f, columns, -1, "one_too_few");
    p.special_values = true;
    add(p, 6.0f, columns, 1, "special");
    add(p, std::numeric_limits<float>::infinity(), columns, 0, "special_not_finite");
  }
  return problems;
}

/// The tensors of a model; of column mode those that a threshold is meant for, the activations.
inline std::vector<Problem> model_outliers() {
  std::vector<Problem> problems;
  for (const bool columns : {false, true}) {
    for (Problem p : model_matrices()) {
      if (columns && p.m != p.layer.tokens()) continue;
      p.threshold = 6.0f;
      p.outlier_columns = columns;
      p.list_room = 1000;
      if (columns) p.name += "_columns";
      problems.push_back(std::move(p));
    }
  }
  return problems;
}

/// A list in a backend's memory.
template <class B, class T>
struct ListTensors {
  ListTensors(B backend, Ledger& ledger, Role role, std::int64_t capacity)
      : row(backend, ledger, "list.row", role, 1, capacity),
        col(backend, ledger, "list.col", role, 1, capacity),
        value(backend, ledger, "list.value", role, 1, capacity),
        count(backend, ledger, "list.count", role, 1, 1) {}

  CooList<T> list(std::int64_t rows, std::int64_t cols) const {
    return {row.vector().data,
            col.vector().data,
            value.vector().data,
            row.vector().length,
            count.view().data,
            rows,
            cols};
  }
  /// Entries as far as there is room, and the count of all.
  void fill(const std::vector<reference::Entry<T>>& entries) {
    const auto each = [&](auto member) {
      return [&entries, member](auto host) {
        for (std::int64_t n = 0; n < host.cols; ++n) {
          if (n < static_cast<std::int64_t>(entries.size())) {
            host(0, n) = entries[static_cast<std::size_t>(n)].*member;
          }
        }
      };
    };
    row.fill(each(&reference::Entry<T>::row));
    col.fill(each(&reference::Entry<T>::col));
    value.fill(each(&reference::Entry<T>::value));
    count.fill(
        [&](Matrix<std::int64_t> host) { host(0, 0) = static_cast<std::int64_t>(entries.size()); });
  }
  /// What verify(HostList) says of the list on the host.
  template <class F>
  Check verify(const F& verify) const {
    const auto rows = row.host(), cols = col.host();
    const auto values = value.host();
    const auto counted = count.host();
    const auto vector = [](const auto& host) { return Vector{host.view.data, host.view.cols}; };
    return verify(HostList<T>{vector(rows), vector(cols), vector(values), counted.view(0, 0)});
  }

  Tensor<B, s32> row, col;
  Tensor<B, T> value;
  Tensor<B, std::int64_t> count;
};

/// Entries that a case's list has room for.
inline std::int64_t capacity_of(const Problem& p, std::size_t entries) {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(entries) + p.list_room);
}

template <class B, class T>
struct QuantizeOutliers : QuantizeRowCol<B, T> {
  static constexpr std::string_view kOperator = "quantize_row_col";
  static std::vector<Problem> problems() {
    if constexpr (std::is_same_v<T, f16>) {
      return concatenate(model_outliers(), hostile_outliers());
    } else {
      return hostile_outliers();
    }
  }
  static std::string_view data(const Problem& p) {
    if (p.special_values) return "gaussian with special values";
    if (p.size.empty()) return "gaussian";
    return p.outlier_columns ? "gaussian with outlier channels" : "gaussian, 0.1 % outliers";
  }

  QuantizeOutliers(B backend, const Problem& p, std::uint64_t seed)
      : QuantizeRowCol<B, T>(backend, without_special_values(p), seed),
        workspace(backend, this->ledger, "workspace", Role::output, 1,
                  quantize_row_col_workspace_bytes(p.m, p.n)) {
    this->problem = p;
    std::size_t entries = 0;
    this->x.fill([&](Matrix<T> host) {
      const bool channels = !p.size.empty() && p.outlier_columns;
      fill(host, channels ? Distribution::outlier_channels : Distribution::gaussian, 1.0f, seed);
      if (!p.size.empty() && !p.outlier_columns) plant_outliers(host, seed);
      if (p.special_values) {
        plant_special_outliers(host, std::isfinite(p.threshold) ? p.threshold : 6.0f);
      }
      entries = true_outliers(Matrix<const T>(host), p.threshold, mode_of(p)).size();
    });
    list.emplace(backend, this->ledger, Role::output, capacity_of(p, entries));
  }

  template <std::invocable<B, Matrix<const T>, float, OutlierMode, Matrix<s8>, Vector<float>,
                           Matrix<s8>, Vector<float>, CooList<T>, Vector<std::byte>>
                Op>
  void run(Op& op) {
    const Vector<s8> bytes = workspace.vector();
    op(this->backend, Matrix<const T>(this->x.view()), this->problem.threshold,
       mode_of(this->problem), this->q_row.view(), this->row_scale.vector(), this->q_col.view(),
       this->col_scale.vector(), list->list(this->problem.m, this->problem.n),
       Vector<std::byte>(reinterpret_cast<std::byte*>(bytes.data), bytes.length));
  }

  Check verify() {
    const auto x = this->x.host();
    const auto q_row = this->q_row.host(), q_col = this->q_col.host();
    const auto row_scale = this->row_scale.host(), col_scale = this->col_scale.host();
    return list->verify([&](const HostList<T>& actual) {
      return verify_quantize_outliers<T>(x.view, this->problem.threshold, mode_of(this->problem),
                                         q_row.view, {row_scale.view.data, row_scale.view.cols},
                                         q_col.view, {col_scale.view.data, col_scale.view.cols},
                                         actual);
    });
  }

  /// The same operator without a threshold.
  static Baseline baseline(B backend, const Problem& p, std::uint64_t seed, int sets) {
    using Undivided = QuantizeRowCol<B, T>;
    auto undivided = std::make_shared<std::vector<std::unique_ptr<Undivided>>>();
    Contender contender;
    for (int i = 0; i < sets; ++i) {
      undivided->push_back(std::make_unique<Undivided>(backend, without_special_values(p),
                                                       seed + static_cast<std::uint64_t>(i)));
      contender.calls.push_back([set = undivided->back().get()] {
        quantize_row_col<T>(set->backend, set->x.view(), set->q_row.view(), set->row_scale.vector(),
                            set->q_col.view(), set->col_scale.vector());
      });
    }
    return {"quantize_row_col without a threshold", "", std::move(contender), undivided};
  }

  Tensor<B, s8> workspace;
  std::optional<ListTensors<B, T>> list;

 private:
  static Problem without_special_values(Problem p) {
    p.special_values = false;
    return p;
  }
};

/// A list as quantize_row_col leaves it, and what it is made of.
template <class B, class T>
struct ListDescription : Description<B> {
  static constexpr Pipe kPipe = Pipe::none;
  static std::vector<Problem> problems() {
    std::vector<Problem> problems = hostile_outliers();
    std::erase_if(problems, [](const Problem& p) { return p.special_values || p.m > 10000; });
    return problems;
  }
  static std::string_view data(const Problem&) { return "outliers of a gaussian"; }

  ListDescription(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed) {
    std::vector<T> storage(static_cast<std::size_t>(p.m * p.n));
    const Matrix<T> x(storage.data(), p.m, p.n);
    harness::fill(x, Distribution::gaussian, 1.0f, seed);
    entries = true_outliers(Matrix<const T>(x), p.threshold, mode_of(p));
    list.emplace(backend, this->ledger, Role::input, capacity());
    list->fill(entries);
  }

  std::int64_t capacity() const { return capacity_of(this->problem, entries.size()); }
  bool overflows() const { return static_cast<std::int64_t>(entries.size()) > capacity(); }
  CooList<T> coo() const { return list->list(this->problem.m, this->problem.n); }

  std::vector<reference::Entry<T>> entries;
  std::optional<ListTensors<B, T>> list;
};

template <class B, class T>
struct CooToCsr : ListDescription<B, T> {
  static constexpr std::string_view kOperator = "coo_to_csr";

  CooToCsr(B backend, const Problem& p, std::uint64_t seed)
      : ListDescription<B, T>(backend, p, seed),
        row_offsets(backend, this->ledger, "row_offsets", Role::output, 1, p.m + 1) {}

  template <std::invocable<B, const CooList<T>&, Vector<std::int64_t>> Op>
  void run(Op& op) {
    op(this->backend, this->coo(), row_offsets.vector());
  }

  Check verify() {
    const auto actual = row_offsets.host();
    std::vector<std::int64_t> expected(static_cast<std::size_t>(actual.view.cols), -1);
    for (std::size_t i = 0; i < expected.size() && !this->overflows(); ++i) {
      expected[i] = reference::first_of_row(this->entries, static_cast<std::int64_t>(i));
    }
    Check check;
    check.kind = "bits";
    check.exact = true;
    check.compared = actual.view.cols;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::int64_t found = actual.view(0, static_cast<std::int64_t>(i));
      if (found == expected[i]) continue;
      check.passed = false;
      check.status = "FAILED";
      if (check.mismatches++ == 0) {
        check.message = fmt::format(
            "row_offsets: elements differ, the first is {}: expected {}, "
            "actual {}",
            i, expected[i], found);
      }
    }
    return check;
  }

  Cost cost() const {
    return {static_cast<double>(this->entries.size()) * sizeof(s32) +
                static_cast<double>(this->problem.m + 1) * sizeof(std::int64_t),
            0};
  }

  Tensor<B, std::int64_t> row_offsets;
};

template <class B, class T>
struct SortByColumn : ListDescription<B, T> {
  static constexpr std::string_view kOperator = "sort_by_column";
  static constexpr std::int64_t kMoreRoom = 5;  // in the sorted list

  SortByColumn(B backend, const Problem& p, std::uint64_t seed)
      : ListDescription<B, T>(backend, p, seed),
        by_column(backend, this->ledger, Role::output, this->capacity() + kMoreRoom),
        workspace(backend, this->ledger, "workspace", Role::output, 1,
                  sort_by_column_workspace_bytes(backend, this->capacity())) {}

  template <std::invocable<B, const CooList<T>&, const CooList<T>&, Vector<std::byte>> Op>
  void run(Op& op) {
    const Vector<s8> bytes = workspace.vector();
    op(this->backend, this->coo(), by_column.list(this->problem.m, this->problem.n),
       Vector<std::byte>(reinterpret_cast<std::byte*>(bytes.data), bytes.length));
  }

  Check verify() {
    return by_column.verify([&](HostList<T> actual) {
      // What the input had no room for cannot be sorted, whatever room the output has.
      if (this->overflows()) actual.value.length = this->capacity();
      return verify_list<T>(actual, reference::sorted_by_column(this->entries));
    });
  }

  Cost cost() const {
    return {static_cast<double>(this->entries.size()) * 2 * (2 * sizeof(s32) + sizeof(T)), 0};
  }

  ListTensors<B, T> by_column;
  Tensor<B, s8> workspace;
};

/// T in layout L; a Tensor of one row holds the layout's bytes.
template <class B, class T, class L>
struct ExtractOutliers : Description<B> {
  static constexpr std::string_view kOperator = "extract_outliers";
  static constexpr Pipe kPipe = Pipe::none;
  static std::vector<Problem> problems() {
    std::vector<Problem> problems = hostile_matrices();
    std::erase_if(problems, [](const Problem& p) { return p.special_values; });
    return problems;
  }
  static std::string_view data(const Problem&) { return "uniform bits, columns in any order"; }

  ExtractOutliers(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        layout(padded(L::packed(p.m, p.n), p.ld_padding)),
        w(backend, this->ledger, "w", Role::input, 1, layout.capacity(p.m, p.n)),
        columns(backend, this->ledger, "columns", Role::input, 1, std::min<std::int64_t>(p.n, 97)),
        out(backend, this->ledger, "out", Role::output, p.m, columns.vector().length,
            p.ld_padding) {
    w.fill([&](Matrix<T> host) {
      parallel_for(host.cols, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          host(0, i) = value(word(seed, static_cast<std::uint64_t>(i)));
        }
      });
    });
    // Neighbours, repetitions, what a padded list holds, and what is out of range.
    columns.fill([&](Matrix<s32> host) {
      for (std::int64_t j = 0; j < host.cols; ++j) {
        const std::uint64_t random = word(seed + 1, static_cast<std::uint64_t>(j));
        host(0, j) = static_cast<s32>(random % static_cast<std::uint64_t>(p.n));
        if (j % 7 == 3) host(0, j) = -1;
        if (j % 31 == 30) host(0, j) = static_cast<s32>(p.n);
        if (j % 5 == 4) host(0, j) = host(0, j - 1);
      }
    });
  }

  template <std::invocable<B, Matrix<const T, L>, Vector<const s32>, Matrix<T>> Op>
  void run(Op& op) {
    op(this->backend, view(), Vector<const s32>(columns.vector()), out.view());
  }

  Check verify() {
    const auto w = this->w.host();
    const auto columns = this->columns.host();
    const auto out = this->out.host();
    const Matrix<const T, L> laid_out(w.view.data, this->problem.m, this->problem.n, layout);
    return compare_bits("out", out.view, [&](std::int64_t i, std::int64_t j) {
      const s32 col = columns.view(0, j);
      return col < 0 || col >= this->problem.n ? T{} : laid_out(i, col);
    });
  }

  /// Each element once in and once out, and the columns' numbers.
  Cost cost() const {
    const auto size = static_cast<double>(out.view().size());
    return {size * 2 * sizeof(T) + static_cast<double>(columns.vector().length) * sizeof(s32), 0};
  }

  L layout;
  Tensor<B, T> w;
  Tensor<B, s32> columns;
  Tensor<B, T> out;

 private:
  Matrix<const T, L> view() const {
    return {w.view().data, this->problem.m, this->problem.n, layout};
  }
  static RowMajor padded(RowMajor l, std::int64_t padding) { return {l.ld + padding}; }
  static ColMajor padded(ColMajor l, std::int64_t padding) { return {l.ld + padding}; }
  template <class Tiled>
  static Tiled padded(Tiled l, std::int64_t) {
    return l;
  }
  static T value(std::uint64_t random) {
    if constexpr (std::is_same_v<T, s8>) {
      return static_cast<s8>(random);
    } else {
      return T(static_cast<float>(static_cast<s8>(random)));
    }
  }
};

template <class B, class T>
using ExtractOutliersRow = ExtractOutliers<B, T, RowMajor>;
template <class B, class T>
using ExtractOutliersCol = ExtractOutliers<B, T, ColMajor>;
template <class B, class T>
using ExtractOutliersCol32 = ExtractOutliers<B, T, Col32>;
template <class B, class T>
using ExtractOutliersCol4_4R2_8C = ExtractOutliers<B, T, Col4_4R2_8C>;
template <class B, class T>
using ExtractOutliersCol32_2R_4R4 = ExtractOutliers<B, T, Col32_2R_4R4>;

}  // namespace octet::harness
