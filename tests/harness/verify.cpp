#include "harness/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <vector>

#include "harness/absmaxes.hpp"
#include "harness/freivalds.hpp"
#include "harness/parallel.hpp"
#include "harness/projection.hpp"
#include "reference/column_sum.hpp"
#include "reference/dequantize.hpp"
#include "reference/gemm.hpp"
#include "reference/quantize.hpp"
#include "reference/rounding.hpp"
#include "reference/transform.hpp"

namespace octet::harness {
namespace {

constexpr std::int64_t kCompleteProducts = 1 << 24;

void extent(std::string_view function, std::string_view what, std::int64_t value,
            std::int64_t expected) {
  if (value == expected) return;
  throw std::invalid_argument(
      fmt::format("{}: {} is {} but must be {}", function, what, value, expected));
}

/// Where the contract says that nothing is done.
Check nothing_to_compare() {
  Check check;
  check.kind = "bits";
  check.exact = true;
  return check;
}

/// By strips of columns that are copied first, each column in one piece: where it lies, every
/// element of it takes a line of the cache.
template <class T>
std::vector<float> column_sums(Matrix<const T> x) {
  constexpr std::int64_t kStrip = 32;
  std::vector<float> sums(static_cast<std::size_t>(x.cols));
  parallel_for(x.cols, kStrip, [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> storage(static_cast<std::size_t>(x.rows * (end - begin)));
    const Matrix<T, ColMajor> strip(storage.data(), x.rows, end - begin);
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (std::int64_t j = begin; j < end; ++j) strip(i, j - begin) = x(i, j);
    }
    for (std::int64_t j = begin; j < end; ++j) {
      sums[static_cast<std::size_t>(j)] = reference::column_sum(strip, j - begin);
    }
  });
  return sums;
}

std::vector<float> multipliers(const std::vector<float>& absmax) {
  std::vector<float> result(absmax.size());
  std::transform(absmax.begin(), absmax.end(), result.begin(), reference::multiplier);
  return result;
}

Check compare_scales(std::string_view what, Vector<const float> actual,
                     const std::vector<float>& absmax, Zeros zeros) {
  return compare_bits(
      what, actual,
      [&](std::int64_t i) { return reference::scale(absmax[static_cast<std::size_t>(i)]); }, zeros);
}

/// How q is rounded; none: to nearest.
using MaybeStochastic = std::optional<StochasticRounding>;

/// The columns of x are the rows of its transpose, whose elements have the random words of theirs
/// in the tensor as it lies.
template <class T, class L>
Check compare_rows(std::string_view what, Matrix<const T, L> x, const MaybeStochastic& rounding,
                   Matrix<const s8> q, const std::vector<float>& absmax, Zeros zeros) {
  const std::vector<float> factor = multipliers(absmax);
  if (!rounding) {
    return compare_bits(what, q,
                        truth_from(x,
                                   [f = factor.data()](std::int64_t i, std::int64_t, T value) {
                                     return reference::quantize_by(static_cast<float>(value), f[i]);
                                   }),
                        zeros);
  }
  constexpr bool kAsItLies = std::is_same_v<L, RowMajor>;
  return compare_bits(what, q,
                      truth_from(x,
                                 [&, f = factor.data()](std::int64_t i, std::int64_t j, T value) {
                                   const auto [seed, offset] = *rounding;
                                   const std::uint32_t word =
                                       kAsItLies
                                           ? reference::rounding_word(seed, offset, i, j, x.cols)
                                           : reference::rounding_word(seed, offset, j, i, x.rows);
                                   return s8{reference::quantize_stochastically_by(
                                       static_cast<float>(value), f[i], word)};
                                 }),
                      zeros);
}

template <class T, class L>
Check compare_dequantized(Matrix<const s32, L> acc, Vector<const float> row_scale,
                          Vector<const float> col_scale, Vector<const T> bias, Matrix<const T> out,
                          Zeros zeros) {
  constexpr std::string_view kName = "verify_dequantize";
  extent(kName, "out.rows", out.rows, acc.rows);
  extent(kName, "out.cols", out.cols, acc.cols);
  extent(kName, "row_scale.length", row_scale.length, acc.rows);
  extent(kName, "col_scale.length", col_scale.length, acc.cols);
  if (bias.length != 0) extent(kName, "bias.length", bias.length, acc.cols);
  return compare_bits(
      "out", out,
      [&](std::int64_t i, std::int64_t j) {
        const float b = bias.length == 0 ? 0.0f : static_cast<float>(bias(j));
        return reference::dequantize<T>(acc(i, j), row_scale(i), col_scale(j), b);
      },
      zeros);
}

/// Whether all that a tiled y holds is what the reference says, by panels of 32 columns: the truth
/// of a panel is small, that of the whole as large as y.
template <class T, class From, class To>
bool panels_match(Matrix<const T, From> x, Matrix<const T, To> y) {
  constexpr std::int64_t kPanel = 32;
  std::atomic<bool> all = true;
  parallel_for((x.cols + kPanel - 1) / kPanel, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end && all; ++panel) {
      const std::int64_t j = panel * kPanel;
      const Matrix<const T, From> columns(x.data + x.layout(0, j), x.rows,
                                          std::min(kPanel, x.cols - j), x.layout);
      const std::vector<T> truth = reference::tiled(columns, y.layout);
      if (!std::equal(truth.begin(), truth.end(), y.data + y.layout(0, j))) all = false;
    }
  });
  return all;
}

