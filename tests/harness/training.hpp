// Training of a small layer through the library's own step: regression on a teacher, so that what a
// step computes can be judged by what it is for.
//
//   a ~ s_t N(0,1), tokens of four loudnesses s_t with mean square 1 (row scales have to follow)
//   y = a . (V U)^T + noise, V[D,R] U[R,D] of unit gain, R under H: where the hidden layer has
//   room,
//       no run is held up by directions that it happens not to see at first
//   loss = mean (out2 - y)^2, grad = out2 - y on the host, between the step's forward and its
//       backward stages
//   w <- w - rate grad_w / T in f32 on the host, rate falling linearly to 0; the step gets 16 bits
//
// Without an activation function between the layers this is a linear network with a bottleneck. Its
// best loss is known: the variance of the noise. Every step sees fresh data, so a batch's loss is
// that of data that training has not seen.
//
// With an outlier channel one column of a is `outlier_gain` times as large and what reads it as
// much smaller, teacher, weights and (by its square) rate: in exact arithmetic nothing changes.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/check.hpp"
#include "harness/guarded_step.hpp"
#include "harness/plans.hpp"
#include "harness/random.hpp"
#include "harness/record.hpp"
#include "harness/tensor.hpp"
#include "octet/buffer.hpp"
#include "octet/training_step.hpp"

namespace octet::harness {

struct TrainingTask {
  LayerShape layer{2, 48, 48, 24};
  std::int64_t rank = 12;  // of the teacher
  int steps = 200;
  double rate = 0.12;
  double noise = 0.1;         // standard deviation, of outputs with 1
  double outlier_gain = 1;    // of one channel of a
  int steps_at_the_end = 20;  // whose mean loss is the result
};

/// The losses of one run, step by step.
struct TrainingCurve {
  std::string variant;  // native: the 16-bit step, which the others are held against
  std::uint64_t seed = 0;
  std::vector<double> loss;

  /// What the run comes to.
  double end(const TrainingTask& task) const {
    const auto count = static_cast<std::size_t>(task.steps_at_the_end);
    double sum = 0;
    for (std::size_t n = loss.size() - count; n < loss.size(); ++n) sum += loss[n];
    return sum / static_cast<double>(count);
  }
};

/// How far from the variance of the noise a 16-bit run may end. The mean over the last steps is of
/// 90,000 values, whose squares' mean has a standard deviation of 0.5 %; the falling rate leaves
/// less than that of the updates' own noise.
inline constexpr double kTrainingLevel = 0.05;

/// How far above the 16-bit run of its seed an int8 run may end, as a factor. The forward pass
/// rounds four operands to nearest; one is off by (m / 127)^2 / 12 of its square, m being the
/// absmax of a row in standard deviations, under 3.5 for rows of up to 128 gaussian elements. The
/// outputs' square is 1, so the loss grows by four times that, which no training takes away.
/// Rounded gradients add noise to updates, far below that of a batch. Twice the sum of it passes.
inline double training_bound(const TrainingTask& task) {
  const double of_an_operand = (3.5 / 127) * (3.5 / 127) / 12;
  return 1 + 2 * 4 * of_an_operand / (task.noise * task.noise);
}

/// That 16-bit runs reach the level that the task's noise sets, and every other run the 16-bit
/// run's of the same seed, which comes before it.
inline Check verify_training(const TrainingTask& task, std::span<const TrainingCurve> curves) {
  Check check;
  check.kind = "training";
  const auto fail = [&](std::string message) {
    ++check.mismatches;
    check.passed = false;
    check.status = "FAILED";
    check.message += (check.message.empty() ? "" : "\n") + message;
  };
  const double level = task.noise * task.noise;
  check.bound = training_bound(task);
  double native = 0;
  for (const TrainingCurve& curve : curves) {
    ++check.compared;
    const double end = curve.end(task);
    if (curve.variant == "native") {
      native = end;
      if (!(std::fabs(end / level - 1) <= kTrainingLevel)) {
        fail(fmt::format("native, seed {}: ends at {:.4g}, but the teacher's own loss is {:.4g}",
                         curve.seed, end, level));
      }
    } else if (!(end <= check.bound * native)) {
      fail(fmt::format("{}, seed {}: ends at {:.4g}, over {:.3f} times the 16-bit run's {:.4g}",
                       curve.variant, curve.seed, end, check.bound, native));
    }
  }
  return check;
}

/// What a record holds of the runs; five digits are more than a plot shows.
inline Json to_json(const TrainingTask& task, std::span<const TrainingCurve> curves) {
  Json runs = Json::array();
  for (const TrainingCurve& curve : curves) {
    Json loss = Json::array();
    for (const double value : curve.loss) {
      loss.push_back(std::isfinite(value) ? Json(std::stod(fmt::format("{:.5g}", value)))
                                          : Json(nullptr));
    }
    runs.push_back({{"variant", curve.variant}, {"seed", curve.seed}, {"loss", std::move(loss)}});
  }
  return {{"level", task.noise * task.noise}, {"bound", training_bound(task)}, {"runs", runs}};
}

/// What the layer's step reads, as packed host matrices: a[T,D], w1[H,D], w2[D,H], grad[T,D].
template <class T>
struct TrainedLayer {
  LayerShape layer;
  std::vector<T> a, w1, w2, grad;
};

template <class B, class T>
class Training {
 public:
  /// What a stage has left, to be spoiled: negative controls plant what must be found.
  using AfterStage = std::function<void(TrainingStep<B, T>&, Stage<B, T>&)>;

