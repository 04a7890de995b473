// quantize_rowwise, quantize_colwise and quantize_row_col: see harness/operators/quantize.hpp. And
// what stochastic rounding promises beyond bits.
#include "harness/operators/quantize.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "harness/suite.hpp"
#include "octet/buffer.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(QuantizeRowwise_f16, QuantizeRowwise, f16, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeRowwise_bf16, QuantizeRowwise, bf16, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeRowwise_f32, QuantizeRowwise, f32, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeColwise_f16, QuantizeColwise, f16, OCTET_FN(quantize_colwise));
OCTET_KERNEL_SUITE(QuantizeColwise_bf16, QuantizeColwise, bf16, OCTET_FN(quantize_colwise));
OCTET_KERNEL_SUITE(QuantizeColwise_f32, QuantizeColwise, f32, OCTET_FN(quantize_colwise));
OCTET_KERNEL_SUITE(QuantizeRowCol_f16, QuantizeRowCol, f16, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeRowCol_bf16, QuantizeRowCol, bf16, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeRowCol_f32, QuantizeRowCol, f32, OCTET_FN(quantize_row_col));

OCTET_KERNEL_SUITE(QuantizeRowwiseStochastic_f16, QuantizeRowwiseStochastic, f16,
                   OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeRowwiseStochastic_f32, QuantizeRowwiseStochastic, f32,
                   OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeColwiseStochastic_bf16, QuantizeColwiseStochastic, bf16,
                   OCTET_FN(quantize_colwise));
OCTET_KERNEL_SUITE(QuantizeColwiseStochastic_f32, QuantizeColwiseStochastic, f32,
                   OCTET_FN(quantize_colwise));
OCTET_KERNEL_SUITE(QuantizeRowColStochastic_f16, QuantizeRowColStochastic, f16,
                   OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeRowColStochastic_bf16, QuantizeRowColStochastic, bf16,
                   OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeRowColStochastic_f32, QuantizeRowColStochastic, f32,
                   OCTET_FN(quantize_row_col));

// ---- what no comparison of bits says ----

/// q of a matrix on a backend, on the host.
template <class B, class... Rounding>
std::vector<s8> quantized(B backend, const std::vector<float>& x, std::int64_t cols,
                          Rounding... rounding) {
  const auto size = static_cast<std::int64_t>(x.size()), rows = size / cols;
  const Buffer<B, float> from(backend, size), scale(backend, rows);
  const Buffer<B, s8> to(backend, size);
  copy_from_host(backend, from.data(), x.data(), x.size() * sizeof(float));
  quantize_rowwise<float>(backend, {from.data(), rows, cols}, rounding..., {to.data(), rows, cols},
                          {scale.data(), rows});
  std::vector<s8> q(x.size());
  synchronize(backend);
  copy_to_host(backend, q.data(), to.data(), q.size());
  return q;
}

/// f(backend) where a device answers.
template <class F>
void on_each_backend(const F& f) {
  for_each_backend([&]<class B>(B) {
    if (available(B{})) {
      f(make_backend<B>());
    } else {
      EXPECT_FALSE(options().requires_backend(B::kName)) << "no " << B::kName << " device answers";
    }
  });
}

/// Two rows whose quotients x * 127 / absmax are all kinds of fractions, both signs, and mostly
/// under half a step in the second one, as a gradient's are beside one large element.
constexpr std::int64_t kCols = 61;
std::vector<float> fractions() {
  std::vector<float> x;
  for (std::int64_t j = 0; j < kCols; ++j) {
    const auto value = static_cast<float>(j) * 0.3137f;
    x.push_back(j == 7 ? 19.0f : j % 2 == 0 ? value : -value);
  }
  for (std::int64_t j = 0; j < kCols; ++j) {
    x.push_back(j == 30 ? -127.0f : static_cast<float>(j - 20) * 0.0123f);
  }
  return x;
}
float quotient(const std::vector<float>& x, std::size_t n) {
  return x[n] * (127.0f / (n < kCols ? 19.0f : 127.0f));
}

/// The largest distance between the mean of q over calls of their own words and x / scale, less
/// what rounding in f32 explains.
template <class F>
double largest_bias(const std::vector<float>& x, int calls, const F& quantized) {
  std::vector<double> sums(x.size());
  for (int n = 0; n < calls; ++n) {
    const std::vector<s8> q = quantized(n);
    for (std::size_t k = 0; k < x.size(); ++k) sums[k] += q[k];
  }
  double largest = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    largest = std::max(largest, std::fabs(sums[k] / calls - to_double(quotient(x, k))));
  }
  return largest - 0x1p-16;
}

