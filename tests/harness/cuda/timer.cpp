// Burst timing of CUDA work: see harness/timer.hpp.
#include "harness/timer.hpp"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>

#include "harness/cuda/instruments.hpp"
#include "octet/buffer.hpp"
#include "octet/graph.hpp"

namespace octet::harness {
namespace {

/// Launches of one contender in one graph, at the most.
constexpr int kMaxCalls = 400;

void check(cudaError_t error, std::string_view what) {
  if (error != cudaSuccess) {
    throw std::runtime_error(fmt::format("timer: {}: {}", what, cudaGetErrorString(error)));
  }
}

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(Cuda backend) { check(cudaEventRecord(event_, backend.stream), "cudaEventRecord"); }
  void wait() { check(cudaEventSynchronize(event_), "timed work"); }
  double us_since(const Event& begin) const {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin.event_, event_), "cudaEventElapsedTime");
    return 1e3 * ms;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Everything that one sample takes: events and clock stamps around a graph.
class Sampler {
 public:
  explicit Sampler(Cuda backend)
      : backend_(backend),
        multiprocessors_(device_info(backend).multiprocessors),
        stamps_(backend, 2) {}

  struct Sample {
    double us = 0, clock_mhz = 0;
  };

  Sample take(const Graph<Cuda>& graph) {
    fill(backend_, stamps_.data(), 0, static_cast<std::size_t>(stamps_.bytes()));
    queue_clock_stamp(backend_.stream, stamps_.data(), multiprocessors_);
    begin_.record(backend_);
    graph.launch();
    end_.record(backend_);
    queue_clock_stamp(backend_.stream, stamps_.data() + 1, multiprocessors_);
    end_.wait();
    ClockStamp stamps[2];
    copy_to_host(backend_, stamps, stamps_.data(), sizeof(stamps));
    const auto ns = static_cast<double>(stamps[1].nanoseconds - stamps[0].nanoseconds);
    const auto cycles = static_cast<double>(stamps[1].cycles - stamps[0].cycles);
    return {end_.us_since(begin_), ns > 0 ? 1e3 * cycles / ns : 0};
  }

 private:
  Cuda backend_;
  int multiprocessors_;
  Buffer<Cuda, ClockStamp> stamps_;
  Event begin_, end_;
};

void idle(double us) { std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(us)); }

Graph<Cuda> repeat(Cuda backend, const Contender& contender, int calls) {
  return Graph<Cuda>(backend, [&] {
    for (int i = 0; i < calls; ++i)
      contender.calls[static_cast<std::size_t>(i) % contender.calls.size()]();
  });
}

}  // namespace

std::vector<Timing> measure(Cuda backend, std::span<const Contender> contenders,
                            const TimingOptions& options) {
  check(cudaCtxResetPersistingL2Cache(), "cudaCtxResetPersistingL2Cache");
  Sampler sampler(backend);
  std::vector<Timing> timings(contenders.size());
  std::vector<Graph<Cuda>> graphs;
  for (std::size_t c = 0; c < contenders.size(); ++c) {
    const auto sets = static_cast<int>(contenders[c].calls.size());
    // Two probes: the first loads the kernels. Every set of operands takes part.
    const Graph<Cuda> probe = repeat(backend, contenders[c], sets);
    sampler.take(probe);
    const double one_us = sampler.take(probe).us / sets;
    const int fitting = static_cast<int>(kBurstUs / std::max(one_us, 0.1));
    const int calls =
        std::clamp(fitting / sets * sets, sets, std::max(sets, kMaxCalls / sets * sets));
    graphs.push_back(repeat(backend, contenders[c], calls));
    timings[c].calls_in_sample = calls;
    timings[c].burst = true;
    for (int i = 0; i < options.warm_up; ++i) idle(kIdleRatio * sampler.take(graphs[c]).us);
  }
  std::vector<std::size_t> order(contenders.size());
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(options.seed);
  for (int round = 0; round < options.samples; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t c : order) {
      const Sampler::Sample sample = sampler.take(graphs[c]);
      timings[c].samples_us.push_back(sample.us / timings[c].calls_in_sample);
      timings[c].clock_mhz.push_back(sample.clock_mhz);
      idle(kIdleRatio * sample.us);
    }
  }
  return timings;
}

std::vector<Timing> measure_sequence(Cuda backend, std::span<const std::function<void()>> stages,
                                     const TimingOptions& options) {
  // Queueing a stage with its event takes the host a few microseconds; held for longer, the device
  // never waits for the host.
  constexpr double kHoldUsPerStage = 25;
  std::vector<Timing> timings(stages.size());
  std::vector<Event> events(stages.size() + 1);
  for (int run = -options.warm_up; run < options.samples; ++run) {
    queue_hold(backend.stream, kHoldUsPerStage * static_cast<double>(stages.size()));
    events.front().record(backend);
    for (std::size_t i = 0; i < stages.size(); ++i) {
      stages[i]();
      events[i + 1].record(backend);
    }
    events.back().wait();
    for (std::size_t i = 0; run >= 0 && i < stages.size(); ++i) {
      timings[i].samples_us.push_back(events[i + 1].us_since(events[i]));
      timings[i].burst = true;
    }
    idle(kIdleRatio * events.back().us_since(events.front()));
  }
  return timings;
}

}  // namespace octet::harness
