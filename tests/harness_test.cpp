// The harness itself: that it finds what is wrong, says where, and is silent about what is right.
//
// A check that never failed has proved nothing, so most cases here break something on purpose.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/absmaxes.hpp"
#include "harness/check.hpp"
#include "harness/freivalds.hpp"
#include "harness/hash.hpp"
#include "harness/line_sums.hpp"
#include "harness/parallel.hpp"
#include "harness/problem.hpp"
#include "harness/quantized_product.hpp"
#include "harness/random.hpp"
#include "harness/statistics.hpp"
#include "harness/verify.hpp"
#include "reference/dequantize.hpp"
#include "reference/gemm.hpp"
#include "reference/quantize.hpp"

namespace octet::harness {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// A matrix that owns its elements, `padding` of them after each row.
template <class T>
struct Owned {
  std::vector<T> data;
  std::int64_t rows, cols, ld;

  Owned(std::int64_t rows, std::int64_t cols, T value = T{}, std::int64_t padding = 0)
      : data(static_cast<std::size_t>(rows * (cols + padding)), value),
        rows(rows),
        cols(cols),
        ld(cols + padding) {}
  Matrix<T> view() { return {data.data(), rows, cols, RowMajor{ld}}; }
  Matrix<const T> view() const { return {data.data(), rows, cols, RowMajor{ld}}; }
  T& operator()(std::int64_t i, std::int64_t j) { return view()(i, j); }
};

template <class T>
Vector<const T> vector_of(const std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size())};
}

testing::AssertionResult says(const Check& check, std::string_view status,
                              std::initializer_list<std::string_view> parts = {}) {
  if (check.status != status) {
    return testing::AssertionFailure() << "status is " << check.status << ": " << check.message;
  }
  if (check.passed != (status == "PASSED")) {
    return testing::AssertionFailure() << "passed disagrees with status " << check.status;
  }
  if (check.passed != check.message.empty()) {
    return testing::AssertionFailure() << "message of " << status << ": " << check.message;
  }
  for (const std::string_view part : parts) {
    if (check.message.find(part) == std::string::npos) {
      return testing::AssertionFailure() << "'" << part << "' is not said in: " << check.message;
    }
  }
  return testing::AssertionSuccess();
}

/// Sets the number of threads for as long as it lives.
struct Threads {
  explicit Threads(int count) { set_thread_count(count); }
  ~Threads() { set_thread_count(0); }
};

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

// ------------------------------------------------------------------------------------- parallel

TEST(Parallel, VisitsEachIndexOnce) {
  for (const int threads : {1, 2, 7}) {
    const Threads guard(threads);
    for (const std::int64_t grain : {0, 1, 3, 1000, 5000}) {
      std::vector<std::atomic<int>> visits(1001);
      parallel_for(1001, grain, [&](std::int64_t begin, std::int64_t end) {
        EXPECT_LT(begin, end);
        for (std::int64_t n = begin; n < end; ++n) ++visits[static_cast<std::size_t>(n)];
      });
      EXPECT_TRUE(std::all_of(visits.begin(), visits.end(), [](const auto& v) { return v == 1; }));
    }
  }
}

TEST(Parallel, DoesNothingForNothing) {
  parallel_for(0, 8, [](std::int64_t, std::int64_t) { FAIL(); });
}

TEST(Parallel, RethrowsWhatAThreadThrew) {
  for (const int threads : {1, 4}) {
    const Threads guard(threads);
    EXPECT_EQ(message_of([] {
                parallel_for(100, 1, [](std::int64_t begin, std::int64_t) {
                  if (begin == 57) throw std::runtime_error("at 57");
                });
              }),
              "at 57");
  }
  EXPECT_THROW(set_thread_count(-1), std::invalid_argument);
}

// ------------------------------------------------------------------------------------- random

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

TEST(Random, QuantilesInvertTheNormalDistribution) {
  const std::vector<double>& q = normal_quantiles();
  ASSERT_EQ(q.size(), 65536u);
  EXPECT_TRUE(std::is_sorted(q.begin(), q.end()));
  for (std::size_t n = 0; n < q.size(); ++n) {
    const double p = (static_cast<double>(n) + 0.5) / 65536;
    ASSERT_NEAR(normal_cdf(q[n]), p, 1e-7 * std::min(p, 1 - p)) << n;
    ASSERT_EQ(q[n], -q[q.size() - 1 - n]);
  }
  EXPECT_NEAR(q.back(), 4.325, 0.01);
}

/// Other bits here mean other data in every record that was ever kept.
TEST(Random, GoldenValues) {
  EXPECT_EQ(word(0, 0), 0xe220a8397b1dcdafu);  // SplitMix64's first output for seed 0
  EXPECT_EQ(seed_from("Cpu/QuantizeRowwise_f16.MatchesReference/4k", 0), 0x217c9221bd0ecdbfu);
  Owned<f16> x(64, 100);
  fill(x.view(), Distribution::gaussian, 1.0f, 1);
  EXPECT_EQ(x(0, 0).bits, 0xb5a3);
  EXPECT_EQ(hash(x.view()), 0x1183564cfe6b8f6du);
  fill(x.view(), Distribution::outlier_channels, 0.5f, 1);
  EXPECT_EQ(hash(x.view()), 0x19b71aae32cd39b5u);
  fill(x.view(), Distribution::integers, 1.0f, 1);
  EXPECT_EQ(hash(x.view()), 0x1d0e5c2979b9b62bu);
  Owned<bf16> b(64, 100);
  fill(b.view(), Distribution::gaussian, 1.0f, 1);
  EXPECT_EQ(hash(b.view()), 0x7075b11eaf5c70b8u);
  Owned<float> f(64, 100);
  fill(f.view(), Distribution::gaussian, 1.0f, 1);
  EXPECT_EQ(hash(f.view()), 0x50c1893438db6cf7u);
  Owned<s8> q(64, 100);
  fill_s8(q.view(), 1);
  EXPECT_EQ(hash(q.view()), 0x49d16a2c29db901bu);
  fill_s8_uniform(q.view(), 1);
  EXPECT_EQ(hash(q.view()), 0x732e387a2de07346u);
  Owned<s32> acc(64, 100);
  fill_s32(acc.view(), 1'000'000, 1);
  EXPECT_EQ(hash(acc.view()), 0x8a4584b5f26381ddu);
}

TEST(Random, SeedsFollowNameAndUser) {
  EXPECT_EQ(seed_from("a", 1), seed_from("a", 1));
  EXPECT_NE(seed_from("a", 1), seed_from("a", 2));
  EXPECT_NE(seed_from("a", 1), seed_from("b", 1));
  EXPECT_NE(seed_from("", 0), seed_from("", 1));
}

TEST(Random, SameBitsForAnyThreadCountAndPadding) {
  for (const Distribution d :
       {Distribution::gaussian, Distribution::outlier_channels, Distribution::integers}) {
    // Wider than one task's segment, and a width that is no multiple of the four from one word.
    Owned<f16> one(3, (1 << 18) + 7), many(3, (1 << 18) + 7, f16{}, 9);
    {
      const Threads guard(1);
      fill(one.view(), d, 1.0f, 5);
    }
    {
      const Threads guard(5);
      fill(many.view(), d, 1.0f, 5);
    }
    EXPECT_EQ(hash(one.view()), hash(many.view())) << name(d);
  }
}

TEST(Random, AnyCoordinateCanBeMadeAgain) {
  for (const Distribution d :
       {Distribution::gaussian, Distribution::outlier_channels, Distribution::integers}) {
    Owned<float> x(13, 301);
    fill(x.view(), d, 2.0f, 9);
    const Source<float> source(d, 2.0f, 9, 301);
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (std::int64_t j = 0; j < x.cols; ++j) ASSERT_EQ(x(i, j), source(i, j));
    }
  }
}

TEST(Random, LeavesPaddingAlone) {
  Owned<f16> x(5, 6, f16::from_bits(0xffff), 3);
  fill(x.view(), Distribution::outlier_channels, 1.0f, 1);
  Owned<s8> q(5, 6, s8{-128}, 3);
  fill_s8(q.view(), 1);
  for (std::int64_t i = 0; i < 5; ++i) {
    for (std::int64_t j = 6; j < 9; ++j) {
      EXPECT_EQ(x.data[static_cast<std::size_t>(i * 9 + j)].bits, 0xffff);
      EXPECT_EQ(q.data[static_cast<std::size_t>(i * 9 + j)], -128);
    }
  }
  fill(Matrix<f16>(nullptr, 0, 5), Distribution::outlier_channels, 1.0f, 1);
  fill(Matrix<f16>(nullptr, 5, 0), Distribution::outlier_channels, 1.0f, 1);
}

struct Moments {
  double mean, deviation, largest;
};
template <class T, class L>
Moments moments(Matrix<T, L> m) {
  double sum = 0, squares = 0, largest = 0;
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < m.cols; ++j) {
      const double x = to_double(m(i, j));
      sum += x;
      squares += x * x;
      largest = std::max(largest, std::fabs(x));
    }
  }
  const auto n = static_cast<double>(m.size());
  return {sum / n, std::sqrt(squares / n - sum / n * (sum / n)), largest};
}

