// The main job: the 16-bit and the int8 training step on the same data, verified and timed.
#include "octet/training_step.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "harness/floors.hpp"
#include "harness/step_case.hpp"
#include "harness/test_run.hpp"

namespace octet::harness {
namespace {

std::string shape_text(const LayerShape& l) {
  return fmt::format("{}x{}x{}x{}", l.batch, l.seq, l.model, l.hidden);
}

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
    problems.push_back(layer_problem(s.test_name(), s.name, s.layer));
  }
  return problems;
}

std::vector<Problem> small_layers() {
  std::vector<Problem> problems;
  for (const LayerShape& l : {LayerShape{1, 1, 1, 1}, LayerShape{2, 3, 20, 36},
                              LayerShape{1, 33, 65, 129}, LayerShape{2, 64, 128, 256}}) {
    problems.push_back(layer_problem(shape_text(l), "", l));
  }
  return problems;
}

/// What a record says of the user's tensors.
Json describe(const LayerTensors& tensors, DType step) {
  Json types, converted = Json::array();
  for (const StoredTensor& t : tensors.tensors()) {
    types[t.name] = octet::name(t.type);
    if (t.type != step) converted.push_back(t.name);
  }
  return {{"file", printable(tensors.file_name())},
          {"bytes", tensors.bytes().size()},
          {"hash", hex(hash_bytes(tensors.bytes().data(), tensors.bytes().size()))},
          {"types", types},
          {"converted", converted}};
}

/// Of the data alone, so that any two runs on one size can be compared by their hashes.
std::uint64_t seed_of(const Problem& problem) {
  return seed_from(problem.size.empty() ? shape_text(problem.layer) : problem.size, options().seed);
}

