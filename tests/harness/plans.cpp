#include "harness/plans.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "harness/line_file.hpp"
#include "harness/options.hpp"

namespace octet::harness {

std::map<std::string, std::string> pinned_choices(const std::string& device,
                                                  const std::string& library) {
  std::map<std::string, std::string> choices;
  if (!options().plans) return choices;
  std::ifstream file(*options().plans);
  for (std::string line; std::getline(file, line);) {
    const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || entry.value("device", "") != device ||
        entry.value("library", "") != library) {
      continue;
    }
    // emplace keeps the first: two processes that chose at the same time agree from then on.
    choices.emplace(entry.value("problem", ""), entry.value("choice", ""));
  }
  return choices;
}

void keep_choice(const std::string& device, const std::string& library, const std::string& problem,
                 const std::string& choice) {
  if (!options().plans || pinned_choices(device, library).contains(problem)) return;
  const nlohmann::ordered_json entry = {
      {"device", device}, {"library", library}, {"problem", problem}, {"choice", choice}};
  append_line(*options().plans, entry.dump());
}

}  // namespace octet::harness
