// Candidates timed with events of the stream; the contract is candidates.hpp.
#include "cuda/candidates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <type_traits>

#include "cuda/error.hpp"

namespace octet::cuda {
namespace {

constexpr std::size_t kRounds = 3;  // of timing, interleaved over the candidates
constexpr float kRoundUs = 200.0f;  // that a candidate runs in a round, at least
constexpr int kMaxLaunches = 50;    // of a candidate in a round
constexpr float kRefused = std::numeric_limits<float>::infinity();

struct DestroyEvent {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
using Event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, DestroyEvent>;

Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "creating an event");
  return Event(event);
}

class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream) : stream_(stream) {}

  /// Microseconds of one of `launches` calls.
  float time_us(int launches, const Candidate& work) {
    bool refused = false;
    check(cudaEventRecord(start_.get(), stream_), "timing a product");
    for (int i = 0; i < launches && !refused; ++i) refused = !work();
    check(cudaEventRecord(stop_.get(), stream_), "timing a product");
    check(cudaEventSynchronize(stop_.get()), "timing a product");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, start_.get(), stop_.get()), "timing a product");
    return refused ? kRefused : ms * 1000.0f / static_cast<float>(launches);
  }

 private:
  cudaStream_t stream_;
  Event start_ = make_event(), stop_ = make_event();
};

}  // namespace

std::vector<float> time_candidates(cudaStream_t stream, const std::vector<Candidate>& candidates) {
  Stopwatch stopwatch(stream);
  std::vector<int> launches;
  for (const Candidate& candidate : candidates) {
    // The first launch loads the kernel.
    const float us =
        std::isfinite(stopwatch.time_us(1, candidate)) ? stopwatch.time_us(1, candidate) : kRefused;
    launches.push_back(std::isfinite(us)
                           ? std::clamp(static_cast<int>(std::ceil(kRoundUs / std::max(us, 1.0f))),
                                        1, kMaxLaunches)
                           : 0);
  }
  std::vector<std::array<float, kRounds>> us(candidates.size());
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      us[i][round] = launches[i] > 0 ? stopwatch.time_us(launches[i], candidates[i]) : kRefused;
    }
  }
  std::vector<float> medians;
  for (auto& rounds : us) {
    std::sort(rounds.begin(), rounds.end());
    medians.push_back(rounds[kRounds / 2]);
  }
  return medians;
}

Verdict judge(cudaStream_t stream, const std::vector<Candidate>& candidates,
              const std::vector<std::string>& names) {
  if (candidates.size() == 1) return {0, "no other candidate"};
  const std::vector<float> us = time_candidates(stream, candidates);
  std::vector<std::size_t> order(us.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return us[x] < us[y]; });
  if (order.empty() || !std::isfinite(us[order[0]])) {
    throw std::runtime_error("no candidate for the product runs on this device");
  }
  return {order[0], fmt::format("best of {}, next {} in {:.2f} times its time", us.size(),
                                names[order[1]], us[order[1]] / us[order[0]])};
}

}  // namespace octet::cuda
