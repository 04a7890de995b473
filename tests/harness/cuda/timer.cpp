// Timing of CUDA work: see harness/timer.hpp.
#include "harness/timer.hpp"

#include <cuda_profiler_api.h>
#include <cuda_runtime.h>
#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "harness/cuda/instruments.hpp"
#include "harness/cuda/nvml.hpp"
#include "harness/environment.hpp"
#include "harness/power_meter.hpp"
#include "octet/buffer.hpp"
#include "octet/graph.hpp"

namespace octet::harness {
namespace {

/// Queueing a graph, or a stage and its event, takes the host a few microseconds; held for longer,
/// the device never waits for the host.
constexpr double kHoldUs = 25;
/// Replays queued ahead of the one that is waited for: the device stays busy while the host does
/// something else.
constexpr int kReplaysAhead = 8;

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

void idle(double us) {
  if (us > 0) std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(us));
}

Graph<Cuda> repeat(Cuda backend, const Contender& contender, int calls) {
  return Graph<Cuda>(backend, [&] {
    for (int i = 0; i < calls; ++i) {
      contender.calls[static_cast<std::size_t>(i) % contender.calls.size()]();
    }
  });
}

/// Everything that one sample takes: what empties the cache, events and clock stamps around a
/// graph.
class Sampler {
 public:
  Sampler(Cuda backend, CacheMode mode)
      : backend_(backend), device_(device_info(backend)), stamps_(backend, 2) {
    if (mode == CacheMode::cold)
      flush_ = Buffer<Cuda, unsigned char>(backend, 2 * device_.l2_bytes);
  }

  struct Sample {
    double us = 0, clock_mhz = 0;
  };

  Sample take(const Graph<Cuda>& graph) {
    fill(backend_, stamps_.data(), 0, static_cast<std::size_t>(stamps_.bytes()));
    fill(backend_, flush_.data(), 0, static_cast<std::size_t>(flush_.bytes()));
    queue_hold(backend_.stream, kHoldUs);
    queue_clock_stamp(backend_.stream, stamps_.data(), device_.multiprocessors);
    begin_.record(backend_);
    graph.launch();
    end_.record(backend_);
    queue_clock_stamp(backend_.stream, stamps_.data() + 1, device_.multiprocessors);
    end_.wait();
    ClockStamp stamps[2];
    copy_to_host(backend_, stamps, stamps_.data(), sizeof(stamps));
    const auto ns = static_cast<double>(stamps[1].nanoseconds - stamps[0].nanoseconds);
    const auto cycles = static_cast<double>(stamps[1].cycles - stamps[0].cycles);
    return {end_.us_since(begin_), ns > 0 ? 1e3 * cycles / ns : 0};
  }

