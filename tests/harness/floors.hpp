// Floors: what a case must reach on a device, data in tests/thresholds/DEVICE.json.
//
//   {"schema": 1, "device": "NVIDIA H200", "floors": [
//     {"test": "Cuda/QuantizeRowwise_f16.Timing/4k_12288x4096", "metric": "ratio", "floor": 0.95,
//      "state": "burst"}]}
//
// A metric is "ratio" (baseline time / time), "roofline_fraction", or "variant_ratio:NAME" of a
// step. A case fails when the upper bound of its interval lies under its floor; an interval whose
// half-width is over kFloorPrecision is INCONCLUSIVE and judges nothing. Absolute times never gate.
#pragma once

#include <string>
#include <string_view>

#include "harness/check.hpp"
#include "harness/options.hpp"
#include "harness/record.hpp"

namespace octet::harness {

inline constexpr double kFloorPrecision = 0.01;

/// Judges a record that has its time, ratio, rate and variants: sets record["floors"], and fails
/// the check by the sentence that says by how much. Reads the file named after the record's device
/// in `directory`; no file, no floors. Throws std::runtime_error for a file that cannot be
/// understood.
Check judge_floors(Json& record, Check check, const std::string& directory = options().thresholds);

/// The floors in the text of a device's file. Throws std::runtime_error that names `path` and the
/// mistake.
Json floors_in(std::string_view text, const std::string& device, const std::string& path);

}  // namespace octet::harness
