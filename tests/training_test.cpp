// Does int8 training train? A small layer is trained through the step, in 16 bits and in int8, on
// the same data, from the same first weights, for several seeds; see harness/training.hpp. Then
// with faults that must show in the losses.
#include "harness/training.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "harness/step_case.hpp"
#include "harness/test_run.hpp"

namespace octet::harness {
namespace {

constexpr std::uint64_t kSeeds = 3;
constexpr StepOptions kNearest{};
constexpr StepOptions kStochastic{.gradient_rounding = Rounding::stochastic, .rounding_seed = 1};
constexpr StepOptions kThreshold{.threshold = 6, .outlier_share = 1};

/// The options of the int8 runs of a problem, by the names that their curves have.
struct Variant {
  std::string name;
  StepOptions options;
};

template <class B>
struct Trained {
  explicit Trained(B backend) : workspace(make_pinned_workspace(backend)) {}
  GemmWorkspace<B> workspace;
  std::vector<TrainingCurve> curves;
  Check damage;
};

template <class B, class T>
void train(B backend, const TrainingTask& task, Policy policy, const Variant& variant,
           std::uint64_t seed, Trained<B>& into,
           const typename Training<B, T>::AfterStage& after = {}) {
  Training<B, T> training(backend, into.workspace, task, policy, variant.options,
                          seed_from("training", seed), after);
  into.curves.push_back({variant.name, seed, training.run()});
  if (const auto damage = training.damage()) {
    into.damage = merge({into.damage, failure("guards", *damage)});
  }
}

Problem training_problem(const TrainingTask& task) {
  Problem p;
  const LayerShape& l = task.layer;
  p.layer = l;
  p.name = fmt::format("{}x{}x{}x{}{}", l.batch, l.seq, l.model, l.hidden,
                       task.outlier_gain == 1 ? "" : "_outlier_channel");
  return p;
}

TrainingTask task_of(const Problem& problem) {
  TrainingTask task;
  if (problem.name.ends_with("_outlier_channel")) task.outlier_gain = 20;
  return task;
}

template <class T>
class TrainingSuite : public testing::TestWithParam<Case> {
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
  void run() {
    for_each_backend([&]<class B>(B) {
      if (GetParam().backend == B::kName) run_on<B>();
    });
  }