 private:
  Cuda backend_;
  DeviceInfo device_;
  Buffer<Cuda, ClockStamp> stamps_;
  Buffer<Cuda, unsigned char> flush_;
  Event begin_, end_;
};

/// A contender's graph and how often it calls.
struct Repeated {
  Graph<Cuda> graph;
  int calls;
};

/// As many calls as fit in a sample, whole turns over the sets of operands; one call in cold mode.
Repeated fit_to_sample(Cuda backend, Sampler& sampler, const Contender& contender,
                       const TimingOptions& how) {
  if (how.mode == CacheMode::cold) return {repeat(backend, contender, 1), 1};
  const auto sets = static_cast<int>(contender.calls.size());
  // Two probes: the first loads the kernels. Every set of operands takes part.
  const Graph<Cuda> probe = repeat(backend, contender, sets);
  sampler.take(probe);
  const double one_us = sampler.take(probe).us / sets;
  const int most = std::max(sets, how.most_calls / sets * sets);
  const int fitting = static_cast<int>(std::min(how.sample_us / std::max(one_us, 0.1), 1e6));
  const int calls = std::clamp(fitting / sets * sets, sets, most);
  return {repeat(backend, contender, calls), calls};
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

/// Whether heat or a fault holds the clock down; a power cap is what the steady state is about.
std::optional<bool> throttled(Cuda backend) {
  const auto reasons = device_state(backend).throttle;
  if (!reasons) return std::nullopt;
  return std::ranges::any_of(*reasons, [](const std::string& reason) {
    return reason != "sw_power_cap" && reason != "applications_clocks";
  });
}

}  // namespace

std::vector<Timing> measure(Cuda backend, std::span<const Contender> contenders,
                            const TimingOptions& options) {
  check(cudaCtxResetPersistingL2Cache(), "cudaCtxResetPersistingL2Cache");
  Sampler sampler(backend, options.mode);
  std::vector<Repeated> graphs;
  for (const Contender& c : contenders) {
    graphs.push_back(fit_to_sample(backend, sampler, c, options));
    for (int i = 0; i < options.warm_up; ++i)
      idle(options.idle_ratio * sampler.take(graphs.back().graph).us);
  }
  std::vector<Timing> timings(contenders.size());
  sample_in_rounds(timings, options, [&](std::size_t c) {
    const Sampler::Sample sample = sampler.take(graphs[c].graph);
    timings[c].samples_us.push_back(sample.us / graphs[c].calls);
    timings[c].clock_mhz.push_back(sample.clock_mhz);
    idle(options.idle_ratio * sample.us);
  });
  // The reasons in force under load: asked while replays run, not after the last idle gap.
  for (int i = 0; i < kReplaysAhead; ++i) graphs.back().graph.launch();
  const std::optional<bool> held_down = throttled(backend);
  synchronize(backend);
  for (std::size_t c = 0; c < timings.size(); ++c) {
    timings[c].calls_in_sample = graphs[c].calls;
    timings[c].state = options.idle_ratio > 0 ? PowerState::burst : PowerState::none;
    timings[c].throttled = held_down;
  }
  return timings;
}

std::vector<Timing> measure_steady(Cuda backend, std::span<const Contender> contenders) {
  Sampler sampler(backend, CacheMode::rotate);
  std::vector<Timing> timings;
  for (const Contender& c : contenders) {
    const Repeated repeated = fit_to_sample(backend, sampler, c, TimingOptions{});
    std::vector<Event> events(kReplaysAhead + 2);
    std::size_t queued = 0;
    const auto event = [&](std::size_t replay) -> Event& { return events[replay % events.size()]; };
    const auto queue = [&] {
      repeated.graph.launch();
      event(queued++).record(backend);
    };
    const auto replay_for = [&](double seconds, Timing& t) {
      const auto begin = Clock::now();
      while (seconds_since(begin) < seconds) {
        queue();
        const std::size_t done = queued - 1 - kReplaysAhead;
        event(done).wait();
        t.samples_us.push_back(event(done).us_since(event(done - 1)) / repeated.calls);
      }
    };
    for (int i = 0; i < kReplaysAhead + 1; ++i) queue();
    Timing warm_up;
    replay_for(kSteadyWarmUpS, warm_up);
    Timing t = until_stationary([&] {
      Timing window;
      window.state = PowerState::steady;
      window.mode = CacheMode::rotate;
      window.calls_in_sample = repeated.calls;
      auto power_w = std::async(std::launch::async, [&] {
        const auto begin = Clock::now();
        return measure_power(
            kSteadyS, [&] { return seconds_since(begin); }, [](double s) { idle(1e6 * s); },
            [&] { return energy_j(backend); });
      });
      replay_for(kSteadyS, window);
      window.power_w = power_w.get();
      if (window.power_w) {
        const double us = std::accumulate(window.samples_us.begin(), window.samples_us.end(), 0.0);
        window.joules = *window.power_w * 1e-6 * us / static_cast<double>(window.samples_us.size());
      }
      return window;
    });
    t.throttled = throttled(backend);
    synchronize(backend);
    t.clock_mhz.push_back(sampler.take(repeated.graph).clock_mhz);
    timings.push_back(std::move(t));
  }
  return timings;
}

std::vector<Timing> measure_sequence(Cuda backend, std::span<const std::function<void()>> stages,
                                     const TimingOptions& options) {
  std::vector<Timing> timings(stages.size());
  std::vector<Event> events(stages.size() + 1);
  for (int run = -options.warm_up; run < options.samples; ++run) {
    queue_hold(backend.stream, kHoldUs * static_cast<double>(stages.size()));
    events.front().record(backend);
    for (std::size_t i = 0; i < stages.size(); ++i) {
      stages[i]();
      events[i + 1].record(backend);
    }
    events.back().wait();
    for (std::size_t i = 0; run >= 0 && i < stages.size(); ++i) {
      timings[i].samples_us.push_back(events[i + 1].us_since(events[i]));
      timings[i].state = options.idle_ratio > 0 ? PowerState::burst : PowerState::none;
    }
    idle(options.idle_ratio * events.back().us_since(events.front()));
  }
  return timings;
}

void profile(Cuda backend, const char* range, const std::function<void()>& call) {
  synchronize(backend);
  check(cudaProfilerStart(), "cudaProfilerStart");
  nvtxRangePushA(range);
  call();
  synchronize(backend);
  nvtxRangePop();
  check(cudaProfilerStop(), "cudaProfilerStop");
}

}  // namespace octet::harness
