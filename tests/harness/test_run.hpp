// The running test: its backend, its seed, its record.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <type_traits>

#include "harness/check.hpp"
#include "harness/ends.hpp"
#include "harness/options.hpp"
#include "harness/problem.hpp"
#include "harness/random.hpp"
#include "harness/record.hpp"
#include "harness/watchdog.hpp"
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

/// Sets what becomes of a case, and writes its record.
inline void finish(Json& record, std::string_view status, const std::string& reason) {
  record["status"] = status;
  record["reason"] = reason.empty() ? Json(nullptr) : Json(reason);
  record["memory"]["host_peak_bytes"] = host_peak_bytes();
  write(record);
}

/// OCTET_WATCHDOG: ends the process, with a record, once a case has taken so long.
inline void watch(std::optional<Watchdog>& watchdog, Json record) {
  const int seconds = options().watchdog_s;
  if (seconds == 0) return;
  watchdog.emplace(std::chrono::seconds(seconds), [seconds, record]() mutable {
    const std::string reason = fmt::format("still running after {} s (OCTET_WATCHDOG)", seconds);
    try {
      finish(record, "FAILED", reason);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    end_process(kWatchdogExit, fmt::format("{}: {}", record["test"].get<std::string>(), reason));
  });
}

/// Own allocations lie within this of what a case was predicted to need, the larger of both.
inline constexpr double kPredictionShare = 0.05;
inline constexpr std::int64_t kPredictionBytes = std::int64_t{256} << 20;

/// `check`, unless the case left memory behind or needed another amount than it had predicted.
inline Check with_memory(Check check, const Json& memory, std::int64_t left_bytes) {
  std::string text;
  if (left_bytes != 0) {
    text = fmt::format("memory: {} bytes that the case allocated were not freed", left_bytes);
  } else if (check.passed && memory["predicted_bytes"].is_number()) {
    const auto predicted = memory["predicted_bytes"].get<std::int64_t>();
    const auto peak = memory["device_peak_bytes"].get<std::int64_t>();
    const auto slack =
        std::max(kPredictionBytes,
                 static_cast<std::int64_t>(kPredictionShare * static_cast<double>(predicted)));
    if (peak > predicted + slack || peak < predicted - slack) {
      text = fmt::format("memory: {} bytes were predicted, but {} were allocated", predicted, peak);
    }
  }
  if (text.empty()) return check;
  check.passed = false;
  check.status = "FAILED";
  check.message = text + (check.message.empty() ? "" : "; " + check.message);
  return check;
}

/// `check`, unless it compared nothing at all: such a case could not have failed.
inline Check with_proof(Check check) {
  if (!check.kind.empty() || !check.passed) return check;
  check.passed = false;
  check.status = "INVALID";
  check.message = "the case ended without a check";
  return check;
}

/// Whether the device still answers; asked after an error that may have come of an earlier one.
template <class B>
bool answers(B backend) {
  try {
    synchronize(backend);
  } catch (const DeviceLost&) {
    return false;
  } catch (const std::exception&) {
    // Another error, such as that of the failed case: the device told it.
  }
  return true;
}

/// Runs `body` as the running test on `backend`, or skips it, visibly, where no device answers;
/// OCTET_REQUIRE turns that skip into a failure. Whatever happens, one record is written. Where the
/// device is lost, or the case never ends, the process ends with it: ends.hpp.
template <class B>
void run_recorded(B, Json record,
                  const std::type_identity_t<std::function<Check(B, Json&)>>& body) {
  if (!available(B{})) {
    const std::string reason = fmt::format("no {} device answers", B::kName);
    if (options().requires_backend(B::kName)) {
      finish(record, "FAILED", reason);
      FAIL() << reason << ", and OCTET_REQUIRE asks for one";
    }
    finish(record, "SKIPPED", reason);
    GTEST_SKIP() << reason;
  }
  std::optional<Watchdog> watchdog;
  std::optional<B> backend;
  std::string failure;
  bool is_lost = false;
  try {
    watch(watchdog, record);
    backend = make_backend<B>();
    set_environment(record, *backend);
    watchdog.reset();
    watch(watchdog, record);
    reset_memory_peak(*backend);
    const std::int64_t before = memory_use(*backend).bytes;
    Check check = with_proof(body(*backend, record));
    record["memory"]["device_peak_bytes"] = memory_use(*backend).peak_bytes - before;
    check = with_memory(std::move(check), record["memory"], memory_use(*backend).bytes - before);
    watchdog.reset();
    finish(record, check.status, check.message);
    EXPECT_EQ(check.status, "PASSED")
        << check.message << "\nrun it again: " << record["rerun"].get<std::string>();
    return;
  } catch (const Unsupported& reason) {
    watchdog.reset();
    finish(record, "SKIPPED", reason.what());
    GTEST_SKIP() << reason.what();
  } catch (const DeviceLost& error) {
    failure = error.what();
    is_lost = true;
  } catch (const OutOfMemory& error) {
    failure = error.what();
  } catch (const std::bad_alloc&) {
    failure = "out of host memory";
  } catch (const std::exception& error) {
    failure = error.what();
  }
  is_lost = is_lost || (backend && !answers(*backend));
  watchdog.reset();
  if (is_lost) failure += fmt::format("; the {} device is lost to this process", B::kName);
  try {
    finish(record, "FAILED", failure);
  } catch (const std::exception& error) {
    if (failure != error.what()) failure += fmt::format("; {}", error.what());
  }
  if (is_lost) {
    end_process(kDeviceLostExit, fmt::format("{}: {}", record["test"].get<std::string>(), failure));
  }
  FAIL() << failure << "\nrun it again: " << record["rerun"].get<std::string>();
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