TEST(Random, Moments) {
  // Standard errors are about 0.001.
  Owned<f16> x(1024, 1024);
  fill(x.view(), Distribution::gaussian, 3.0f, 11);
  const Moments g = moments(x.view());
  EXPECT_NEAR(g.mean, 0, 0.015);
  EXPECT_NEAR(g.deviation, 3, 0.015);
  EXPECT_GT(g.largest, 3 * 4.2);
  EXPECT_LT(g.largest, 3 * 4.34);

  fill(x.view(), Distribution::integers, 1.0f, 11);
  const Moments u = moments(x.view());
  EXPECT_NEAR(u.mean, -0.5 / 73.6, 0.005);
  EXPECT_NEAR(u.deviation, std::sqrt((256.0 * 256 - 1) / 12) / 73.6, 0.005);
  EXPECT_EQ(u.largest, static_cast<float>(f16(static_cast<float>(128 / 73.6))));

  Owned<s8> q(1024, 1024);
  fill_s8(q.view(), 11);
  const Moments s = moments(q.view());
  EXPECT_NEAR(s.mean, 0, 0.15);
  EXPECT_NEAR(s.deviation, 127 / 4.3, 0.15);
  EXPECT_EQ(s.largest, 127);
  EXPECT_EQ(std::count(q.data.begin(), q.data.end(), -128), 0);
  fill_s8_uniform(q.view(), 11);
  EXPECT_EQ(*std::min_element(q.data.begin(), q.data.end()), -128);
  EXPECT_EQ(*std::max_element(q.data.begin(), q.data.end()), 127);
  EXPECT_NEAR(moments(q.view()).mean, -0.5, 0.4);

  Owned<s32> acc(1024, 256);
  fill_s32(acc.view(), 1000, 11);
  EXPECT_EQ(moments(acc.view()).largest, 1000);
  EXPECT_NEAR(moments(acc.view()).mean, 0, 6);
  fill_s32(acc.view(), std::numeric_limits<s32>::max(), 11);
  EXPECT_GT(moments(acc.view()).largest, 0x1.fffp30);
  EXPECT_THROW(fill_s32(acc.view(), -1, 0), std::invalid_argument);
  EXPECT_THROW(fill_s32(acc.view(), std::int64_t{1} << 31, 0), std::invalid_argument);
}

/// Neighbours come from one word, rows from words one row apart: neither may be correlated.
TEST(Random, NeighboursAreUncorrelated) {
  Owned<float> x(1024, 1024);
  fill(x.view(), Distribution::gaussian, 1.0f, 12);
  for (const std::int64_t lag : {1, 2, 3, 4, 1024, 4096}) {
    double sum = 0;
    const std::int64_t count = static_cast<std::int64_t>(x.data.size()) - lag;
    for (std::int64_t n = 0; n < count; ++n) {
      sum +=
          double{x.data[static_cast<std::size_t>(n)]} * x.data[static_cast<std::size_t>(n + lag)];
    }
    EXPECT_NEAR(sum / static_cast<double>(count), 0, 0.005) << "lag " << lag;
  }
}

TEST(Random, OutlierChannelsAreTwentyTimesAsLarge) {
  const Source<float> wide(Distribution::outlier_channels, 1.0f, 3, 4096);
  EXPECT_GE(wide.outlier_columns().size(), 6u);
  EXPECT_LE(wide.outlier_columns().size(), 34u);
  for (const std::int64_t cols : {1, 2, 17}) {
    EXPECT_GE(Source<float>(Distribution::outlier_channels, 1.0f, 3, cols).outlier_columns().size(),
              1u);
  }
  EXPECT_TRUE(Source<float>(Distribution::gaussian, 1.0f, 3, 4096).outlier_columns().empty());

  Owned<f16> x(4096, 64);
  fill(x.view(), Distribution::outlier_channels, 0.5f, 3);
  const auto channels = Source<f16>(Distribution::outlier_channels, 0.5f, 3, 64).outlier_columns();
  for (std::int64_t j = 0; j < x.cols; ++j) {
    const bool outlier = std::binary_search(channels.begin(), channels.end(), j);
    const Moments m = moments(Matrix<f16>(&x(0, j), x.rows, 1, RowMajor{x.ld}));
    EXPECT_NEAR(m.deviation, outlier ? 10 : 0.5, outlier ? 0.6 : 0.03) << j;
  }
}

TEST(Random, DistributionNames) {
  for (const Distribution d :
       {Distribution::gaussian, Distribution::outlier_channels, Distribution::integers}) {
    EXPECT_EQ(distribution_from_name(name(d)), d);
  }
  EXPECT_EQ(message_of([] { distribution_from_name("normal"); }),
            "distribution_from_name: 'normal' is none of gaussian, outlier_channels, integers");
}

// ------------------------------------------------------------------------------------- hash

TEST(Hash, GoldenValues) {
  EXPECT_EQ(hash_bytes(nullptr, 0), 0x0u);
  EXPECT_EQ(hash_bytes("octet", 5), 0x92b7d7fd309a5d36u);
  std::vector<unsigned char> bytes(3 * (1 << 20) + 5);
  for (std::size_t n = 0; n < bytes.size(); ++n) bytes[n] = static_cast<unsigned char>(n * n);
  EXPECT_EQ(hash_bytes(bytes.data(), bytes.size()), 0x1644fdde4027ccbau);
}

TEST(Hash, IndependentOfThreadsAndPadding) {
  Owned<f16> packed(700, 1999), padded(700, 1999, f16::from_bits(0xabcd), 17);
  fill(packed.view(), Distribution::gaussian, 1.0f, 1);
  fill(padded.view(), Distribution::gaussian, 1.0f, 1);
  const std::uint64_t expected = hash_bytes(packed.data.data(), packed.data.size() * 2);
  for (const int threads : {1, 2, 5}) {
    const Threads guard(threads);
    EXPECT_EQ(hash(packed.view()), expected);
    EXPECT_EQ(hash(padded.view()), expected);
  }
  Owned<f16> turned(1999, 700);
  for (std::int64_t i = 0; i < 700; ++i) {
    for (std::int64_t j = 0; j < 1999; ++j) turned(j, i) = packed(i, j);
  }
  EXPECT_EQ(hash(transposed(turned.view())), expected);
  EXPECT_NE(hash(turned.view()), expected);
}

TEST(Hash, SensitiveToEveryBitAndToOrder) {
  std::vector<unsigned char> bytes(2 * (1 << 20) + 77, 0);
  const auto now = [&] { return hash_bytes(bytes.data(), bytes.size()); };
  const std::uint64_t zeros = now();
  std::set<std::uint64_t> seen{zeros};
  const std::size_t places[] = {
      0, 1, 8, 31, 32, 1 << 19, (1 << 20) - 1, 1 << 20, bytes.size() - 14, bytes.size() - 1};
  for (const std::size_t place : places) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[place] ^= static_cast<unsigned char>(1 << bit);
      EXPECT_TRUE(seen.insert(now()).second) << "bit " << bit << " of byte " << place;
      bytes[place] ^= static_cast<unsigned char>(1 << bit);
    }
  }
  EXPECT_EQ(now(), zeros);
  EXPECT_TRUE(seen.insert(hash_bytes(bytes.data(), bytes.size() - 1)).second);
  EXPECT_TRUE(seen.insert(hash_bytes(bytes.data(), 1 << 20)).second);

  Owned<s8> x(2, 1 << 20);
  fill_s8(x.view(), 1);
  const std::uint64_t before = hash(x.view());
  std::swap_ranges(&x(0, 0), &x(0, 0) + (1 << 20), &x(1, 0));
  EXPECT_NE(hash(x.view()), before);
}

// ------------------------------------------------------------------------------------- statistics

TEST(Statistics, SummaryByHand) {
  const double odd[] = {100, 1, 3, 2, 4};
  const Summary s = summarize(odd);
  EXPECT_EQ(s.samples, 5);
  EXPECT_EQ(s.median, 3);
  EXPECT_EQ(s.mad, 1);  // of 2 1 0 1 97
  EXPECT_EQ(s.min, 1);
  EXPECT_EQ(s.q1, 2);
  EXPECT_EQ(s.q3, 4);
  EXPECT_EQ(s.max, 100);
  EXPECT_EQ(s.mean, 22);
  const double even[] = {4, 1, 3, 2};
  const Summary e = summarize(even);
  EXPECT_EQ(e.median, 2.5);
  EXPECT_EQ(e.mad, 1);
  EXPECT_EQ(e.q1, 1.75);
  EXPECT_EQ(e.q3, 3.25);
  const double one[] = {7};
  const Summary o = summarize(one);
  EXPECT_EQ(o.median, 7);
  EXPECT_EQ(o.mad, 0);
  EXPECT_EQ(o.q1, 7);
}

TEST(Statistics, MedianIntervalByHand) {
  std::vector<double> samples(9);
  for (std::size_t n = 0; n < 9; ++n) samples[n] = static_cast<double>(9 - n);  // 9 .. 1
  const Interval nine = median_interval(samples, 0.95);
  EXPECT_EQ(nine.estimate, 5);
  EXPECT_EQ(nine.low, 2);
  EXPECT_EQ(nine.high, 8);
  EXPECT_NEAR(nine.confidence, 1 - 2 * (1 + 9) / 512.0, 1e-12);
  EXPECT_NEAR(nine.half_width(), 3 / 5.0, 1e-15);

  samples.push_back(10);  // 1 - 2 (1 + 10) / 1024 is enough, 1 - 2 (1 + 10 + 45) / 1024 is not
  const Interval ten = median_interval(samples, 0.95);
  EXPECT_EQ(ten.estimate, 5.5);
  EXPECT_EQ(ten.low, 2);
  EXPECT_EQ(ten.high, 9);
  EXPECT_NEAR(ten.confidence, 1 - 22 / 1024.0, 1e-12);

  samples.resize(5);  // 9 .. 5: too few for 95 %, and it says so
  const Interval five = median_interval(samples, 0.95);
  EXPECT_EQ(five.low, 5);
  EXPECT_EQ(five.high, 9);
  EXPECT_NEAR(five.confidence, 1 - 2 / 32.0, 1e-12);
  samples.resize(1);
  EXPECT_EQ(median_interval(samples, 0.95).confidence, 0);
}