template <class T>
Check check_quantize_rowwise(Matrix<const T> x, const MaybeStochastic& rounding, Matrix<const s8> q,
                             Vector<const float> row_scale, Zeros zeros) {
  constexpr std::string_view kName = "verify_quantize_rowwise";
  extent(kName, "q.rows", q.rows, x.rows);
  extent(kName, "q.cols", q.cols, x.cols);
  extent(kName, "row_scale.length", row_scale.length, x.rows);
  if (x.empty()) return nothing_to_compare();
  const std::vector<float> absmax = row_absmaxes(x);
  return merge({compare_scales("row_scale", row_scale, absmax, zeros),
                compare_rows("q", x, rounding, q, absmax, zeros)});
}

template <class T>
Check check_quantize_colwise(Matrix<const T> x, const MaybeStochastic& rounding,
                             Matrix<const s8> q_col, Vector<const float> col_scale, Zeros zeros) {
  constexpr std::string_view kName = "verify_quantize_colwise";
  extent(kName, "q_col.rows", q_col.rows, x.cols);
  extent(kName, "q_col.cols", q_col.cols, x.rows);
  extent(kName, "col_scale.length", col_scale.length, x.cols);
  if (x.empty()) return nothing_to_compare();
  const std::vector<float> absmax = col_absmaxes(x);
  return merge({compare_scales("col_scale", col_scale, absmax, zeros),
                compare_rows("q_col", transposed(x), rounding, q_col, absmax, zeros)});
}

template <class T>
Check check_quantize_row_col(Matrix<const T> x, const MaybeStochastic& rounding,
                             Matrix<const s8> q_row, Vector<const float> row_scale,
                             Matrix<const s8> q_col, Vector<const float> col_scale, Zeros zeros) {
  constexpr std::string_view kName = "verify_quantize_row_col";
  extent(kName, "q_row.rows", q_row.rows, x.rows);
  extent(kName, "q_row.cols", q_row.cols, x.cols);
  extent(kName, "row_scale.length", row_scale.length, x.rows);
  extent(kName, "q_col.rows", q_col.rows, x.cols);
  extent(kName, "q_col.cols", q_col.cols, x.rows);
  extent(kName, "col_scale.length", col_scale.length, x.cols);
  if (x.empty()) return nothing_to_compare();
  const std::vector<float> row_absmax = row_absmaxes(x), col_absmax = col_absmaxes(x);
  return merge({compare_scales("row_scale", row_scale, row_absmax, zeros),
                compare_scales("col_scale", col_scale, col_absmax, zeros),
                compare_rows("q_row", x, rounding, q_row, row_absmax, zeros),
                compare_rows("q_col", transposed(x), rounding, q_col, col_absmax, zeros)});
}

}  // namespace