  /// Data and first weights follow from the seed alone. Runs that share a workspace share plans.
  Training(B backend, GemmWorkspace<B> workspace, const TrainingTask& task, Policy policy,
           const StepOptions& options, std::uint64_t seed, AfterStage after = {})
      : backend_(backend),
        task_(task),
        seed_(seed),
        after_(std::move(after)),
        w1_(drawn("w1", layer().hidden, layer().model)),
        w2_(drawn("w2", layer().model, layer().hidden)),
        u_(drawn("u", task.rank, layer().model)),
        v_(drawn("v", layer().model, task.rank)),
        a_of_step_(backend, layer().tokens() * layer().model),
        w1_of_step_(backend, layer().hidden * layer().model),
        w2_of_step_(backend, layer().model * layer().hidden),
        grad_of_step_(backend, layer().tokens() * layer().model),
        step_(backend, std::move(workspace), layer(), policy, options, views()) {
    for (std::vector<float>* reads_a : {&w1_, &u_}) {
      for (std::size_t n = kOutlierChannel; n < reads_a->size(); n += size(layer().model)) {
        (*reads_a)[n] /= gain();
      }
    }
  }

  /// The loss of each step's batch, before the step's update.
  std::vector<double> run() {
    std::vector<double> losses;
    for (int n = 0; n < task_.steps; ++n) losses.push_back(run_step(n));
    return losses;
  }

  /// One sentence when a run has written between the step's tensors.
  std::optional<std::string> damage() const { return step_.damage(); }

  /// What the last step read.
  TrainedLayer<T> tensors() const {
    return {layer(), on_host(a_of_step_), on_host(w1_of_step_), on_host(w2_of_step_),
            on_host(grad_of_step_)};
  }

 private:
  static constexpr std::size_t kOutlierChannel = 5;

  const LayerShape& layer() const { return task_.layer; }
  float gain() const { return static_cast<float>(task_.outlier_gain); }
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

  LayerInputs<T> views() const {
    const std::int64_t t = layer().tokens(), d = layer().model, h = layer().hidden;
    return {{a_of_step_.data(), t, d},
            {w1_of_step_.data(), h, d},
            {w2_of_step_.data(), d, h},
            {grad_of_step_.data(), t, d}};
  }

  /// Gaussian, with a variance of 1 / cols.
  std::vector<float> drawn(std::string_view name, std::int64_t rows, std::int64_t cols) const {
    std::vector<float> values(size(rows * cols));
    fill(Matrix<float>(values.data(), rows, cols), Distribution::gaussian,
         1.0f / std::sqrt(static_cast<float>(cols)), seed_from(name, seed_));
    return values;
  }

