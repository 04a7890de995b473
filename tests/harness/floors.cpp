#include "harness/floors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>

namespace octet::harness {
namespace {

constexpr std::string_view kVariantPrefix = "variant_ratio:";

std::optional<Interval> interval_from(const Json& j) {
  if (j.is_null() || j["low"].is_null()) return std::nullopt;
  return Interval{j["estimate"], j["low"], j["high"], j["confidence"]};
}

/// What the record says of a metric; empty where it says nothing.
std::optional<Interval> metric_of(const Json& record, const std::string& metric) {
  if (metric == "ratio") return interval_from(record["ratio"]);
  if (metric == "roofline_fraction") {
    if (record["rate"].is_null()) return std::nullopt;
    return interval_from(record["rate"]["roofline"]);
  }
  if (metric.starts_with(kVariantPrefix)) {
    for (const Json& variant : record["variants"]) {
      if (variant["name"] == metric.substr(kVariantPrefix.size())) {
        return interval_from(variant["ratio"]);
      }
    }
    return std::nullopt;
  }
  throw std::runtime_error(fmt::format(
      "thresholds: metric '{}' is none of ratio, roofline_fraction, variant_ratio:NAME", metric));
}

/// The floors of this device; null where nobody set any.
Json floors_of(const std::string& device, const std::string& directory) {
  std::string name = device;
  std::ranges::replace(name, ' ', '_');
  std::ranges::replace(name, '/', '_');
  const std::filesystem::path path = std::filesystem::path(directory) / (name + ".json");
  std::ifstream file(path);
  if (!file) return nullptr;
  const Json content = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  const bool understood = content.is_object() && content.value("schema", 0) == 1 &&
                          content.value("device", "") == device && content.contains("floors") &&
                          content["floors"].is_array();
  if (!understood) {
    throw std::runtime_error(fmt::format(
        "thresholds: {} is no thresholds file of schema 1 for device '{}'", path.string(), device));
  }
  return content["floors"];
}

}  // namespace

Check judge_floors(Json& record, Check check, const std::string& directory) {
  for (const Json& floor : floors_of(record["device"]["name"], directory)) {
    if (floor.value("test", "") != record["test"]) continue;
    if (floor.value("state", "") != record["time"]["state"]) continue;
    const std::string metric = floor.value("metric", "");
    const double least = floor.value("floor", 0.0);
    const std::optional<Interval> value = metric_of(record, metric);
    std::string verdict = "INCONCLUSIVE";
    if (value && value->high < least) {
      verdict = "FAILED";
      check.passed = false;
      check.status = "FAILED";
      if (!check.message.empty()) check.message += '\n';
      check.message += fmt::format(
          "{} is {:.4f} [{:.4f}, {:.4f}], {:.2f} % under its floor of {:.4f}", metric,
          value->estimate, value->low, value->high, 100 * (1 - value->high / least), least);
    } else if (value && value->half_width() <= kFloorPrecision) {
      verdict = "PASSED";
    }
    record["floors"].push_back({{"metric", metric},
                                {"floor", least},
                                {"estimate", value ? Json(value->estimate) : Json(nullptr)},
                                {"low", value ? Json(value->low) : Json(nullptr)},
                                {"high", value ? Json(value->high) : Json(nullptr)},
                                {"verdict", verdict}});
  }
  return check;
}

}  // namespace octet::harness
