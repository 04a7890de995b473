#include "harness/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <stdexcept>

namespace octet::harness {
namespace {

using Find = std::function<const char*(const char*)>;

std::optional<std::string> variable(const Find& find, const char* name) {
  const char* value = find(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

template <class N>
std::optional<N> number(const Find& find, const char* name, N least) {
  const std::optional<std::string> text = variable(find, name);
  if (!text) return std::nullopt;
  N value{};
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size() || value < least) {
    throw std::invalid_argument(
        fmt::format("{} is '{}' but must be a whole number of at least {}", name, *text, least));
  }
  return value;
}

/// A number above 0, and up to `most`.
template <class N>
std::optional<N> positive(const Find& find, const char* name, N most, bool or_zero = false) {
  const std::optional<std::string> text = variable(find, name);
  if (!text) return std::nullopt;
  N value{};
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  const bool in_range = (value > 0 || (or_zero && value == 0)) && value <= most;
  if (error != std::errc{} || end != text->data() + text->size() || !in_range) {
    throw std::invalid_argument(fmt::format("{} is '{}' but must be {}a number above 0{}", name,
                                            *text, or_zero ? "0 or " : "",
                                            most == N{1} ? " and up to 1" : ""));
  }
  return value;
}

/// The value that one of `values` has for its name.
template <class E>
std::optional<E> choice(const Find& find, const char* variable_name,
                        std::initializer_list<E> values) {
  const std::optional<std::string> text = variable(find, variable_name);
  if (!text) return std::nullopt;
  std::vector<std::string_view> names;
  for (const E value : values) {
    if (name(value) == *text) return value;
    names.push_back(name(value));
  }
  throw std::invalid_argument(fmt::format("{} is '{}' but must be one of {}", variable_name, *text,
                                          fmt::join(names, ", ")));
}

std::optional<bool> flag(const Find& find, const char* variable_name) {
  const std::optional<std::string> text = variable(find, variable_name);
  if (!text) return std::nullopt;
  if (*text != "0" && *text != "1") {
    throw std::invalid_argument(fmt::format("{} is '{}' but must be 0 or 1", variable_name, *text));
  }
  return *text == "1";
}

std::string beside_program(const char* name) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return (program.parent_path() / name).string();
}

StepOptions read_step(const Find& find, std::uint64_t seed) {
  StepOptions step;
  step.layout = choice(find, "OCTET_LAYOUT",
                       {StepLayout::row, StepLayout::col_turing, StepLayout::col_ampere})
                    .value_or(step.layout);
  step.threshold =
      positive(find, "OCTET_OUTLIER_THRESHOLD", std::numeric_limits<float>::max(), /*or_zero=*/true)
          .value_or(step.threshold);
  step.outlier_mode =
      choice(find, "OCTET_OUTLIER_MODE", {OutlierMode::element, OutlierMode::column})
          .value_or(step.outlier_mode);
  step.outlier_share = positive(find, "OCTET_OUTLIER_SHARE", 1.0).value_or(step.outlier_share);
  step.bias = flag(find, "OCTET_BIAS").value_or(step.bias);
  step.gradient_rounding =
      choice(find, "OCTET_GRADIENT_ROUNDING", {Rounding::nearest, Rounding::stochastic})
          .value_or(step.gradient_rounding);
  // The seed means nothing where nothing is drawn, and floors are of a step without options.
  if (step.gradient_rounding == Rounding::stochastic) step.rounding_seed = seed;
  step.overlap =
      choice(find, "OCTET_OVERLAP", {Overlap::none, Overlap::launches, Overlap::branches})
          .value_or(step.overlap);
  return step;
}

std::vector<std::string> list(const std::string& text) {
  std::vector<std::string> items;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    items.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return items;
}

}  // namespace

bool Options::requires_backend(std::string_view backend) const {
  return std::ranges::find(require, backend) != require.end();
}

Options read_options(const Find& find) {
  Options o;
  o.records = variable(find, "OCTET_RECORDS");
  if (const auto text = variable(find, "OCTET_REQUIRE")) {
    o.require = list(*text);
    for (const std::string& backend : o.require) {
      if (backend != Cpu::kName && backend != Cuda::kName) {
        throw std::invalid_argument(
            fmt::format("OCTET_REQUIRE names '{}' but a backend is cpu or cuda", backend));
      }
    }
  }
  o.seed = number<std::uint64_t>(find, "OCTET_SEED", 0).value_or(0);
  o.iterations = number<int>(find, "OCTET_ITERATIONS", 1);
  o.warm_up = number<int>(find, "OCTET_WARMUP", 0);
  if (const auto text = variable(find, "OCTET_DISTRIBUTION")) {
    o.distribution = distribution_from_name(*text);
  }
  if (const auto text = variable(find, "OCTET_CACHE")) o.cache = cache_mode_from_name(*text);
  o.thresholds = variable(find, "OCTET_THRESHOLDS").value_or(beside_program("thresholds"));
  o.plans = variable(find, "OCTET_PLANS");
  o.sizes = variable(find, "OCTET_SIZES");
  o.tensors = variable(find, "OCTET_TENSORS");
  o.steady = flag(find, "OCTET_STEADY").value_or(o.steady);
  o.profile = variable(find, "OCTET_PROFILE").has_value();
  if (const auto text = variable(find, "OCTET_POLICY")) {
    const std::vector<std::string> passes = list(*text);
    constexpr std::array kPrecisions = {Precision::s8, Precision::native, Precision::e4m3};
    std::vector<Precision> found;
    for (const std::string& pass : passes) {
      for (const Precision p : kPrecisions) {
        if (pass == name(p)) found.push_back(p);
      }
    }
    if (passes.size() != 3 || found.size() != 3) {
      throw std::invalid_argument(
          fmt::format("OCTET_POLICY is '{}' but must be s8, native or e4m3 for fprop, dgrad and "
                      "wgrad: s8,s8,native",
                      *text));
    }
    o.policy = {found[0], found[1], found[2]};
  }
  o.step = read_step(find, o.seed);
  o.watchdog_s = number<int>(find, "OCTET_WATCHDOG", 0).value_or(0);
  o.memory_limit.bytes =
      number<std::int64_t>(find, "OCTET_MEMORY_LIMIT", 1).value_or(o.memory_limit.bytes);
  o.memory_limit.request = number<std::int64_t>(find, "OCTET_FAIL_ALLOCATION", 1).value_or(0);
  return o;
}

const Options& options() {
  static const Options read_once = read_options([](const char* name) { return std::getenv(name); });
  return read_once;
}

}  // namespace octet::harness
