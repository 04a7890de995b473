// Every operator on random problems: any shape, leading dimension, layout, alignment, type and data
// that its contract allows, each result held to tests/reference by the harness's verify functions.
//
//   OCTET_PROPERTIES=N   trials of the whole program, shared among the operators (10000)
//   OCTET_PROPERTY=I     trial I alone, as the line that a failure prints has it
//
// With OCTET_SEED another seed gives other trials. What a trial is does not depend on the backend.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "harness/operators/gemm_tiled.hpp"
#include "harness/property.hpp"
#include "harness/test_run.hpp"
#include "harness/verify.hpp"
#include "harness/verify_outliers.hpp"
#include "harness/verify_spmm.hpp"
#include "octet/column_sum.hpp"
#include "octet/dequantize.hpp"
#include "octet/outliers.hpp"
#include "octet/quantize.hpp"
#include "octet/scaled_gemm.hpp"
#include "octet/transform.hpp"
#include "reference/gemm.hpp"
#include "reference/spmm.hpp"

namespace octet::harness {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// f(T{}) for one of the types.
template <class... Ts, class F>
auto with_type(Draw& draw, const F& f) {
  using Result = std::common_type_t<decltype(f(Ts{}))...>;
  const std::int64_t chosen = draw.below(sizeof...(Ts));
  std::optional<Result> result;
  std::int64_t n = 0;
  ((n++ == chosen ? void(result = f(Ts{})) : void()), ...);
  return *std::move(result);
}

/// The leading dimension of `lines` lines: where there is one alone it may be anything.
std::int64_t leading_dimension(Draw& draw, std::int64_t lines, std::int64_t line) {
  if (lines == 1 && draw.once_in(3)) return draw.below(line + 1);
  return line + draw.padding(line);
}

/// A matrix with a leading dimension and an alignment of its own.
template <class T>
Placed<T> matrix(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols) {
  return arena.place<T>(rows, cols, RowMajor{leading_dimension(draw, rows, cols)},
                        draw.once_in(3) ? draw.below(16) : 0);
}
template <class T>
Placed<T> vector(Draw& draw, Arena& arena, std::int64_t length) {
  return arena.place_vector<T>(length, draw.once_in(3) ? draw.below(8) : 0);
}
template <class T>
Placed<T> output(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols) {
  const Placed<T> placed = matrix<T>(draw, arena, rows, cols);
  arena.allow(placed);
  return placed;
}
template <class T>
Placed<T> output_vector(Draw& draw, Arena& arena, std::int64_t length) {
  const Placed<T> placed = vector<T>(draw, arena, length);
  arena.allow(placed);
  return placed;
}

template <class T>
Placed<T> values(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols) {
  const Placed<T> placed = matrix<T>(draw, arena, rows, cols);
  const auto scale = static_cast<float>(std::exp2(draw.below(25) - 12));
  fill_values(draw, placed.in(arena.data()), any_values(draw), scale);
  return placed;
}
template <class T>
Placed<T> finite_values(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols,
                        float scale) {
  const Placed<T> placed = matrix<T>(draw, arena, rows, cols);
  fill_values(draw, placed.in(arena.data()), Values::gaussian, scale);
  return placed;
}
/// Scales, mostly small and positive.
Placed<float> scales(Draw& draw, Arena& arena, std::int64_t length) {
  const Placed<float> placed = vector<float>(draw, arena, length);
  fill_values(draw, placed.in(arena.data()), draw.once_in(4) ? any_values(draw) : Values::gaussian,
              1e-2f);
  return placed;
}

/// All of s8, or extremes alone: their sums are the largest.
template <class L>
void fill_int8(Draw& draw, Matrix<s8, L> m) {
  const std::uint64_t seed = draw.bits();
  const bool extremes = draw.once_in(6);
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < m.cols; ++j) {
      const std::uint64_t r = word(seed, static_cast<std::uint64_t>(i * m.cols + j));
      m(i, j) = extremes ? s8{-128} : static_cast<s8>(r);
    }
  }
}
Placed<s8> int8_values(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols) {
  const Placed<s8> placed = matrix<s8>(draw, arena, rows, cols);
  fill_int8(draw, placed.in(arena.data()));
  return placed;
}

template <class L>
void fill_int32(Draw& draw, Matrix<s32, L> m) {
  const std::uint64_t seed = draw.bits();
  const auto shift = static_cast<int>(draw.below(32));
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < m.cols; ++j) {
      m(i, j) = static_cast<s32>(word(seed, static_cast<std::uint64_t>(i * m.cols + j))) >> shift;
    }
  }
}

std::string shape(std::int64_t rows, std::int64_t cols, std::int64_t ld) {
  return fmt::format("{} x {} by {}", rows, cols, ld);
}

// ---------------------------------------------------------------------------------- quantize

template <class B>
Trial<B> quantize_rowwise_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const auto x = values<T>(draw, arena, rows, cols);
    const auto q = output<s8>(draw, arena, rows, cols);
    const auto scale = output_vector<float>(draw, arena, rows);
    return Trial<B>{fmt::format("{} of {}", shape(rows, cols, x.layout.ld), name(kDType<T>)),
                    [=](B backend, unsigned char* m) {
                      quantize_rowwise<T>(backend, x.in(m), q.in(m), scale.vector(m));
                    },
                    [=](const unsigned char* before, const unsigned char* after) {
                      return verify_quantize_rowwise<T>(x.in(before), q.in(after),
                                                        scale.vector(after), Zeros::allowed);
                    }};
  });
}

template <class B>
Trial<B> quantize_colwise_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const auto x = values<T>(draw, arena, rows, cols);
    const auto q = output<s8>(draw, arena, cols, rows);
    const auto scale = output_vector<float>(draw, arena, cols);
    return Trial<B>{fmt::format("{} of {}", shape(rows, cols, x.layout.ld), name(kDType<T>)),
                    [=](B backend, unsigned char* m) {
                      quantize_colwise<T>(backend, x.in(m), q.in(m), scale.vector(m));
                    },
                    [=](const unsigned char* before, const unsigned char* after) {
                      return verify_quantize_colwise<T>(x.in(before), q.in(after),
                                                        scale.vector(after), Zeros::allowed);
                    }};
  });
}

template <class B>
Trial<B> quantize_row_col_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const auto x = values<T>(draw, arena, rows, cols);
    const auto q_row = output<s8>(draw, arena, rows, cols),
               q_col = output<s8>(draw, arena, cols, rows);
    const auto row_scale = output_vector<float>(draw, arena, rows),
               col_scale = output_vector<float>(draw, arena, cols);
    return Trial<B>{fmt::format("{} of {}", shape(rows, cols, x.layout.ld), name(kDType<T>)),
                    [=](B backend, unsigned char* m) {
                      quantize_row_col<T>(backend, x.in(m), q_row.in(m), row_scale.vector(m),
                                          q_col.in(m), col_scale.vector(m));
                    },
                    [=](const unsigned char* before, const unsigned char* after) {
                      return verify_quantize_row_col<T>(x.in(before), q_row.in(after),
                                                        row_scale.vector(after), q_col.in(after),
                                                        col_scale.vector(after), Zeros::allowed);
                    }};
  });
}

// ---------------------------------------------------------------------------------- outliers

