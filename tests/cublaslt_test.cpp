// cuBLASLt is loaded at its first use, which needs the library and no device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "octet/gemm.hpp"

namespace octet {
namespace {

TEST(CublasLt, LoadsAndSaysItsVersion) {
  EXPECT_THAT(cublaslt_version(Cuda{}), testing::MatchesRegex("1[2-9]\\.[0-9]+\\.[0-9]+"));
}

}  // namespace
}  // namespace octet
