#include "harness/floors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
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
  for (const Json& variant : record["variants"]) {
    if (variant["name"] == metric.substr(kVariantPrefix.size())) {
      return interval_from(variant["ratio"]);
    }
  }
  return std::nullopt;
}

/// What is wrong with a floor, or nothing: one that is passed over because it is misspelt would let
/// everything pass.
std::string mistake_of(const Json& floor, std::set<std::array<std::string, 3>>& seen) {
  const auto is_text = [&](const char* key) {
    return floor.contains(key) && floor[key].is_string();
  };
  if (!floor.is_object() || floor.size() != 4 || !is_text("test") || !is_text("metric") ||
      !is_text("state") || !floor.contains("floor") || !floor["floor"].is_number()) {
    return "the keys must be test, metric and state, each a text, and floor, a number";
  }
  const std::string metric = floor["metric"], state = floor["state"];
  if (metric != "ratio" && metric != "roofline_fraction" && !metric.starts_with(kVariantPrefix)) {
    return fmt::format("metric '{}' is none of ratio, roofline_fraction, variant_ratio:NAME",
                       metric);
  }
  if (state != "burst" && state != "steady" && state != "none") {
    return fmt::format("state '{}' is none of burst, steady, none", state);
  }
  if (!(floor["floor"].get<double>() > 0)) return "the floor must be above 0";
  if (!seen.insert({floor["test"], metric, state}).second) {
    return fmt::format("a second floor for {} {} ({})", floor["test"].get<std::string>(), metric,
                       state);
  }
  return "";
}

}  // namespace

Json floors_in(std::string_view text, const std::string& device, const std::string& path) {
  const Json content = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto is = [&](const char* key, const Json& value) {
    return content.contains(key) && content[key] == value;
  };
  const bool understood = content.is_object() && is("schema", 1) && is("device", device) &&
                          content.contains("floors") && content["floors"].is_array();
  if (!understood) {
    throw std::runtime_error(fmt::format(
        "thresholds: {} is no thresholds file of schema 1 for device '{}'", path, device));
  }
  std::set<std::array<std::string, 3>> seen;
  for (std::size_t i = 0; i < content["floors"].size(); ++i) {
    const std::string mistake = mistake_of(content["floors"][i], seen);
    if (!mistake.empty()) {
      throw std::runtime_error(fmt::format("thresholds: {}: floor {}: {}", path, i + 1, mistake));
    }
  }
  return content["floors"];
}

namespace {

/// The floors of this device; null where nobody set any.
Json floors_of(const std::string& device, const std::string& directory) {
  std::string name = device;
  std::ranges::replace(name, ' ', '_');
  std::ranges::replace(name, '/', '_');
  const std::filesystem::path path = std::filesystem::path(directory) / (name + ".json");
  if (!std::filesystem::exists(path)) return nullptr;
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return floors_in(text, device, path.string());
}

}  // namespace

Check judge_floors(Json& record, Check check, const std::string& directory) {
  for (const Json& floor : floors_of(record["device"]["name"], directory)) {
    if (floor["test"] != record["test"]) continue;
    if (floor["state"] != record["time"]["state"]) continue;
    const std::string metric = floor["metric"];
    const double least = floor["floor"];
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