template <class T>
struct PlacedList {
  Placed<s32> row, col;
  Placed<T> value;
  Placed<std::int64_t> count;
  std::int64_t rows, cols;

  PlacedList(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols, std::int64_t capacity)
      : row(vector<s32>(draw, arena, capacity)),
        col(vector<s32>(draw, arena, capacity)),
        value(vector<T>(draw, arena, capacity)),
        count(arena.place_vector<std::int64_t>(1)),
        rows(rows),
        cols(cols) {}

  void allow(Arena& arena) const {
    arena.allow(row);
    arena.allow(col);
    arena.allow(value);
    arena.allow(count);
  }
  void fill(Arena& arena, const std::vector<reference::Entry<T>>& entries) const {
    unsigned char* m = arena.data();
    *count.in(m).data = static_cast<std::int64_t>(entries.size());
    for (std::int64_t n = 0; n < std::min<std::int64_t>(row.cols, std::ssize(entries)); ++n) {
      const reference::Entry<T>& e = entries[static_cast<std::size_t>(n)];
      row.in(m)(0, n) = e.row;
      col.in(m)(0, n) = e.col;
      value.in(m)(0, n) = e.value;
    }
  }
  CooList<T> in(unsigned char* m) const {
    return {
        row.in(m).data, col.in(m).data, value.in(m).data, row.cols, count.in(m).data, rows, cols};
  }
  HostList<T> on_host(const unsigned char* m) const {
    return {row.vector(m), col.vector(m), value.vector(m), *count.in(m).data};
  }
};

/// Entries at random places, by row or by column, with any value that a list may hold.
template <class T>
std::vector<reference::Entry<T>> random_entries(Draw& draw, std::int64_t rows, std::int64_t cols,
                                                bool by_column, Values kind) {
  std::vector<reference::Entry<T>> entries;
  const std::int64_t one_in = std::int64_t{1} << draw.below(9);
  const bool full_line = draw.once_in(4);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      if (!draw.once_in(one_in) && !(full_line && i == rows / 2)) continue;
      entries.push_back({static_cast<s32>(i), static_cast<s32>(j), T{}});
    }
  }
  if (entries.size() > 6000) entries.resize(6000);
  std::vector<T> content(entries.size());
  fill_values(draw, Matrix<T>(content.data(), 1, std::ssize(content)), kind, 8.0f);
  for (std::size_t n = 0; n < entries.size(); ++n) entries[n].value = content[n];
  return by_column ? reference::sorted_by_column(std::move(entries)) : entries;
}

/// Room for all, for more, for one too few or for none.
std::int64_t draw_capacity(Draw& draw, std::int64_t entries) {
  switch (draw.below(8)) {
    case 0:
      return std::max<std::int64_t>(0, entries - 1);
    case 1:
      return 0;
    case 2:
      return entries;
    default:
      return entries + draw.below(50);
  }
}

Placed<std::byte> workspace(Arena& arena, std::int64_t bytes) {
  const Placed<std::byte> placed = arena.place_vector<std::byte>(bytes);
  arena.allow(placed);
  return placed;
}

template <class B>
Trial<B> quantize_outliers_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const auto x = values<T>(draw, arena, rows, cols);
    constexpr float kThresholds[] = {1e-30f, 0.5f, 2.0f, 3.5f, 6.0f, 1e4f};
    float threshold = kThresholds[draw.below(std::size(kThresholds))];
    if (draw.once_in(8)) threshold = std::numeric_limits<float>::infinity();
    // An element that is the threshold itself.
    if (draw.once_in(2) && rows * cols > 0) {
      x.in(arena.data())(draw.below(rows), draw.below(cols)) =
          T(draw.once_in(2) ? threshold : -threshold);
      threshold =
          static_cast<float>(T(threshold)) > 0 ? static_cast<float>(T(threshold)) : threshold;
    }
    const OutlierMode mode = draw.once_in(2) ? OutlierMode::element : OutlierMode::column;
    const auto truth =
        true_outliers<T>(x.in(static_cast<const unsigned char*>(arena.data())), threshold, mode);
    const auto q_row = output<s8>(draw, arena, rows, cols),
               q_col = output<s8>(draw, arena, cols, rows);
    const auto row_scale = output_vector<float>(draw, arena, rows),
               col_scale = output_vector<float>(draw, arena, cols);
    const PlacedList<T> list(draw, arena, rows, cols, draw_capacity(draw, std::ssize(truth)));
    list.allow(arena);
    const auto scratch = workspace(arena, quantize_row_col_workspace_bytes(rows, cols));
    return Trial<B>{fmt::format("{} of {}, threshold {}, mode {}, {} entries, room for {}",
                                shape(rows, cols, x.layout.ld), name(kDType<T>), threshold,
                                name(mode), truth.size(), list.row.cols),
                    [=](B backend, unsigned char* m) {
                      quantize_row_col<T>(backend, x.in(m), threshold, mode, q_row.in(m),
                                          row_scale.vector(m), q_col.in(m), col_scale.vector(m),
                                          list.in(m), scratch.vector(m));
                    },
                    [=](const unsigned char* before, const unsigned char* after) {
                      return verify_quantize_outliers<T>(
                          x.in(before), threshold, mode, q_row.in(after), row_scale.vector(after),
                          q_col.in(after), col_scale.vector(after), list.on_host(after));
                    }};
  });
}

template <class B>
Trial<B> coo_to_csr_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const auto entries = random_entries<T>(draw, rows, cols, false, Values::gaussian);
    const PlacedList<T> list(draw, arena, rows, cols, draw_capacity(draw, std::ssize(entries)));
    list.fill(arena, entries);
    const auto offsets = output_vector<std::int64_t>(draw, arena, rows + 1);
    return Trial<B>{
        fmt::format("{} entries of {} x {}, room for {}", entries.size(), rows, cols,
                    list.row.cols),
        [=](B backend, unsigned char* m) { coo_to_csr<T>(backend, list.in(m), offsets.vector(m)); },
        [=](const unsigned char*, const unsigned char* after) {
          const Vector<const std::int64_t> actual = offsets.vector(after);
          const bool has_overflowed = std::ssize(entries) > list.row.cols;
          Check check;
          check.kind = "bits";
          std::size_t before_row = 0;
          for (std::int64_t i = 0; i <= rows; ++i) {
            while (before_row < entries.size() && entries[before_row].row < i) ++before_row;
            const std::int64_t expected =
                has_overflowed ? -1 : static_cast<std::int64_t>(before_row);
            if (actual(i) == expected) continue;
            check.status = "FAILED";
            check.passed = false;
            check.message =
                fmt::format("row_offsets: element {} is {}, expected {}", i, actual(i), expected);
            break;
          }
          return check;
        }};
  });
}