/// Hoeffding: a mean of n values, each one of two neighbouring integers, is further than e from its
/// expectation with a probability of at most 2 exp(-2 n e^2). e is where this is 10^-9 for all
/// elements together.
TEST(StochasticRounding, IsUnbiased) {
  constexpr int kCalls = 4000;
  const std::vector<float> x = fractions();
  const double bound =
      std::sqrt(std::log(2 * to_double(static_cast<s32>(x.size())) * 1e9) / (2.0 * kCalls));
  ASSERT_LT(bound, 0.06);
  on_each_backend([&](auto backend) {
    const auto by_seed = [&](int n) {
      return quantized(backend, x, kCols, octet::StochasticRounding{word(1, n), 3});
    };
    EXPECT_LT(largest_bias(x, kCalls, by_seed), bound);
    const auto by_offset = [&](int n) {
      return quantized(backend, x, kCols,
                       octet::StochasticRounding{7, static_cast<std::uint64_t>(n)});
    };
    EXPECT_LT(largest_bias(x, kCalls, by_offset), bound);
    // Rounding to nearest is off by up to half a step, however often.
    EXPECT_GT(largest_bias(x, 1, [&](int) { return quantized(backend, x, kCols); }), 0.4);
    // So are words that do not change from call to call.
    const auto stuck = [&](int) {
      return quantized(backend, x, kCols, octet::StochasticRounding{7, 7});
    };
    EXPECT_GT(largest_bias(x, 2, stuck), 0.4);
  });
}

/// Elements draw independently: of n elements that round up with probability 1/2, the number that
/// does is as far from n / 2 as Hoeffding allows, in the whole and from each to its neighbours to
/// the right and below.
TEST(StochasticRounding, ElementsAndNeighboursDrawIndependently) {
  constexpr std::int64_t kRows = 256, kWidth = 256;
  std::vector<float> x(kRows * kWidth, 0.5f);
  for (std::int64_t i = 0; i < kRows; ++i) x[static_cast<std::size_t>(i * kWidth)] = 127.0f;
  on_each_backend([&](auto backend) {
    const std::vector<s8> q = quantized(backend, x, kWidth, octet::StochasticRounding{2026, 1});
    const auto up = [&](std::int64_t i, std::int64_t j) {
      return static_cast<int>(q[static_cast<std::size_t>(i * kWidth + j)]);
    };
    int ups = 0, like_right = 0, like_below = 0, count = 0;
    for (std::int64_t i = 0; i + 1 < kRows; ++i) {
      for (std::int64_t j = 1; j + 1 < kWidth; ++j) {
        ups += up(i, j);
        like_right += up(i, j) == up(i, j + 1);
        like_below += up(i, j) == up(i + 1, j);
        ++count;
      }
    }
    const double bound = std::sqrt(std::log(6e9) / 2 * count);
    EXPECT_LT(std::fabs(ups - 0.5 * count), bound);
    EXPECT_LT(std::fabs(like_right - 0.5 * count), bound);
    EXPECT_LT(std::fabs(like_below - 0.5 * count), bound);
  });
}

TEST(StochasticRounding, WholeNumbersStayAndResultsFollowFromCoordinates) {
  constexpr std::int64_t kWidth = 255;
  std::vector<float> whole, gaussian(40 * kWidth);
  for (int row = 0; row < 3; ++row) {
    for (int q = -127; q <= 127; ++q) whole.push_back(static_cast<float>(q));
  }
  fill(Matrix<float>(gaussian.data(), 40, kWidth), Distribution::gaussian, 1.0f, 5);
  on_each_backend([&](auto backend) {
    const std::vector<s8> q = quantized(backend, whole, kWidth, octet::StochasticRounding{1, 2});
    for (std::size_t n = 0; n < q.size(); ++n) {
      ASSERT_EQ(static_cast<float>(q[n]), whole[n]);
    }
    // The first rows alone are what they are among more rows.
    const std::vector<s8> all =
        quantized(backend, gaussian, kWidth, octet::StochasticRounding{1, 2});
    const std::vector<float> first(gaussian.begin(), gaussian.begin() + 3 * kWidth);
    const std::vector<s8> some = quantized(backend, first, kWidth, octet::StochasticRounding{1, 2});
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
    EXPECT_NE(all, quantized(backend, gaussian, kWidth, octet::StochasticRounding{1, 3}));
    EXPECT_NE(all, quantized(backend, gaussian, kWidth, octet::StochasticRounding{2, 2}));
    constexpr std::uint64_t kHigh = std::uint64_t{1} << 32;
    EXPECT_NE(all, quantized(backend, gaussian, kWidth, octet::StochasticRounding{1, 2 + kHigh}));
    EXPECT_NE(all, quantized(backend, gaussian, kWidth, octet::StochasticRounding{1 + kHigh, 2}));
  });
}

}  // namespace
}  // namespace octet::harness