TEST(Statistics, MedianIntervalOfManySamples) {
  std::vector<double> samples(100'000);
  for (std::size_t n = 0; n < samples.size(); ++n) samples[n] = static_cast<double>(n + 1);
  const Interval interval = median_interval(samples, 0.95);
  EXPECT_NEAR(interval.low, 50'000 - 1.96 * std::sqrt(1e5) / 2, 2);
  EXPECT_NEAR(interval.high, 50'001 + 1.96 * std::sqrt(1e5) / 2, 2);
  EXPECT_GE(interval.confidence, 0.95);
  EXPECT_LT(interval.confidence, 0.951);
}

TEST(Statistics, MedianIntervalCoversSkewedMedians) {
  int covered = 0;
  constexpr int kTrials = 4000;
  for (int t = 0; t < kTrials; ++t) {
    std::vector<double> samples(21);
    for (std::size_t n = 0; n < samples.size(); ++n) {
      const double u = static_cast<double>(word(static_cast<std::uint64_t>(t), n) >> 11) * 0x1p-53;
      samples[n] = -std::log(1 - u);  // exponential: the median is ln 2
    }
    const Interval i = median_interval(samples, 0.95);
    covered += i.low <= std::log(2.0) && std::log(2.0) <= i.high;
  }
  // 1 - 2 P(Binomial(21, 1/2) < 6) = 0.9734, with a standard error of 0.0026.
  EXPECT_NEAR(covered / static_cast<double>(kTrials), 0.9734, 0.01);
}

TEST(Statistics, RatiosArePaired) {
  // A drift that both share cancels in pairs.
  std::vector<double> a(20), b(20);
  for (std::size_t n = 0; n < a.size(); ++n) {
    b[n] = std::exp2(static_cast<double>(n));
    a[n] = 2 * b[n];
  }
  const Interval i = ratio_interval(a, b, 0.99);
  EXPECT_EQ(i.estimate, 2);
  EXPECT_EQ(i.low, 2);
  EXPECT_EQ(i.high, 2);
  EXPECT_GE(i.confidence, 0.99);
}

TEST(Statistics, RejectsWhatHasNoAnswer) {
  const std::vector<double> none, one{1}, two{1, 2}, zero{0}, bad{1, kNan};
  EXPECT_EQ(message_of([&] { summarize(none); }), "summarize: there are no samples");
  EXPECT_EQ(message_of([&] { median_interval(none, 0.9); }),
            "median_interval: there are no samples");
  EXPECT_EQ(message_of([&] { ratio_interval(none, none, 0.9); }),
            "ratio_interval: there are no samples");
  EXPECT_EQ(message_of([&] { ratio_interval(one, two, 0.9); }),
            "ratio_interval: 1 samples and 2 samples do not pair");
  EXPECT_EQ(message_of([&] { summarize(bad); }), "summarize: sample 1 is not finite");
  EXPECT_EQ(message_of([&] { ratio_interval(one, zero, 0.9); }),
            "ratio_interval: sample 0 is not finite");
  EXPECT_THROW(median_interval(one, 0), std::invalid_argument);
  EXPECT_THROW(median_interval(one, 1), std::invalid_argument);
  EXPECT_THROW(median_interval(one, kNan), std::invalid_argument);
}

// ------------------------------------------------------------------------------------- freivalds

struct S8Product {
  Owned<s8> a, b;
  Owned<s32> d;

  S8Product(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t padding = 0)
      : a(m, k, s8{99}, padding), b(n, k, s8{99}, padding), d(m, n, 99, padding) {
    fill_s8_uniform(a.view(), 21);
    fill_s8_uniform(b.view(), 22);
    multiply(0, 0);
  }
  /// The right product but for slices of K in [begin, end).
  void multiply(std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = 0; i < d.rows; ++i) {
      for (std::int64_t j = 0; j < d.cols; ++j) {
        s32 sum = 0;
        for (std::int64_t k = 0; k < a.cols; ++k) {
          if (k < begin || k >= end) sum += s32{a(i, k)} * b(j, k);
        }
        d(i, j) = sum;
      }
    }
  }
  FreivaldsResult check(std::uint64_t seed = 1) {
    return freivalds(a.view(), b.view(), d.view(), seed);
  }
};

TEST(Freivalds, PassesRightProducts) {
  for (const std::int64_t m : {1, 5, 64}) {
    for (const std::int64_t n : {1, 7, 130}) {
      for (const std::int64_t k : {0, 1, 33, 1025}) {
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
          EXPECT_EQ(S8Product(m, n, k, 3).check(seed).rows_wrong, 0)
              << m << " " << n << " " << k << " " << seed;
        }
      }
    }
  }
  EXPECT_EQ(S8Product(0, 4, 4).check().rows_wrong, 0);
  EXPECT_EQ(S8Product(4, 0, 4).check().rows_wrong, 0);
}

TEST(Freivalds, PassesTheLargestAccumulators) {
  S8Product p(2, 3, 131'071);
  std::fill(p.a.data.begin(), p.a.data.end(), s8{-128});
  std::fill(p.b.data.begin(), p.b.data.end(), s8{-128});
  p.multiply(0, 0);
  ASSERT_EQ(p.d(1, 2), 128 * 128 * 131'071);
  EXPECT_EQ(p.check().rows_wrong, 0);
  ++p.d(1, 2);
  EXPECT_EQ(p.check().rows_wrong, 1);
}

/// More rows of B than one slab, and more of K than one panel.
TEST(Freivalds, PassesAcrossSlabs) {
  S8Product p(3, 9000, 1500);
  EXPECT_EQ(p.check().rows_wrong, 0);
  p.d(2, 8999) -= 1;
  EXPECT_EQ(p.check().row, 2);
  EXPECT_EQ(p.check().col, 8999);
}

TEST(Freivalds, CatchesOffByOneAnywhere) {
  const Threads guard(1);
  S8Product p(37, 53, 129);
  for (std::int64_t i = 0; i < 37; ++i) {
    for (std::int64_t j = 0; j < 53; ++j) {
      p.d(i, j) += 1;
      const FreivaldsResult r = p.check(static_cast<std::uint64_t>(i * 53 + j));
      p.d(i, j) -= 1;
      ASSERT_EQ(r.rows_wrong, 1);
      ASSERT_EQ(r.row, i);
      ASSERT_EQ(r.col, j);
      ASSERT_EQ(r.actual, r.expected + 1);
    }
  }
}

TEST(Freivalds, CatchesADroppedSliceOfK) {
  S8Product p(64, 64, 256);
  p.multiply(224, 256);
  EXPECT_EQ(p.check().rows_wrong, 64);
  EXPECT_EQ(p.check().row, 0);
}

/// What leaves the sums of rows and columns as they are.
TEST(Freivalds, CatchesSwaps) {
  S8Product p(32, 48, 64);
  std::swap(p.d(7, 3), p.d(7, 40));
  EXPECT_EQ(p.check().rows_wrong, 1);
  EXPECT_EQ(p.check().row, 7);
  EXPECT_EQ(p.check().col, 3);
  std::swap(p.d(7, 3), p.d(7, 40));
  for (std::int64_t j = 0; j < 48; ++j) std::swap(p.d(4, j), p.d(30, j));
  EXPECT_EQ(p.check().rows_wrong, 2);
  EXPECT_EQ(p.check().row, 4);
}

/// Errors that cancel for a lazy r, such as all ones, or are a multiple of 2^32.
TEST(Freivalds, CatchesErrorsThatCancel) {
  S8Product p(8, 8, 16);
  p.d(2, 1) += 1000;
  p.d(2, 6) -= 1000;
  EXPECT_EQ(p.check().rows_wrong, 1);
  S8Product q(8, 8, 16);
  for (std::int64_t i = 0; i < 8; ++i) q.d(i, 5) ^= s32(0x80000000);
  EXPECT_EQ(q.check().rows_wrong, 8);
}

TEST(Freivalds, CountsZerosAndRejectsOtherExtents) {
  S8Product p(8, 8, 16);
  p.d(0, 0) = 0;
  p.d(5, 5) = 0;
  EXPECT_GE(p.check().zeros, 2);
  const S8Product q(8, 9, 16);
  EXPECT_EQ(message_of([&] { freivalds(p.a.view(), q.b.view(), p.d.view(), 1); }),
            "freivalds: d.cols is 8 but must equal b.rows, 9");
}

// ------------------------------------------------------------------------------------- bits

/// Expected values that are all different, and a copy to break.
struct Bits {
  Owned<s32> truth, actual;

  Bits(std::int64_t rows, std::int64_t cols) : truth(rows, cols), actual(rows, cols, 0, 5) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        truth(i, j) = actual(i, j) = static_cast<s32>(i * cols + j + 1);
      }
    }
  }
  Check check(Zeros zeros = Zeros::mistrusted) {
    const Matrix<const s32> t = truth.view();
    return compare_bits(
        "d", actual.view(), [&](std::int64_t i, std::int64_t j) { return t(i, j); }, zeros);
  }
};