template <class B>
Trial<B> sort_by_column_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const auto entries = random_entries<T>(draw, rows, cols, false, any_values(draw));
    const PlacedList<T> list(draw, arena, rows, cols, draw_capacity(draw, std::ssize(entries)));
    list.fill(arena, entries);
    const PlacedList<T> sorted(draw, arena, rows, cols, list.row.cols + draw.below(7));
    sorted.allow(arena);
    const auto scratch = workspace(arena, sort_by_column_workspace_bytes(B{}, list.row.cols));
    return Trial<B>{fmt::format("{} entries of {} x {}, room for {}", entries.size(), rows, cols,
                                list.row.cols),
                    [=](B backend, unsigned char* m) {
                      sort_by_column<T>(backend, list.in(m), sorted.in(m), scratch.vector(m));
                    },
                    [=](const unsigned char*, const unsigned char* after) {
                      HostList<T> actual = sorted.on_host(after);
                      // What the input had no room for cannot be sorted, whatever room the output
                      // has.
                      if (std::ssize(entries) > list.row.cols) actual.value.length = list.row.cols;
                      return verify_list<T>(actual, reference::sorted_by_column(entries));
                    }};
  });
}

template <class B, class T, class L>
Trial<B> extract_outliers_from(Draw& draw, Arena& arena) {
  const auto [rows, cols] = draw.extents();
  const auto w = arena.place<T>(rows, cols, L::packed(rows, cols));
  if constexpr (std::is_same_v<T, s8>) {
    fill_int8(draw, w.in(arena.data()));
  } else {
    fill_values(draw, w.in(arena.data()), any_values(draw));
  }
  const auto columns = vector<s32>(draw, arena, draw.extent(70));
  for (std::int64_t j = 0; j < columns.cols; ++j) {
    columns.in(arena.data())(0, j) =
        draw.once_in(9) ? static_cast<s32>(draw.once_in(2) ? -1 : cols)
                        : static_cast<s32>(draw.below(std::max<std::int64_t>(cols, 1)));
  }
  const auto out = output<T>(draw, arena, rows, columns.cols);
  return {fmt::format("{} columns of {} x {} of {} in {}", columns.cols, rows, cols,
                      name(kDType<T>), L::kName),
          [=](B backend, unsigned char* m) {
            extract_outliers<T, L>(backend, w.in(m), columns.vector(m), out.in(m));
          },
          [=, cols = cols](const unsigned char* before, const unsigned char* after) {
            return compare_bits(
                "out", out.in(after),
                [&](std::int64_t i, std::int64_t j) {
                  const s32 col = columns.in(before)(0, j);
                  return col < 0 || col >= cols ? T{} : w.in(before)(i, col);
                },
                Zeros::allowed);
          }};
}

template <class B>
Trial<B> extract_outliers_trial(Draw& draw, Arena& arena) {
  switch (draw.below(7)) {
    case 0:
      return extract_outliers_from<B, s8, RowMajor>(draw, arena);
    case 1:
      return extract_outliers_from<B, s8, ColMajor>(draw, arena);
    case 2:
      return extract_outliers_from<B, s8, Col32>(draw, arena);
    case 3:
      return extract_outliers_from<B, s8, Col4_4R2_8C>(draw, arena);
    case 4:
      return extract_outliers_from<B, s8, Col32_2R_4R4>(draw, arena);
    case 5:
      return extract_outliers_from<B, f16, RowMajor>(draw, arena);
    default:
      return extract_outliers_from<B, bf16, RowMajor>(draw, arena);
  }
}

// -------------------------------------------------------------------------------------- spmm

/// out += the list times something. weight(memory, entry, i, j) is what an entry is multiplied
/// with, add(memory, j, out, sum) one addition.
template <class T, class Weight, class Add>
Check verify_list_product(const unsigned char* before, const unsigned char* after,
                          const Placed<T>& out, const std::vector<reference::Entry<T>>& entries,
                          bool by_column, bool has_overflowed, const Weight& weight,
                          const Add& add) {
  const auto key = [&](const reference::Entry<T>& e) { return by_column ? e.col : e.row; };
  const auto next = [&](std::int64_t i, std::int64_t j) {
    const auto line = static_cast<s32>(by_column ? j : i);
    const auto first = std::partition_point(entries.begin(), entries.end(),
                                            [&](const auto& e) { return key(e) < line; });
    const auto last =
        std::partition_point(first, entries.end(), [&](const auto& e) { return key(e) == line; });
    const float sum = reference::spmm_chain(
        first - entries.begin(), last - entries.begin(),
        [&](std::int64_t e) {
          return static_cast<float>(entries[static_cast<std::size_t>(e)].value);
        },
        [&](std::int64_t e) { return weight(before, entries[static_cast<std::size_t>(e)], i, j); });
    const bool is_empty = first == last;
    return [=, &add](T x) {
      if (has_overflowed) return T(kNan);
      return is_empty ? x : add(before, j, x, sum);
    };
  };
  return verify_additions<T>("out", out.in(before), out.in(after), 1, 0, next, Zeros::allowed);
}

/// What is added to: any values, and allowed to be written without being poisoned first.
template <class T>
Placed<T> added_to(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols) {
  const auto out = values<T>(draw, arena, rows, cols);
  arena.allow(out, false);
  return out;
}

template <class B>
Trial<B> spmm_coo_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const std::int64_t n = draw.extent(200);
    const bool is_transposed = draw.once_in(2);
    const auto entries = random_entries<T>(draw, rows, cols, false, any_values(draw));
    const PlacedList<T> list(draw, arena, rows, cols, draw_capacity(draw, std::ssize(entries)));
    list.fill(arena, entries);
    const auto w =
        is_transposed ? values<T>(draw, arena, cols, n) : values<T>(draw, arena, n, cols);
    const auto out = added_to<T>(draw, arena, rows, n);
    const bool has_overflowed = std::ssize(entries) > list.row.cols;
    return Trial<B>{
        fmt::format("{} x {} x {} of {}, {} entries, room for {}, w {}", rows, n, cols,
                    name(kDType<T>), entries.size(), list.row.cols,
                    is_transposed ? "transposed" : "as it lies"),
        [=](B backend, unsigned char* m) {
          const Matrix<const T> view = w.in(m);
          spmm_coo<T>(backend, list.in(m),
                      is_transposed ? Operand<T>(transposed(view)) : Operand<T>(view), out.in(m));
        },
        [=](const unsigned char* before, const unsigned char* after) {
          return verify_list_product<T>(
              before, after, out, entries, false, has_overflowed,
              [&](const unsigned char* m, const reference::Entry<T>& e, std::int64_t,
                  std::int64_t j) {
                return static_cast<float>(is_transposed ? w.in(m)(e.col, j) : w.in(m)(j, e.col));
              },
              [](const unsigned char*, std::int64_t, T x, float sum) {
                return reference::spmm_add(x, sum);
              });
        }};
  });
}

template <class B>
Trial<B> spmm_coo_s8_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const std::int64_t n = draw.extent(200);
    const auto entries = random_entries<T>(draw, rows, cols, false, any_values(draw));
    const PlacedList<T> list(draw, arena, rows, cols, draw_capacity(draw, std::ssize(entries)));
    list.fill(arena, entries);
    const auto w = int8_values(draw, arena, n, cols);
    const auto w_scale = scales(draw, arena, n);
    const auto out = added_to<T>(draw, arena, rows, n);
    const bool has_overflowed = std::ssize(entries) > list.row.cols;
    return Trial<B>{fmt::format("{} x {} x {} of {}, {} entries, room for {}", rows, n, cols,
                                name(kDType<T>), entries.size(), list.row.cols),
                    [=](B backend, unsigned char* m) {
                      spmm_coo<T>(backend, list.in(m), Matrix<const s8>(w.in(m)),
                                  Vector<const float>(w_scale.vector(m)), out.in(m));
                    },
                    [=](const unsigned char* before, const unsigned char* after) {
                      return verify_list_product<T>(
                          before, after, out, entries, false, has_overflowed,
                          [&](const unsigned char* m, const reference::Entry<T>& e, std::int64_t,
                              std::int64_t j) { return static_cast<float>(w.in(m)(j, e.col)); },
                          [&](const unsigned char* m, std::int64_t j, T x, float sum) {
                            return reference::spmm_add(x, sum, w_scale.in(m)(0, j));
                          });
                    }};
  });
}

