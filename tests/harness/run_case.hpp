// One case of an operator: check, then time, on the very same buffers.
//
//   1. inputs filled, outputs poisoned, guards around everything
//   2. run once, verify
//   3. poisoned again, timed beside a copy of the same bytes and the operator's baseline (problems
//      that are no model's: launched as often, alone)
//   4. verify what the timed launches left behind, guards included
//
// Step 4 catches what step 2 cannot: a kernel that writes only when it is first called, and one
// that races once it is launched back to back.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/description.hpp"
#include "harness/floors.hpp"
#include "harness/options.hpp"
#include "harness/record.hpp"
#include "harness/roofline.hpp"
#include "octet/buffer.hpp"

namespace octet::harness {

enum class Depth { check, check_and_time };

/// Whether a case is launched repeatedly for what that leaves behind, and not for its time: a
/// problem that is no model's, unless options() ask for so many samples.
inline bool is_brief(const Problem& problem) {
  return problem.size.empty() && !options().iterations;
}

/// How a case is timed unless options() says otherwise: a CPU call can take seconds.
template <class B>
TimingOptions timing_options(const Problem& problem, std::uint64_t seed) {
  TimingOptions o;
  if (problem.size.empty()) {
    o.samples = 3;
    o.exact = true;
  }
  if (is_brief(problem)) make_brief(o);
  if constexpr (std::is_same_v<B, Cpu>) {
    o.samples = 3;
    o.warm_up = 0;
    o.time_cap_s = 0.3;
    o.mode = CacheMode::hot;
  } else {
    o.mode = options().cache;
  }
  if (options().iterations) {
    o.samples = *options().iterations;
    o.exact = true;
  }
  o.warm_up = options().warm_up.value_or(o.warm_up);
  o.seed = seed;
  return o;
}

/// Sets that take turns in a brief case: what a kernel keeps of one set must not reach another.
inline constexpr int kBriefSets = 2;

/// Sets of operands that `rotate` needs on CUDA so that none is found in cache; else 1.
template <class B>
int operand_sets(B backend, std::int64_t bytes, CacheMode mode) {
  if (mode != CacheMode::rotate) return 1;
  constexpr std::int64_t kMostSets = 64;
  const std::int64_t enough = 3 * device_info(backend).l2_bytes;
  return static_cast<int>(
      std::clamp<std::int64_t>(enough / std::max<std::int64_t>(bytes, 1) + 1, 1, kMostSets));
}

/// What is too small to rotate, the sets of operands being limited, is hot and says so.
inline void name_cache_mode(std::span<Timing> timings, const DeviceInfo& device,
                            std::int64_t bytes) {
  for (Timing& t : timings) {
    if (t.mode == CacheMode::rotate && bytes < 3 * device.l2_bytes) t.mode = CacheMode::hot;
  }
}

/// A copy within the device that reads and writes `bytes` in all, with as many sets of operands:
/// what memory allows an operator that moves them.
template <class B>
class CopyContender {
 public:
  CopyContender(B backend, std::int64_t bytes, int sets)
      : half_((bytes / 2 + kAlignment - 1) / kAlignment * kAlignment),
        memory_(backend, 2 * half_ * sets) {
    fill(backend, memory_.data(), 0x5a, static_cast<std::size_t>(memory_.bytes()));
    for (int i = 0; i < sets; ++i) {
      unsigned char* from = memory_.data() + 2 * i * half_;
      contender_.calls.push_back([backend, from, half = half_] {
        copy(backend, from + half, from, static_cast<std::size_t>(half));
      });
    }
  }
  const Contender& contender() const { return contender_; }