TEST(CompareBits, PassesWhatIsEqual) {
  for (const std::int64_t rows : {1, 63, 64, 65, 300}) {
    for (const std::int64_t cols : {1, 64, 129, 1000}) {
      const Check c = Bits(rows, cols).check();
      EXPECT_TRUE(says(c, "PASSED"));
      EXPECT_TRUE(c.exact);
      EXPECT_EQ(c.compared, rows * cols);
      EXPECT_EQ(c.kind, "bits");
    }
  }
  EXPECT_TRUE(says(Bits(0, 5).check(), "PASSED"));
  EXPECT_TRUE(says(Bits(5, 0).check(), "PASSED"));
}

TEST(CompareBits, CatchesOneWrongElementAnywhere) {
  const Threads guard(1);
  Bits b(67, 131);
  for (std::int64_t i = 0; i < 67; ++i) {
    for (std::int64_t j = 0; j < 131; ++j) {
      b.actual(i, j) += 3;
      const Check c = b.check();
      b.actual(i, j) -= 3;
      ASSERT_EQ(c.mismatches, 1);
      ASSERT_EQ(c.max_abs, 3);
      ASSERT_EQ(c.max_ulp, 3);
      ASSERT_TRUE(says(c, "FAILED",
                       {"d: 1 of 67 x 131", "first at (" + std::to_string(i) + ", " +
                                                std::to_string(j) + ") in tile"}));
    }
  }
}

TEST(CompareBits, ShowsTheNeighbourhood) {
  Bits b(300, 300);
  b.actual(150, 299) = -1;
  EXPECT_TRUE(says(
      b.check(), "FAILED",
      {"in 1 of 9 128x128 tiles", "first at (150, 299) in tile (1, 2)", "expected 45300, actual -1",
       "expected around (150, 299):", "[ 44999 45000 ] [ 45299 45300 ] [ 45599 45600 ]",
       "[ 44999 45000 ] [ 45299 -1 ] [ 45599 45600 ]"}));
}

TEST(CompareBits, NamesAWholeRow) {
  Bits b(300, 200);
  for (std::int64_t j = 0; j < 200; ++j) b.actual(17, j) = 0;
  EXPECT_TRUE(says(b.check(), "FAILED",
                   {"200 of 300 x 200", "rows 17 to 17 and columns 0 to 199", "the whole row 17"}));
}

TEST(CompareBits, NamesAWholeColumn) {
  Bits b(300, 200);
  for (std::int64_t i = 0; i < 300; ++i) b.actual(i, 4) = b.actual(i, 7) = 0;
  EXPECT_TRUE(says(b.check(), "FAILED", {"600 of 300 x 200", "2 whole columns, the first 4"}));
}

TEST(CompareBits, NamesAWholeTile) {
  Bits b(300, 300);
  for (std::int64_t i = 128; i < 256; ++i) {
    for (std::int64_t j = 256; j < 300; ++j) b.actual(i, j) = -1;
  }
  EXPECT_TRUE(says(b.check(), "FAILED", {"the whole tile (1, 2)", "in 1 of 9 128x128 tiles"}));
}

TEST(CompareBits, NamesAnUnwrittenTail) {
  Bits b(100, 130);
  for (std::int64_t i = 0; i < 100; ++i) b.actual(i, 128) = b.actual(i, 129) = -1;
  EXPECT_TRUE(says(b.check(), "FAILED",
                   {"columns 128 to 129", "2 whole columns, the first 128", "last at (99, 129)",
                    "tile (0, 1)"}));
}

TEST(CompareBits, NamesEverything) {
  Bits b(10, 10);
  for (s32& x : b.actual.data) x = -1;
  EXPECT_TRUE(says(b.check(), "FAILED", {"; everything"}));
}

TEST(CompareBits, MistrustsATruthOfZeros) {
  Bits b(40, 50);
  std::fill(b.truth.data.begin(), b.truth.data.end(), 0);
  std::fill(b.actual.data.begin(), b.actual.data.end(), 0);
  EXPECT_TRUE(says(b.check(), "MISTRUSTED", {"d: 2000 of 2000", "proves nothing"}));
  EXPECT_TRUE(says(b.check(Zeros::allowed), "PASSED"));
  for (std::int64_t j = 0; j < 19; ++j) b.truth(0, j) = b.actual(0, j) = 1;
  EXPECT_TRUE(says(b.check(), "MISTRUSTED"));
  b.truth(0, 19) = b.actual(0, 19) = 1;  // 99 % exactly
  EXPECT_TRUE(says(b.check(), "PASSED"));

  Bits few(7, 9);
  std::fill(few.truth.data.begin(), few.truth.data.end(), 0);
  std::fill(few.actual.data.begin(), few.actual.data.end(), 0);
  EXPECT_TRUE(says(few.check(), "PASSED"));
  few.actual(6, 8) = 1;
  EXPECT_TRUE(says(few.check(Zeros::allowed), "FAILED"));
}

template <class T>
class CompareBitsOf : public testing::Test {};
using Floats = testing::Types<f16, bf16, f32>;
TYPED_TEST_SUITE(CompareBitsOf, Floats);

TYPED_TEST(CompareBitsOf, TellsNumbersApartAndNansNot) {
  const auto compare = [](float actual, float expected) {
    const TypeParam a(actual);
    return compare_bits("x", Vector<const TypeParam>(&a, 1),
                        [&](std::int64_t) { return TypeParam(expected); });
  };
  EXPECT_TRUE(says(compare(1.5f, 1.5f), "PASSED"));
  EXPECT_TRUE(says(compare(kNan, kNan), "PASSED"));
  EXPECT_TRUE(says(compare(-kNan, kNan), "PASSED"));
  EXPECT_TRUE(says(compare(kNan, 1.5f), "FAILED", {"expected 1.5", "actual nan"}));
  EXPECT_TRUE(says(compare(1.5f, kNan), "FAILED"));
  EXPECT_TRUE(says(compare(-0.0f, 0.0f), "FAILED"));
  EXPECT_TRUE(says(compare(kInf, -kInf), "FAILED"));
  EXPECT_EQ(compare(2.0f, 1.0f).max_abs, 1);
  EXPECT_EQ(compare(-2.0f, 2.0f).max_abs, 4);
  EXPECT_EQ(compare(kNan, 1.0f).max_abs, 0);  // the record must stay finite
}

TYPED_TEST(CompareBitsOf, MistrustsATruthOfNans) {
  const std::vector<TypeParam> nans(64, TypeParam(kNan));
  EXPECT_TRUE(says(compare_bits("x", vector_of(nans), [](std::int64_t) { return TypeParam(kNan); }),
                   "MISTRUSTED", {"zero or NaN"}));
}

TEST(CompareBits, CountsUlps) {
  EXPECT_EQ(ulp_distance(f16::from_bits(0x3c00), f16::from_bits(0x3c03)), 3);
  EXPECT_EQ(ulp_distance(f16::from_bits(0x0001), f16::from_bits(0x8001)), 2);  // across zero
  EXPECT_EQ(ulp_distance(bf16(1.0f), bf16(2.0f)), 128);
  EXPECT_EQ(ulp_distance(1.0f, std::nextafter(1.0f, 2.0f)), 1);
}

TEST(Merge, TakesTheWorst) {
  Check good, bad, odd;
  good.kind = odd.kind = "bits";
  bad.kind = "norms";
  good.exact = true;
  good.compared = 10;
  bad.compared = 5;
  bad.mismatches = 2;
  bad.max_abs = 3;
  bad.cosine = 0.5;
  bad.status = "FAILED";
  odd.status = "MISTRUSTED";
  bad.passed = odd.passed = false;
  bad.message = "bad";
  odd.message = "odd";
  const Check all = merge({good, odd, bad, good});
  EXPECT_TRUE(says(all, "FAILED", {"odd\nbad"}));
  EXPECT_EQ(all.kind, "bits+norms");
  EXPECT_FALSE(all.exact);
  EXPECT_EQ(all.compared, 25);
  EXPECT_EQ(all.mismatches, 2);
  EXPECT_EQ(all.max_abs, 3);
  EXPECT_EQ(all.cosine, 0.5);
  EXPECT_TRUE(says(merge({good, odd}), "MISTRUSTED"));
  EXPECT_TRUE(says(merge({good, good}), "PASSED"));
  EXPECT_TRUE(merge({good, good}).exact);
}

// ------------------------------------------------------------------------------------- norms

constexpr Bounds kProductBounds{0.02, 0.04, 0.04, 0.999};

Owned<float> gaussian(std::int64_t rows, std::int64_t cols, float scale, std::uint64_t seed) {
  Owned<float> x(rows, cols);
  fill(x.view(), Distribution::gaussian, scale, seed);
  return x;
}

/// 1 % of noise, what an int8 product has.
Owned<float> with_noise(const Owned<float>& truth, std::uint64_t seed) {
  Owned<float> x = truth;
  const Owned<float> noise = gaussian(x.rows, x.cols, 0.01f, seed);
  for (std::size_t n = 0; n < x.data.size(); ++n) x.data[n] += noise.data[n];
  return x;
}

TEST(CompareNorms, PassesQuantizationNoise) {
  const Owned<float> truth = gaussian(2100, 600, 1.0f, 1), actual = with_noise(truth, 2);
  const Check c = compare_norms("out", actual.view(), truth.view(), kProductBounds);
  EXPECT_TRUE(says(c, "PASSED"));
  EXPECT_NEAR(c.rel_frobenius, 0.01, 1e-4);
  EXPECT_GT(c.worst_row, 0.01);
  EXPECT_LT(c.worst_row, 0.013);
  EXPECT_LT(c.worst_col, 0.013);
  EXPECT_NEAR(c.cosine, 1 - 0.01 * 0.01 / 2, 1e-6);
  EXPECT_EQ(c.bound, 0.02);
}

