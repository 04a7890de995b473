// Records: one line of strict JSON for each case, published in record.schema.json.
//
// A line is appended with one write, so that killed and parallel processes leave only whole lines.
// What is not known is null; nothing is ever NaN.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "harness/check.hpp"
#include "harness/environment.hpp"
#include "harness/problem.hpp"
#include "harness/roofline.hpp"
#include "harness/statistics.hpp"
#include "harness/timer.hpp"
#include "octet/config.hpp"

namespace octet::harness {

using Json = nlohmann::ordered_json;

inline constexpr int kSchemaVersion = 1;

/// A record of the running test with everything that does not depend on what it measured; the rest
/// is null until it is set.
Json new_record(std::string_view backend, std::string_view op, DType dtype, const Problem& problem,
                std::uint64_t seed);

/// Fills in device and build, asked from the backend. State is read when this is called.
template <class B>
void set_environment(Json& record, B backend);

Json to_json(const Check& check, bool after_timing);
Json to_json(const Timing& timing);
Json to_json(const Roofline& roofline);
Json to_json(const Interval& ratio);
Json to_json(Policy policy);
std::string hex(std::uint64_t hash);

/// Sets baseline and ratio (baseline time / time) from samples of the same rounds.
void set_baseline(Json& record, const std::string& name, const std::string& algorithm,
                  const Timing& timing, const Timing& baseline);
/// Appends the raw samples beside the records, one line, and names the file in the record.
void write_samples(Json& record, std::span<const Timing> timings);

/// Appends the record where OCTET_RECORDS says; nothing without it. Throws std::runtime_error that
/// names the file and why it could not be written.
void write(const Json& record);
/// Throws the same error before anything is run.
void require_writable_records();

/// `others` are added to those that the record names already: busy is whoever was seen before the
/// case or after its timed launches.
void set_device(Json& record, std::string_view backend, const DeviceInfo& info,
                const DeviceState& state, const std::optional<ProcessIds>& others);
void set_build(Json& record, const BuildInfo& info);

template <class B>
void set_environment(Json& record, B backend) {
  set_device(record, B::kName, device_info(backend), device_state(backend),
             other_processes(backend));
  BuildInfo info = build_info();
  if constexpr (std::is_same_v<B, Cuda>) {
    info.cuda = cuda_version(backend);
    info.cublaslt = cublaslt_version(backend);
  }
  set_build(record, info);
}

}  // namespace octet::harness
