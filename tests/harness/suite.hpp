// One line registers a kernel for checking and timing:
//
//   OCTET_KERNEL_SUITE(QuantizeRowwise_f16, QuantizeRowwise, f16, OCTET_FN(quantize_rowwise));
//
// gives QuantizeRowwise_f16.MatchesReference and .Timing, once for each backend of this build that
// the implementation accepts and once for each problem:
// Cuda/QuantizeRowwise_f16.Timing/4k_1024x4096.
//
// The second argument describes the operator, for every backend and type and whoever implements it:
//
//   template <class B, class T>
//   struct QuantizeRowwise : Description<B> {
//     static constexpr std::string_view kOperator = "quantize_rowwise";
//     static std::vector<Problem> problems();
//     QuantizeRowwise(B backend, const Problem&, std::uint64_t seed);  // tensors, seeded data
//     template <std::invocable<B, Matrix<const T>, Matrix<s8>, Vector<float>> Op>
//     void run(Op& op);    // calls the implementation; this is what is timed
//     Check verify();      // what is true afterwards, on the same buffers
//     Cost cost() const;   // least bytes and operations, for the roofline
//   };
//
// The last argument is the slot for the implementation: any callable with the description's
// signature. OCTET_FN turns a function or an overload set into one; a callable with state (a plan
// made by its first call, which is never timed) lives as long as its case and may say in
// `std::string plan(B) const` what it chose.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "harness/check.hpp"
#include "harness/options.hpp"
#include "harness/problem.hpp"
#include "harness/random.hpp"
#include "harness/record.hpp"
#include "harness/tensor.hpp"
#include "harness/timer.hpp"
#include "octet/config.hpp"

namespace octet::harness {

/// What the description of an operator starts from.
template <class B>
struct Description {
  Description(B backend, const Problem& problem, std::uint64_t seed)
      : backend(backend), problem(problem), seed(seed) {}

  B backend;
  Problem problem;
  std::uint64_t seed;
  Ledger ledger;  // every tensor of the case
};

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

/// How often a case is timed unless options() says otherwise: a CPU call can take seconds.
template <class B>
TimingOptions timing_options(std::uint64_t seed) {
  constexpr bool kOnCpu = std::is_same_v<B, Cpu>;
  return {options().iterations.value_or(kOnCpu ? 3 : 20),
          options().warm_up.value_or(kOnCpu ? 0 : 3), seed};
}

/// Sets of operands that `rotate` needs on CUDA so that none is found in cache; 1 on the CPU.
template <class B>
int operand_sets(B backend, std::int64_t bytes) {
  if constexpr (std::is_same_v<B, Cpu>) {
    return 1;
  } else {
    constexpr std::int64_t kMostSets = 64;
    const std::int64_t enough = 3 * device_info(backend).l2_bytes;
    return static_cast<int>(std::clamp<std::int64_t>(
        (enough + bytes) / std::max<std::int64_t>(bytes, 1), 1, kMostSets));
  }
}

/// Runs `body` as the running test on `backend`, or skips it, visibly, where no device answers;
/// OCTET_REQUIRE turns that skip into a failure. Whatever happens, one record is written.
template <class B, class F>
void run_recorded(B, Json record, F&& body) {
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
  } catch (const std::bad_alloc&) {
    finish("FAILED", "out of memory");
    FAIL() << "out of " << B::kName << " memory";
  } catch (const std::exception& error) {
    finish("FAILED", error.what());
    FAIL() << error.what() << "\nrun it again: " << record["rerun"].get<std::string>();
  }
}

/// `check`, unless a guard of the case was overwritten.
inline Check with_damage(Check check, const Ledger& ledger) {
  if (const auto damage = ledger.damage()) {
    check.passed = false;
    check.status = "FAILED";
    check.message = *damage + (check.message.empty() ? "" : "; " + check.message);
  }
  return check;
}

template <template <class, class> class D, class T, class Op>
class KernelSuite : public testing::TestWithParam<Case> {
 public:
  static std::vector<Case> cases(std::string_view backend) {
    std::vector<Case> all;
    for_each_backend([&]<class B>(B) {
      if constexpr (requires(D<B, T> & d, Op & op) { d.run(op); }) {
        if (backend != B::kName) return;
        for (Problem& p : D<B, T>::problems()) all.push_back({B::kName, std::move(p)});
      }
    });
    return all;
  }