TEST(CompareNorms, SumsByHand) {
  Owned<float> truth(2, 2), actual(2, 2);
  truth.data = {3, 0, 0, 4};
  actual.data = {3, 1, 0, 2};
  const Check c = compare_norms("out", actual.view(), truth.view(), Bounds{1, 1, 1, 0});
  EXPECT_TRUE(says(c, "PASSED"));
  EXPECT_DOUBLE_EQ(c.rel_frobenius, std::sqrt(5.0 / 25));
  EXPECT_DOUBLE_EQ(c.worst_row, 0.5);
  EXPECT_DOUBLE_EQ(c.worst_col, std::sqrt(1.0 / 16 + 4.0 / 16));
  EXPECT_DOUBLE_EQ(c.cosine, 17 / (5 * std::sqrt(14.0)));
  EXPECT_EQ(c.max_abs, 2);
}

TEST(CompareNorms, SameFiguresForAnyThreadCount) {
  const Owned<float> truth = gaussian(4100, 1100, 1.0f, 1), actual = with_noise(truth, 2);
  std::set<double> figures;
  for (const int threads : {1, 2, 5}) {
    const Threads guard(threads);
    figures.insert(compare_norms("out", actual.view(), truth.view(), kProductBounds).rel_frobenius);
  }
  EXPECT_EQ(figures.size(), 1u);
}

TEST(CompareNorms, CatchesSwappedRowAndColumnScales) {
  const Owned<float> acc = gaussian(128, 128, 1.0f, 1), scales = gaussian(2, 128, 0.1f, 2);
  Owned<float> truth(128, 128), actual(128, 128);
  for (std::int64_t i = 0; i < 128; ++i) {
    for (std::int64_t j = 0; j < 128; ++j) {
      const auto row = [&](std::int64_t n) { return 1 + scales.view()(0, n); };
      const auto col = [&](std::int64_t n) { return 1 + scales.view()(1, n); };
      truth(i, j) = acc.view()(i, j) * row(i) * col(j);
      actual(i, j) = acc.view()(i, j) * col(i) * row(j);
    }
  }
  EXPECT_TRUE(says(compare_norms("out", actual.view(), truth.view(), kProductBounds), "FAILED",
                   {"relative Frobenius error"}));
}

TEST(CompareNorms, CatchesOneWrongRowThatHidesInTheNorm) {
  const Owned<float> truth = gaussian(8192, 64, 1.0f, 1);
  Owned<float> actual = with_noise(truth, 2);
  for (std::int64_t j = 0; j < 64; ++j) actual(5000, j) = actual(5001, j);
  const Check c = compare_norms("out", actual.view(), truth.view(), kProductBounds);
  EXPECT_LT(c.rel_frobenius, kProductBounds.rel_frobenius);
  EXPECT_TRUE(says(c, "FAILED", {"relative error of row 5000"}));
}

TEST(CompareNorms, CatchesOneWrongColumnThatHidesInTheNorm) {
  const Owned<float> truth = gaussian(64, 8192, 1.0f, 1);
  Owned<float> actual = with_noise(truth, 2);
  for (std::int64_t i = 0; i < 64; ++i) actual(i, 8191) = 0;
  const Check c = compare_norms("out", actual.view(), truth.view(), kProductBounds);
  EXPECT_LT(c.rel_frobenius, kProductBounds.rel_frobenius);
  EXPECT_TRUE(says(c, "FAILED", {"relative error of column 8191"}));
}

/// An absolute tolerance of 0.06 passes this weight gradient; nothing here does.
TEST(CompareNorms, CatchesAGradientUncorrelatedWithTheTruth) {
  const Owned<float> truth = gaussian(256, 256, 0.01f, 1), actual = gaussian(256, 256, 0.01f, 2);
  const Check c = compare_norms("grad_w1", actual.view(), truth.view(), kProductBounds);
  EXPECT_LT(c.max_abs, 0.09);
  EXPECT_NEAR(c.cosine, 0, 0.02);
  EXPECT_TRUE(says(c, "FAILED", {"grad_w1", "relative Frobenius error", "cosine"}));
}

TEST(CompareNorms, CatchesWhatWasNotWritten) {
  const Owned<float> truth = gaussian(64, 64, 1.0f, 1);
  const Owned<float> zeros(64, 64);
  EXPECT_TRUE(
      says(compare_norms("out", zeros.view(), truth.view(), Bounds{2, 2, 2, 0.5}), "FAILED"));
  Owned<float> nan = truth;
  nan(63, 2) = kNan;
  const Check c = compare_norms("out", nan.view(), truth.view(), kProductBounds);
  EXPECT_TRUE(says(c, "FAILED", {"the result is not finite at (63, 2)"}));
  EXPECT_TRUE(std::isfinite(c.rel_frobenius));
}

TEST(CompareNorms, RejectsATruthThatProvesNothing) {
  const Owned<float> fine = gaussian(64, 64, 1.0f, 1), zeros(64, 64);
  Owned<float> infinite = fine;
  infinite(3, 60) = kInf;
  EXPECT_TRUE(says(compare_norms("out", infinite.view(), infinite.view(), kProductBounds),
                   "INVALID", {"the reference is not finite at (3, 60)"}));
  EXPECT_TRUE(says(compare_norms("out", zeros.view(), zeros.view(), kProductBounds), "INVALID",
                   {"all zero"}));
}

/// A row of zeros that is matched up to dust is fine; one that is not matched is not.
TEST(CompareNorms, JudgesTinyRowsAgainstTheirFloor) {
  Owned<float> truth = gaussian(64, 64, 1.0f, 1);
  for (std::int64_t j = 0; j < 64; ++j) truth(9, j) = 0;
  Owned<float> actual = truth;
  actual(9, 9) = 1e-6f;
  EXPECT_TRUE(says(compare_norms("out", actual.view(), truth.view(), kProductBounds), "PASSED"));
  actual(9, 9) = 1e-2f;
  EXPECT_TRUE(
      says(compare_norms("out", actual.view(), truth.view(), kProductBounds), "FAILED", {"row 9"}));
}

// ------------------------------------------------------------------------------------- samples

TEST(Samples, HoldCornersEdgesAndEveryTile) {
  const auto samples = sample_coordinates(1000, 700, 4);
  const std::set<Coordinate> set(samples.begin(), samples.end());
  EXPECT_EQ(set.size(), samples.size());
  for (const Coordinate corner : {Coordinate{0, 0}, {0, 699}, {999, 0}, {999, 699}}) {
    EXPECT_TRUE(set.count(corner));
  }
  std::set<std::pair<std::int64_t, std::int64_t>> tiles;
  for (const auto [i, j] : samples) {
    ASSERT_TRUE(0 <= i && i < 1000 && 0 <= j && j < 700);
    tiles.insert({i / 128, j / 128});
  }
  EXPECT_EQ(tiles.size(), 8u * 6u);
  EXPECT_EQ(sample_coordinates(1000, 700, 4), samples);
  EXPECT_NE(sample_coordinates(1000, 700, 5), samples);
  EXPECT_EQ(sample_coordinates(64, 64, 4).size(), 4096u);
  EXPECT_TRUE(sample_coordinates(0, 64, 4).empty());
}

TEST(CompareBounded, JudgesEachSampleByItsBound) {
  const Owned<float> x = gaussian(32, 32, 1.0f, 1);
  const auto samples = sample_coordinates(32, 32, 1);
  const auto check = [&](double shift, double bound) {
    return compare_bounded("out", x.view(), samples, [&](std::int64_t i, std::int64_t j) {
      return Expected{x.view()(i, j) + (i == 7 && j == 8 ? shift : 0), bound};
    });
  };
  EXPECT_TRUE(says(check(0, 0), "PASSED"));
  EXPECT_TRUE(says(check(0.01, 0.02), "PASSED"));
  EXPECT_TRUE(says(check(0.03, 0.02), "FAILED", {"1 of 1024 samples", "worst at (7, 8)"}));
  EXPECT_TRUE(says(check(kInf, 0.02), "INVALID", {"(7, 8)"}));
  EXPECT_TRUE(says(check(kNan, 0.02), "INVALID"));
  const Owned<float> zeros(32, 32);
  EXPECT_TRUE(says(compare_bounded("out", zeros.view(), samples,
                                   [](std::int64_t, std::int64_t) {
                                     return Expected{0, 1};
                                   }),
                   "MISTRUSTED"));
}

// ------------------------------------------------------------------------------------- vector code

template <class T>
void expect_absmaxes(std::int64_t rows, std::int64_t cols, std::int64_t padding) {
  Owned<T> x(rows, cols, T(kNan), padding);
  fill(x.view(), Distribution::gaussian, 1.0f, 7);
  x(rows / 2, cols / 3) = T(kInf);
  x(rows - 1, cols - 1) = T(-kNan);
  for (std::int64_t j = 0; j < cols; ++j) x(0, j) = T(-0.0f);
  const Matrix<const T> view = std::as_const(x).view();
  const std::vector<float> of_rows = row_absmaxes(view), of_cols = col_absmaxes(view);
  for (std::int64_t i = 0; i < rows; ++i) {
    const float truth = reference::row_absmax(view, i);
    EXPECT_TRUE(same_bits(of_rows[static_cast<std::size_t>(i)], truth)) << "row " << i;
  }
  for (std::int64_t j = 0; j < cols; ++j) {
    const float truth = reference::col_absmax(view, j);
    EXPECT_TRUE(same_bits(of_cols[static_cast<std::size_t>(j)], truth)) << "column " << j;
  }
}

