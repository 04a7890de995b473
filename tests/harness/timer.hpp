// Time.
//
// CUDA, burst: a sample is one replay of a graph that holds a contender's call as often as fits in
// about kBurstUs, between two events, so that no launch gap is timed; after each sample the device
// idles kIdleRatio times as long. A card near its power cap lowers its clock, and back-to-back
// replays of a product would time what ran before them. The SM clock of each sample is measured on
// the device.
// CUDA, steady: the graph replayed without a pause, kSteadyWarmUpS before it is timed, and then in
// windows of kSteadyS until one does not drift: the clock and the power that a training loop sees,
// and the joules of a call. CPU: a steady clock around one call.
//
// Contenders are timed in rounds, in a new random order each, so that whatever drifts meets all of
// them alike and samples of one round can be paired.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "harness/statistics.hpp"
#include "octet/backend.hpp"

namespace octet::harness {

inline constexpr double kBurstUs = 3000;
inline constexpr double kIdleRatio = 2.5;
inline constexpr double kSteadyWarmUpS = 1.2;
inline constexpr double kSteadyS = 2.0;       // of a window
inline constexpr double kSteadyDrift = 0.01;  // of a stationary window, at the most
inline constexpr int kSteadyWindows = 5;      // tried, at the most

/// What a call finds in the last-level cache.
enum class CacheMode {
  rotate,  // sets of operands of at least three times its size take turns
  cold,    // it is overwritten before each call, outside the timed window
  hot,     // the operands of the call before
};
std::string_view name(CacheMode mode);
/// Throws std::invalid_argument that lists the names there are.
CacheMode cache_mode_from_name(std::string_view name);

enum class PowerState { none, burst, steady };
std::string_view name(PowerState state);

/// Why sampling ended.
enum class Stop { iterations, precision, time_cap };
std::string_view name(Stop stop);

/// Work to be timed: calls that take turns, one for each set of operands. A call only queues work.
struct Contender {
  std::vector<std::function<void()>> calls;
};

inline constexpr double kConfidence = 0.95;

struct TimingOptions {
  int samples = 10;          // of each contender, at the least; the median of 6 has an interval
  bool exact = false;        // and at the most
  double precision = 0.003;  // enough: relative half-width of each median's interval
  double time_cap_s = 2;
  int warm_up = 3;
  CacheMode mode = CacheMode::rotate;
  std::uint64_t seed = 0;  // of the random order
  // On CUDA. Without idle gaps the power state is not controlled, and named none.
  double sample_us = kBurstUs;
  double idle_ratio = kIdleRatio;
  int most_calls = 400;  // in one sample
};

/// For launches whose effect matters and whose time does not: samples of a tenth, fewer calls in
/// each, no idle gaps.
void make_brief(TimingOptions& options);

/// What was measured of one contender.
struct Timing {
  std::vector<double> samples_us;  // of one call
  std::vector<double> clock_mhz;   // SM clock during each sample; empty on the CPU
  int calls_in_sample = 1;
  PowerState state = PowerState::none;
  CacheMode mode = CacheMode::hot;
  Stop stop = Stop::iterations;
  std::optional<double> joules, power_w;  // of one call, and on average; steady alone
  std::optional<double> drift;            // see drift(); steady alone
  std::optional<bool> stationary;         // whether it was small enough; steady alone
  std::optional<bool> throttled;          // heat or a fault held the clock down

  Summary summary() const { return summarize(samples_us); }
};

std::vector<Timing> measure(Cpu, std::span<const Contender> contenders, const TimingOptions&);
std::vector<Timing> measure(Cuda, std::span<const Contender> contenders, const TimingOptions&);

/// Takes windows until the drift of one is at most kSteadyDrift, kSteadyWindows at the most, and
/// says in drift, stationary and stop of the last one, which is returned, how that ended.
Timing until_stationary(const std::function<Timing()>& take_window);

/// One contender after the other in the steady state.
std::vector<Timing> measure_steady(Cuda, std::span<const Contender> contenders);

/// Times each stage of a sequence where it stands, with the caches as its predecessors leave them:
/// `samples` runs of the whole sequence after `warm_up` of them. On CUDA the device is held while a
/// run is queued and an event lies between any two stages, which costs about a microsecond a stage.
std::vector<Timing> measure_sequence(Cpu, std::span<const std::function<void()>> stages,
                                     const TimingOptions&);
std::vector<Timing> measure_sequence(Cuda, std::span<const std::function<void()>> stages,
                                     const TimingOptions&);

/// Runs `call` inside a profiler range of this name: ncu --profile-from-start off, or an NVTX
/// filter.
void profile(Cpu, const char* range, const std::function<void()>& call);
void profile(Cuda, const char* range, const std::function<void()>& call);

/// Rounds of samples in random order until the options are met. `sample(c)` takes one of contender
/// c and appends it to timings[c].
void sample_in_rounds(std::span<Timing> timings, const TimingOptions& options,
                      const std::function<void(std::size_t)>& sample);

}  // namespace octet::harness