template <class T>
Check verify_quantize_rowwise(Matrix<const T> x, Matrix<const s8> q, Vector<const float> row_scale,
                              Zeros zeros) {
  return check_quantize_rowwise<T>(x, std::nullopt, q, row_scale, zeros);
}

template <class T>
Check verify_quantize_rowwise(Matrix<const T> x, StochasticRounding rounding, Matrix<const s8> q,
                              Vector<const float> row_scale, Zeros zeros) {
  return check_quantize_rowwise<T>(x, rounding, q, row_scale, zeros);
}

template <class T>
Check verify_quantize_colwise(Matrix<const T> x, Matrix<const s8> q_col,
                              Vector<const float> col_scale, Zeros zeros) {
  return check_quantize_colwise<T>(x, std::nullopt, q_col, col_scale, zeros);
}

template <class T>
Check verify_quantize_colwise(Matrix<const T> x, StochasticRounding rounding,
                              Matrix<const s8> q_col, Vector<const float> col_scale, Zeros zeros) {
  return check_quantize_colwise<T>(x, rounding, q_col, col_scale, zeros);
}

template <class T>
Check verify_quantize_row_col(Matrix<const T> x, Matrix<const s8> q_row,
                              Vector<const float> row_scale, Matrix<const s8> q_col,
                              Vector<const float> col_scale, Zeros zeros) {
  return check_quantize_row_col<T>(x, std::nullopt, q_row, row_scale, q_col, col_scale, zeros);
}

template <class T>
Check verify_quantize_row_col(Matrix<const T> x, StochasticRounding rounding,
                              Matrix<const s8> q_row, Vector<const float> row_scale,
                              Matrix<const s8> q_col, Vector<const float> col_scale, Zeros zeros) {
  return check_quantize_row_col<T>(x, rounding, q_row, row_scale, q_col, col_scale, zeros);
}

template <class T>
Check verify_dequantize(Matrix<const s32> acc, Vector<const float> row_scale,
                        Vector<const float> col_scale, Vector<const T> bias, Matrix<const T> out,
                        Zeros zeros) {
  return compare_dequantized(acc, row_scale, col_scale, bias, out, zeros);
}

template <class T>
Check verify_dequantize(Matrix<const s32, Col32> acc, Vector<const float> row_scale,
                        Vector<const float> col_scale, Vector<const T> bias, Matrix<const T> out,
                        Zeros zeros) {
  return compare_dequantized(acc, row_scale, col_scale, bias, out, zeros);
}

template <class T>
Check verify_dequantize_rowwise(Matrix<const s8> q, Vector<const float> row_scale,
                                Matrix<const T> out, Zeros zeros) {
  constexpr std::string_view kName = "verify_dequantize_rowwise";
  extent(kName, "out.rows", out.rows, q.rows);
  extent(kName, "out.cols", out.cols, q.cols);
  extent(kName, "row_scale.length", row_scale.length, q.rows);
  return compare_bits(
      "out", out,
      [&](std::int64_t i, std::int64_t j) {
        return reference::dequantize_rowwise<T>(q(i, j), row_scale(i));
      },
      zeros);
}

template <class T, class From, class To>
Check verify_transform(Matrix<const T, From> x, Matrix<const T, To> y, Zeros zeros) {
  constexpr std::string_view kName = "verify_transform";
  extent(kName, "y.rows", y.rows, x.rows);
  extent(kName, "y.cols", y.cols, x.cols);
  if (x.empty()) return nothing_to_compare();
  const Check elements = compare_bits(
      "y", y, [&](std::int64_t i, std::int64_t j) { return x(i, j); }, zeros);
  if constexpr (std::is_same_v<To, RowMajor> || std::is_same_v<To, ColMajor>) {
    return elements;
  } else {
    if (!elements.passed) return elements;
    if (panels_match(x, y)) {
      Check memory = nothing_to_compare();
      memory.compared = y.capacity();
      return merge({elements, memory});
    }
    const std::vector<T> truth = reference::tiled(x, y.layout);
    return merge(
        {elements,
         compare_bits(
             "the memory of y, padding included", Vector<const T>(y.data, y.capacity()),
             [&](std::int64_t n) { return truth[static_cast<std::size_t>(n)]; }, Zeros::allowed)});
  }
}