TEST(Absmaxes, AreTheReferences) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {5, 7}, {65, 33}, {301, 1029}}) {
    expect_absmaxes<f16>(rows, cols, 3);
    expect_absmaxes<bf16>(rows, cols, 0);
    expect_absmaxes<f32>(rows, cols, 5);
  }
}

TEST(LineSums, TakeEveryElementWithItsWeight) {
  const auto square = [](double x) { return x * x; };
  for (const std::int64_t length : {1, 15, 16, 17, 255, 256, 257, 700}) {
    constexpr std::int64_t kCount = 9;
    Owned<bf16> x(kCount, length, bf16(kNan), 3);
    for (std::int64_t n = 0; n < kCount; ++n) {
      for (std::int64_t k = 0; k < length; ++k) {
        x(n, k) = bf16(static_cast<float>((3 * n + 5 * k) % 17 - 8));
      }
    }
    std::vector<double> of_length(static_cast<std::size_t>(length)), of_count(kCount);
    for (std::size_t k = 0; k < of_length.size(); ++k) of_length[k] = static_cast<double>(k + 1);
    for (std::size_t n = 0; n < of_count.size(); ++n) of_count[n] = static_cast<double>(2 * n + 1);
    std::vector<double> along(kCount), across(of_length.size());
    for (std::size_t n = 0; n < along.size(); ++n) {
      for (std::size_t k = 0; k < across.size(); ++k) {
        const auto value = static_cast<double>(
            static_cast<float>(x(static_cast<std::int64_t>(n), static_cast<std::int64_t>(k))));
        along[n] += of_length[k] * square(value);
        across[k] += of_count[n] * square(value);
      }
    }
    const Lines<bf16> lines{x.data.data(), kCount, length, x.ld};
    EXPECT_EQ(sums_along(lines, of_length, square), along) << length;
    EXPECT_EQ(sums_across(lines, of_count, square), across) << length;
  }
}

template <class T>
void expect_half_ulps(int fraction_bits, int min_exponent) {
  for (const double x : {0.0, 0x1p-200, 0x1p-130, 0x1.8p-126, 0x1p-25, 0x1p-14, 0x1.fp-14, 0.75,
                         1.0, 1.999, 3.0, 65504.0, 0x1.8p100}) {
    const int exponent = x == 0 ? min_exponent : std::max(std::ilogb(x), min_exponent);
    EXPECT_EQ(half_ulp<T>(x), std::ldexp(0.5, exponent - fraction_bits)) << x;
  }
}

TEST(HalfUlp, IsHalfTheStepOfTheBinade) {
  expect_half_ulps<f16>(10, -14);
  expect_half_ulps<bf16>(7, -126);
  expect_half_ulps<f32>(23, -126);
}

TEST(CompareBits, ReadsATransposedTruthInBlocks) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {63, 65}, {64, 64}, {130, 67}}) {
    Owned<s8> x(rows, cols, s8{0}, 3), y(cols, rows);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        y(j, i) = x(i, j) = static_cast<s8>(1 + (7 * i + 3 * j) % 100);
      }
    }
    const auto truth =
        truth_from(transposed(std::as_const(x).view()),
                   [](std::int64_t, std::int64_t, s8 value) { return static_cast<s8>(-value); });
    for (auto& value : y.data) value = static_cast<s8>(-value);
    EXPECT_TRUE(compare_bits("y", std::as_const(y).view(), truth).passed);
    y(cols - 1, rows / 2) = 0;
    const Check check = compare_bits("y", std::as_const(y).view(), truth);
    EXPECT_EQ(check.mismatches, 1);
  }
}

// ------------------------------------------------------------------------------------- reference

TEST(Reference, QuantizeByHand) {
  using reference::quantize;
  using reference::scale;
  for (const auto& [x, q] : {std::pair{0.5f, 0},
                             {1.5f, 2},
                             {2.5f, 2},
                             {-0.5f, 0},
                             {-1.5f, -2},
                             {126.5f, 126},
                             {127.0f, 127},
                             {-127.0f, -127}}) {
    EXPECT_EQ(quantize(x, 127.0f), q) << x;
  }
  EXPECT_EQ(scale(127.0f), 1.0f);
  EXPECT_EQ(scale(254.0f), 2.0f);
  EXPECT_EQ(quantize(254.0f, 254.0f), 127);
  EXPECT_EQ(quantize(-600.0f, 600.0f), -127);
  EXPECT_EQ(scale(0.0f), 0.0f);
  EXPECT_EQ(quantize(0.0f, 0.0f), 0);
  EXPECT_TRUE(std::isnan(scale(kNan)));
  EXPECT_EQ(quantize(1.0f, kNan), 0);
  EXPECT_EQ(quantize(kInf, kNan), 0);
  EXPECT_EQ(quantize(kNan, kNan), 0);
  EXPECT_EQ(scale(1e-37f), 0.0f);  // 127 / absmax is infinite
  EXPECT_EQ(quantize(1e-37f, 1e-37f), 0);
  EXPECT_EQ(quantize(1e-36f, 1e-36f), 127);
  EXPECT_EQ(quantize(static_cast<float>(f16::from_bits(1)), 0x1p-24f), 127);
  EXPECT_EQ(quantize(3.4e38f, 3.4e38f), 127);

  Owned<f16> x(2, 3);
  x(0, 0) = f16(-3.0f);
  x(0, 2) = f16(2.0f);
  x(1, 1) = f16(kInf);
  EXPECT_EQ(reference::row_absmax(x.view(), 0), 3.0f);
  EXPECT_TRUE(std::isnan(reference::row_absmax(x.view(), 1)));
  EXPECT_EQ(reference::col_absmax(x.view(), 2), 2.0f);
  EXPECT_TRUE(std::isnan(reference::col_absmax(x.view(), 1)));
}

TEST(Reference, DequantizeByHand) {
  EXPECT_EQ(reference::dequantize<float>(100, 0.5f, 0.25f, 1.0f), 13.5f);
  EXPECT_EQ(reference::dequantize<f16>(1, 1.0f, 2049.0f, 0.0f).bits, f16(2048.0f).bits);
  EXPECT_EQ(reference::dequantize<float>(16777217, 1.0f, 1.0f, 0.0f), 16777216.0f);
  // One rounding in the fma, where a product and a sum round twice: (1 + 2^-12)^2 * 1 - 1.
  const float s = 1 + 0x1p-12f;
  EXPECT_EQ(reference::dequantize<float>(4097, 0x1p-12f * s, 1.0f, -1.0f), 0x1p-11f + 0x1p-24f);
  EXPECT_EQ(reference::dequantize<f16>(1 << 30, 1.0f, 1.0f, 0.0f).bits, 0x7c00);
  EXPECT_TRUE(std::isnan(reference::dequantize<float>(1, kNan, 1.0f, 0.0f)));
}

TEST(Reference, DotsByHand) {
  Owned<s8> a(1, 2), b(1, 2);
  a.data = {-128, 3};
  b.data = {-128, -5};
  EXPECT_EQ(reference::dot_s8(a.view(), b.view(), 0, 0), 16384 - 15);
  Owned<f16> x(2, 3), y(3, 2);
  for (std::int64_t k = 0; k < 3; ++k) {
    x(1, k) = y(k, 1) = f16(k == 1 ? -2.0f : static_cast<float>(k + 1));
    y(k, 0) = f16(static_cast<float>(k));
  }
  const Operand<f16> ox(x.view()), oy(transposed(y.view()));
  EXPECT_EQ(reference::dot(ox, oy, 1, 1), 1 + 4 + 9);
  EXPECT_EQ(reference::dot(ox, oy, 1, 0), -2 + 6);
  EXPECT_EQ(reference::dot_abs(ox, oy, 1, 0), 2 + 6);
  EXPECT_EQ(reference::dot_norm(ox, oy, 1, 0), std::sqrt(4.0 + 36));
}

// ------------------------------------------------------------------------------------- verify

/// x, quantized in the obvious order, to break.
template <class T>
struct Quantized {
  Owned<T> x;
  Owned<s8> q_row, q_col;
  std::vector<float> row_scale, col_scale;

  Quantized(std::int64_t rows, std::int64_t cols)
      : x(rows, cols, T(7.0f), 3),
        q_row(rows, cols, s8{1}, 2),
        q_col(cols, rows, s8{1}, 1),
        row_scale(static_cast<std::size_t>(rows)),
        col_scale(static_cast<std::size_t>(cols)) {
    fill(x.view(), Distribution::outlier_channels, 1.0f, 31);
    quantize();
  }
  void quantize() {
    for (std::int64_t i = 0; i < x.rows; ++i) {
      const float absmax = reference::row_absmax(x.view(), i);
      row_scale[static_cast<std::size_t>(i)] = reference::scale(absmax);
      for (std::int64_t j = 0; j < x.cols; ++j) {
        q_row(i, j) = reference::quantize(static_cast<float>(x(i, j)), absmax);
      }
    }
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const float absmax = reference::col_absmax(x.view(), j);
      col_scale[static_cast<std::size_t>(j)] = reference::scale(absmax);
      for (std::int64_t i = 0; i < x.rows; ++i) {
        q_col(j, i) = reference::quantize(static_cast<float>(x(i, j)), absmax);
      }
    }
  }
  Check rowwise(Zeros zeros = Zeros::mistrusted) {
    return verify_quantize_rowwise<T>(x.view(), q_row.view(), vector_of(row_scale), zeros);
  }
  Check row_col(Zeros zeros = Zeros::mistrusted) {
    return verify_quantize_row_col<T>(x.view(), q_row.view(), vector_of(row_scale), q_col.view(),
                                      vector_of(col_scale), zeros);
  }
};

