// spmm_coo with 16-bit weights in either direction and with int8 weights, and spmm_coo_transposed:
// bit for bit what the reference says.
//
// An output is added to, so every run begins with a copy of what it was before; launches that are
// timed pile up (harness/verify_spmm.hpp). A list has room for more entries than it holds, and what
// lies there is poison.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/cuda/spmm_cusparse.hpp"
#include "harness/description.hpp"
#include "harness/parallel.hpp"
#include "harness/verify_spmm.hpp"
#include "octet/outliers.hpp"
#include "reference/spmm.hpp"

namespace octet::harness {

/// A list's places on the host, in its order.
struct Places {
  std::vector<s32> row, col;
  std::int64_t size() const { return static_cast<std::int64_t>(row.size()); }
};

/// Sorted by row and then column, or the other way round; no place twice.
inline Places make_places(const Problem& p, std::int64_t rows, std::int64_t cols, bool by_column,
                          std::uint64_t seed) {
  const std::uint64_t one_in = p.size.empty() ? 30 : 1000;
  const auto is_listed = [&](std::int64_t i, std::int64_t j) {
    switch (p.entries) {
      case Entries::none:
        return false;
      case Entries::columns:
        return j == cols / 2 || word(seed, static_cast<std::uint64_t>(j)) % 600 == 0;
      case Entries::full_row:
        if (i == rows / 2) return true;
        break;
      case Entries::scattered:
      case Entries::overflow:
        break;
    }
    return word(seed, static_cast<std::uint64_t>(i * cols + j)) % one_in == 0;
  };
  const std::int64_t lines = by_column ? cols : rows, length = by_column ? rows : cols;
  const std::int64_t lines_of_part =
      std::max<std::int64_t>(1, (1 << 16) / std::max<std::int64_t>(1, length));
  const std::int64_t count = (lines + lines_of_part - 1) / lines_of_part;
  std::vector<Places> parts(static_cast<std::size_t>(count));
  parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      Places& part = parts[static_cast<std::size_t>(n)];
      const std::int64_t last = std::min(lines, (n + 1) * lines_of_part);
      for (std::int64_t outer = n * lines_of_part; outer < last; ++outer) {
        for (std::int64_t inner = 0; inner < length; ++inner) {
          const std::int64_t i = by_column ? inner : outer, j = by_column ? outer : inner;
          if (!is_listed(i, j)) continue;
          part.row.push_back(static_cast<s32>(i));
          part.col.push_back(static_cast<s32>(j));
        }
      }
    }
  });
  Places all;
  for (const Places& part : parts) {
    all.row.insert(all.row.end(), part.row.begin(), part.row.end());
    all.col.insert(all.col.end(), part.col.begin(), part.col.end());
  }
  return all;
}

/// bf16 takes the same way through every kernel as f16: the models' sizes are f16's.
template <class T>
std::vector<Problem> without_models_unless_f16(std::vector<Problem> problems) {
  if (!std::is_same_v<T, f16>) {
    std::erase_if(problems, [](const Problem& p) { return !p.size.empty(); });
  }
  return problems;
}

/// out[m,n], added to, and a list of entries of a matrix [rows, cols].
template <class B, class T>
struct SpmmBase : Description<B> {
  static constexpr Pipe kPipe = Pipe::none;
  static std::string_view data(const Problem& p) {
    return p.special_values ? "gaussian, outliers, special values" : "gaussian, outliers";
  }

  SpmmBase(B backend, const Problem& p, std::uint64_t seed, std::int64_t rows, std::int64_t cols,
           bool by_column)
      : Description<B>(backend, p, seed),
        list_rows(rows),
        list_cols(cols),
        places(make_places(p, rows, cols, by_column, seed + 1)),
        capacity(p.entries == Entries::overflow ? places.size() : places.size() + kRoom),
        row(backend, this->ledger, "row", Role::input, 1, capacity),
        col(backend, this->ledger, "col", Role::input, 1, capacity),
        value(backend, this->ledger, "value", Role::input, 1, capacity),
        count(backend, this->ledger, "count", Role::input, 1, 1),
        before(backend, this->ledger, "before", Role::input, p.m, p.n, p.ld_padding),
        out(backend, this->ledger, "out", Role::output, p.m, p.n, p.ld_padding) {
    row.fill([&](Matrix<s32> host) { fill_indices(host, places.row); });
    col.fill([&](Matrix<s32> host) { fill_indices(host, places.col); });
    value.fill([&](Matrix<T> host) {
      // Between 6 and 20: what a threshold of 6 sets apart.
      fill(host, Distribution::gaussian, 2.0f, seed + 2);
      for (std::int64_t e = 0; e < host.cols; ++e) {
        const float x = static_cast<float>(host(0, e));
        host(0, e) = T(e < places.size() ? x + std::copysign(6.0f, x) : kNan);
      }
      if (p.special_values) {
        host(0, 3) = T(kNan);
        host(0, 7) = T(std::numeric_limits<float>::infinity());
        host(0, 11) = T(0.0f);
      }
    });
    count.fill([&](Matrix<std::int64_t> host) {
      host(0, 0) = p.entries == Entries::overflow ? capacity + 1 : places.size();
    });
    before.fill([&](Matrix<T> host) {
      fill(host, Distribution::gaussian, 1.0f, seed + 3);
      if (!p.special_values) return;
      for (std::int64_t j = 0; j < host.cols; ++j) host(j % host.rows, j) = T(-0.0f);
      host(2, 3) = T(kNan);
      host(4, 5) = T(-std::numeric_limits<float>::infinity());
    });
    this->ledger.add({"out's content", Role::output, 0, [this](unsigned char byte) { begin(byte); },
                      [] { return std::nullopt; }});
  }