template <class B>
Trial<B> spmm_coo_transposed_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const std::int64_t m_rows = draw.extent(200);
    const auto entries = random_entries<T>(draw, rows, cols, true, any_values(draw));
    const PlacedList<T> list(draw, arena, rows, cols, draw_capacity(draw, std::ssize(entries)));
    list.fill(arena, entries);
    const auto x = values<T>(draw, arena, rows, m_rows);
    const auto out = added_to<T>(draw, arena, m_rows, cols);
    const bool has_overflowed = std::ssize(entries) > list.row.cols;
    return Trial<B>{fmt::format("{} x {} x {} of {}, {} entries, room for {}", m_rows, cols, rows,
                                name(kDType<T>), entries.size(), list.row.cols),
                    [=](B backend, unsigned char* m) {
                      spmm_coo_transposed<T>(backend, x.in(m), list.in(m), out.in(m));
                    },
                    [=](const unsigned char* before, const unsigned char* after) {
                      return verify_list_product<T>(
                          before, after, out, entries, true, has_overflowed,
                          [&](const unsigned char* m, const reference::Entry<T>& e, std::int64_t i,
                              std::int64_t) { return static_cast<float>(x.in(m)(e.row, i)); },
                          [](const unsigned char*, std::int64_t, T y, float sum) {
                            return reference::spmm_add(y, sum);
                          });
                    }};
  });
}

// --------------------------------------------------------------------------------- transform

/// Lines or panels that are longer than needed.
template <class L>
L draw_layout(Draw& draw, std::int64_t rows, std::int64_t cols) {
  L layout = L::packed(rows, cols);
  if constexpr (std::is_same_v<L, RowMajor> || std::is_same_v<L, ColMajor>) {
    layout.ld = leading_dimension(draw, std::is_same_v<L, RowMajor> ? rows : cols, layout.ld);
  } else if constexpr (std::is_same_v<L, Col32>) {
    if (draw.once_in(3)) layout.rows += draw.below(9);
  } else {
    if (draw.once_in(3)) layout = L::packed(rows + draw.below(70), cols);
  }
  return layout;
}

template <class B, class T, class From, class To>
Trial<B> transform_from(Draw& draw, Arena& arena) {
  const auto [rows, cols] = draw.extents();
  constexpr bool kLines = std::is_same_v<To, RowMajor> || std::is_same_v<To, ColMajor>;
  const auto x = arena.place<T>(rows, cols, draw_layout<From>(draw, rows, cols), draw.below(5));
  const auto y =
      arena.place<T>(rows, cols, draw_layout<To>(draw, rows, cols), kLines ? draw.below(5) : 0);
  arena.allow(y);
  if constexpr (std::is_same_v<T, s8>) {
    fill_int8(draw, x.in(arena.data()));
  } else {
    fill_int32(draw, x.in(arena.data()));
  }
  return {
      fmt::format("{} x {} of {}, {} to {}", rows, cols, name(kDType<T>), From::kName, To::kName),
      [=](B backend, unsigned char* m) { transform<T, From, To>(backend, x.in(m), y.in(m)); },
      [=](const unsigned char* before, const unsigned char* after) {
        return verify_transform<T, From, To>(x.in(before), y.in(after), Zeros::allowed);
      }};
}

template <class B>
Trial<B> transform_trial(Draw& draw, Arena& arena) {
  using Make = Trial<B> (*)(Draw&, Arena&);
  constexpr Make kAll[] = {
      transform_from<B, s8, RowMajor, RowMajor>,     transform_from<B, s8, RowMajor, ColMajor>,
      transform_from<B, s8, RowMajor, Col32>,        transform_from<B, s8, RowMajor, Col4_4R2_8C>,
      transform_from<B, s8, RowMajor, Col32_2R_4R4>, transform_from<B, s8, ColMajor, RowMajor>,
      transform_from<B, s8, ColMajor, ColMajor>,     transform_from<B, s8, ColMajor, Col32>,
      transform_from<B, s8, ColMajor, Col4_4R2_8C>,  transform_from<B, s8, ColMajor, Col32_2R_4R4>,
      transform_from<B, s8, Col32, RowMajor>,        transform_from<B, s8, Col32, ColMajor>,
      transform_from<B, s8, Col4_4R2_8C, RowMajor>,  transform_from<B, s8, Col4_4R2_8C, ColMajor>,
      transform_from<B, s8, Col32_2R_4R4, RowMajor>, transform_from<B, s8, Col32_2R_4R4, ColMajor>,
      transform_from<B, s32, RowMajor, RowMajor>,    transform_from<B, s32, RowMajor, ColMajor>,
      transform_from<B, s32, RowMajor, Col32>,       transform_from<B, s32, ColMajor, RowMajor>,
      transform_from<B, s32, ColMajor, ColMajor>,    transform_from<B, s32, ColMajor, Col32>,
      transform_from<B, s32, Col32, RowMajor>,       transform_from<B, s32, Col32, ColMajor>,
  };
  return kAll[draw.below(std::size(kAll))](draw, arena);
}

template <class B>
Trial<B> flatten_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [seq, model] = draw.extents();
    const std::int64_t count = draw.below(5);
    const RowMajor layout{model + draw.padding(model)};
    const std::int64_t stride = (seq + draw.below(4)) * layout.ld + draw.below(3);
    const auto x = arena.place<T>(seq, model, layout, draw.below(8), count, stride);
    for (std::int64_t i = 0; i < count; ++i) {
      fill_values(draw, x.batch(arena.data())[i], any_values(draw));
    }
    const auto y = output<T>(draw, arena, count * seq, model);
    return Trial<B>{fmt::format("{} times {} of {}, stride {}", count, shape(seq, model, layout.ld),
                                name(kDType<T>), stride),
                    [=](B backend, unsigned char* m) {
                      flatten<T>(backend, Batch<const T>(x.batch(m)), y.in(m));
                    },
                    [=](const unsigned char* before, const unsigned char* after) {
                      return verify_flatten<T>(x.batch(before), y.in(after), Zeros::allowed);
                    }};
  });
}

// -------------------------------------------------------------------------------- dequantize