template <class T>
class VerifyQuantize : public testing::Test {};
TYPED_TEST_SUITE(VerifyQuantize, Floats);

TYPED_TEST(VerifyQuantize, PassesTheReference) {
  for (const auto& [rows, cols] :
       {std::pair{1, 1}, {1, 300}, {300, 1}, {127, 129}, {600, 513}, {0, 5}, {5, 0}}) {
    Quantized<TypeParam> q(rows, cols);
    EXPECT_TRUE(says(q.rowwise(), "PASSED")) << rows << "x" << cols;
    EXPECT_TRUE(says(q.row_col(), "PASSED")) << rows << "x" << cols;
  }
}

TYPED_TEST(VerifyQuantize, CatchesOneWrongElementOfEachOutput) {
  Quantized<TypeParam> q(130, 140);
  q.q_row(129, 139) ^= 1;
  EXPECT_TRUE(says(q.rowwise(), "FAILED", {"q: 1 of", "first at (129, 139)"}));
  EXPECT_TRUE(says(q.row_col(), "FAILED", {"q_row: 1 of"}));
  q.quantize();
  q.q_col(139, 0) ^= 1;
  EXPECT_TRUE(says(q.row_col(), "FAILED", {"q_col: 1 of 140 x 130", "first at (139, 0)"}));
  q.quantize();
  q.row_scale[5] = std::nextafter(q.row_scale[5], 0.0f);
  EXPECT_TRUE(says(q.rowwise(), "FAILED", {"row_scale: 1 of 1 x 130", "first at (0, 5)"}));
  EXPECT_EQ(q.rowwise().max_ulp, 1);
  q.quantize();
  q.col_scale[139] *= 127;
  EXPECT_TRUE(says(q.row_col(), "FAILED", {"col_scale: 1 of 1 x 140"}));
}

TYPED_TEST(VerifyQuantize, CatchesSwappedOutputs) {
  Quantized<TypeParam> q(128, 128);
  std::swap(q.row_scale, q.col_scale);
  EXPECT_TRUE(says(q.row_col(), "FAILED", {"row_scale", "col_scale"}));
  q.quantize();
  for (std::int64_t i = 0; i < 128; ++i) {
    for (std::int64_t j = 0; j < i; ++j) std::swap(q.q_col(i, j), q.q_col(j, i));
  }
  EXPECT_TRUE(says(q.row_col(), "FAILED", {"q_col"}));  // not transposed
}

TYPED_TEST(VerifyQuantize, CatchesOtherRounding) {
  Quantized<TypeParam> q(64, 256);
  for (std::int64_t i = 0; i < 64; ++i) {
    const float factor = 127.0f / reference::row_absmax(q.x.view(), i);
    for (std::int64_t j = 0; j < 256; ++j) {
      q.q_row(i, j) = static_cast<s8>(static_cast<float>(q.x(i, j)) * factor);  // truncated
    }
  }
  EXPECT_TRUE(says(q.rowwise(), "FAILED"));
}

TYPED_TEST(VerifyQuantize, ShowsNansThatWereHidden) {
  Quantized<TypeParam> q(64, 64);
  q.x(3, 4) = TypeParam(kNan);
  q.x(9, 5) = TypeParam(-kInf);
  q.quantize();
  EXPECT_TRUE(std::isnan(q.row_scale[3]) && std::isnan(q.col_scale[5]));
  EXPECT_TRUE(says(q.row_col(), "PASSED"));
  q.row_scale[3] = 0;
  EXPECT_TRUE(says(q.rowwise(), "FAILED", {"expected nan"}));
  q.quantize();
  q.col_scale[5] = kInf;
  EXPECT_TRUE(says(q.row_col(), "FAILED", {"col_scale"}));
}

TYPED_TEST(VerifyQuantize, MistrustsZeros) {
  Quantized<TypeParam> q(64, 64);
  for (TypeParam& x : q.x.data) x = TypeParam(0.0f);
  q.quantize();
  EXPECT_TRUE(says(q.rowwise(), "MISTRUSTED"));
  EXPECT_TRUE(says(q.row_col(), "MISTRUSTED"));
  EXPECT_TRUE(says(q.row_col(Zeros::allowed), "PASSED"));
}

TEST(VerifyQuantizeExtents, MustMatch) {
  Quantized<f16> q(4, 5);
  q.row_scale.pop_back();
  EXPECT_EQ(message_of([&] { q.rowwise(); }),
            "verify_quantize_rowwise: row_scale.length is 3 but must be 4");
}

template <class T>
class VerifyDequantize : public testing::Test {};
TYPED_TEST_SUITE(VerifyDequantize, Floats);

TYPED_TEST(VerifyDequantize, PassesTheReferenceAndCatchesBrokenKernels) {
  using T = TypeParam;
  constexpr std::int64_t kSize = 96;
  Owned<s32> acc(kSize, kSize, 0, 4);
  fill_s32(acc.view(), 1 << 20, 41);
  std::vector<float> row(kSize), col(kSize);
  std::vector<T> bias(kSize);
  for (std::int64_t n = 0; n < kSize; ++n) {
    row[static_cast<std::size_t>(n)] = 1e-3f * static_cast<float>(n + 1);
    col[static_cast<std::size_t>(n)] = 1e-3f / static_cast<float>(n + 3);
    bias[static_cast<std::size_t>(n)] = T(0.5f * static_cast<float>(n - 40));
  }
  Owned<T> out(kSize, kSize, T(0.0f), 1);
  const auto compute = [&](bool biased) {
    for (std::int64_t i = 0; i < kSize; ++i) {
      for (std::int64_t j = 0; j < kSize; ++j) {
        const auto n = static_cast<std::size_t>(j);
        out(i, j) = reference::dequantize<T>(acc(i, j), row[static_cast<std::size_t>(i)], col[n],
                                             biased ? static_cast<float>(bias[n]) : 0.0f);
      }
    }
  };
  const auto verify = [&](const std::vector<float>& r, const std::vector<float>& c, bool biased) {
    return verify_dequantize<T>(acc.view(), vector_of(r), vector_of(c),
                                biased ? vector_of(bias) : Vector<const T>(), out.view());
  };
  compute(false);
  EXPECT_TRUE(says(verify(row, col, false), "PASSED"));
  EXPECT_TRUE(says(verify(row, col, true), "FAILED"));   // a bias that was left out
  EXPECT_TRUE(says(verify(col, row, false), "FAILED"));  // swapped scales
  compute(true);
  EXPECT_TRUE(says(verify(row, col, true), "PASSED"));
  std::swap(out(3, 4), out(3, 5));
  EXPECT_TRUE(says(verify(row, col, true), "FAILED", {"out: 2 of", "columns 4 to 5"}));
}

TEST(VerifyGemmS8, PassesAndCatchesAtBothDepths) {
  for (const std::int64_t k : {64, 3000}) {  // element by element, and by Freivalds alone
    S8Product p(80, 90, k, 3);
    const auto verify = [&] { return verify_gemm_s8(p.a.view(), p.b.view(), p.d.view(), 5); };
    EXPECT_TRUE(says(verify(), "PASSED"));
    EXPECT_TRUE(verify().exact);
    EXPECT_EQ(verify().kind, k == 64 ? "freivalds+bits" : "freivalds");
    EXPECT_EQ(verify().compared, 80 * 90);
    p.d(79, 89) += 1;
    EXPECT_TRUE(says(verify(), "FAILED", {"acc", "79", "89"}));
    EXPECT_EQ(verify().max_abs, 1);
    p.multiply(k - 32, k);
    EXPECT_TRUE(says(verify(), "FAILED"));
  }
}

TEST(VerifyGemmS8, MistrustsZeros) {
  for (const std::int64_t k : {64, 3000}) {
    S8Product p(80, 90, k);
    std::fill(p.a.data.begin(), p.a.data.end(), s8{0});
    p.multiply(0, 0);
    EXPECT_TRUE(says(verify_gemm_s8(p.a.view(), p.b.view(), p.d.view(), 5), "MISTRUSTED"));
    EXPECT_TRUE(
        says(verify_gemm_s8(p.a.view(), p.b.view(), p.d.view(), 5, Zeros::allowed), "PASSED"));
  }
  S8Product empty(80, 90, 0);
  EXPECT_TRUE(says(verify_gemm_s8(empty.a.view(), empty.b.view(), empty.d.view(), 5), "PASSED"));
}

template <class T>
struct FloatProduct {
  Owned<T> a, b, out;

  FloatProduct(std::int64_t m, std::int64_t n, std::int64_t k, float scale = 1.0f)
      : a(m, k, T(0.0f), 1), b(n, k), out(m, n, T(0.0f), 2) {
    fill(a.view(), Distribution::gaussian, scale, 51);
    fill(b.view(), Distribution::gaussian, scale, 52);
    multiply(0, 0);
  }
  /// In f32, in order, but for slices of K in [begin, end).
  void multiply(std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = 0; i < out.rows; ++i) {
      for (std::int64_t j = 0; j < out.cols; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < a.cols; ++k) {
          if (k < begin || k >= end)
            sum += static_cast<float>(a(i, k)) * static_cast<float>(b(j, k));
        }
        out(i, j) = T(sum);
      }
    }
  }
  Check verify() { return verify_gemm<T>(a.view(), b.view(), out.view(), 5); }
};

template <class T>
class VerifyGemm : public testing::Test {};
using HalfTypes = testing::Types<f16, bf16>;
TYPED_TEST_SUITE(VerifyGemm, HalfTypes);