 private:
  template <class B>
  static void run_on() {
    const Problem& problem = GetParam().problem;
    const TrainingTask task = task_of(problem);
    const bool has_outliers = task.outlier_gain != 1;
    Json record = new_record(B::kName, "training", kDType<T>, problem, options().seed);
    record["data"] = has_outliers ? "linear teacher with noise, an outlier channel"
                                  : "linear teacher with noise";
    record["policy"] = to_json(Policy{});
    run_recorded(B{}, std::move(record), [&](B backend, Json& r) {
      Trained<B> trained(backend);
      for (std::uint64_t seed = options().seed; seed < options().seed + kSeeds; ++seed) {
        train<B, T>(backend, task, Policy::native(), {"native", {}}, seed, trained);
        const std::vector<Variant> variants =
            has_outliers
                ? std::vector<Variant>{{"int8, outliers apart", kThreshold}}
                : std::vector<Variant>{{"int8", kNearest}, {"int8, stochastic", kStochastic}};
        for (const Variant& v : variants) train<B, T>(backend, task, {}, v, seed, trained);
      }
      Check check = merge({verify_training(task, trained.curves), trained.damage});
      if (has_outliers) {
        // A channel as large as this takes most of the levels that int8 has: training that leaves
        // it where it is must be told from training that does not.
        Trained<B> plain(backend);
        plain.curves.push_back(trained.curves.front());
        train<B, T>(backend, task, {}, {"int8", kNearest}, options().seed, plain);
        if (verify_training(task, plain.curves).passed) {
          check = merge({check, failure("training", "outliers in the int8 part did no harm")});
        }
        trained.curves.push_back(plain.curves.back());
      }
      r["curve"] = to_json(task, trained.curves);
      r["check"] = to_json(check, false);
      return check;
    });
  }
};

class Training_f16 : public TrainingSuite<f16> {};
class Training_bf16 : public TrainingSuite<bf16> {};

TEST_P(Training_f16, Converges) { run(); }
TEST_P(Training_bf16, Converges) { run(); }

OCTET_INSTANTIATE_ON_BACKENDS(Training_f16,
                              {training_problem({}), training_problem({.outlier_gain = 20})});
OCTET_INSTANTIATE_ON_BACKENDS(Training_bf16, {training_problem({})});

// ---- what must not pass ----

/// What is said of an int8 run with a fault, on each backend where a device answers.
template <class F>
void expect_training_fails(const F& fault, std::string_view message) {
  for_each_backend([&]<class B>(B) {
    if (!available(B{})) {
      EXPECT_FALSE(options().requires_backend(B::kName)) << "no " << B::kName << " device answers";
      return;
    }
    const B backend = make_backend<B>();
    const TrainingTask task;
    Trained<B> trained(backend);
    train<B, f16>(backend, task, Policy::native(), {"native", {}}, 1, trained);
    train<B, f16>(
        backend, task, {}, {"int8", kNearest}, 1, trained,
        [&](TrainingStep<B, f16>& step, Stage<B, f16>& stage) { fault(backend, step, stage); });
    const Check check = verify_training(task, trained.curves);
    EXPECT_EQ(check.status, "FAILED") << B::kName;
    EXPECT_NE(check.message.find(message), std::string::npos)
        << B::kName << ": '" << check.message << "' does not say '" << message << "'";
  });
}

/// Changes what lies on the device through a copy of it.
template <class B, class T, class F>
void change_on_host(B backend, T* data, std::int64_t count, const F& change) {
  std::vector<T> host(static_cast<std::size_t>(count));
  synchronize(backend);
  copy_to_host(backend, host.data(), data, host.size() * sizeof(T));
  change(host);
  copy_from_host(backend, data, host.data(), host.size() * sizeof(T));
}

/// Once a step, when all its products are there.
template <class B>
bool is_last(TrainingStep<B, f16>& step, const Stage<B, f16>& stage) {
  return &stage == &step.stages().back();
}

TEST(TrainingControl, WeightGradientOfTheWrongSignIsReported) {
  expect_training_fails(
      []<class B>(B backend, TrainingStep<B, f16>& step, Stage<B, f16>& stage) {
        if (!is_last(step, stage)) return;
        const Matrix<f16> grad = step.result(Product::fc1_wgrad);
        change_on_host(backend, grad.data, grad.size(), [](std::vector<f16>& values) {
          for (f16& x : values) x = f16(-static_cast<float>(x));
        });
      },
      "int8, seed 1: ends at ");
}

/// A tile of 32 rows, as a block of a kernel takes it.
TEST(TrainingControl, DroppedTileOfAWeightGradientIsReported) {
  expect_training_fails(
      []<class B>(B backend, TrainingStep<B, f16>& step, Stage<B, f16>& stage) {
        if (!is_last(step, stage)) return;
        const Matrix<f16> grad = step.result(Product::fc2_wgrad);
        fill(backend, grad.data, 0, static_cast<std::size_t>(32 * grad.cols) * sizeof(f16));
      },
      "int8, seed 1: ends at ");
}

TEST(TrainingControl, ScalesOfOtherRowsAreReported) {
  expect_training_fails(
      []<class B>(B backend, TrainingStep<B, f16>&, Stage<B, f16>& stage) {
        const auto* work = std::get_if<QuantizeStage<f16>>(&stage.work);
        if (work == nullptr || stage.tensor != "a") return;
        change_on_host(backend, work->row_scale.data, work->row_scale.length,
                       [](std::vector<float>& scales) { std::ranges::reverse(scales); });
      },
      "int8, seed 1: ends at ");
}

/// A rate of next to nothing stands for a 16-bit step that does not train.
TEST(TrainingControl, BaselineThatDoesNotConvergeIsReported) {
  TrainingTask task;
  task.rate = 1e-4;
  Trained<Cpu> trained(Cpu{});
  train<Cpu, f16>(Cpu{}, task, Policy::native(), {"native", {}}, 1, trained);
  const Check check = verify_training(task, trained.curves);
  EXPECT_EQ(check.status, "FAILED");
  EXPECT_NE(check.message.find("but the teacher's own loss is 0.01"), std::string::npos)
      << check.message;
}

/// What a layer is like after training, for whoever wants tensors that are not made up.
TEST(TrainedLayer, HasFiniteTensorsOfItsShapeAndItsOutlierChannel) {
  const TrainingTask task{.steps = 20, .outlier_gain = 20};
  const TrainedLayer<f16> layer = trained_layer<Cpu, f16>(Cpu{}, task, 1);
  const auto t = static_cast<std::size_t>(task.layer.tokens());
  const auto d = static_cast<std::size_t>(task.layer.model);
  const auto h = static_cast<std::size_t>(task.layer.hidden);
  EXPECT_EQ(layer.a.size(), t * d);
  EXPECT_EQ(layer.w1.size(), h * d);
  EXPECT_EQ(layer.w2.size(), d * h);
  EXPECT_EQ(layer.grad.size(), t * d);
  for (const auto* tensor : {&layer.a, &layer.w1, &layer.w2, &layer.grad}) {
    for (const f16 x : *tensor) ASSERT_TRUE(std::isfinite(static_cast<float>(x)));
  }
  std::vector<double> squares(d);
  for (std::size_t n = 0; n < layer.a.size(); ++n) {
    squares[n % d] += std::pow(static_cast<double>(static_cast<float>(layer.a[n])), 2);
  }
  std::ranges::sort(squares);
  EXPECT_GT(squares[d - 1], 100 * squares[d - 2]);
}

}  // namespace
}  // namespace octet::harness