 protected:
  enum class Depth { check, check_and_time };

  void run(Depth depth) {
    for_each_backend([&]<class B>(B) {
      if constexpr (requires(D<B, T> & d, Op & op) { d.run(op); }) {
        if (GetParam().backend == B::kName) run_on<B>(depth);
      }
    });
  }

 private:
  template <class B>
  void run_on(Depth depth) {
    const Problem& problem = GetParam().problem;
    const std::uint64_t seed = test_seed();
    Json record = new_record(B::kName, D<B, T>::kOperator, kDType<T>, problem, seed);
    run_recorded(B{}, std::move(record), [&](B backend, Json& r) {
      Op op{};
      std::vector<std::unique_ptr<D<B, T>>> sets;
      sets.push_back(std::make_unique<D<B, T>>(backend, problem, seed));
      Check check = run_and_verify(op, *sets.front());
      r["check"] = to_json(check, false);
      if constexpr (requires { op.plan(backend); }) r["plan"] = op.plan(backend);
      if (depth == Depth::check_and_time && check.passed) {
        check = time(backend, op, sets, r);
        r["check"] = to_json(check, true);
      }
      return check;
    });
  }

  template <class B>
  static Check run_and_verify(Op& op, D<B, T>& d) {
    d.ledger.poison_outputs(0xa5);
    d.run(op);
    synchronize(d.backend);
    return with_damage(d.verify(), d.ledger);
  }

  /// Times on the buffers that were verified, and verifies what the timed calls left in them.
  template <class B>
  static Check time(B backend, Op& op, std::vector<std::unique_ptr<D<B, T>>>& sets, Json& r) {
    D<B, T>& first = *sets.front();
    const int count = operand_sets(backend, first.ledger.bytes());
    while (static_cast<int>(sets.size()) < count) {
      sets.push_back(std::make_unique<D<B, T>>(backend, first.problem, first.seed + sets.size()));
    }
    // Another byte than before the first run: a value that happens to look like poison shows once.
    Contender contender;
    for (const auto& d : sets) {
      d->ledger.poison_outputs(0x5a);
      contender.calls.push_back([&op, set = d.get()] { set->run(op); });
    }
    synchronize(backend);
    const TimingOptions how = timing_options<B>(first.seed);
    const Timing timing = measure(backend, std::span(&contender, 1), how).front();
    synchronize(backend);

    const Cost cost = first.cost();
    const double seconds = 1e-6 * timing.summary().median;
    r["iterations"] = how.samples;
    r["warm_up"] = how.warm_up;
    r["time"] = to_json(timing, std::is_same_v<B, Cpu> ? CacheMode::hot : CacheMode::rotate);
    r["cost"] = {{"bytes", cost.bytes}, {"operations", cost.operations}};
    r["rate"] = {{"gb_per_s", 1e-9 * cost.bytes / seconds},
                 {"tops", 1e-12 * cost.operations / seconds},
                 {"roofline_fraction", nullptr}};

    Check check = with_damage(first.verify(), first.ledger);
    for (std::size_t i = 1; i < sets.size() && check.passed; ++i) {
      check = with_damage(sets[i]->verify(), sets[i]->ledger);
    }
    return check;
  }
};

}  // namespace octet::harness

/// A function or an overload set as a callable type's expression.
#define OCTET_FN(function) \
  [](auto... args) -> decltype(function(args...)) { return function(args...); }

#define OCTET_KERNEL_SUITE(suite, description, type, implementation)                               \
  using suite##Implementation = decltype(implementation);                                          \
  class suite : public ::octet::harness::KernelSuite<description, type, suite##Implementation> {}; \
  TEST_P(suite, MatchesReference) { run(Depth::check); }                                           \
  TEST_P(suite, Timing) { run(Depth::check_and_time); }                                            \
  INSTANTIATE_TEST_SUITE_P(Cpu, suite, ::testing::ValuesIn(suite::cases("cpu")),                   \
                           ::octet::harness::case_name);                                           \
  INSTANTIATE_TEST_SUITE_P(Cuda, suite, ::testing::ValuesIn(suite::cases("cuda")),                 \
                           ::octet::harness::case_name)
