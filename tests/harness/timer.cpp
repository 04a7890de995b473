#include "harness/timer.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>

namespace octet::harness {
namespace {

double elapsed_us(const std::function<void()>& call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
      .count();
}

}  // namespace

std::vector<Timing> measure(Cpu, std::span<const Contender> contenders,
                            const TimingOptions& options) {
  std::vector<Timing> timings(contenders.size());
  for (const Contender& c : contenders) {
    for (int i = 0; i < options.warm_up; ++i) {
      c.calls[static_cast<std::size_t>(i) % c.calls.size()]();
    }
  }
  std::vector<std::size_t> order(contenders.size());
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(options.seed);
  for (int round = 0; round < options.samples; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t c : order) {
      const auto& calls = contenders[c].calls;
      timings[c].samples_us.push_back(
          elapsed_us(calls[static_cast<std::size_t>(round) % calls.size()]));
    }
  }
  return timings;
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

}  // namespace octet::harness
