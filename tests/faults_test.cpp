// What a case does when memory is short, and what a thousand steps leave behind: nothing.
//
// Faults that end the process are planted in planted_faults.cpp and observed by faults_test.py.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <thread>
#include <type_traits>

#include "harness/line_file.hpp"
#include "harness/operators/quantize.hpp"
#include "harness/run_case.hpp"
#include "harness/step_case.hpp"
#include "harness/test_run.hpp"
#include "harness/watchdog.hpp"

namespace octet::harness {
namespace {

/// Lifts the limit, whatever becomes of the test.
template <class B>
struct Limited {
  B backend;
  Limited(B backend, const MemoryLimit& limit) : backend(backend) { limit_memory(backend, limit); }
  ~Limited() { limit_memory(backend, {}); }
};

Problem small_step() {
  Problem p;
  p.name = "2x3x20x36";
  p.layer = {2, 3, 20, 36};
  return p;
}

StepSetting setting() {
  return {
      {}, {.threshold = 3.5f, .outlier_share = 1, .bias = true}, Distribution::outlier_channels};
}

Json record_of(std::string_view backend, const Problem& problem) {
  Json record = new_record(backend, "training_step", DType::f16, problem, 1);
  record["step"] = to_json(setting().options);
  return record;
}

template <class B>
void run_step(B backend) {
  const Problem problem = small_step();
  Json record = record_of(B::kName, problem);
  StepCase<B, f16> step(backend, problem, setting(), 1, /*timed=*/true);
  const Check check = step.run_and_verify(record);
  ASSERT_TRUE(check.passed) << check.message;
}

template <class B>
void run_operator(B backend) {
  Problem problem;
  problem.name = "3x31";
  problem.m = 3;
  problem.n = 31;
  Json record = new_record(B::kName, "quantize_rowwise", DType::f16, problem, 1);
  auto op = [](auto... args) -> decltype(quantize_rowwise(args...)) { quantize_rowwise(args...); };
  const Check check =
      run_case<QuantizeRowwise<B, f16>>(backend, problem, 1, op, Depth::check_and_time, record);
  ASSERT_TRUE(check.passed) << check.message;
}

/// Refuses each request for memory in turn: what ran until then is freed, the refusal is told, and
/// the same work passes right afterwards.
template <class F>
void refuse_each_request(F&& work) {
  for_each_backend([&]<class B>(B) {
    if (!available(B{})) return;
    const B backend = make_backend<B>();
    work(backend);
    const MemoryUse before = memory_use(backend);
    work(backend);
    const std::int64_t requests = memory_use(backend).requests - before.requests;
    ASSERT_GE(requests, 3);
    int refused = 0;
    for (std::int64_t n = 1; n <= requests; ++n) {
      try {
        const Limited<B> limited(backend, {.request = n});
        work(backend);  // a plan may do with less: that is no failure
      } catch (const OutOfMemory& error) {
        ++refused;
        EXPECT_EQ(std::string(error.what()).find(fmt::format("out of {} memory: ", B::kName)), 0u)
            << error.what();
      }
      EXPECT_EQ(memory_use(backend).bytes, before.bytes) << B::kName << " request " << n;
      EXPECT_EQ(memory_use(backend).blocks, before.blocks) << B::kName << " request " << n;
    }
    EXPECT_GE(refused, 3);
    work(backend);
  });
}

TEST(OutOfMemory, AnyRequestOfAStepMayBeRefused) {
  refuse_each_request([](auto backend) { run_step(backend); });
}

TEST(OutOfMemory, AnyRequestOfAnOperatorsCaseMayBeRefused) {
  refuse_each_request([](auto backend) { run_operator(backend); });
}

TEST(OutOfMemory, TheSentenceNamesBothAmounts) {
  for_each_backend([]<class B>(B) {
    if (!available(B{})) return;
    const std::int64_t held = memory_use(B{}).bytes;
    const Limited<B> limited(B{}, {.bytes = held + 1000});
    const Buffer<B, char> first(B{}, 600);
    EXPECT_EQ(memory_use(B{}).bytes, held + 600);
    EXPECT_LE(free_memory(B{}), 400);
    try {
      const Buffer<B, char> second(B{}, 401);
      ADD_FAILURE() << "nothing was refused";
    } catch (const OutOfMemory& error) {
      EXPECT_EQ(error.what(),
                fmt::format("out of {} memory: 401 bytes were asked for while {} were "
                            "held",
                            B::kName, held + 600));
    }
    const Buffer<B, char> third(B{}, 400);
  });
}

TEST(OutOfMemory, WhatTheBackendItselfRefusesIsTold) {
  for_each_backend([]<class B>(B) {
    if (!available(B{})) return;
    for (const std::size_t bytes :
         {std::size_t{1} << 50, std::numeric_limits<std::size_t>::max()}) {
      EXPECT_THROW(allocate(B{}, bytes), OutOfMemory) << bytes;
    }
    run_operator(make_backend<B>());
  });
}

TEST(OutOfMemory, AStepThatWouldNotFitIsRefusedBeforeItAllocates) {
  for_each_backend([]<class B>(B) {
    if (!available(B{})) return;
    const B backend = make_backend<B>();
    const MemoryUse before = memory_use(backend);
    const std::int64_t limit = before.bytes + 1000;
    const Limited<B> limited(backend, {.bytes = limit});
    try {
      const StepCase<B, f16> step(backend, small_step(), setting(), 1, false);
      ADD_FAILURE() << "nothing was refused";
    } catch (const std::runtime_error& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.find("training_step: size 2x3x20x36 needs "), 0u) << text;
      EXPECT_NE(text.find(fmt::format(" of {} memory, but ", B::kName)), std::string::npos) << text;
    }
    EXPECT_EQ(memory_use(backend).requests, before.requests);
  });
}

// --------------------------------------------------------------------------------------- leaks

TEST(Leaks, AThousandStepsAllocateNothing) {
  for_each_backend([]<class B>(B) {
    if (!available(B{})) return;
    const B backend = make_backend<B>();
    const Problem problem = small_step();
    Json record = record_of(B::kName, problem);
    StepCase<B, f16> owner(backend, problem, setting(), 1, false);
    ASSERT_TRUE(owner.run_and_verify(record).passed);
    const auto run = [&](int steps) {
      for (int i = 0; i < steps; ++i) owner.run_int8();
      synchronize(backend);
    };
    run(10);
    const MemoryUse before = memory_use(backend);
    const std::size_t host_before = mallinfo2().uordblks;
    run(1000);
    EXPECT_EQ(memory_use(backend).requests, before.requests) << B::kName;
    EXPECT_EQ(memory_use(backend).bytes, before.bytes) << B::kName;
    // Of the heap; a leak of a byte a step would be 16,000 with what malloc adds to it.
    if (std::is_same_v<B, Cpu>) {  // CUDA's driver has allocations of its own
      EXPECT_LT(mallinfo2().uordblks, host_before + 8000);
    }
  });
}

TEST(Leaks, CasesLeaveNothing) {
  for_each_backend([]<class B>(B) {
    if (!available(B{})) return;
    const B backend = make_backend<B>();
    const auto run = [&] {
      run_step(backend);
      run_operator(backend);
    };
    for (int i = 0; i < 3; ++i) run();
    const MemoryUse before = memory_use(backend);
    const std::size_t host_before = mallinfo2().uordblks;
    constexpr int kCases = 20;
    for (int i = 0; i < kCases; ++i) run();
    EXPECT_GT(memory_use(backend).requests, before.requests);
    EXPECT_EQ(memory_use(backend).blocks, before.blocks) << B::kName;
    EXPECT_EQ(memory_use(backend).bytes, before.bytes) << B::kName;
    if (std::is_same_v<B, Cpu>) {
      EXPECT_LT(mallinfo2().uordblks, host_before + kCases * 1024);
    }
  });
}

TEST(Leaks, ALeakFailsItsCase) {
  Json memory = {{"device_peak_bytes", 10}, {"predicted_bytes", nullptr}};
  EXPECT_TRUE(with_memory({}, memory, 0).passed);
  const Check leaked = with_memory({}, memory, 64);
  EXPECT_EQ(leaked.status, "FAILED");
  EXPECT_EQ(leaked.message, "memory: 64 bytes that the case allocated were not freed");
}

TEST(Proof, ACaseWithoutACheckIsNoPass) {
  EXPECT_EQ(with_proof({}).status, "INVALID");
  EXPECT_FALSE(with_proof({}).passed);
  Check check;
  check.kind = "bits";
  EXPECT_TRUE(with_proof(check).passed);
}

TEST(Prediction, HoldsWithinAShareOrAnAmount) {
  const auto judged = [](std::int64_t predicted, std::int64_t peak) {
    return with_memory({}, {{"device_peak_bytes", peak}, {"predicted_bytes", predicted}}, 0);
  };
  constexpr std::int64_t kGiB = std::int64_t{1} << 30;
  EXPECT_TRUE(judged(100, 0).passed);
  EXPECT_TRUE(judged(0, kGiB / 4).passed);
  EXPECT_FALSE(judged(0, kGiB / 4 + 1).passed);
  EXPECT_TRUE(judged(20 * kGiB, 21 * kGiB).passed);
  EXPECT_FALSE(judged(20 * kGiB, 21 * kGiB + 1).passed);
  EXPECT_EQ(judged(20 * kGiB, kGiB).message,
            "memory: 21474836480 bytes were predicted, but 1073741824 were allocated");
}

// --------------------------------------------------------------------------------- files of lines

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class LineFile : public testing::Test {
 protected:
  LineFile()
      : path_(std::filesystem::path(testing::TempDir()) / fmt::format("octet_lines_{}", run_id())) {
  }
  ~LineFile() override { std::filesystem::remove(path_); }
  std::filesystem::path path_;
};

TEST_F(LineFile, AFullFileKeepsItsLinesWhole) {
  append_line(path_, "first");
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  for (const rlim_t most : {rlim_t{6}, rlim_t{7}, rlim_t{10}}) {
    const rlimit limit{most, old.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_THROW(append_line(path_, "second, which does not fit"), std::runtime_error) << most;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    EXPECT_EQ(content_of(path_), "first\n") << most;
  }
  append_line(path_, "second");
  EXPECT_EQ(content_of(path_), "first\nsecond\n");
}

TEST_F(LineFile, ALineLeftTornSpoilsNoOther) {
  std::ofstream(path_) << "whole\nto";
  append_line(path_, "next");
  EXPECT_EQ(content_of(path_), "whole\nto\nnext\n");
}

// ------------------------------------------------------------------------------------- watchdog

TEST(WatchdogTest, BarksOnceTheTimeIsOverAndNotBefore) {
  using std::chrono::milliseconds;
  std::atomic<int> barks{0};
  {
    const Watchdog watchdog(std::chrono::hours(1), [&] { ++barks; });
  }
  EXPECT_EQ(barks, 0);
  {
    const Watchdog watchdog(milliseconds(1), [&] { ++barks; });
    for (int i = 0; i < 5000 && barks == 0; ++i) std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(barks, 1);
}

}  // namespace
}  // namespace octet::harness
