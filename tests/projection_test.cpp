// The projection of 16-bit products: right ones pass, and what samples can miss is found.
#include "harness/projection.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "harness/random.hpp"
#include "harness/verify.hpp"
#include "reference/gemm.hpp"

namespace octet::harness {
namespace {

template <class T>
class Projection : public testing::Test {
 protected:
  static constexpr std::int64_t kM = 200, kN = 300, kK = 96;

  /// The right product of gaussian operands, then `spoil`.
  Check check_after(const std::function<void(Matrix<T>)>& spoil, bool transposed_operands = false) {
    std::vector<T> a(kM * kK), b(kN * kK), d(kM * kN);
    const Matrix<T> out(d.data(), kM, kN);
    const Matrix<T> a_lies =
        transposed_operands ? Matrix<T>(a.data(), kK, kM) : Matrix<T>(a.data(), kM, kK);
    const Matrix<T> b_lies =
        transposed_operands ? Matrix<T>(b.data(), kK, kN) : Matrix<T>(b.data(), kN, kK);
    fill(a_lies, Distribution::gaussian, 1.0f, 1);
    fill(b_lies, Distribution::gaussian, 0.1f, 2);
    const Operand<T> x = transposed_operands ? Operand<T>(transposed(a_lies)) : Operand<T>(a_lies);
    const Operand<T> y = transposed_operands ? Operand<T>(transposed(b_lies)) : Operand<T>(b_lies);
    for (std::int64_t i = 0; i < kM; ++i) {
      for (std::int64_t j = 0; j < kN; ++j) {
        out(i, j) = T(static_cast<float>(reference::dot(x, y, i, j)));
      }
    }
    spoil(out);
    return verify_projection<T>("d", x, y, Matrix<const T>(out), 3);
  }
};

using Types = testing::Types<f16, bf16>;
TYPED_TEST_SUITE(Projection, Types);

TYPED_TEST(Projection, RightProductPasses) {
  for (const bool transposed_operands : {false, true}) {
    const Check check = this->check_after([](auto) {}, transposed_operands);
    EXPECT_TRUE(check.passed) << check.message;
    EXPECT_EQ(check.compared, this->kM * this->kN);
  }
}

TYPED_TEST(Projection, OneWrongRowFails) {
  const Check check = this->check_after([](Matrix<TypeParam> d) {
    for (std::int64_t j = 0; j < d.cols; ++j) d(77, j) = d(78, j);
  });
  EXPECT_EQ(check.status, "FAILED");
  EXPECT_NE(check.message.find("1 of 200 rows are not the product's, the first is row 77"),
            std::string::npos)
      << check.message;
}

TYPED_TEST(Projection, OneWrongColumnFails) {
  const Check check = this->check_after([](Matrix<TypeParam> d) {
    for (std::int64_t i = 0; i < d.rows; ++i) d(i, 123) = TypeParam(0.0f);
  });
  EXPECT_NE(check.message.find("1 of 300 columns are not the product's, the first is column 123"),
            std::string::npos)
      << check.message;
}

TYPED_TEST(Projection, UnwrittenQuarterOfATileFails) {
  const Check check = this->check_after([](Matrix<TypeParam> d) {
    for (std::int64_t i = 64; i < 128; ++i) {
      for (std::int64_t j = 0; j < 64; ++j) d(i, j) = TypeParam(0.0f);
    }
  });
  EXPECT_EQ(check.status, "FAILED");
}

TYPED_TEST(Projection, NanFails) {
  const Check check = this->check_after(
      [](Matrix<TypeParam> d) { d(5, 6) = TypeParam(std::numeric_limits<float>::quiet_NaN()); });
  EXPECT_EQ(check.status, "FAILED");
}

}  // namespace
}  // namespace octet::harness
