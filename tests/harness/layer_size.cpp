#include "harness/layer_size.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "harness/options.hpp"
#include "harness/own_tensors.hpp"
#include "octet_layers.hpp"

namespace octet::harness {
namespace {

constexpr std::string_view kNameRule =
    "letters, digits, '_', '.' and '-', at most 24, one of them a letter other than x";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name_character(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}
/// Names of digits and x alone are those of the problems that are no model's: 2x64x128x256.
bool tells_apart(std::string_view name) {
  return std::ranges::any_of(name, [](char c) { return is_letter(c) && c != 'x' && c != 'X'; });
}

bool is_name(std::string_view name) {
  return name.size() <= kLongestSizeName && std::ranges::all_of(name, is_name_character) &&
         tells_apart(name) && !name.starts_with("DISABLED_");
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

const nlohmann::ordered_json& presets() {
  static const auto kPresets = nlohmann::ordered_json::parse(kLayersJson);
  return kPresets;
}

std::string preset_names() {
  std::string names;
  for (const auto& [name, layer] : presets().items()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

/// One size while its text is read.
class Reader {
 public:
  Reader(std::string_view option, std::string_view text) : option_(option), text_(text) {}

  ModelSize read() {
    if (text_.empty()) refuse("give KEY=VALUE for {} or one of {}", kKeys, preset_names());
    const std::vector<std::string_view> items = split(text_, ',');
    for (std::size_t i = 0; i < items.size(); ++i) read_item(items[i], i == 0);
    for (const Extent& e : extents()) {
      if (e.value == 0) refuse("{} is missing: give {}", e.key, kKeys);
    }
    if (size_.name.empty()) refuse("name is missing: give {}", kKeys);
    if (size_.layer.tokens() > kLargestExtent) {
      refuse("batch * seq is {} but may be at most {}, of which int32 holds every sum",
             size_.layer.tokens(), kLargestExtent);
    }
    size_.is_own = true;
    return size_;
  }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) const {
    throw std::invalid_argument(fmt::format("{} '{}': {}", option_, printable(text_),
                                            fmt::format(text, std::forward<Args>(args)...)));
  }

 private:
  static constexpr std::string_view kKeys = "name, batch, seq, model and hidden";
  struct Extent {
    std::string_view key;
    std::int64_t& value;
  };
  std::vector<Extent> extents() {
    LayerShape& l = size_.layer;
    return {{"batch", l.batch}, {"seq", l.seq}, {"model", l.model}, {"hidden", l.hidden}};
  }

  void read_item(std::string_view item, bool is_first) {
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) {
      if (!is_first || !presets().contains(std::string(item))) {
        refuse("'{}' is neither KEY=VALUE nor one of {}{}", printable(item), preset_names(),
               is_first ? "" : ", which come first");
      }
      const auto& layer = presets()[std::string(item)];
      size_.name = item;
      for (const Extent& e : extents()) e.value = layer.at(std::string(e.key)).get<std::int64_t>();
      return;
    }
    const std::string_view key = item.substr(0, equals), value = item.substr(equals + 1);
    const std::vector<Extent> all = extents();
    const auto extent = std::ranges::find(all, key, &Extent::key);
    if (key != "name" && extent == all.end()) {
      refuse("unknown key '{}': the keys are {}", printable(key), kKeys);
    }
    if (std::ranges::find(given_, key) != given_.end()) refuse("{} is given twice", key);
    given_.push_back(key);
    if (key == "name") {
      if (!is_name(value)) refuse("name is '{}' but must be {}", printable(value), kNameRule);
      size_.name = value;
    } else {
      extent->value = number(key, value);
    }
  }

  std::int64_t number(std::string_view key, std::string_view text) const {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 1 ||
        value > kLargestExtent) {
      refuse("{} is '{}' but must be a whole number from 1 to {}", key, printable(text),
             kLargestExtent);
    }
    return value;
  }

  std::string_view option_, text_;
  ModelSize size_;
  std::vector<std::string_view> given_;
};

const ModelSize* same_test_name(const std::vector<ModelSize>& sizes, const ModelSize& size) {
  const auto found = std::ranges::find(sizes, size.test_name(), &ModelSize::test_name);
  return found == sizes.end() ? nullptr : &*found;
}

std::vector<ModelSize> read_model_sizes() {
  std::vector<ModelSize> sizes = {{"4k", {2, 512, 4096, 12288}},
                                  {"5k", {2, 512, 5120, 15360}},
                                  {"12k", {2, 512, 12288, 49152}}};
  if (options().sizes) {
    const auto own = parse_sizes("OCTET_SIZES", *options().sizes, sizes);
    sizes.insert(sizes.end(), own.begin(), own.end());
  }
  if (const LayerTensors* tensors = own_tensors()) {
    const ModelSize size{tensors->size_name(), tensors->shape(), true};
    if (same_test_name(sizes, size) != nullptr) {
      throw std::invalid_argument(
          fmt::format("OCTET_TENSORS '{}': the file's name makes the size '{}', which exists "
                      "already: give the file another name",
                      printable(tensors->path()), size.name));
    }
    sizes.push_back(size);
  }
  return sizes;
}

}  // namespace

std::string ModelSize::test_name() const {
  std::string text = name;
  std::ranges::replace_if(
      text, [](char c) { return c == '.' || c == '-'; }, '_');
  return text;
}

std::vector<ModelSize> parse_sizes(std::string_view option, std::string_view text,
                                   const std::vector<ModelSize>& existing) {
  std::vector<ModelSize> all = existing, own;
  for (const std::string_view one : split(text, ';')) {
    Reader reader(option, one);
    const ModelSize size = reader.read();
    if (const ModelSize* other = same_test_name(all, size)) {
      reader.refuse("the name '{}' exists already{}: give another one with name=", size.name,
                    other->name == size.name
                        ? ""
                        : fmt::format(", as '{}' ('.' and '-' count as '_')", other->name));
    }
    all.push_back(size);
    own.push_back(size);
  }
  return own;
}

std::string size_name_from(std::string_view text) {
  std::string name(text.substr(0, kLongestSizeName));
  std::ranges::replace_if(
      name, [](char c) { return !is_name_character(c); }, '_');
  if (!is_name(name)) name = ("layer_" + name).substr(0, kLongestSizeName);
  return name;
}

const std::vector<ModelSize>& model_sizes() {
  static const std::vector<ModelSize> kSizes = read_model_sizes();
  return kSizes;
}

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 100;
  std::string shown(text.substr(0, kLongest));
  std::ranges::replace_if(
      shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > kLongest ? shown + "..." : shown;
}

}  // namespace octet::harness