  CooList<T> list() const {
    return {row.view().data,   col.view().data, value.view().data, capacity,
            count.view().data, list_rows,       list_cols};
  }

  /// weight(e, i, j) is what entry e of out(i, j)'s chain is multiplied with, add(j, out, sum) one
  /// addition. The chain's entries are those whose key is i, or j in a list by column.
  template <class Weight, class Add>
  Check verify_chains(bool by_column, const Weight& weight, const Add& add) {
    const auto before = this->before.host(), out = this->out.host();
    const auto value = this->value.host();
    const std::vector<s32>& keys = by_column ? places.col : places.row;
    std::vector<std::int64_t> first(static_cast<std::size_t>(by_column ? list_cols : list_rows) +
                                    1);
    for (const s32 key : keys) ++first[static_cast<std::size_t>(key) + 1];
    for (std::size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
    const bool has_overflowed = this->problem.entries == Entries::overflow;
    const auto next = [&](std::int64_t i, std::int64_t j) {
      const auto key = static_cast<std::size_t>(by_column ? j : i);
      const std::int64_t begin = has_overflowed ? 0 : first[key];
      const std::int64_t end = has_overflowed ? 0 : first[key + 1];
      const float sum = reference::spmm_chain(
          begin, end, [&](std::int64_t e) { return static_cast<float>(value.view(0, e)); },
          [&](std::int64_t e) { return weight(e, i, j); });
      return [=, &add](T x) {
        if (has_overflowed) return T(kNan);
        return begin == end ? x : add(j, x, sum);
      };
    };
    const bool is_counted = std::is_same_v<B, Cpu> || poison_ == kFirstPoison;
    return verify_additions<T>(
        "out", before.view, out.view, is_counted ? std::optional<std::int64_t>(runs) : std::nullopt,
        this->seed + 4, next, has_overflowed ? Zeros::allowed : Zeros::mistrusted);
  }

  /// The output read and written where it is added to, and the list.
  double bytes_of_output(bool by_column) const {
    std::int64_t lines = 0;
    s32 last = -1;
    for (const s32 key : by_column ? places.col : places.row) {
      lines += key != last;
      last = key;
    }
    const auto other = static_cast<double>(by_column ? this->problem.m : this->problem.n);
    return static_cast<double>(lines) * other * 2 * sizeof(T) +
           static_cast<double>(places.size()) * (2 * sizeof(s32) + sizeof(T));
  }
  double operations(bool by_column) const {
    return 2.0 * static_cast<double>(places.size()) *
           static_cast<double>(by_column ? this->problem.m : this->problem.n);
  }
  /// Different columns (rows) that the entries have.
  double distinct(const std::vector<s32>& indices, std::int64_t extent) const {
    std::vector<bool> is_used(static_cast<std::size_t>(extent));
    double used = 0;
    for (const s32 i : indices) {
      used += !is_used[static_cast<std::size_t>(i)];
      is_used[static_cast<std::size_t>(i)] = true;
    }
    return used;
  }

  std::int64_t list_rows, list_cols;
  Places places;
  std::int64_t capacity;
  Tensor<B, s32> row, col;
  Tensor<B, T> value;
  Tensor<B, std::int64_t> count;
  Tensor<B, T> before, out;
  std::int64_t runs = 0;  // since the output was last brought back; captured runs count once

 private:
  static constexpr std::int64_t kRoom = 13;
  static constexpr unsigned char kFirstPoison = 0xa5;  // run_case's before its one run
  static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

  static void fill_indices(Matrix<s32> host, const std::vector<s32>& indices) {
    for (std::int64_t e = 0; e < host.cols; ++e) {
      const auto at = static_cast<std::size_t>(e);
      host(0, e) = at < indices.size() ? indices[at] : -1;
    }
  }

  /// After the output was poisoned: its elements are what they were before the first run.
  void begin(unsigned char poison) {
    poison_ = poison;
    runs = 0;
    const Matrix<T> from = before.view(), to = out.view();
    const std::size_t bytes = static_cast<std::size_t>(to.capacity()) * sizeof(T);
    if (to.empty()) return;
    if (this->problem.ld_padding == 0) {
      copy(this->backend, to.data, from.data, bytes);
      return;
    }
    // In one copy: a tool that watches each of them takes minutes for one of every row.
    const auto rows = before.host();
    std::vector<T> content(static_cast<std::size_t>(to.capacity()));
    std::memset(content.data(), poison, bytes);
    for (std::int64_t i = 0; i < to.rows; ++i) {
      std::copy_n(rows.view.data + rows.view.layout(i, 0), to.cols,
                  content.data() + to.layout(i, 0));
    }
    copy_from_host(this->backend, to.data, content.data(), bytes);
  }

  unsigned char poison_ = kFirstPoison;
};

/// out[m,n] += list[m,k] . w[n,k]^T, w lying either way.
template <class B, class T, bool kIsTransposed>
struct SpmmCooFrom : SpmmBase<B, T> {
  static constexpr std::string_view kOperator = "spmm_coo";
  static std::vector<Problem> problems() { return without_models_unless_f16<T>(list_products()); }