/// Of a case that cannot be posed.
Check invalid(const std::string& why) {
  Check check = failure("inputs", why);
  check.status = "INVALID";
  return check;
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
    const std::uint64_t seed = seed_of(problem);
    const StepSetting setting = setting_of(problem, policy);
    Json record = new_record(B::kName, "training_step", kDType<T>, problem, seed);
    record["data"] = name(setting.distribution);
    record["layout"] = name(setting.options.layout);
    record["policy"] = to_json(policy);
    record["step"] = to_json(setting.options);
    run_recorded(B{}, std::move(record), [&](B backend, Json& r) {
      if (setting.tensors != nullptr) {
        r["data"] = "tensors";
        r["tensors"] = describe(*setting.tensors, kDType<T>);
        if (const auto sentence = setting.tensors->unusable(kDType<T>)) return invalid(*sentence);
      }
      StepCase<B, T> step(backend, problem, setting, seed, timed);
      r["memory"]["predicted_bytes"] = step.predicted_bytes(timed);
      Check check = step.run_and_verify(r);
      const bool profiled = timed && options().profile;
      if (profiled && check.passed) step.profile_step();
      if (timed && !profiled && check.passed) check = merge({check, step.time(r)});
      r["check"] = to_json(check, timed && !profiled);
      // Floors are of the step without options.
      if (timed && !profiled && check.passed && setting.options == StepOptions{}) {
        check = judge_floors(r, std::move(check));
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

/// A problem with options of its own, which its name says.
Problem with_options(Problem p, std::string_view suffix, const StepOptions& step,
                     Distribution distribution) {
  p.name += fmt::format("_{}", suffix);
  p.step = step;
  p.distribution = distribution;
  return p;
}

/// Small steps with options of their own, which their names say.
std::vector<Problem> small_layers_with_options() {
  const LayerShape kOdd{2, 3, 20, 36}, kPrime{1, 33, 65, 129}, kRound{2, 64, 128, 256};
  std::vector<Problem> problems;
  const auto add = [&](const LayerShape& layer, std::string_view suffix, const StepOptions& step,
                       Distribution distribution = Distribution::gaussian) {
    const Problem plain = layer_problem(shape_text(layer), "", layer);
    problems.push_back(with_options(plain, suffix, step, distribution));
  };
  for (const LayerShape& layer : {LayerShape{1, 1, 1, 1}, kOdd, kPrime, kRound}) {
    for (const StepLayout layout : {StepLayout::col_turing, StepLayout::col_ampere}) {
      add(layer, name(layout), {.layout = layout});
    }
    add(layer, "bias", {.bias = true});
    add(layer, "stochastic",
        {.gradient_rounding = Rounding::stochastic, .rounding_seed = std::uint64_t{1} << 35});
    add(layer, "in_turn", {.overlap = Overlap::none});
  }
  add(kRound, "launches", {.overlap = Overlap::launches});
  add(kRound, "in_turn_bias", {.bias = true, .overlap = Overlap::none});
  for (const LayerShape& layer : {kOdd, kPrime, kRound}) {
    // Out1 is as wide as its outlier channels make it, so many of its columns hold an outlier.
    for (const auto& [threshold, text] : {std::pair{3.5f, "threshold3p5"}, {6.0f, "threshold6"}}) {
      add(layer, text, {.threshold = threshold, .outlier_share = 1},
          Distribution::outlier_channels);
      add(layer, fmt::format("{}_column", text),
          {.threshold = threshold, .outlier_mode = OutlierMode::column, .outlier_share = 1},
          Distribution::outlier_channels);
    }
  }
  for (const StepLayout layout : {StepLayout::col_turing, StepLayout::col_ampere}) {
    add(kRound, fmt::format("{}_threshold6_bias", name(layout)),
        {.layout = layout, .threshold = 6, .outlier_share = 0.25, .bias = true},
        Distribution::outlier_channels);
  }
  Problem strided = layer_problem("2x64x128x256_pad8", "", kRound);
  strided.ld_padding = 8;
  problems.push_back(strided);
  strided = layer_problem("2x3x20x36_pad5", "", kOdd);
  strided.ld_padding = 5;
  problems.push_back(strided);
  return problems;
}

/// What options cost, and what memory they take, shows at a model's size: the smallest one's.
std::vector<Problem> model_layer_with_options() {
  const Problem plain = model_layers().front();
  std::vector<Problem> problems;
  const auto add = [&](std::string_view suffix, const StepOptions& step,
                       Distribution distribution) {
    problems.push_back(with_options(plain, suffix, step, distribution));
  };
  for (const StepLayout layout : {StepLayout::col_turing, StepLayout::col_ampere}) {
    add(name(layout), {.layout = layout}, Distribution::gaussian);
  }
  add("outlier_channels", {}, Distribution::outlier_channels);
  add("threshold3p5", {.threshold = 3.5f, .outlier_share = 0.125}, Distribution::outlier_channels);
  add("threshold6", {.threshold = 6}, Distribution::outlier_channels);
  return problems;
}

/// Layouts, thresholds, biases and strided tensors.
class TrainingStepOptions_f16 : public StepSuite<f16> {};
class TrainingStepOptions_bf16 : public StepSuite<bf16> {};

TEST_P(TrainingStepOptions_f16, MatchesReference) { run({}, false); }
TEST_P(TrainingStepOptions_f16, Timing) { run({}, true); }
TEST_P(TrainingStepOptions_bf16, MatchesReference) { run({}, false); }
OCTET_INSTANTIATE_ON_BACKENDS(TrainingStepOptions_f16,
                              concatenate(model_layer_with_options(), small_layers_with_options()));
OCTET_INSTANTIATE_ON_BACKENDS(TrainingStepOptions_bf16, small_layers_with_options());

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

std::vector<Problem> policy_layers() {
  std::vector<Problem> problems = small_layers();
  for (Problem& p : small_layers_with_options()) {
    if (p.name.ends_with("threshold6_bias")) problems.push_back(std::move(p));
  }
  return problems;
}
OCTET_INSTANTIATE_ON_BACKENDS(TrainingStepPolicy_f16, policy_layers());

/// e4m3 in all passes and in some, as f16 and bf16 steps have it.
class TrainingStepE4m3_f16 : public StepSuite<f16> {};
class TrainingStepE4m3_bf16 : public StepSuite<bf16> {};

TEST_P(TrainingStepE4m3_f16, MatchesReference) { run(Policy::e4m3(), false); }
TEST_P(TrainingStepE4m3_f16, Timing) { run(Policy::e4m3(), true); }
TEST_P(TrainingStepE4m3_f16, EveryPolicyMatchesReference) {
  for (int bits = 1; bits < 7; ++bits) {
    const auto precision = [&](int pass) {
      return (bits >> pass & 1) != 0 ? Precision::e4m3 : Precision::native;
    };
    run({precision(0), precision(1), precision(2)}, false);
  }
}
TEST_P(TrainingStepE4m3_bf16, MatchesReference) { run(Policy::e4m3(), false); }

std::vector<Problem> e4m3_layers() {
  std::vector<Problem> problems = small_layers();
  const LayerShape kRound{2, 64, 128, 256};
  Problem biased = layer_problem(shape_text(kRound) + "_bias", "", kRound);
  biased.step = StepOptions{.bias = true};
  problems.push_back(std::move(biased));
  Problem strided = layer_problem(shape_text(kRound) + "_pad8", "", kRound);
  strided.ld_padding = 8;
  problems.push_back(std::move(strided));
  return problems;
}
OCTET_INSTANTIATE_ON_BACKENDS(TrainingStepE4m3_f16, e4m3_layers());
OCTET_INSTANTIATE_ON_BACKENDS(TrainingStepE4m3_bf16, e4m3_layers());

/// f(StepCase, record) for a problem on each backend where a device answers.
template <class F>
void on_each_backend(const Problem& problem, F&& f) {
  for_each_backend([&]<class B>(B) {
    if (!available(B{})) return;
    const std::uint64_t seed = seed_of(problem);
    const StepSetting setting = setting_of(problem, {});
    Json record = new_record(B::kName, "training_step", DType::f16, problem, seed);
    record["step"] = to_json(setting.options);
    StepCase<B, f16> step(make_backend<B>(), problem, setting, seed, false);
    f(step, record);
  });
}

std::string output_hash(const Problem& problem) {
  std::set<std::string> hashes;
  on_each_backend(problem, [&](auto& step, Json& record) {
    const Check check = step.run_and_verify(record);
    EXPECT_TRUE(check.passed) << check.message;
    hashes.insert(record["output_hash"].template get<std::string>());
  });
  EXPECT_EQ(hashes.size(), 1u) << "backends differ";
  return *hashes.begin();
}

/// The same integers multiplied in another order, or tensors that lie otherwise, change no bit.
TEST(TrainingStepBits, LayoutsAndStridesChangeNothing) {
  Problem row = layer_problem("row", "", {1, 33, 65, 129});
  row.distribution = Distribution::outlier_channels;
  row.step = StepOptions{.threshold = 6, .outlier_share = 0.25, .bias = true};
  const std::string hash = output_hash(row);
  Problem strided = row;
  strided.ld_padding = 7;
  EXPECT_EQ(output_hash(strided), hash);
  for (const StepLayout layout : {StepLayout::col_turing, StepLayout::col_ampere}) {
    Problem tiled = row;
    tiled.step->layout = layout;
    EXPECT_EQ(output_hash(tiled), hash) << name(layout);
  }
}

TEST(TrainingStepBits, OverflowIsReportedAndItsResultsAreNan) {
  Problem p = layer_problem("overflow", "", {2, 64, 128, 256});
  p.step = StepOptions{.threshold = 0.5f, .outlier_share = 0.01};
  on_each_backend(p, [](auto& step, Json& record) {
    const Check check = step.run_and_verify(record);
    EXPECT_EQ(check.status, "FAILED");
    EXPECT_NE(check.message.find("but the list holds 1024, so the results are NaN"),
              std::string::npos)
        << check.message;
    EXPECT_EQ(check.message.find("differ"), std::string::npos) << check.message;
    EXPECT_GT(record["step"]["outliers"][0]["count"].template get<std::int64_t>(), 1024);
  });
}

// ---- branches: nothing may run beside what it needs ----

using CpuStage = Stage<Cpu, f16>;

struct Access {
  std::vector<const void*> reads, writes;
};

Access access_of(const CpuStage& stage) {
  return std::visit(
      [](const auto& work) -> Access {
        if constexpr (requires { work.q_row; }) {
          return {{work.x.data},
                  {work.q_row.data, work.row_scale.data, work.q_col.data, work.col_scale.data}};
        } else if constexpr (requires { work.sum; }) {
          return {{work.x.data}, {work.sum.data}};
        } else if constexpr (requires {
                               work.row_scale;
                               work.out;
                               work.plan;
                             }) {
          return {{work.a.data, work.b.data, work.row_scale.data, work.col_scale.data},
                  {work.out.data}};
        } else if constexpr (requires {
                               work.a;
                               work.out;
                             }) {
          return {{work.a.data, work.b.data}, {work.out.data}};
        } else {
          ADD_FAILURE() << "a stage that branches do not know";
          return {};
        }
      },
      stage.work);
}

bool share_any(const std::vector<const void*>& x, const std::vector<const void*>& y) {
  return std::ranges::any_of(
      x, [&](const void* p) { return p != nullptr && std::ranges::find(y, p) != y.end(); });
}

/// Pairs of stages of which one writes what the other one reads or writes, though neither is known
/// to end before the other begins.
int unordered_pairs(const std::vector<CpuStage>& stages, WeightMode mode) {
  std::map<int, std::set<std::size_t>> ended, of_point;  // as a branch knows; as a point stands for
  int pairs = 0;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const CpuStage& stage = stages[i];
    if (mode == WeightMode::kept && stage.weights) continue;
    std::set<std::size_t>& known = ended[stage.branch];
    for (const int point : stage.after)
      known.insert(of_point[point].begin(), of_point[point].end());
    const Access mine = access_of(stage);
    for (std::size_t j = 0; j < i; ++j) {
      if (known.contains(j) || (mode == WeightMode::kept && stages[j].weights)) continue;
      const Access other = access_of(stages[j]);
      pairs += share_any(mine.reads, other.writes) || share_any(mine.writes, other.writes) ||
               share_any(mine.writes, other.reads);
    }
    known.insert(i);
    if (stage.point >= 0) of_point[stage.point] = known;
  }
  return pairs;
}

TEST(TrainingStepBranches, EveryStageWaitsForWhatItNeeds) {
  const Problem p = layer_problem("", "", {1, 4, 8, 12});
  Ledger ledger;
  const StepInputs<Cpu, f16> inputs(Cpu{}, ledger, p, Distribution::gaussian, /*bias=*/true,
                                    /*tensors=*/nullptr, 1);
  for (int bits = 0; bits < 8; ++bits) {
    const auto precision = [&](int pass) {
      return (bits >> pass & 1) != 0 ? Precision::native : Precision::s8;
    };
    GuardedStep<Cpu, f16> step(Cpu{}, make_gemm_workspace(Cpu{}), p.layer,
                               {precision(0), precision(1), precision(2)},
                               {.bias = true, .overlap = Overlap::branches}, inputs.views());
    for (const WeightMode mode : {WeightMode::every_step, WeightMode::kept}) {
      std::vector<CpuStage> stages = step->stages();
      EXPECT_EQ(unordered_pairs(stages, mode), 0) << "policy " << bits;
      if (bits != 0) continue;
      // A wait that is left out is seen: of each stage that needs one of its own.
      int seen = 0;
      for (CpuStage& stage : stages) {
        const std::vector<int> after = std::exchange(stage.after, {});
        seen += unordered_pairs(stages, mode) > 0;
        stage.after = after;
      }
      EXPECT_GE(seen, 4);
    }
  }
}

TEST(TrainingStepBranches, EveryStageInE4m3WaitsForWhatItNeeds) {
  const Problem p = layer_problem("", "", {1, 4, 8, 12});
  Ledger ledger;
  const StepInputs<Cpu, f16> inputs(Cpu{}, ledger, p, Distribution::gaussian, /*bias=*/true,
                                    /*tensors=*/nullptr, 1);
  GuardedStep<Cpu, f16> step(Cpu{}, make_gemm_workspace(Cpu{}), p.layer, Policy::e4m3(),
                             {.bias = true, .overlap = Overlap::branches}, inputs.views());
  for (const WeightMode mode : {WeightMode::every_step, WeightMode::kept}) {
    EXPECT_EQ(unordered_pairs(step->stages(), mode), 0);
  }
}

TEST(TrainingStepBranches, ProductsSpareWhatTheTensorBesideThemNeeds) {
  using Step = TrainingStep<Cpu, f16>;
  const ProductShape fc1{1024, 12288, 4096};
  EXPECT_EQ(Step::spared(fc1, 0), 0);
  EXPECT_NEAR(Step::spared(fc1, 12288 * 4096), 0.305, 0.001);
  EXPECT_NEAR(Step::spared(fc1, 1024 * 12288), 0.099, 0.001);
  EXPECT_EQ(Step::spared({1, 1, 1}, 1 << 20), Step::kMostSpared);
  EXPECT_EQ(Step::spared({0, 0, 0}, 1), Step::kMostSpared);
}

TEST(TrainingStepBits, WrongOptionsAreRefused) {
  using Step = TrainingStep<Cpu, f16>;
  const auto refusal = [](const StepOptions& options) -> std::string {
    try {
      Step::workspace_bytes({1, 2, 3, 4}, {}, options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({.threshold = -1}),
            "training_step: the threshold must be 0 (none) or positive");
  EXPECT_EQ(refusal({.threshold = std::numeric_limits<float>::quiet_NaN()}),
            "training_step: the threshold must be 0 (none) or positive");
  const auto refused_policy = [](Policy policy, const StepOptions& options) -> std::string {
    try {
      Step::workspace_bytes({1, 2, 3, 4}, policy, options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refused_policy(Policy::e4m3(), {}), "");
  EXPECT_EQ(refused_policy({Precision::e4m3, Precision::native, Precision::s8}, {}),
            "training_step: the policy has passes in s8 and in e4m3, but a tensor is quantized to "
            "one of them: choose one beside native");
  for (const StepOptions& options :
       {StepOptions{.layout = StepLayout::col_ampere}, StepOptions{.threshold = 6},
        StepOptions{.gradient_rounding = Rounding::stochastic}}) {
    EXPECT_EQ(
        refused_policy(Policy::e4m3(), options),
        "training_step: the policy has passes in e4m3, which need the layout row, the threshold "
        "0 and rounding to nearest: the others are of int8");
  }
  EXPECT_EQ(refusal({.outlier_share = 0}),
            "training_step: outlier_share must lie above 0 and up to 1");
}

/// Steps in e4m3 whose products read the wrong scales, or whose bias is dropped.
TEST(TrainingStepE4m3Control, WrongStagesAreReported) {
  Problem p = layer_problem("2x64x128x256", "", {2, 64, 128, 256});
  p.step = StepOptions{.bias = true};
  const auto verdict = [&]<class B>(B, auto&& change) {
    StepCase<B, f16> step(make_backend<B>(), p, setting_of(p, Policy::e4m3()), seed_of(p), false);
    step.change([&](TrainingStep<B, f16>& quantized) {
      for (Stage<B, f16>& stage : quantized.stages()) {
        if (auto* work = std::get_if<ScaledGemmE4m3Stage<B, f16>>(&stage.work)) change(*work);
      }
    });
    Json record = new_record(B::kName, "training_step", DType::f16, p, seed_of(p));
    record["step"] = to_json(*p.step);
    return step.run_and_verify(record);
  };
  for_each_backend([&]<class B>(B backend) {
    if (!available(backend)) return;
    try {
      EXPECT_EQ(verdict(backend, [](auto&) {}).status, "PASSED");
      const Check swapped =
          verdict(backend, [](auto& product) { product.row_scale.data = product.col_scale.data; });
      EXPECT_EQ(swapped.status, "FAILED");
      EXPECT_NE(swapped.message.find("fc1_fprop of the fp8 step: "), std::string::npos)
          << swapped.message;
      const Check dropped = verdict(backend, [](auto& product) { product.bias = {}; });
      EXPECT_EQ(dropped.status, "FAILED");
      EXPECT_NE(dropped.message.find("fc2_fprop of the fp8 step: "), std::string::npos)
          << dropped.message;
    } catch (const Unsupported&) {
      return;  // as on a backend without a device
    }
  });
}

}  // namespace
}  // namespace octet::harness