template <class T>
Check verify_flatten(Batch<const T> x, Matrix<const T> y, Zeros zeros) {
  constexpr std::string_view kName = "verify_flatten";
  extent(kName, "y.rows", y.rows, x.count * x.first.rows);
  extent(kName, "y.cols", y.cols, x.first.cols);
  return compare_bits(
      "y", y, [&](std::int64_t i, std::int64_t j) { return reference::flattened<T>(x, i, j); },
      zeros);
}

template <class T>
Check verify_column_sum(Matrix<const T> x, Vector<const T> sum, Zeros zeros) {
  extent("verify_column_sum", "sum.length", sum.length, x.cols);
  const std::vector<float> truth = column_sums(x);
  return compare_bits(
      "sum", sum, [&](std::int64_t j) { return T(truth[static_cast<std::size_t>(j)]); }, zeros);
}

Check verify_gemm_s8(Matrix<const s8> a, Matrix<const s8> b, Matrix<const s32> acc,
                     std::uint64_t seed, Zeros zeros) {
  if (a.cols == 0) zeros = Zeros::allowed;  // a sum of nothing
  const FreivaldsResult found = freivalds(a, b, acc, seed);
  Check check;
  check.kind = "freivalds";
  check.exact = true;
  check.compared = acc.size();
  check.mismatches = found.rows_wrong;
  if (found.rows_wrong > 0) {
    check.passed = false;
    check.status = "FAILED";
    check.message = fmt::format("acc: {} of {} rows are wrong, the first is row {}",
                                found.rows_wrong, acc.rows, found.row);
    if (found.col >= 0) {
      check.max_abs = std::fabs(static_cast<double>(found.expected - found.actual));
      check.message += fmt::format(", at column {}: expected {}, actual {}", found.col,
                                   found.expected, found.actual);
    }
  } else if (zeros == Zeros::mistrusted && check.compared >= 64 &&
             found.zeros * 100 > check.compared * 99) {
    check.passed = false;
    check.status = "MISTRUSTED";
    check.message = detail::describe_blank("acc", found.zeros, check.compared);
  }
  const bool complete =
      acc.empty() || a.cols <= kCompleteProducts / std::max<std::int64_t>(1, acc.size());
  if (!complete) return check;
  const Check elements = compare_bits(
      "acc", acc,
      [&](std::int64_t i, std::int64_t j) {
        return static_cast<s32>(reference::dot_s8(a, b, i, j));
      },
      zeros);
  if (elements.status != check.status) return merge({check, elements});
  // They agree: one account of it is enough, and the elements' says more.
  Check both = elements;
  both.kind = "freivalds+bits";
  return both;
}

