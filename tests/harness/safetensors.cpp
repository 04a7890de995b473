#include "harness/safetensors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include "harness/layer_size.hpp"

namespace octet::harness {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::int64_t kMostElements = std::int64_t{1} << 60;

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) {
  throw std::invalid_argument(fmt::format(text, std::forward<Args>(args)...));
}

std::uint64_t header_bytes(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    refuse("it holds {} bytes, but a safetensors file begins with 8 that give its header's length",
           file.size());
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<std::uint64_t>(file[i]) << (8 * i);
  }
  if (length > kLargestHeaderBytes) {
    refuse("its header claims {} bytes, but at most {} are read: is it a safetensors file?", length,
           kLargestHeaderBytes);
  }
  if (length > file.size() - kLengthBytes) {
    refuse("its header claims {} bytes, but {} follow: the file is truncated", length,
           file.size() - kLengthBytes);
  }
  return length;
}

/// The header's tensors. A key that occurs twice would be one silently.
Json parse_header(std::string_view text) {
  if (text.empty() || text.front() != '{') refuse("its header does not begin with '{{'");
  constexpr int kDeepest = 4;
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kDeepest) refuse("its header is nested deeper than {} levels", kDeepest);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        refuse("its header gives '{}' twice in one object", printable(key));
      }
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::parse_error& error) {
    refuse("its header is not JSON, at byte {} of it", error.byte);
  } catch (const Json::exception&) {
    refuse("its header holds a number that is out of range");
  }
}

/// A whole number of at least 0 that an std::int64_t holds.
std::optional<std::int64_t> whole(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<std::uint64_t>();
  if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(number);
}

std::vector<std::int64_t> whole_numbers(const std::string& name, const Json& entry,
                                        const char* key) {
  std::vector<std::int64_t> numbers;
  const Json& list = entry.at(key);
  if (!list.is_array()) refuse("{} of '{}' must be an array of whole numbers", key, name);
  for (const Json& item : list) {
    const std::optional<std::int64_t> number = whole(item);
    if (!number) {
      refuse("{} of '{}' holds {}, but must hold whole numbers of at least 0", key, name,
             printable(item.dump(-1, ' ', true, Json::error_handler_t::replace)));
    }
    numbers.push_back(*number);
  }
  return numbers;
}

DType type_of(const std::string& name, const Json& value) {
  const std::pair<const char*, DType> known[] = {
      {"F16", DType::f16}, {"BF16", DType::bf16}, {"F32", DType::f32}};
  for (const auto& [text, type] : known) {
    if (value == text) return type;
  }
  refuse("'{}' is of type {}, but F16, BF16 and F32 are read: convert it", name,
         value.is_string() ? printable(value.get_ref<const std::string&>()) : "unknown");
}

/// A tensor and where in the data it lies.
struct Placed {
  StoredTensor tensor;
  std::int64_t begin, end;
};

Placed place(const std::string& key, const Json& entry) {
  const std::string name = printable(key);
  constexpr const char* kKeys[] = {"dtype", "shape", "data_offsets"};
  if (!entry.is_object() || entry.size() != std::size(kKeys) ||
      !std::ranges::all_of(kKeys, [&](const char* k) { return entry.contains(k); })) {
    refuse("'{}' must be an object of dtype, shape and data_offsets, and nothing else", name);
  }
  Placed placed{
      {key, type_of(name, entry["dtype"]), whole_numbers(name, entry, "shape"), {}}, 0, 0};
  std::int64_t elements = 1;
  for (const std::int64_t extent : placed.tensor.shape) {
    if (extent != 0 && elements > kMostElements / extent) {
      refuse("'{}' has the shape [{}], which no file holds", name,
             fmt::join(placed.tensor.shape, ", "));
    }
    elements *= extent;
  }
  const std::vector<std::int64_t> offsets = whole_numbers(name, entry, "data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    refuse("data_offsets of '{}' are [{}], but must be where it begins and where it ends", name,
           fmt::join(offsets, ", "));
  }
  placed.begin = offsets[0];
  placed.end = offsets[1];
  const std::int64_t bytes = elements * size_of(placed.tensor.type);
  if (bytes != placed.end - placed.begin) {
    refuse("'{}' takes {} bytes by its shape [{}] and type {}, but its data_offsets span {}", name,
           bytes, fmt::join(placed.tensor.shape, ", "), octet::name(placed.tensor.type),
           placed.end - placed.begin);
  }
  return placed;
}

void require_metadata(const Json& metadata) {
  const bool is_map = metadata.is_object() &&
                      std::ranges::all_of(metadata, [](const Json& v) { return v.is_string(); });
  if (!is_map) refuse("__metadata__ must be an object of strings");
}

}  // namespace

std::int64_t StoredTensor::size() const {
  return static_cast<std::int64_t>(bytes.size()) / size_of(type);
}

float StoredTensor::operator[](std::int64_t n) const {
  const auto read = [&]<class T>(T value) {
    std::memcpy(&value, bytes.data() + n * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    return static_cast<float>(value);
  };
  if (type == DType::f16) return read(f16{});
  if (type == DType::bf16) return read(bf16{});
  return read(float{});
}

std::vector<StoredTensor> parse_safetensors(std::span<const std::byte> file) {
  const std::uint64_t length = header_bytes(file);
  const std::span<const std::byte> data = file.subspan(kLengthBytes + length);
  const Json header = parse_header({reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                                    static_cast<std::size_t>(length)});
  std::vector<Placed> all;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      require_metadata(entry);
    } else {
      all.push_back(place(name, entry));
    }
  }
  std::ranges::sort(all, {}, [](const Placed& p) { return std::pair(p.begin, p.end); });
  const auto end = static_cast<std::int64_t>(data.size());
  std::int64_t at = 0;
  std::vector<StoredTensor> tensors;
  for (Placed& p : all) {
    const std::string name = printable(p.tensor.name);
    if (p.end > end) {
      refuse("'{}' ends at byte {} of the data, but there are {}: the file is truncated", name,
             p.end, end);
    }
    if (p.begin < at) {
      refuse("'{}' begins at byte {} of the data, inside '{}', which ends at {}", name, p.begin,
             printable(tensors.back().name), at);
    }
    if (p.begin > at) {
      refuse("bytes {} to {} of the data, before '{}', belong to no tensor", at, p.begin, name);
    }
    p.tensor.bytes =
        data.subspan(static_cast<std::size_t>(p.begin), static_cast<std::size_t>(p.end - p.begin));
    tensors.push_back(std::move(p.tensor));
    at = p.end;
  }
  if (at < end) refuse("{} bytes after the last tensor belong to none", end - at);
  return tensors;
}

}  // namespace octet::harness