template <class B, class T, class L>
Trial<B> dequantize_from(Draw& draw, Arena& arena) {
  const auto [rows, cols] = draw.extents();
  const auto acc = arena.place<s32>(rows, cols, draw_layout<L>(draw, rows, cols),
                                    draw.once_in(3) ? draw.below(4) : 0);
  fill_int32(draw, acc.in(arena.data()));
  const auto row_scale = scales(draw, arena, rows), col_scale = scales(draw, arena, cols);
  const bool has_bias = draw.once_in(2);
  const auto bias = vector<T>(draw, arena, has_bias ? cols : 0);
  fill_values(draw, bias.in(arena.data()), any_values(draw));
  const auto out = output<T>(draw, arena, rows, cols);
  return {fmt::format("{} x {} of {} in {}{}", rows, cols, name(kDType<T>), L::kName,
                      has_bias ? " with a bias" : ""),
          [=](B backend, unsigned char* m) {
            dequantize<T>(backend, acc.in(m), row_scale.vector(m), col_scale.vector(m),
                          bias.vector(m), out.in(m));
          },
          [=](const unsigned char* before, const unsigned char* after) {
            return verify_dequantize<T>(acc.in(before), row_scale.vector(before),
                                        col_scale.vector(before), bias.vector(before),
                                        out.in(after), Zeros::allowed);
          }};
}

template <class B>
Trial<B> dequantize_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    return draw.once_in(2) ? dequantize_from<B, T, RowMajor>(draw, arena)
                           : dequantize_from<B, T, Col32>(draw, arena);
  });
}

template <class B>
Trial<B> dequantize_rowwise_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const auto q = int8_values(draw, arena, rows, cols);
    const auto scale = scales(draw, arena, rows);
    const auto out = output<T>(draw, arena, rows, cols);
    return Trial<B>{fmt::format("{} to {}", shape(rows, cols, q.layout.ld), name(kDType<T>)),
                    [=](B backend, unsigned char* m) {
                      dequantize_rowwise<T>(backend, q.in(m), scale.vector(m), out.in(m));
                    },
                    [=](const unsigned char* before, const unsigned char* after) {
                      return verify_dequantize_rowwise<T>(q.in(before), scale.vector(before),
                                                          out.in(after), Zeros::allowed);
                    }};
  });
}

template <class B>
Trial<B> column_sum_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [rows, cols] = draw.extents();
    const auto x = values<T>(draw, arena, rows, cols);
    const auto sum = output_vector<T>(draw, arena, cols);
    return Trial<B>{
        fmt::format("{} of {}", shape(rows, cols, x.layout.ld), name(kDType<T>)),
        [=](B backend, unsigned char* m) { column_sum<T>(backend, x.in(m), sum.vector(m)); },
        [=](const unsigned char* before, const unsigned char* after) {
          return verify_column_sum<T>(x.in(before), sum.vector(after), Zeros::allowed);
        }};
  });
}

// ---------------------------------------------------------------------------------- products

/// One for all trials of a process: on CUDA it holds device memory. Which kernel runs is drawn, not
/// timed, where the contract lets it be named; one that does not take the problem is passed over.
template <class B>
GemmWorkspace<B>& shared_workspace(B backend) {
  static GemmWorkspace<B> workspace = make_gemm_workspace(backend);
  return workspace;
}
/// What queued calls work with, until the backend is done with them.
std::vector<std::shared_ptr<void>>& queued_plans() {
  static std::vector<std::shared_ptr<void>> plans;
  return plans;
}
template <class Plan>
const Plan& queued(Plan plan) {
  const auto kept = std::make_shared<Plan>(std::move(plan));
  queued_plans().push_back(kept);
  return *kept;
}
constexpr std::array<std::string_view, 3> kKernels = {"sm90", "mma", "cublaslt"};

struct ProductExtents {
  std::int64_t m, n, k;
};
ProductExtents product_extents(Draw& draw) {
  ProductExtents e{draw.extent(200), draw.extent(200), draw.extent(300)};
  constexpr std::int64_t kMostProducts = 1 << 20;
  while (e.m * e.n * e.k > kMostProducts) {
    std::int64_t& largest = e.m >= e.n && e.m >= e.k ? e.m : e.n >= e.k ? e.n : e.k;
    largest = largest / 2 + 1;
  }
  return e;
}

/// The matrices of a batch: one after another, side by side, or (shared) one for all.
template <class T>
Placed<T> batch(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols, std::int64_t count,
                bool may_be_shared) {
  if (may_be_shared && draw.once_in(3)) {
    Placed<T> shared = matrix<T>(draw, arena, rows, cols);
    shared.count = count;
    return shared;
  }
  const std::int64_t padding = draw.padding(cols), shift = draw.once_in(3) ? draw.below(16) : 0;
  if (count > 0 && draw.once_in(3)) {
    return arena.place<T>(rows, cols, RowMajor{count * cols + padding}, shift, count, cols);
  }
  const RowMajor layout{cols + padding};
  return arena.place<T>(rows, cols, layout, shift, count, rows * layout.ld + draw.below(20));
}

template <class F>
Check of_each(std::int64_t count, const F& verify) {
  Check all;
  for (std::int64_t i = 0; i < count; ++i) all = merge({all, verify(i)});
  return all;
}

template <class B>
Trial<B> gemm_s8_trial(Draw& draw, Arena& arena) {
  const auto [m, n, k] = product_extents(draw);
  const std::int64_t count = draw.once_in(3) ? draw.below(4) : 1;
  const auto a = batch<s8>(draw, arena, m, k, count, true);
  const auto b = batch<s8>(draw, arena, n, k, count, true);
  const auto d = batch<s32>(draw, arena, m, n, count, false);
  arena.allow(d);
  for (std::int64_t i = 0; i < count; ++i) {
    fill_int8(draw, a.batch(arena.data())[i]);
    fill_int8(draw, b.batch(arena.data())[i]);
  }
  const std::string kernel(kKernels[static_cast<std::size_t>(draw.below(kKernels.size()))]);
  const GemmProblem problem{.m = m,
                            .n = n,
                            .k = k,
                            .lda = a.layout.ld,
                            .ldb = b.layout.ld,
                            .ldd = d.layout.ld,
                            .batch = count,
                            .a_stride = count > 1 ? a.stride : 0,
                            .b_stride = count > 1 ? b.stride : 0,
                            .d_stride = count > 1 ? d.stride : 0};
  return {fmt::format("{} by {}", to_text(problem), kernel),
          [=](B backend, unsigned char* memory) {
            GemmWorkspace<B>& workspace = shared_workspace(backend);
            workspace.pinned[to_text(problem)] = kernel;
            const Batch<const s8> first = a.batch(memory), second = b.batch(memory);
            const auto& plan = queued(plan_gemm_s8(workspace, first, second, d.batch(memory)));
            gemm_s8(backend, plan, first, second, d.batch(memory));
          },
          [=](const unsigned char* before, const unsigned char* after) {
            return of_each(count, [&](std::int64_t i) {
              return verify_gemm_s8(a.batch(before)[i], b.batch(before)[i], d.batch(after)[i], 1,
                                    Zeros::allowed);
            });
          }};
}

/// Operands in the tiled orders, their padding zero.
template <class L>
Placed<s8, L> tiled_operand(Draw& draw, Arena& arena, std::int64_t rows, std::int64_t cols) {
  const auto placed = arena.place<s8>(rows, cols, draw_layout<L>(draw, rows, cols));
  const auto m = placed.in(arena.data());
  std::memset(m.data, 0, static_cast<std::size_t>(m.capacity()));
  fill_int8(draw, m);
  return placed;
}