template <class T>
Check verify_gemm(const Operand<T>& a, const Operand<T>& b, Matrix<const T> out, std::uint64_t seed,
                  Zeros zeros) {
  constexpr std::string_view kName = "verify_gemm";
  extent(kName, "b.cols", b.cols, a.cols);
  extent(kName, "out.rows", out.rows, a.rows);
  extent(kName, "out.cols", out.cols, b.rows);
  if (a.cols == 0) zeros = Zeros::allowed;
  const double unit = static_cast<double>(a.cols) * 0x1p-24;
  const std::vector<Coordinate> samples = sample_coordinates(out.rows, out.cols, seed);

  std::mutex mutex;
  double error = 0, allowed = 0, truth = 0;  // of squares, over all samples
  Check check = compare_bounded(
      "out", out, samples,
      [&](std::int64_t i, std::int64_t j) {
        const double value = reference::dot(a, b, i, j);
        const double sum_bound = 2 * unit * reference::dot_abs(a, b, i, j);
        const double rounding = half_ulp<T>(std::fabs(value) + sum_bound);
        const double typical =
            half_ulp<T>(std::fabs(value)) +
            unit / 4 * std::max(std::fabs(value), reference::dot_norm(a, b, i, j));
        const double difference = to_double(out(i, j)) - value;
        const std::lock_guard lock(mutex);
        error += difference * difference;
        allowed += typical * typical;
        truth += value * value;
        return Expected{value, sum_bound + rounding};
      },
      zeros);
  if (truth > 0 && std::isfinite(error)) check.rel_frobenius = std::sqrt(error / truth);
  if (check.status == "PASSED" && error > allowed) {
    check.passed = false;
    check.status = "FAILED";
    check.mismatches = 1;
    check.message = fmt::format(
        "out: each of {} samples is within its bound, but their root mean square error {:.4g} is "
        "over {:.4g}, what rounding explains",
        samples.size(), std::sqrt(error / static_cast<double>(samples.size())),
        std::sqrt(allowed / static_cast<double>(samples.size())));
  }
  if (a.cols == 0 || check.status == "INVALID") return check;
  return merge({check, verify_projection("out", a, b, out, seed)});
}