 private:
  // The driver's copy of a length that is no multiple of 16 runs at two thirds of its rate, which
  // would flatter whatever is held against it. Rounded up, it moves at most a page more.
  static constexpr std::int64_t kAlignment = 4096;
  std::int64_t half_;
  Buffer<B, unsigned char> memory_;
  Contender contender_;
};

/// `check`, unless a guard of the case was overwritten.
inline Check with_damage(Check check, const Ledger& ledger) {
  if (const auto damage = ledger.damage()) {
    check.passed = false;
    check.status = "FAILED";
    check.message = *damage + (check.message.empty() ? "" : "; " + check.message);
  }
  return check;
}

/// A description and the implementation under test without their types, so that what follows is
/// compiled once for each backend and not for each suite.
struct ErasedCase {
  /// One set of operands.
  struct Set {
    std::shared_ptr<void> keeps;
    Ledger* ledger = nullptr;
    std::function<void()> run;
    std::function<Check()> verify;
    std::function<Cost()> cost;
  };
  Problem problem;
  std::uint64_t seed = 0;
  Pipe pipe = Pipe::none;
  std::function<Set(std::uint64_t seed)> make_set;
  std::function<Baseline(int sets)> baseline;  // empty: the operator has none
  std::function<std::string()> plan;           // empty: the implementation plans nothing
};

/// Steps 3 and 4. sets.front() was run and verified.
template <class B>
Check time_case(B backend, const ErasedCase& erased, std::vector<ErasedCase::Set>& sets, Json& r) {
  const TimingOptions how = timing_options<B>(erased.problem, erased.seed);
  const bool brief = is_brief(erased.problem);
  const std::int64_t set_bytes = sets.front().ledger->bytes();
  const int rotating = operand_sets(backend, set_bytes, how.mode);
  const int count = brief ? std::min(rotating, kBriefSets) : rotating;
  while (static_cast<int>(sets.size()) < count) {
    sets.push_back(erased.make_set(erased.seed + sets.size()));
  }
  // Another byte than before the first run: a value that happens to look like poison shows once.
  std::vector<Contender> contenders(1);
  for (const ErasedCase::Set& set : sets) {
    set.ledger->poison_outputs(0x5a);
    contenders[0].calls.push_back(set.run);
  }
  const Cost cost = sets.front().cost();
  std::optional<CopyContender<B>> copied;
  Baseline baseline;
  if constexpr (!std::is_same_v<B, Cpu>) {
    if (cost.bytes >= 2 && !brief) {
      const auto bytes = static_cast<std::int64_t>(cost.bytes);
      copied.emplace(backend, bytes, operand_sets(backend, bytes, how.mode));
      contenders.push_back(copied->contender());
    }
    if (erased.baseline && !brief) {
      baseline = erased.baseline(count);
      if (!baseline.name.empty()) contenders.push_back(baseline.contender);
    }
  }
  synchronize(backend);
  std::vector<Timing> timings = measure(backend, contenders, how);
  synchronize(backend);
  name_cache_mode(timings, device_info(backend), count * set_bytes);

  const Timing& mine = timings.front();
  const Timing* copy_timing = copied ? &timings[1] : nullptr;
  set_environment(r, backend);
  r["iterations"] = mine.samples_us.size();
  r["warm_up"] = how.warm_up;
  r["time"] = to_json(mine);
  r["cost"] = {{"bytes", cost.bytes}, {"operations", cost.operations}};
  const Roofline roofline = roofline_of(device_info(backend), erased.pipe, cost.bytes,
                                        cost.operations, mine, copy_timing);
  r["rate"] = to_json(roofline);
  if (!baseline.name.empty()) {
    set_baseline(r, baseline.name, baseline.algorithm, mine, timings.back());
  } else if (copy_timing != nullptr && erased.pipe == Pipe::none) {
    set_baseline(r, "copy", "", mine, *copy_timing);
  }
  write_samples(r, timings);

  Check check = with_damage(sets.front().verify(), *sets.front().ledger);
  for (std::size_t i = 1; i < sets.size() && check.passed; ++i) {
    check = with_damage(sets[i].verify(), *sets[i].ledger);
  }
  return check.passed ? judge_floors(r, std::move(check)) : check;
}

template <class B>
Check run_case(B backend, const ErasedCase& erased, Depth depth, Json& r) {
  std::vector<ErasedCase::Set> sets;
  sets.push_back(erased.make_set(erased.seed));
  const ErasedCase::Set& first = sets.front();
  first.ledger->poison_outputs(0xa5);
  first.run();
  synchronize(backend);
  Check check = with_damage(first.verify(), *first.ledger);
  r["check"] = to_json(check, false);
  if (erased.plan) r["plan"] = erased.plan();
  if (depth == Depth::check_and_time && check.passed && options().profile) {
    const std::string test = r["test"];
    profile(backend, test.c_str(), first.run);
  } else if (depth == Depth::check_and_time && check.passed) {
    check = time_case(backend, erased, sets, r);
    r["check"] = to_json(check, true);
  }
  return check;
}

/// A whole case. `op` is the implementation under test.
template <class D, class B, class Op>
Check run_case(B backend, const Problem& problem, std::uint64_t seed, Op& op, Depth depth,
               Json& r) {
  ErasedCase erased;
  erased.problem = problem;
  erased.seed = seed;
  erased.pipe = D::kPipe;
  erased.make_set = [&](std::uint64_t set_seed) {
    const auto d = std::make_shared<D>(backend, problem, set_seed);
    return ErasedCase::Set{.keeps = d,
                           .ledger = &d->ledger,
                           .run = [&op, set = d.get()] { set->run(op); },
                           .verify = [set = d.get()] { return set->verify(); },
                           .cost = [set = d.get()] { return set->cost(); }};
  };
  if constexpr (!std::is_same_v<B, Cpu>) {
    if constexpr (requires { D::baseline(backend, problem, seed, 1); }) {
      erased.baseline = [&](int sets) { return D::baseline(backend, problem, seed, sets); };
    }
  }
  if constexpr (requires { op.plan(backend); }) {
    erased.plan = [&] { return op.plan(backend); };
  }
  return run_case(backend, erased, depth, r);
}

}  // namespace octet::harness