/// verify_gemm_s8's truth for every element: small products alone are asked.
Matrix<const s32> true_product(Matrix<const s8> a, Matrix<const s8> b, std::vector<s32>& storage) {
  storage.resize(static_cast<std::size_t>(a.rows * b.rows));
  const Matrix<s32> acc(storage.data(), a.rows, b.rows);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < b.rows; ++j) {
      acc(i, j) = static_cast<s32>(reference::dot_s8(a, b, i, j));
    }
  }
  return acc;
}

template <class B, class L>
Trial<B> gemm_s8_tiled_by(Draw& draw, Arena& arena) {
  const auto [m, n, k] = product_extents(draw);
  const auto a = tiled_operand<Col32>(draw, arena, m, k);
  const auto b = tiled_operand<L>(draw, arena, n, k);
  const auto d = arena.place<s32>(m, n, Col32::packed(m, n));
  arena.allow(d);
  return {fmt::format("{} x {} x {} in {}", m, n, k, L::kName),
          [=](B backend, unsigned char* memory) {
            const Matrix<const s8, Col32> first = a.in(memory);
            const Matrix<const s8, L> second = b.in(memory);
            const auto& plan =
                queued(plan_gemm_s8(shared_workspace(backend), first, second, d.in(memory)));
            gemm_s8(backend, plan, first, second, d.in(memory));
          },
          [=](const unsigned char* before, const unsigned char* after) {
            return merge(
                {verify_gemm_s8(Unpacked<s8>(a.in(before)).view, Unpacked<s8>(b.in(before)).view,
                                Unpacked<s32>(d.in(after)).view, 1, Zeros::allowed),
                 verify_padding<s32>("d's padding", d.in(after))});
          }};
}

template <class B>
Trial<B> gemm_s8_tiled_trial(Draw& draw, Arena& arena) {
  return draw.once_in(2) ? gemm_s8_tiled_by<B, Col4_4R2_8C>(draw, arena)
                         : gemm_s8_tiled_by<B, Col32_2R_4R4>(draw, arena);
}

/// Alphas that leave results within s8, saturate some, or are no numbers.
Placed<float> alphas(Draw& draw, Arena& arena, std::int64_t m) {
  const auto alpha = vector<float>(draw, arena, draw.once_in(3) ? 1 : m);
  const auto scale = static_cast<float>(std::exp2(-7 - draw.below(10)));
  fill_values(draw, alpha.in(arena.data()), draw.once_in(5) ? any_values(draw) : Values::gaussian,
              scale);
  return alpha;
}

Check verify_rescaled_product(Matrix<const s8> a, Matrix<const s8> b, Vector<const float> alpha,
                              Matrix<const s8> d) {
  std::vector<s32> storage;
  const Matrix<const s32> acc = true_product(a, b, storage);
  return compare_bits(
      "d", d,
      [&](std::int64_t i, std::int64_t j) {
        return reference::rescale(acc(i, j), alpha(alpha.length == 1 ? 0 : i));
      },
      Zeros::allowed);
}

template <class B>
Trial<B> gemm_to_s8_row(Draw& draw, Arena& arena) {
  const auto [m, n, k] = product_extents(draw);
  const auto a = int8_values(draw, arena, m, k), b = int8_values(draw, arena, n, k);
  const auto alpha = alphas(draw, arena, m);
  const auto d = output<s8>(draw, arena, m, n);
  return {fmt::format("{} x {} x {} by {}, {} and {}, {} alphas", m, n, k, a.layout.ld, b.layout.ld,
                      d.layout.ld, alpha.cols),
          [=](B backend, unsigned char* memory) {
            const Matrix<const s8> first = a.in(memory), second = b.in(memory);
            const auto& plan = queued(plan_gemm_s8(shared_workspace(backend), first, second,
                                                   alpha.vector(memory), d.in(memory)));
            gemm_s8(backend, plan, first, second, alpha.vector(memory), d.in(memory));
          },
          [=](const unsigned char* before, const unsigned char* after) {
            return verify_rescaled_product(a.in(before), b.in(before), alpha.vector(before),
                                           d.in(after));
          }};
}

template <class B, class L>
Trial<B> gemm_to_s8_tiled(Draw& draw, Arena& arena) {
  const auto [m, n, k] = product_extents(draw);
  const auto a = tiled_operand<Col32>(draw, arena, m, k);
  const auto b = tiled_operand<L>(draw, arena, n, k);
  const auto alpha = alphas(draw, arena, m);
  const auto d = arena.place<s8>(m, n, Col32::packed(m, n));
  arena.allow(d);
  return {fmt::format("{} x {} x {} in {}, {} alphas", m, n, k, L::kName, alpha.cols),
          [=](B backend, unsigned char* memory) {
            const Matrix<const s8, Col32> first = a.in(memory);
            const Matrix<const s8, L> second = b.in(memory);
            const auto& plan = queued(plan_gemm_s8(shared_workspace(backend), first, second,
                                                   alpha.vector(memory), d.in(memory)));
            gemm_s8(backend, plan, first, second, alpha.vector(memory), d.in(memory));
          },
          [=](const unsigned char* before, const unsigned char* after) {
            return merge({verify_rescaled_product(
                              Unpacked<s8>(a.in(before)).view, Unpacked<s8>(b.in(before)).view,
                              alpha.vector(before), Unpacked<s8>(d.in(after)).view),
                          verify_padding<s8>("d's padding", d.in(after))});
          }};
}

template <class B>
Trial<B> gemm_to_s8_trial(Draw& draw, Arena& arena) {
  switch (draw.below(4)) {
    case 0:
      return gemm_to_s8_tiled<B, Col4_4R2_8C>(draw, arena);
    case 1:
      return gemm_to_s8_tiled<B, Col32_2R_4R4>(draw, arena);
    default:
      return gemm_to_s8_row<B>(draw, arena);
  }
}

/// Either operand transposed, batches, biases.
template <class B>
Trial<B> gemm_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16>(draw, [&]<class T>(T) {
    const auto [m, n, k] = product_extents(draw);
    const std::int64_t count = draw.once_in(3) ? 1 + draw.below(3) : 1;
    const bool a_transposed = draw.once_in(3), b_transposed = draw.once_in(3);
    const auto a = a_transposed ? batch<T>(draw, arena, k, m, count, false)
                                : batch<T>(draw, arena, m, k, count, false);
    const auto b = b_transposed ? batch<T>(draw, arena, k, n, count, true)
                                : batch<T>(draw, arena, n, k, count, true);
    for (std::int64_t i = 0; i < count; ++i) {
      fill_values(draw, a.batch(arena.data())[i], Values::gaussian);
      fill_values(draw, b.batch(arena.data())[i], Values::gaussian, 0.1f);
    }
    const bool has_bias = draw.once_in(2);
    const auto bias = finite_values<T>(draw, arena, 1, has_bias ? n : 0, 1.0f);
    const auto d = batch<T>(draw, arena, m, n, count, false);
    arena.allow(d);
    const auto operand = [](Batch<const T> x, bool is_transposed) {
      return is_transposed
                 ? Operand<T>(Batch<const T, ColMajor>(transposed(x.first), x.count, x.stride))
                 : Operand<T>(x);
    };
    return Trial<B>{
        fmt::format("{} matrices of {} x {} x {} of {}, by {}{}, {}{} and {}{}", count, m, n, k,
                    name(kDType<T>), a.layout.ld, a_transposed ? " transposed" : "", b.layout.ld,
                    b_transposed ? " transposed" : "", d.layout.ld, has_bias ? ", a bias" : ""),
        [=](B backend, unsigned char* memory) {
          const Operand<T> first = operand(a.batch(memory), a_transposed),
                           second = operand(b.batch(memory), b_transposed);
          const Batch<T> result = d.batch(memory);
          const Vector<const T> added = bias.vector(memory);
          const auto& plan =
              queued(plan_gemm<T>(shared_workspace(backend), first, second, result, added));
          gemm<T>(backend, plan, first, second, result, added);
        },
        [=, m = m, n = n](const unsigned char* before, const unsigned char* after) {
          if (m == 0 || n == 0) return Check{};
          return of_each(count, [&](std::int64_t i) {
            const Operand<T> first = operand(a.batch(before)[i], a_transposed),
                             second = operand(b.batch(before)[i], b_transposed);
            return has_bias ? verify_gemm_with_bias<T>(first, second, bias.vector(before),
                                                       d.batch(after)[i], 1)
                            : verify_gemm<T>(first, second, d.batch(after)[i], 1, Zeros::allowed);
          });
        }};
  });
}