TYPED_TEST(VerifyGemm, PassesAccumulationInF32) {
  for (const std::int64_t k : {0, 1, 7, 1024}) {
    EXPECT_TRUE(says(FloatProduct<TypeParam>(40, 30, k).verify(), "PASSED")) << k;
  }
  FloatProduct<TypeParam> deep(6, 5, 49152);
  EXPECT_TRUE(says(deep.verify(), "PASSED"));
  EXPECT_GT(deep.verify().rel_frobenius, 0);
  // Results as small as subnormals of f16.
  EXPECT_TRUE(says(FloatProduct<TypeParam>(40, 30, 64, 1e-3f).verify(), "PASSED"));
  EXPECT_TRUE(says(FloatProduct<TypeParam>(0, 30, 64).verify(), "PASSED"));
}

TYPED_TEST(VerifyGemm, TakesOperandsAsTheyLie) {
  FloatProduct<TypeParam> p(40, 30, 50);
  Owned<TypeParam> turned(50, 30);
  for (std::int64_t j = 0; j < 30; ++j) {
    for (std::int64_t k = 0; k < 50; ++k) turned(k, j) = p.b(j, k);
  }
  const auto verify = [&] {
    return verify_gemm<TypeParam>(p.a.view(), transposed(turned.view()), p.out.view(), 5);
  };
  EXPECT_TRUE(says(verify(), "PASSED"));
  turned(49, 29) = TypeParam(40.0f);
  EXPECT_TRUE(says(verify(), "FAILED", {"out"}));
}

TYPED_TEST(VerifyGemm, CatchesOneWrongElement) {
  FloatProduct<TypeParam> p(40, 30, 50);
  p.out(39, 29) = TypeParam(static_cast<float>(p.out(39, 29)) * 1.02f);
  EXPECT_TRUE(says(p.verify(), "FAILED", {"worst at (39, 29)"}));
  p.out(39, 29) = TypeParam(kNan);
  EXPECT_TRUE(says(p.verify(), "FAILED", {"actual nan"}));
}

/// Each element is within the rigorous bound, which at this depth is as wide as the results.
TYPED_TEST(VerifyGemm, CatchesADroppedSliceOfADeepSum) {
  FloatProduct<TypeParam> p(6, 5, 49152);
  p.multiply(49152 - 64, 49152);
  EXPECT_TRUE(says(p.verify(), "FAILED", {"root mean square"}));
}

TYPED_TEST(VerifyGemm, CatchesAccumulationInTheStorageType) {
  FloatProduct<TypeParam> p(20, 20, 512);
  for (std::int64_t i = 0; i < 20; ++i) {
    for (std::int64_t j = 0; j < 20; ++j) {
      TypeParam sum(0.0f);
      for (std::int64_t k = 0; k < 512; ++k) {
        sum = TypeParam(static_cast<float>(sum) +
                        static_cast<float>(p.a(i, k)) * static_cast<float>(p.b(j, k)));
      }
      p.out(i, j) = sum;
    }
  }
  EXPECT_TRUE(says(p.verify(), "FAILED"));
}

TYPED_TEST(VerifyGemm, SeesEveryTileOfALargeProduct) {
  FloatProduct<TypeParam> p(400, 300, 8);
  EXPECT_TRUE(says(p.verify(), "PASSED"));
  for (std::int64_t i = 128; i < 256; ++i) {
    for (std::int64_t j = 128; j < 256; ++j) p.out(i, j) = TypeParam(-1234.0f);
  }
  EXPECT_TRUE(says(p.verify(), "FAILED"));
}

TEST(VerifyGemmRange, RejectsAReferenceThatOverflows) {
  FloatProduct<f16> p(10, 10, 64, 200.0f);
  EXPECT_TRUE(says(p.verify(), "INVALID", {"which the type cannot hold"}));
}

TYPED_TEST(VerifyGemm, MistrustsZeros) {
  FloatProduct<TypeParam> p(10, 10, 16);
  std::fill(p.a.data.begin(), p.a.data.end(), TypeParam(0.0f));
  p.multiply(0, 0);
  EXPECT_TRUE(says(p.verify(), "MISTRUSTED"));
}

// ---- products that were computed in int8

/// out = a . b^T through int8 copies. All rows of b are multiples of one, and of a the first is 20
/// times as large as the others, so that the rounding errors of a row of out are all alike and
/// those of its first row outweigh the rest.
struct QuantizedProduct {
  static constexpr std::int64_t kRows = 64, kDepth = 96;

  Owned<f16> a{kRows, kDepth}, b{kRows, kDepth}, out{kRows, kRows};
  std::uint64_t seed;

  explicit QuantizedProduct(std::uint64_t seed) : seed(seed) {
    Owned<f16> direction(1, kDepth), length(1, kRows);
    fill(a.view(), Distribution::gaussian, 1.0f, seed);
    fill(direction.view(), Distribution::gaussian, 1.0f, seed + 1000);
    fill(length.view(), Distribution::gaussian, 1.0f, seed + 2000);
    for (std::int64_t k = 0; k < kDepth; ++k) {
      a(0, k) = f16(20.0f * static_cast<float>(a(0, k)));
      for (std::int64_t j = 0; j < kRows; ++j) {
        b(j, k) = f16(static_cast<float>(length(0, j)) * static_cast<float>(direction(0, k)));
      }
    }
    multiply([](float quotient) { return std::nearbyint(quotient); });
  }

  static float scale(Owned<f16>& x, std::int64_t row) {
    float absmax = 0;
    for (std::int64_t k = 0; k < kDepth; ++k) {
      absmax = std::max(absmax, std::fabs(static_cast<float>(x(row, k))));
    }
    return absmax / 127;
  }

  /// Of the first `depth` of each sum; a row of b is scaled as the row `shift` further on.
  template <class Round>
  void multiply(Round round, std::int64_t depth = kDepth, std::int64_t shift = 0) {
    for (std::int64_t i = 0; i < kRows; ++i) {
      const float scale_a = scale(a, i);
      for (std::int64_t j = 0; j < kRows; ++j) {
        const float scale_b = scale(b, j);
        float sum = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          sum += round(static_cast<float>(a(i, k)) / scale_a) *
                 round(static_cast<float>(b(j, k)) / scale_b);
        }
        out(i, j) = f16(sum * scale_a * scale(b, (j + shift) % kRows));
      }
    }
  }
  Check verify() {
    const Owned<f16>&x = a, &y = b, &z = out;
    return verify_quantized_product<f16>("out", x.view(), y.view(), z.view(), seed);
  }
};

TEST(VerifyQuantizedProduct, PassesErrorsThatAreAlike) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    EXPECT_TRUE(says(QuantizedProduct(seed).verify(), "PASSED")) << seed;
  }
}

TEST(VerifyQuantizedProduct, CatchesRoundingTowardsZero) {
  QuantizedProduct p(1);
  p.multiply([](float quotient) { return std::trunc(quotient); });
  EXPECT_TRUE(says(p.verify(), "FAILED", {"root mean square"}));
}

TEST(VerifyQuantizedProduct, CatchesADroppedSliceOfK) {
  QuantizedProduct p(1);
  p.multiply([](float quotient) { return std::nearbyint(quotient); }, QuantizedProduct::kDepth - 8);
  EXPECT_TRUE(says(p.verify(), "FAILED"));
}

TEST(VerifyQuantizedProduct, CatchesTheScaleOfAnotherRow) {
  QuantizedProduct p(1);
  p.multiply([](float quotient) { return std::nearbyint(quotient); }, QuantizedProduct::kDepth, 1);
  EXPECT_TRUE(says(p.verify(), "FAILED"));
}

// A list of problems that lost some would pass with what is left.
TEST(Problems, AreAllThere) {
  std::vector<std::string> products;
  for (const Problem& p : model_products(/*distinct_shapes=*/false)) products.push_back(p.name);
  EXPECT_EQ(products.size(), 18u);
  EXPECT_EQ(products.front(), "4k_fc1_fprop");
  EXPECT_EQ(products.back(), "12k_fc1_wgrad");
  products.clear();
  for (const Problem& p : model_products(/*distinct_shapes=*/true)) products.push_back(p.name);
  EXPECT_EQ(products.size(), 12u);  // dgrads have the shapes of fprops
  EXPECT_EQ(std::count_if(products.begin(), products.end(),
                          [](const std::string& n) { return n.ends_with("dgrad"); }),
            0);

  const auto count = [](const std::vector<Problem>& all, auto is) {
    return std::count_if(all.begin(), all.end(), is);
  };
  for (const auto& all :
       {model_matrices(), hostile_matrices(), model_products(false), hostile_products(),
        attention_products(), hostile_batches(), list_products(), transposed_list_products()}) {
    std::set<std::string> names;
    for (const Problem& p : all) names.insert(p.name);
    EXPECT_EQ(names.size(), all.size())
        << "two problems are called the same, among them " << all.front().name;
    EXPECT_GT(all.size(), 5u);
  }
  EXPECT_EQ(attention_products().size(), 6u);
  for (const auto& hostile : {hostile_matrices(), hostile_products(), hostile_batches()}) {
    EXPECT_GT(count(hostile, [](const Problem& p) { return p.m == 0 || p.n == 0; }), 0);
    EXPECT_GT(count(hostile, [](const Problem& p) { return p.m == 1 || p.n == 1; }), 0);
    EXPECT_GT(count(hostile, [](const Problem& p) { return p.ld_padding != 0; }), 2);
  }
  EXPECT_GT(count(hostile_matrices(), [](const Problem& p) { return p.special_values; }), 2);
}

}  // namespace
}  // namespace octet::harness