template Check verify_quantize_rowwise(Matrix<const f16>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_quantize_rowwise(Matrix<const bf16>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_quantize_rowwise(Matrix<const f32>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_quantize_colwise(Matrix<const f16>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_quantize_colwise(Matrix<const bf16>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_quantize_colwise(Matrix<const f32>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_quantize_row_col(Matrix<const f16>, Matrix<const s8>, Vector<const float>,
                                       Matrix<const s8>, Vector<const float>, Zeros);
template Check verify_quantize_row_col(Matrix<const bf16>, Matrix<const s8>, Vector<const float>,
                                       Matrix<const s8>, Vector<const float>, Zeros);
template Check verify_quantize_row_col(Matrix<const f32>, Matrix<const s8>, Vector<const float>,
                                       Matrix<const s8>, Vector<const float>, Zeros);
template Check verify_quantize_rowwise(Matrix<const f16>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Zeros);
template Check verify_quantize_rowwise(Matrix<const bf16>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Zeros);
template Check verify_quantize_rowwise(Matrix<const f32>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Zeros);
template Check verify_quantize_colwise(Matrix<const f16>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Zeros);
template Check verify_quantize_colwise(Matrix<const bf16>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Zeros);
template Check verify_quantize_colwise(Matrix<const f32>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Zeros);
template Check verify_quantize_row_col(Matrix<const f16>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_quantize_row_col(Matrix<const bf16>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_quantize_row_col(Matrix<const f32>, StochasticRounding, Matrix<const s8>,
                                       Vector<const float>, Matrix<const s8>, Vector<const float>,
                                       Zeros);
template Check verify_dequantize(Matrix<const s32>, Vector<const float>, Vector<const float>,
                                 Vector<const f16>, Matrix<const f16>, Zeros);
template Check verify_dequantize(Matrix<const s32>, Vector<const float>, Vector<const float>,
                                 Vector<const bf16>, Matrix<const bf16>, Zeros);
template Check verify_dequantize(Matrix<const s32>, Vector<const float>, Vector<const float>,
                                 Vector<const f32>, Matrix<const f32>, Zeros);
template Check verify_transform(Matrix<const s8, RowMajor>, Matrix<const s8, RowMajor>, Zeros);
template Check verify_transform(Matrix<const s8, RowMajor>, Matrix<const s8, ColMajor>, Zeros);
template Check verify_transform(Matrix<const s8, RowMajor>, Matrix<const s8, Col32>, Zeros);
template Check verify_transform(Matrix<const s8, RowMajor>, Matrix<const s8, Col4_4R2_8C>, Zeros);
template Check verify_transform(Matrix<const s8, RowMajor>, Matrix<const s8, Col32_2R_4R4>, Zeros);
template Check verify_transform(Matrix<const s8, ColMajor>, Matrix<const s8, RowMajor>, Zeros);
template Check verify_transform(Matrix<const s8, ColMajor>, Matrix<const s8, ColMajor>, Zeros);
template Check verify_transform(Matrix<const s8, ColMajor>, Matrix<const s8, Col32>, Zeros);
template Check verify_transform(Matrix<const s8, ColMajor>, Matrix<const s8, Col4_4R2_8C>, Zeros);
template Check verify_transform(Matrix<const s8, ColMajor>, Matrix<const s8, Col32_2R_4R4>, Zeros);
template Check verify_transform(Matrix<const s8, Col32>, Matrix<const s8, RowMajor>, Zeros);
template Check verify_transform(Matrix<const s8, Col32>, Matrix<const s8, ColMajor>, Zeros);
template Check verify_transform(Matrix<const s8, Col4_4R2_8C>, Matrix<const s8, RowMajor>, Zeros);
template Check verify_transform(Matrix<const s8, Col4_4R2_8C>, Matrix<const s8, ColMajor>, Zeros);
template Check verify_transform(Matrix<const s8, Col32_2R_4R4>, Matrix<const s8, RowMajor>, Zeros);
template Check verify_transform(Matrix<const s8, Col32_2R_4R4>, Matrix<const s8, ColMajor>, Zeros);
template Check verify_transform(Matrix<const s32, RowMajor>, Matrix<const s32, RowMajor>, Zeros);
template Check verify_transform(Matrix<const s32, RowMajor>, Matrix<const s32, ColMajor>, Zeros);
template Check verify_transform(Matrix<const s32, RowMajor>, Matrix<const s32, Col32>, Zeros);
template Check verify_transform(Matrix<const s32, ColMajor>, Matrix<const s32, RowMajor>, Zeros);
template Check verify_transform(Matrix<const s32, ColMajor>, Matrix<const s32, ColMajor>, Zeros);
template Check verify_transform(Matrix<const s32, ColMajor>, Matrix<const s32, Col32>, Zeros);
template Check verify_transform(Matrix<const s32, Col32>, Matrix<const s32, RowMajor>, Zeros);
template Check verify_transform(Matrix<const s32, Col32>, Matrix<const s32, ColMajor>, Zeros);
template Check verify_flatten(Batch<const f16>, Matrix<const f16>, Zeros);
template Check verify_flatten(Batch<const bf16>, Matrix<const bf16>, Zeros);
template Check verify_flatten(Batch<const f32>, Matrix<const f32>, Zeros);
template Check verify_dequantize(Matrix<const s32, Col32>, Vector<const float>, Vector<const float>,
                                 Vector<const f16>, Matrix<const f16>, Zeros);
template Check verify_dequantize_rowwise(Matrix<const s8>, Vector<const float>, Matrix<const f16>,
                                         Zeros);
template Check verify_column_sum(Matrix<const f16>, Vector<const f16>, Zeros);
template Check verify_dequantize(Matrix<const s32, Col32>, Vector<const float>, Vector<const float>,
                                 Vector<const bf16>, Matrix<const bf16>, Zeros);
template Check verify_dequantize_rowwise(Matrix<const s8>, Vector<const float>, Matrix<const bf16>,
                                         Zeros);
template Check verify_column_sum(Matrix<const bf16>, Vector<const bf16>, Zeros);
template Check verify_dequantize(Matrix<const s32, Col32>, Vector<const float>, Vector<const float>,
                                 Vector<const f32>, Matrix<const f32>, Zeros);
template Check verify_dequantize_rowwise(Matrix<const s8>, Vector<const float>, Matrix<const f32>,
                                         Zeros);
template Check verify_column_sum(Matrix<const f32>, Vector<const f32>, Zeros);
template Check verify_gemm(const Operand<f16>&, const Operand<f16>&, Matrix<const f16>,
                           std::uint64_t, Zeros);
template Check verify_gemm(const Operand<bf16>&, const Operand<bf16>&, Matrix<const bf16>,
                           std::uint64_t, Zeros);

}  // namespace octet::harness