template <class B>
Trial<B> scaled_gemm_trial(Draw& draw, Arena& arena) {
  return with_type<f16, bf16, f32>(draw, [&]<class T>(T) {
    const auto [m, n, k] = product_extents(draw);
    const auto a = int8_values(draw, arena, m, k), b = int8_values(draw, arena, n, k);
    const auto row_scale = scales(draw, arena, m), col_scale = scales(draw, arena, n);
    const bool has_bias = draw.once_in(2);
    const auto bias = vector<T>(draw, arena, has_bias ? n : 0);
    fill_values(draw, bias.in(arena.data()), any_values(draw));
    const auto out = output<T>(draw, arena, m, n);
    const std::string kernel(kKernels[static_cast<std::size_t>(draw.below(kKernels.size()))]);
    const GemmProblem problem{.m = m,
                              .n = n,
                              .k = k,
                              .result = kDType<T>,
                              .lda = a.layout.ld,
                              .ldb = b.layout.ld,
                              .ldd = out.layout.ld,
                              .bias = bias.cols != 0};
    return Trial<B>{
        fmt::format("{} by {}", to_text(problem), kernel),
        [=](B backend, unsigned char* memory) {
          GemmWorkspace<B>& workspace = shared_workspace(backend);
          workspace.pinned[to_text(problem)] = kernel;
          const auto& plan = queued(
              plan_scaled_gemm<T>(workspace, a.in(memory), b.in(memory), row_scale.vector(memory),
                                  col_scale.vector(memory), bias.vector(memory), out.in(memory)));
          scaled_gemm<T>(backend, plan, a.in(memory), b.in(memory), row_scale.vector(memory),
                         col_scale.vector(memory), bias.vector(memory), out.in(memory));
        },
        [=](const unsigned char* before, const unsigned char* after) {
          std::vector<s32> storage;
          const Matrix<const s32> acc = true_product(a.in(before), b.in(before), storage);
          return verify_dequantize<T>(acc, row_scale.vector(before), col_scale.vector(before),
                                      bias.vector(before), out.in(after), Zeros::allowed);
        }};
  });
}

// ------------------------------------------------------------------------------------ running

template <class B>
struct Property {
  std::string_view name;
  std::int64_t weight;  // its share of the trials; products take longer, most of all to be planned
  Trial<B> (*make)(Draw&, Arena&);
};

template <class B>
constexpr std::array kProperties = {
    Property<B>{"quantize_rowwise", 8, quantize_rowwise_trial<B>},
    Property<B>{"quantize_colwise", 8, quantize_colwise_trial<B>},
    Property<B>{"quantize_row_col", 8, quantize_row_col_trial<B>},
    Property<B>{"quantize_outliers", 8, quantize_outliers_trial<B>},
    Property<B>{"coo_to_csr", 4, coo_to_csr_trial<B>},
    Property<B>{"sort_by_column", 4, sort_by_column_trial<B>},
    Property<B>{"extract_outliers", 6, extract_outliers_trial<B>},
    Property<B>{"spmm_coo", 6, spmm_coo_trial<B>},
    Property<B>{"spmm_coo_s8", 6, spmm_coo_s8_trial<B>},
    Property<B>{"spmm_coo_transposed", 6, spmm_coo_transposed_trial<B>},
    Property<B>{"transform", 10, transform_trial<B>},
    Property<B>{"flatten", 4, flatten_trial<B>},
    Property<B>{"dequantize", 8, dequantize_trial<B>},
    Property<B>{"dequantize_rowwise", 4, dequantize_rowwise_trial<B>},
    Property<B>{"column_sum", 4, column_sum_trial<B>},
    Property<B>{"gemm_s8", 4, gemm_s8_trial<B>},
    Property<B>{"gemm_s8_tiled", 3, gemm_s8_tiled_trial<B>},
    Property<B>{"gemm_to_s8", 3, gemm_to_s8_trial<B>},
    Property<B>{"gemm", 1, gemm_trial<B>},
    Property<B>{"scaled_gemm", 3, scaled_gemm_trial<B>},
};

