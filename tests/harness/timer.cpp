#include "harness/timer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

namespace octet::harness {
namespace {

using Clock = std::chrono::steady_clock;

double elapsed_us(const std::function<void()>& call) {
  const auto begin = Clock::now();
  call();
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

bool precise(std::span<const Timing> timings, double precision) {
  return std::ranges::all_of(timings, [&](const Timing& t) {
    const Interval interval = median_interval(t.samples_us, kConfidence);
    return interval.confidence >= kConfidence && interval.half_width() <= precision;
  });
}

constexpr std::array<std::string_view, 3> kModes = {"rotate", "cold", "hot"};

}  // namespace

std::string_view name(CacheMode mode) { return kModes[static_cast<std::size_t>(mode)]; }

CacheMode cache_mode_from_name(std::string_view name) {
  const auto* found = std::ranges::find(kModes, name);
  if (found == kModes.end()) {
    throw std::invalid_argument(
        fmt::format("cache mode '{}' is none of {}", name, fmt::join(kModes, ", ")));
  }
  return static_cast<CacheMode>(found - kModes.begin());
}

std::string_view name(PowerState state) {
  constexpr std::array<std::string_view, 3> kNames = {"none", "burst", "steady"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view name(Stop stop) {
  constexpr std::array<std::string_view, 3> kNames = {"iterations", "precision", "time_cap"};
  return kNames[static_cast<std::size_t>(stop)];
}

void sample_in_rounds(std::span<Timing> timings, const TimingOptions& options,
                      const std::function<void(std::size_t)>& sample) {
  std::vector<std::size_t> order(timings.size());
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(options.seed);
  const auto begin = Clock::now();
  Stop stop = Stop::iterations;
  for (int round = 0;; ++round) {
    if (round >= options.samples) {
      if (options.exact) break;
      if (precise(timings, options.precision)) {
        stop = Stop::precision;
        break;
      }
      if (std::chrono::duration<double>(Clock::now() - begin).count() >= options.time_cap_s) {
        stop = Stop::time_cap;
        break;
      }
    }
    std::ranges::shuffle(order, random);
    for (const std::size_t c : order) sample(c);
  }
  for (Timing& t : timings) {
    t.stop = stop;
    t.mode = options.mode;
  }
}

std::vector<Timing> measure(Cpu, std::span<const Contender> contenders,
                            const TimingOptions& options) {
  for (const Contender& c : contenders) {
    for (int i = 0; i < options.warm_up; ++i) {
      c.calls[static_cast<std::size_t>(i) % c.calls.size()]();
    }
  }
  std::vector<Timing> timings(contenders.size());
  sample_in_rounds(timings, options, [&](std::size_t c) {
    const auto& calls = contenders[c].calls;
    timings[c].samples_us.push_back(elapsed_us(calls[timings[c].samples_us.size() % calls.size()]));
  });
  return timings;
}

void make_brief(TimingOptions& options) {
  options.sample_us = kBurstUs / 10;
  options.idle_ratio = 0;
  options.most_calls = 32;
}

Timing until_stationary(const std::function<Timing()>& take_window) {
  Timing window;
  for (int taken = 0; taken < kSteadyWindows; ++taken) {
    window = take_window();
    window.drift = drift(window.samples_us);
    window.stationary = std::abs(*window.drift) <= kSteadyDrift;
    window.stop = *window.stationary ? Stop::precision : Stop::time_cap;
    if (*window.stationary) break;
  }
  return window;
}

std::vector<Timing> measure_sequence(Cpu, std::span<const std::function<void()>> stages,
                                     const TimingOptions& options) {
  std::vector<Timing> timings(stages.size());
  for (int run = -options.warm_up; run < options.samples; ++run) {
    for (std::size_t i = 0; i < stages.size(); ++i) {
      const double us = elapsed_us(stages[i]);
      if (run >= 0) timings[i].samples_us.push_back(us);
    }
  }
  return timings;
}

void profile(Cpu, const char*, const std::function<void()>& call) { call(); }

}  // namespace octet::harness
