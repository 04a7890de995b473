// Time.
//
// CUDA: a sample is one replay of a graph that holds a contender's launch as often as fits in about
// kBurstUs, between two events, so that no launch gap is timed; after each sample the device idles
// kIdleRatio times as long. That is the `burst` state: a card at its power cap lowers its clock,
// and back-to-back replays of a product would then time the ones before it. The SM clock of each
// sample is measured on the device.
//
// CPU: a steady clock around one call.
//
// Contenders are timed in rounds, in a new random order each, so that whatever drifts meets all of
// them alike and samples of one round can be paired.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "harness/statistics.hpp"
#include "octet/backend.hpp"

namespace octet::harness {

inline constexpr double kBurstUs = 3000;
inline constexpr double kIdleRatio = 2.5;

/// Which memory a sample finds its operands in.
enum class CacheMode { rotate, hot };
/// `rotate`: sets of operands of at least three times the last-level cache take turns.
constexpr std::string_view name(CacheMode mode) {
  return mode == CacheMode::rotate ? "rotate" : "hot";
}

/// Work to be timed: calls that take turns, one for each set of operands. A call only queues work.
struct Contender {
  std::vector<std::function<void()>> calls;
};

struct TimingOptions {
  int samples = 20;
  int warm_up = 3;
  std::uint64_t seed = 0;  // of the random order
};

/// What was measured of one contender.
struct Timing {
  std::vector<double> samples_us;  // of one call
  std::vector<double> clock_mhz;   // SM clock during each sample; empty on the CPU
  int calls_in_sample = 1;
  bool burst = false;
  Summary summary() const { return summarize(samples_us); }
};

std::vector<Timing> measure(Cpu, std::span<const Contender> contenders, const TimingOptions&);
std::vector<Timing> measure(Cuda, std::span<const Contender> contenders, const TimingOptions&);

/// Times each stage of a sequence where it stands, with the caches as its predecessors leave them:
/// `samples` runs of the whole sequence after `warm_up` of them. On CUDA the device is held while a
/// run is queued and an event lies between any two stages, which costs about a microsecond a stage.
std::vector<Timing> measure_sequence(Cpu, std::span<const std::function<void()>> stages,
                                     const TimingOptions&);
std::vector<Timing> measure_sequence(Cuda, std::span<const std::function<void()>> stages,
                                     const TimingOptions&);

}  // namespace octet::harness