  SpmmCooFrom(B backend, const Problem& p, std::uint64_t seed)
      : SpmmBase<B, T>(backend, p, seed, p.m, p.k, false),
        w(backend, this->ledger, "w", Role::input, kIsTransposed ? p.k : p.n,
          kIsTransposed ? p.n : p.k, p.ld_padding) {
    w.fill([&](Matrix<T> host) {
      fill(host, Distribution::gaussian, 0.02f, seed + 5);
      if (p.special_values) host(1, 1) = T(std::numeric_limits<float>::infinity());
    });
  }

  template <std::invocable<B, CooList<T>, Operand<T>, Matrix<T>> Op>
  void run(Op& op) {
    ++this->runs;
    op(this->backend, this->list(), operand(w.view()), this->out.view());
  }

  Check verify() {
    const auto w = this->w.host();
    return this->verify_chains(
        false,
        [&](std::int64_t e, std::int64_t, std::int64_t j) {
          const std::int64_t k = this->places.col[static_cast<std::size_t>(e)];
          return static_cast<float>(kIsTransposed ? w.view(k, j) : w.view(j, k));
        },
        [](std::int64_t, T x, float sum) { return reference::spmm_add(x, sum); });
  }

  /// The weights in use, by sectors of 32 bytes where K is contiguous.
  Cost cost() const {
    return {this->bytes_of_output(false) + weight_bytes(), this->operations(false)};
  }

  /// cuSPARSE's product of the same list, which adds to an output of its own.
  static Baseline baseline(B backend, const Problem& p, std::uint64_t seed, int sets) {
    if (!p.product) return {};
    const auto keeps = std::make_shared<std::vector<std::unique_ptr<SpmmCooFrom>>>();
    Baseline baseline{"cusparseSpMM", "", {}, keeps};
    for (int i = 0; i < sets; ++i) {
      keeps->push_back(
          std::make_unique<SpmmCooFrom>(backend, p, seed + static_cast<std::uint64_t>(i)));
      const SpmmCooFrom& set = *keeps->back();
      const Matrix<T> w = set.w.view(), out = set.out.view();
      CusparseCall call =
          cusparse_spmm(backend, {kDType<T>, p.m, p.n, p.k, set.row.view().data,
                                  set.col.view().data, set.value.view().data, set.places.size(),
                                  w.data, w.layout.ld, kIsTransposed, out.data, out.layout.ld});
      if (!call.run) return {};
      baseline.algorithm = call.algorithm;
      baseline.contender.calls.push_back(std::move(call.run));
    }
    return baseline;
  }

  Tensor<B, T> w;