/// A whole number from the environment.
std::optional<std::int64_t> number_from(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::string_view all = text;
  std::int64_t value = 0;
  const auto [stop, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  if (error != std::errc{} || stop != all.data() + all.size() || value < 0) {
    throw std::invalid_argument(
        fmt::format("{} is '{}' but must be a whole number of 0 or more", variable, text));
  }
  return value;
}

/// Trials that failed are told one by one up to this many.
constexpr int kToldFailures = 3;

template <class B>
class Runner {
 public:
  Runner(B backend, const Property<B>& property)
      : backend_(backend),
        property_(property),
        arena_(kArenaBytes),
        device_(backend, kArenaBytes),
        after_(Cpu{}, kArenaBytes) {}

  void run(std::int64_t first, std::int64_t last) {
    std::int64_t index = first;
    while (index < last && failures_ < kToldFailures) {
      arena_.clear();
      std::vector<Entry> entries;
      while (index < last && arena_.used() < kArenaBytes - kMostBytes) {
        const std::int64_t begin = arena_.used();
        Draw draw(seed_from(fmt::format("property/{}/{}", property_.name, index), options().seed));
        Trial<B> trial = property_.make(draw, arena_);
        entries.push_back({index++, begin, arena_.used(), std::move(trial)});
      }
      run(entries);
    }
  }

 private:
  struct Entry {
    std::int64_t index, begin, end;
    Trial<B> trial;
  };

  void run(std::vector<Entry>& entries) {
    const auto bytes = static_cast<std::size_t>(arena_.used());
    copy_from_host(backend_, device_.data(), arena_.data(), bytes);
    for (Entry& e : entries) {
      try {
        e.trial.run(backend_, device_.data());
      } catch (const std::exception& error) {
        fail(e, error.what());
        e.trial.verify = nullptr;
      }
    }
    synchronize(backend_);
    queued_plans().clear();
    copy_to_host(backend_, after_.data(), device_.data(), bytes);
    for (const Entry& e : entries) {
      if (failures_ >= kToldFailures) return;
      if (!e.trial.verify) continue;
      // A truth that is mostly zero is what some trials are about.
      const Check check = e.trial.verify(arena_.data(), after_.data());
      if (!check.passed && check.status != "MISTRUSTED") {
        fail(e, check.message);
      } else if (const auto at = arena_.damage(after_.data(), e.begin, e.end)) {
        fail(e,
             fmt::format("byte {} of its memory was overwritten and is no output", *at - e.begin));
      }
    }
  }

  void fail(const Entry& e, std::string_view why) {
    ++failures_;
    std::string backend(B::kName);
    backend[0] = static_cast<char>(std::toupper(backend[0]));
    ADD_FAILURE() << property_.name << " trial " << e.index << " (" << e.trial.text << "): " << why
                  << "\nrun it again: OCTET_SEED=" << options().seed
                  << " OCTET_PROPERTY=" << e.index
                  << " build/*/tests/property_test --gtest_filter=" << backend
                  << "/Properties.Hold/" << property_.name;
  }

  static constexpr std::int64_t kArenaBytes = 24 << 20, kMostBytes = 4 << 20;  // of a trial

  B backend_;
  const Property<B>& property_;
  Arena arena_;
  Buffer<B, unsigned char> device_;
  Buffer<Cpu, unsigned char> after_;
  int failures_ = 0;
};

struct PropertyCase {
  std::string_view backend, name;
};
void PrintTo(const PropertyCase& c, std::ostream* out) { *out << c.backend << ' ' << c.name; }

class Properties : public testing::TestWithParam<PropertyCase> {
 public:
  static std::vector<PropertyCase> cases(std::string_view backend) {
    std::vector<PropertyCase> all;
    for_each_backend([&]<class B>(B) {
      if (backend != B::kName) return;
      for (const Property<B>& p : kProperties<B>) all.push_back({B::kName, p.name});
    });
    return all;
  }

 protected:
  template <class B>
  void run(B) {
    if (!available(B{})) {
      const std::string reason = fmt::format("no {} device answers", B::kName);
      if (options().requires_backend(B::kName)) FAIL() << reason;
      GTEST_SKIP() << reason;
    }
    std::int64_t weights = 0;
    const Property<B>* property = nullptr;
    for (const Property<B>& p : kProperties<B>) {
      weights += p.weight;
      if (p.name == GetParam().name) property = &p;
    }
    constexpr std::int64_t kTrials = 10000;
    const std::int64_t trials = number_from("OCTET_PROPERTIES").value_or(kTrials);
    Runner<B> runner(make_backend<B>(), *property);
    if (const auto one = number_from("OCTET_PROPERTY")) return runner.run(*one, *one + 1);
    runner.run(0, (trials * property->weight + weights - 1) / weights);
  }
};

TEST_P(Properties, Hold) {
  for_each_backend([&]<class B>(B backend) {
    if (GetParam().backend == B::kName) run(backend);
  });
}

std::string property_name(const testing::TestParamInfo<PropertyCase>& info) {
  return std::string(info.param.name);
}
INSTANTIATE_TEST_SUITE_P(Cpu, Properties, testing::ValuesIn(Properties::cases("cpu")),
                         property_name);
INSTANTIATE_TEST_SUITE_P(Cuda, Properties, testing::ValuesIn(Properties::cases("cuda")),
                         property_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Properties);

// ---------------------------------------------------------------- what must not go unnoticed

/// quantize_rowwise, followed by what a broken kernel does with its memory.
template <void (*spoil)(Matrix<s8> q, Matrix<const f16> x)>
Trial<Cpu> spoilt_trial(Draw&, Arena& arena) {
  const auto x = arena.place<f16>(5, 7, RowMajor{9});
  fill(x.in(arena.data()), Distribution::gaussian, 1.0f, 1);
  const auto q = arena.place<s8>(5, 7, RowMajor{9});
  arena.allow(q);
  const auto scale = arena.place_vector<float>(5);
  arena.allow(scale);
  return {"5 x 7",
          [=](Cpu backend, unsigned char* m) {
            quantize_rowwise<f16>(backend, x.in(m), q.in(m), scale.vector(m));
            spoil(q.in(m), x.in(m));
          },
          [=](const unsigned char* before, const unsigned char* after) {
            return verify_quantize_rowwise<f16>(x.in(before), q.in(after), scale.vector(after),
                                                Zeros::allowed);
          }};
}
void run_spoilt(Trial<Cpu> (*make)(Draw&, Arena&)) {
  const Property<Cpu> property{"spoilt", 1, make};
  Runner<Cpu>(Cpu{}, property).run(41, 42);
}
void change_a_result(Matrix<s8> q, Matrix<const f16>) { q(4, 6) ^= 1; }
void write_into_a_gap(Matrix<s8> q, Matrix<const f16>) { q(2, 7) = 0; }
void write_behind_the_end(Matrix<s8> q, Matrix<const f16>) { q(4, 7) = 0; }
void change_an_input(Matrix<s8>, Matrix<const f16> x) { const_cast<f16*>(x.data)->bits ^= 1; }
void refuse(Matrix<s8>, Matrix<const f16>) { throw std::invalid_argument("refused"); }

TEST(BrokenProperties, AreReportedWithTheLineThatRunsThemAgain) {
  EXPECT_NONFATAL_FAILURE(run_spoilt(spoilt_trial<change_a_result>), "q: 1 of 5 x 7");
  EXPECT_NONFATAL_FAILURE(run_spoilt(spoilt_trial<write_into_a_gap>), "was overwritten");
  EXPECT_NONFATAL_FAILURE(run_spoilt(spoilt_trial<write_behind_the_end>), "was overwritten");
  EXPECT_NONFATAL_FAILURE(run_spoilt(spoilt_trial<change_an_input>), "was overwritten");
  EXPECT_NONFATAL_FAILURE(run_spoilt(spoilt_trial<refuse>), "refused");
  EXPECT_NONFATAL_FAILURE(run_spoilt(spoilt_trial<refuse>),
                          "OCTET_PROPERTY=41 build/*/tests/property_test "
                          "--gtest_filter=Cpu/Properties.Hold/spoilt");
}

TEST(Draws, FollowFromSeedPropertyAndIndexAlone) {
  const auto text = [](std::uint64_t seed) {
    Arena arena(1 << 22);
    Draw draw(seed);
    return gemm_s8_trial<Cpu>(draw, arena).text +
           std::string(arena.data(), arena.data() + arena.used());
  };
  EXPECT_EQ(text(7), text(7));
  EXPECT_NE(text(7), text(8));
}

/// Shapes and data that hurt are not left to luck: among few trials there are all kinds.
TEST(Draws, ReachTheEdgesOfTheContract) {
  Draw draw(1);
  int empty = 0, single = 0, primes = 0, padded = 0, aligned = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto [rows, cols] = draw.extents();
    empty += rows == 0 || cols == 0;
    single += rows == 1 || cols == 1;
    primes += cols % 64 == 63 || cols % 64 == 1;
    aligned += cols > 0 && cols % 64 == 0;
    padded += draw.padding(cols) != 0;
    EXPECT_LE(rows * cols, 24000);
  }
  for (const int count : {empty, single, primes, aligned, padded}) EXPECT_GT(count, 20);
}

}  // namespace
}  // namespace octet::harness
