// What a run of a test program can be told, through the environment so that ctest, scripts and
// people say it alike.
//
//   OCTET_RECORDS=FILE     append one JSON line for each case
//   OCTET_REQUIRE=LIST     backends (cpu, cuda) whose absence fails instead of skips
//   OCTET_SEED=N           seed of every random value (0)
//   OCTET_ITERATIONS=N     timed samples of each case
//   OCTET_WARMUP=N         launches before the first sample
//   OCTET_CACHE=MODE       rotate (default), cold or hot: what a timed call finds in cache, on CUDA
//   OCTET_STEADY=0         no steady state of the step, which takes half a minute and has no floors
//   OCTET_DISTRIBUTION=D   of the training step's tensors: gaussian, outlier_channels or integers
//   OCTET_POLICY=F,D,W     precision of the step's passes: s8, native or e4m3 each (s8,s8,s8)
//   OCTET_LAYOUT=L         of the step's int8 products: row (default), col_turing or col_ampere
//   OCTET_OUTLIER_THRESHOLD=X      the step sets elements apart that are not below it (none)
//   OCTET_OUTLIER_MODE=M   element (default) or column: what of a column with an outlier goes along
//   OCTET_OUTLIER_SHARE=X  room for outliers, as a share of a tensor's elements (0.02)
//   OCTET_BIAS=1           the step has biases
//   OCTET_OVERLAP=O        of the step's parts on CUDA: none, launches or branches (default)
//   OCTET_GRADIENT_ROUNDING=R      of grad and d1 to int8: nearest (default) or stochastic
//   OCTET_SIZES=S;S        further sizes of layers (layer_size.hpp)
//   OCTET_TENSORS=FILE     a layer of the user's (own_tensors.hpp), a further size
//   OCTET_THRESHOLDS=DIR   floors to judge by (thresholds/ beside the program; without it, none)
//   OCTET_PLANS=FILE       choices of algorithms, taken from the file and added to it
//   OCTET_WATCHDOG=S       seconds after which a case is ended, and with it the process (0: none)
//   OCTET_MEMORY_LIMIT=N   bytes that each backend may allocate at once (all that there are)
//   OCTET_FAIL_ALLOCATION=N        refuse the process's N-th request for a backend's memory, once
//   OCTET_PROFILE=1        timing cases run once inside a profiler range instead of being timed
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/random.hpp"
#include "harness/timer.hpp"
#include "octet/backend.hpp"
#include "octet/training_step.hpp"

namespace octet::harness {

struct Options {
  std::optional<std::string> records;
  std::vector<std::string> require;
  std::uint64_t seed = 0;
  std::optional<int> iterations, warm_up;
  Distribution distribution = Distribution::gaussian;
  Policy policy;
  StepOptions step;
  CacheMode cache = CacheMode::rotate;
  std::string thresholds;
  std::optional<std::string> plans;
  std::optional<std::string> sizes, tensors;
  bool steady = true;
  bool profile = false;
  int watchdog_s = 0;
  MemoryLimit memory_limit;

  bool requires_backend(std::string_view backend) const;
};

/// The environment's, read once. Throws as read_options does.
const Options& options();

/// The options that variables say, each found by its name, nullptr for one that is not set. Throws
/// std::invalid_argument that names the variable, its value and what it may be.
Options read_options(const std::function<const char*(const char*)>& find);

}  // namespace octet::harness
