// The OCTET_ variables, NAME=VALUE a line: options within their ranges, or one sentence.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "harness/options.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace octet::harness;
  std::istringstream text(std::string(reinterpret_cast<const char*>(data), size));
  std::map<std::string, std::string> variables;
  for (std::string line; std::getline(text, line);) {
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) variables[line.substr(0, equals)] = line.substr(equals + 1);
  }
  try {
    const Options o = read_options([&](const char* name) -> const char* {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    });
    const bool in_range =
        o.iterations.value_or(1) >= 1 && o.warm_up.value_or(0) >= 0 && o.watchdog_s >= 0 &&
        o.memory_limit.bytes >= 1 && o.memory_limit.request >= 0 && o.step.threshold >= 0 &&
        std::isfinite(o.step.threshold) && o.step.outlier_share > 0 && o.step.outlier_share <= 1;
    if (!in_range) __builtin_trap();
  } catch (const std::invalid_argument& error) {
    if (std::string_view(error.what()).empty()) __builtin_trap();
  }
  return 0;
}
