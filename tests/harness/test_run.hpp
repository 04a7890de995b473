// The running test: its backend, its seed, its record.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <new>
#include <string>
#include <type_traits>

#include "harness/check.hpp"
#include "harness/options.hpp"
#include "harness/problem.hpp"
#include "harness/random.hpp"
#include "harness/record.hpp"
#include "octet/config.hpp"

namespace octet::harness {

/// The parameter of a case. The backend lives here and not in the fixture's type, because
/// GoogleTest takes one fixture for each suite name.
struct Case {
  std::string_view backend;
  Problem problem;
};
inline void PrintTo(const Case& c, std::ostream* out) {
  *out << c.backend << ' ' << c.problem.name;
}
inline std::string case_name(const testing::TestParamInfo<Case>& info) {
  return info.param.problem.name;
}

/// A backend ready to queue work; on CUDA it has a stream of its own, because the default stream
/// cannot be captured.
template <class B>
B make_backend() {
  if constexpr (std::is_same_v<B, Cuda>) {
    // The stream is this process's first work on the device.
    watch_processes(B{});
    static const CudaStream stream;
    return stream.backend();
  } else {
    return B{};
  }
}

/// Calls f(B{}) for each backend of this build.
template <class F>
void for_each_backend(F&& f) {
  [&]<class... Bs>(TypeList<Bs...>) { (f(Bs{}), ...); }(Backends{});
}

/// Seed of the running test: the same for every backend, other for every suite and problem.
inline std::uint64_t test_seed() {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string_view suite = test->test_suite_name();
  const std::string_view name = test->name();
  return seed_from(
      fmt::format("{}/{}", suite.substr(suite.find('/') + 1), name.substr(name.find('/') + 1)),
      options().seed);
}

/// Runs `body` as the running test on `backend`, or skips it, visibly, where no device answers;
/// OCTET_REQUIRE turns that skip into a failure. Whatever happens, one record is written.
template <class B>
void run_recorded(B, Json record,
                  const std::type_identity_t<std::function<Check(B, Json&)>>& body) {
  const auto finish = [&](std::string_view status, const std::string& reason) {
    record["status"] = status;
    record["reason"] = reason.empty() ? Json(nullptr) : Json(reason);
    record["memory"]["host_peak_bytes"] = host_peak_bytes();
    write(record);
  };
  if (!available(B{})) {
    const std::string reason = fmt::format("no {} device answers", B::kName);
    if (options().requires_backend(B::kName)) {
      finish("FAILED", reason);
      FAIL() << reason << ", and OCTET_REQUIRE asks for one";
    }
    finish("SKIPPED", reason);
    GTEST_SKIP() << reason;
  }
  try {
    const B backend = make_backend<B>();
    set_environment(record, backend);
    const Check check = body(backend, record);
    finish(check.status, check.message);
    EXPECT_EQ(check.status, "PASSED")
        << check.message << "\nrun it again: " << record["rerun"].get<std::string>();
  } catch (const Unsupported& reason) {
    finish("SKIPPED", reason.what());
    GTEST_SKIP() << reason.what();
  } catch (const std::bad_alloc&) {
    finish("FAILED", "out of memory");
    FAIL() << "out of " << B::kName << " memory";
  } catch (const std::exception& error) {
    finish("FAILED", error.what());
    FAIL() << error.what() << "\nrun it again: " << record["rerun"].get<std::string>();
  }
}

}  // namespace octet::harness

/// The cases of a suite under each backend's name: suite::cases(backend, further arguments).
#define OCTET_INSTANTIATE_ON_BACKENDS(suite, ...)                                                \
  INSTANTIATE_TEST_SUITE_P(Cpu, suite,                                                           \
                           ::testing::ValuesIn(suite::cases("cpu" __VA_OPT__(, ) __VA_ARGS__)),  \
                           ::octet::harness::case_name);                                         \
  INSTANTIATE_TEST_SUITE_P(Cuda, suite,                                                          \
                           ::testing::ValuesIn(suite::cases("cuda" __VA_OPT__(, ) __VA_ARGS__)), \
                           ::octet::harness::case_name)