  /// A batch of inputs, as the step reads them, and of targets.
  std::pair<std::vector<T>, std::vector<float>> batch(int n) const {
    const std::int64_t t = layer().tokens(), d = layer().model, r = task_.rank;
    const std::uint64_t seed = mix(seed_ + static_cast<std::uint64_t>(n));
    std::vector<float> x(size(t * d)), y(size(t * d)), hidden(size(r));
    fill(Matrix<float>(x.data(), t, d), Distribution::gaussian, 1.0f, seed_from("a", seed));
    fill(Matrix<float>(y.data(), t, d), Distribution::gaussian, static_cast<float>(task_.noise),
         seed_from("noise", seed));
    std::vector<T> a(x.size());
    for (std::int64_t i = 0; i < t; ++i) {
      const float loudness = kLoudness[i % 4];
      float* row = &x[size(i * d)];
      for (std::int64_t k = 0; k < d; ++k) {
        a[size(i * d + k)] = T(row[k] * loudness * (size(k) == kOutlierChannel ? gain() : 1.0f));
        row[k] = static_cast<float>(a[size(i * d + k)]);
      }
      for (std::int64_t j = 0; j < r; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < d; ++k) sum += u_[size(j * d + k)] * row[k];
        hidden[size(j)] = sum;
      }
      for (std::int64_t j = 0; j < d; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < r; ++k) sum += v_[size(j * r + k)] * hidden[size(k)];
        y[size(i * d + j)] += sum;
      }
    }
    return {std::move(a), std::move(y)};
  }

  double run_step(int n) {
    const auto [a, y] = batch(n);
    to_step(a_of_step_, a);
    to_step(w1_of_step_, rounded(w1_));
    to_step(w2_of_step_, rounded(w2_));
    step_->set_rounding_offset(2 * static_cast<std::uint64_t>(n));
    run_stages(true);
    synchronize(backend_);
    const auto out = to_host(backend_, Matrix<const T>(step_->result(Product::fc2_fprop)));
    std::vector<T> grad(y.size());
    double squares = 0;
    for (std::size_t k = 0; k < y.size(); ++k) {
      const float difference = static_cast<float>(out.view.data[k]) - y[k];
      grad[k] = T(difference);
      squares += static_cast<double>(difference) * difference;
    }
    to_step(grad_of_step_, grad);
    run_stages(false);
    synchronize(backend_);
    const double rate = task_.rate * (task_.steps - n) / task_.steps;
    update(w1_, Product::fc1_wgrad, rate);
    update(w2_, Product::fc2_wgrad, rate);
    return squares / static_cast<double>(y.size());
  }

  void run_stages(bool forward) {
    for (Stage<B, T>& stage : step_->stages()) {
      if ((pass_of(stage.product) == Pass::fprop) != forward) continue;
      step_->run(stage);
      if (after_) after_(*step_, stage);
    }
  }

  void update(std::vector<float>& w, Product product, double rate) {
    const auto grad = to_host(backend_, Matrix<const T>(step_->result(product)));
    const auto cols = size(grad.view.cols);
    const auto scale = static_cast<float>(rate / static_cast<double>(layer().tokens()));
    for (std::size_t n = 0; n < w.size(); ++n) {
      const bool is_outlier = product == Product::fc1_wgrad && n % cols == kOutlierChannel;
      const float of_channel = is_outlier ? scale / (gain() * gain()) : scale;
      w[n] -= of_channel * static_cast<float>(grad.view.data[n]);
    }
  }

  static std::vector<T> rounded(const std::vector<float>& values) {
    std::vector<T> result;
    for (const float value : values) result.push_back(T(value));
    return result;
  }

  void to_step(const Buffer<B, T>& buffer, const std::vector<T>& values) {
    copy_from_host(backend_, buffer.data(), values.data(), values.size() * sizeof(T));
  }
  std::vector<T> on_host(const Buffer<B, T>& buffer) const {
    std::vector<T> values(size(buffer.size()));
    copy_to_host(backend_, values.data(), buffer.data(), values.size() * sizeof(T));
    return values;
  }

  // 1, 1/2, 1/4, 1/8 with a mean square of 1.
  static constexpr float kLoudness[4] = {1.7355932f, 0.8677966f, 0.4338983f, 0.21694915f};

  B backend_;
  TrainingTask task_;
  std::uint64_t seed_;
  AfterStage after_;
  std::vector<float> w1_, w2_, u_, v_;
  Buffer<B, T> a_of_step_, w1_of_step_, w2_of_step_, grad_of_step_;
  GuardedStep<B, T> step_;
};

/// A trained layer as its last step read it: activations (with an outlier channel if the task has
/// one), weights, and the gradient of the loss.
template <class B, class T>
TrainedLayer<T> trained_layer(B backend, const TrainingTask& task, std::uint64_t seed) {
  Training<B, T> training(backend, make_pinned_workspace(backend), task, Policy::native(), {},
                          seed);
  training.run();
  return training.tensors();
}

}  // namespace octet::harness
