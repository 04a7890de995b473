// gemm_s8 in the tiled orders: a and d in Col32, b in L, held to the same truth as the row-major
// product, and the padding of d to zero.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/host_array.hpp"
#include "harness/operators/gemm.hpp"
#include "harness/parallel.hpp"
#include "octet/layout.hpp"

namespace octet::harness {

/// Calls use(j, offset of (i, j)) for the columns [0, cols) of row i: what lies where in a panel of
/// 32 columns is the same in all of them.
template <class L, class Use>
void for_each_offset(const L& layout, std::int64_t i, std::int64_t cols, const Use& use) {
  constexpr std::int64_t kPanel = 32;
  std::array<std::int64_t, kPanel> in_panel;
  for (std::int64_t n = 0; n < kPanel; ++n) {
    in_panel[static_cast<std::size_t>(n)] = layout(i, n) - layout(i, 0);
  }
  for (std::int64_t j = 0; j < cols; j += kPanel) {
    const std::int64_t panel = layout(i, j), count = std::min(kPanel, cols - j);
    for (std::int64_t n = 0; n < count; ++n) {
      use(j + n, panel + in_panel[static_cast<std::size_t>(n)]);
    }
  }
}

/// A tensor in a tiled layout: a line for each panel of 32 columns. `ld_padding` adds rows to the
/// panels that belong to no matrix, and are guarded as other padding is.
template <class B, class T, class L>
struct TiledTensor {
  TiledTensor(B backend, Ledger& ledger, std::string name, Role role, std::int64_t rows,
              std::int64_t cols, std::int64_t ld_padding)
      : rows(rows),
        cols(cols),
        panel_rows(L::packed(rows, cols).capacity(rows, 32) / 32),
        // 32 rows are whole tiles of every order.
        extra_rows(std::is_same_v<L, Col32> ? ld_padding : 32 * ld_padding),
        tensor(backend, ledger, std::move(name), role, rows == 0 ? 0 : (cols + 31) / 32,
               32 * panel_rows, 32 * extra_rows) {}

  Matrix<T, L> view() const { return {tensor.view().data, rows, cols, layout()}; }
  Matrix<const T, L> of(const HostMatrix<T>& host) const {
    return {host.view.data, rows, cols, layout()};
  }
  L layout() const { return L{panel_rows + extra_rows}; }

  /// Writes an input through `fill`, which gets a row-major host matrix; padding becomes zero.
  template <class F>
  void fill(const F& fill) {
    const std::shared_ptr<T[]> packed = host_array<T>(rows * cols);
    const Matrix<T> from(packed.get(), rows, cols);
    fill(from);
    tensor.fill([&](Matrix<T> panels) {
      parallel_for(panels.rows, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          std::fill_n(panels.data + panels.layout(i, 0), panels.cols, T{});
        }
      });
      parallel_for(rows, 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const T* const row = &from(i, 0);
          for_each_offset(layout(), i, cols, [&](std::int64_t j, std::int64_t offset) {
            panels.data[offset] = row[j];
          });
        }
      });
    });
  }

  std::int64_t rows, cols, panel_rows, extra_rows;
  Tensor<B, T> tensor;
};

/// A matrix in any layout as a row-major one.
template <class T>
struct Unpacked {
  std::shared_ptr<T[]> storage;
  Matrix<const T> view;

  template <class L>
  explicit Unpacked(Matrix<const T, L> m) : storage(host_array<T>(m.size())) {
    const Matrix<T> to(storage.get(), m.rows, m.cols);
    parallel_for(m.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T* const row = &to(i, 0);
        for_each_offset(m.layout, i, m.cols,
                        [&](std::int64_t j, std::int64_t offset) { row[j] = m.data[offset]; });
      }
    });
    view = to;
  }
};

/// The columns that pad the last panel hold zero.
template <class T>
Check verify_padding(std::string_view what, Matrix<const T, Col32> m) {
  const std::int64_t padding = (m.cols + 31) / 32 * 32 - m.cols;
  std::vector<T> found;
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < padding; ++j) found.push_back(m(i, m.cols + j));
  }
  return compare_bits(
      what, Matrix<const T>(found.data(), m.rows, padding),
      [](std::int64_t, std::int64_t) { return T{}; }, Zeros::allowed);
}

/// A CPU's time is for one of the models' products.
template <class B>
std::vector<Problem> tiled_problems() {
  std::vector<Problem> problems =
      concatenate(model_products(/*distinct_shapes=*/true), hostile_products());
  if constexpr (std::is_same_v<B, Cpu>) {
    std::erase_if(problems, [](const Problem& p) { return p.product && p.name != "4k_fc2_fprop"; });
  }
  return problems;
}

template <class B, class L>
struct TiledInt8Operands : Description<B> {
  static std::string_view layout() { return L::kName; }
  static std::string_view data(const Problem& p) { return int8_data(p); }

  TiledInt8Operands(B backend, const Problem& p, std::uint64_t seed)
      : Description<B>(backend, p, seed),
        a(backend, this->ledger, "a", Role::input, p.m, p.k, p.ld_padding),
        b(backend, this->ledger, "b", Role::input, p.n, p.k, p.ld_padding) {
    fill_int8_operands(p, seed, a, b);
  }

  static Baseline baseline(B backend, const Problem& p, std::uint64_t seed, int sets) {
    return f16_product(backend, p, seed, sets);
  }

  Check verify_accumulators(Matrix<const s32> d) {
    const auto host_a = a.tensor.host(), host_b = b.tensor.host();
    return verify_gemm_s8(Unpacked<s8>(a.of(host_a)).view, Unpacked<s8>(b.of(host_b)).view, d,
                          this->seed);
  }

  TiledTensor<B, s8, Col32> a;
  TiledTensor<B, s8, L> b;
};

template <class B, class L>
struct GemmS8Tiled : TiledInt8Operands<B, L> {
  static constexpr std::string_view kOperator = "gemm_s8";
  static constexpr Pipe kPipe = Pipe::s8;
  static std::vector<Problem> problems() { return tiled_problems<B>(); }

  GemmS8Tiled(B backend, const Problem& p, std::uint64_t seed)
      : TiledInt8Operands<B, L>(backend, p, seed),
        d(backend, this->ledger, "d", Role::output, p.m, p.n, p.ld_padding) {}

  template <std::invocable<B, Matrix<const s8, Col32>, Matrix<const s8, L>, Matrix<s32, Col32>> Op>
  void run(Op& op) {
    op(this->backend, Matrix<const s8, Col32>(this->a.view()), Matrix<const s8, L>(this->b.view()),
       d.view());
  }

  Check verify() {
    const auto host = d.tensor.host();
    return merge({this->verify_accumulators(Unpacked<s32>(d.of(host)).view),
                  verify_padding<s32>("d's padding", d.of(host))});
  }

  Cost cost() const { return product_cost(this->problem, sizeof(s8), sizeof(s32)); }

  TiledTensor<B, s32, Col32> d;
};

template <class B, class>
using GemmS8ColTuring = GemmS8Tiled<B, Col4_4R2_8C>;
template <class B, class>
using GemmS8ColAmpere = GemmS8Tiled<B, Col32_2R_4R4>;

}  // namespace octet::harness
