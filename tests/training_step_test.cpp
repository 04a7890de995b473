// The main job: the 16-bit and the int8 training step on the same data, verified and timed.
#include "octet/training_step.hpp"

#include <gtest/gtest.h>

#include <string>

#include "harness/floors.hpp"
#include "harness/step_case.hpp"
#include "harness/test_run.hpp"

namespace octet::harness {
namespace {

Problem layer_problem(std::string name, std::string size, const LayerShape& layer) {
  Problem p;
  p.name = std::move(name);
  p.size = std::move(size);
  p.layer = layer;
  return p;
}

std::vector<Problem> model_layers() {
  std::vector<Problem> problems;
  for (const ModelSize& s : model_sizes()) {
    problems.push_back(layer_problem(s.name, s.name, s.layer));
  }
  return problems;
}

std::vector<Problem> small_layers() {
  std::vector<Problem> problems;
  for (const LayerShape& l : {LayerShape{1, 1, 1, 1}, LayerShape{2, 3, 20, 36},
                              LayerShape{1, 33, 65, 129}, LayerShape{2, 64, 128, 256}}) {
    problems.push_back(
        layer_problem(fmt::format("{}x{}x{}x{}", l.batch, l.seq, l.model, l.hidden), "", l));
  }
  return problems;
}

template <class T>
class StepSuite : public testing::TestWithParam<Case> {
 public:
  static std::vector<Case> cases(std::string_view backend, const std::vector<Problem>& problems) {
    std::vector<Case> all;
    for_each_backend([&]<class B>(B) {
      if (backend != B::kName) return;
      for (const Problem& p : problems) all.push_back({B::kName, p});
    });
    return all;
  }

 protected:
  void run(Policy policy, bool timed) {
    for_each_backend([&]<class B>(B) {
      if (GetParam().backend == B::kName) run_on<B>(policy, timed);
    });
  }

 private:
  template <class B>
  static void run_on(Policy policy, bool timed) {
    const Problem& problem = GetParam().problem;
    // Of the data alone, so that any two runs on one size can be compared by their hashes.
    const std::uint64_t seed = seed_from(problem.name, options().seed);
    Json record = new_record(B::kName, "training_step", kDType<T>, problem, seed);
    record["policy"] = to_json(policy);
    run_recorded(B{}, std::move(record), [&](B backend, Json& r) {
      const std::int64_t before = free_memory(backend);
      StepCase<B, T> step(backend, problem, policy, seed, timed);
      r["memory"]["predicted_bytes"] = step.predicted_bytes(timed);
      Check check = step.run_and_verify(r);
      const bool profiled = timed && options().profile;
      if (profiled && check.passed) step.profile_step();
      if (timed && !profiled && check.passed) check = merge({check, step.time(r)});
      r["check"] = to_json(check, timed && !profiled);
      if (timed && !profiled && check.passed) check = judge_floors(r, std::move(check));
      if constexpr (!std::is_same_v<B, Cpu>) {
        r["memory"]["device_peak_bytes"] = before - free_memory(backend);
      }
      return check;
    });
  }
};

// A class for each suite: one name, one fixture.
class TrainingStep_f16 : public StepSuite<f16> {};
class TrainingStep_bf16 : public StepSuite<bf16> {};

TEST_P(TrainingStep_f16, MatchesReference) { run(options().policy, false); }
TEST_P(TrainingStep_f16, Timing) { run(options().policy, true); }
TEST_P(TrainingStep_bf16, MatchesReference) { run(options().policy, false); }
TEST_P(TrainingStep_bf16, Timing) { run(options().policy, true); }

OCTET_INSTANTIATE_ON_BACKENDS(TrainingStep_f16, concatenate(model_layers(), small_layers()));
OCTET_INSTANTIATE_ON_BACKENDS(TrainingStep_bf16, concatenate(model_layers(), small_layers()));

/// Every combination of int8 and 16-bit passes.
class TrainingStepPolicy_f16 : public StepSuite<f16> {};

TEST_P(TrainingStepPolicy_f16, EveryPolicyMatchesReference) {
  for (int bits = 0; bits < 8; ++bits) {
    const auto precision = [&](int pass) {
      return (bits >> pass & 1) != 0 ? Precision::s8 : Precision::native;
    };
    run({precision(0), precision(1), precision(2)}, false);
  }
}
OCTET_INSTANTIATE_ON_BACKENDS(TrainingStepPolicy_f16, small_layers());

}  // namespace
}  // namespace octet::harness
