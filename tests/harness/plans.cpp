#include "harness/plans.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "harness/line_file.hpp"
#include "harness/options.hpp"

namespace octet::harness {

std::map<std::string, std::string> choices_in(std::istream& text, const std::string& device,
                                              const std::string& library) {
  std::map<std::string, std::string> choices;
  for (std::string line; std::getline(text, line);) {
    const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto is_text = [&](const char* key) {
      return entry.is_object() && entry.contains(key) && entry[key].is_string();
    };
    if (!is_text("device") || !is_text("library") || !is_text("problem") || !is_text("choice") ||
        entry["device"] != device || entry["library"] != library) {
      continue;
    }
    // emplace keeps the first: two processes that chose at the same time agree from then on.
    choices.emplace(entry["problem"], entry["choice"]);
  }
  return choices;
}

std::map<std::string, std::string> pinned_choices(const std::string& device,
                                                  const std::string& library) {
  if (!options().plans) return {};
  std::ifstream file(*options().plans);
  return choices_in(file, device, library);
}

void keep_choice(const std::string& device, const std::string& library, const std::string& problem,
                 const std::string& choice) {
  if (!options().plans || pinned_choices(device, library).contains(problem)) return;
  const nlohmann::ordered_json entry = {
      {"device", device}, {"library", library}, {"problem", problem}, {"choice", choice}};
  append_line(*options().plans, entry.dump());
}

}  // namespace octet::harness