 private:
  static Operand<T> operand(Matrix<T> w) {
    if constexpr (kIsTransposed) {
      return Operand<T>(transposed(Matrix<const T>(w)));
    } else {
      return Operand<T>(Matrix<const T>(w));
    }
  }
  double weight_bytes() const {
    constexpr int kSectorElements = kIsTransposed ? 1 : 32 / static_cast<int>(sizeof(T));
    std::vector<s32> sectors = this->places.col;
    for (s32& s : sectors) s /= kSectorElements;
    return this->distinct(sectors, this->list_cols) * kSectorElements * sizeof(T) *
           static_cast<double>(this->problem.n);
  }
};

template <class B, class T>
struct SpmmCoo : SpmmCooFrom<B, T, false> {
  using SpmmCooFrom<B, T, false>::SpmmCooFrom;
};
template <class B, class T>
struct SpmmCooColMajor : SpmmCooFrom<B, T, true> {
  using SpmmCooFrom<B, T, true>::SpmmCooFrom;
  static constexpr std::string_view kOperator = "spmm_coo_col_major";
};

/// The same with w in int8 and a scale for each of its rows.
template <class B, class T>
struct SpmmCooS8 : SpmmBase<B, T> {
  static constexpr std::string_view kOperator = "spmm_coo_s8";
  static std::vector<Problem> problems() { return without_models_unless_f16<T>(list_products()); }

  SpmmCooS8(B backend, const Problem& p, std::uint64_t seed)
      : SpmmBase<B, T>(backend, p, seed, p.m, p.k, false),
        w(backend, this->ledger, "w", Role::input, p.n, p.k, p.ld_padding),
        w_scale(backend, this->ledger, "w_scale", Role::input, 1, p.n) {
    w.fill([&](Matrix<s8> host) { fill_s8_uniform(host, seed + 5); });
    w_scale.fill([&](Matrix<float> host) {
      fill(host, Distribution::gaussian, 5e-4f, seed + 6);
      if (!p.special_values) return;
      host(0, 1) = 0.0f;
      host(0, 6) = std::numeric_limits<float>::quiet_NaN();
    });
  }

  template <std::invocable<B, CooList<T>, Matrix<const s8>, Vector<const float>, Matrix<T>> Op>
  void run(Op& op) {
    ++this->runs;
    op(this->backend, this->list(), Matrix<const s8>(w.view()),
       Vector<const float>(w_scale.vector()), this->out.view());
  }

  Check verify() {
    const auto w = this->w.host();
    const auto w_scale = this->w_scale.host();
    return this->verify_chains(
        false,
        [&](std::int64_t e, std::int64_t, std::int64_t j) {
          return static_cast<float>(w.view(j, this->places.col[static_cast<std::size_t>(e)]));
        },
        [&](std::int64_t j, T x, float sum) {
          return reference::spmm_add(x, sum, w_scale.view(0, j));
        });
  }

  Cost cost() const {
    constexpr int kSectorElements = 32;
    std::vector<s32> sectors = this->places.col;
    for (s32& s : sectors) s /= kSectorElements;
    const auto n = static_cast<double>(this->problem.n);
    return {this->bytes_of_output(false) +
                this->distinct(sectors, this->list_cols) * kSectorElements * n + n * sizeof(float),
            this->operations(false)};
  }

  Tensor<B, s8> w;
  Tensor<B, float> w_scale;
};

/// out[m,n] += x[k,m]^T . list[k,n], the list by column.
template <class B, class T>
struct SpmmCooTransposed : SpmmBase<B, T> {
  static constexpr std::string_view kOperator = "spmm_coo_transposed";
  static std::vector<Problem> problems() {
    return without_models_unless_f16<T>(transposed_list_products());
  }

  SpmmCooTransposed(B backend, const Problem& p, std::uint64_t seed)
      : SpmmBase<B, T>(backend, p, seed, p.k, p.n, true),
        x(backend, this->ledger, "x", Role::input, p.k, p.m, p.ld_padding) {
    x.fill([&](Matrix<T> host) {
      fill(host, Distribution::gaussian, 0.02f, seed + 5);
      if (p.special_values) host(1, 1) = T(std::numeric_limits<float>::infinity());
    });
  }

  template <std::invocable<B, Matrix<const T>, CooList<T>, Matrix<T>> Op>
  void run(Op& op) {
    ++this->runs;
    op(this->backend, Matrix<const T>(x.view()), this->list(), this->out.view());
  }

  Check verify() {
    const auto x = this->x.host();
    return this->verify_chains(
        true,
        [&](std::int64_t e, std::int64_t i, std::int64_t) {
          return static_cast<float>(x.view(this->places.row[static_cast<std::size_t>(e)], i));
        },
        [](std::int64_t, T y, float sum) { return reference::spmm_add(y, sum); });
  }

  Cost cost() const {
    return {this->bytes_of_output(true) + this->distinct(this->places.row, this->list_rows) *
                                              static_cast<double>(this->problem.m) * sizeof(T),
            this->operations(true)};
  }

  Tensor<B, T> x;
};

}  // namespace octet::harness
