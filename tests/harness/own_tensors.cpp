#include "harness/own_tensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <utility>

#include "harness/layer_size.hpp"
#include "harness/options.hpp"
#include "harness/parallel.hpp"

namespace octet::harness {
namespace {

constexpr std::string_view kLayer = "a layer is a, w1, w2 and grad, and maybe b1 and b2";
constexpr std::int64_t kGrain = 1 << 16;

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) {
  throw std::invalid_argument(fmt::format(text, std::forward<Args>(args)...));
}

const StoredTensor* find_in(std::span<const StoredTensor> tensors, std::string_view name) {
  const auto found = std::ranges::find(tensors, name, &StoredTensor::name);
  return found == tensors.end() ? nullptr : &*found;
}

const StoredTensor& need(std::span<const StoredTensor> tensors, std::string_view name) {
  const StoredTensor* found = find_in(tensors, name);
  if (found == nullptr) refuse("it holds no '{}': {}", name, kLayer);
  return *found;
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void require_shape(const StoredTensor& tensor, std::string_view extents,
                   const std::vector<std::int64_t>& shape) {
  if (tensor.shape == shape) return;
  refuse("{} has the shape {}, but must be {}, which is {} here", tensor.name,
         text_of(tensor.shape), extents, text_of(shape));
}

/// The bytes of a regular file, mapped.
std::span<const std::byte> map(const std::string& path) {
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) close(number);
    }
  };
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (file.number < 0 || fstat(file.number, &status) != 0) {
    refuse("it cannot be read: {}", std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) refuse("it is no file: name a safetensors file");
  if (status.st_size == 0) return {};
  const auto bytes = static_cast<std::size_t>(status.st_size);
  const void* data = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (data == MAP_FAILED) refuse("it cannot be mapped: {}", std::strerror(errno));
  return {static_cast<const std::byte*>(data), bytes};
}

/// Where element n of a tensor lies, as in a[3, 17].
std::string place_of(const StoredTensor& tensor, std::int64_t n) {
  std::vector<std::int64_t> place(tensor.shape.size());
  for (std::size_t i = place.size(); i-- > 0; n /= tensor.shape[i]) place[i] = n % tensor.shape[i];
  return tensor.name + text_of(place);
}

bool is_finite_as(DType type, float value) {
  if (type == DType::f16) return std::isfinite(static_cast<float>(f16(value)));
  if (type == DType::bf16) return std::isfinite(static_cast<float>(bf16(value)));
  return std::isfinite(value);
}

}  // namespace

LayerShape layer_of(std::span<const StoredTensor> tensors) {
  constexpr std::string_view kNames[] = {"a", "w1", "w2", "grad", "b1", "b2"};
  for (const StoredTensor& t : tensors) {
    if (std::ranges::find(kNames, t.name) == std::end(kNames)) {
      refuse("it holds '{}', but {}", printable(t.name), kLayer);
    }
  }
  const StoredTensor &a = need(tensors, "a"), &w1 = need(tensors, "w1"), &w2 = need(tensors, "w2"),
                     &grad = need(tensors, "grad");
  if (a.shape.size() != 2 && a.shape.size() != 3) {
    refuse("a has the shape {}, but must be [batch, seq, model] or [tokens, model]",
           text_of(a.shape));
  }
  if (w1.shape.size() != 2) {
    refuse("w1 has the shape {}, but must be [hidden, model]", text_of(w1.shape));
  }
  LayerShape layer;
  layer.batch = a.shape.size() == 3 ? a.shape[0] : 1;
  layer.seq = a.shape[a.shape.size() - 2];
  layer.model = a.shape.back();
  layer.hidden = w1.shape[0];
  for (const auto& [name, extent] : {std::pair{"batch", layer.batch},
                                     {"seq", layer.seq},
                                     {"model", layer.model},
                                     {"hidden", layer.hidden}}) {
    if (extent < 1 || extent > kLargestExtent) {
      refuse("its shapes make {} {}, but it must be from 1 to {}", name, extent, kLargestExtent);
    }
  }
  if (layer.tokens() > kLargestExtent) {
    refuse("its shapes make {} tokens, but there may be at most {}, of which int32 holds every sum",
           layer.tokens(), kLargestExtent);
  }
  require_shape(w1, "[hidden, model]", {layer.hidden, layer.model});
  require_shape(w2, "[model, hidden]", {layer.model, layer.hidden});
  if (grad.shape != std::vector{layer.tokens(), layer.model}) {
    require_shape(grad, "shaped as a", a.shape);
  }
  const StoredTensor *b1 = find_in(tensors, "b1"), *b2 = find_in(tensors, "b2");
  if ((b1 == nullptr) != (b2 == nullptr)) refuse("it holds one of b1 and b2: give both or none");
  if (b1 != nullptr) require_shape(*b1, "[hidden]", {layer.hidden});
  if (b2 != nullptr) require_shape(*b2, "[model]", {layer.model});
  return layer;
}

LayerTensors::LayerTensors(std::string path) : path_(std::move(path)) {
  try {
    file_ = map(path_);
    tensors_ = parse_safetensors(file_);
    shape_ = layer_of(tensors_);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(
        fmt::format("OCTET_TENSORS '{}': {}", printable(path_), error.what()));
  }
}

LayerTensors::~LayerTensors() {
  if (!file_.empty()) munmap(const_cast<std::byte*>(file_.data()), file_.size());
}

std::string LayerTensors::file_name() const {
  return std::filesystem::path(path_).filename().string();
}
std::string LayerTensors::size_name() const {
  return size_name_from(std::filesystem::path(path_).stem().string());
}

const StoredTensor* LayerTensors::find(std::string_view name) const {
  return find_in(tensors_, name);
}

template <class T>
void LayerTensors::read(std::string_view name, Matrix<T> out) const {
  const StoredTensor* tensor = find(name);
  if (tensor == nullptr) throw std::out_of_range(fmt::format("{} holds no {}", path_, name));
  if (tensor->size() != out.size()) {
    throw std::out_of_range(
        fmt::format("{} of {} has {} elements, not {}", name, path_, tensor->size(), out.size()));
  }
  parallel_for(out.rows, std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, out.cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   for (std::int64_t j = 0; j < out.cols; ++j) {
                     out(i, j) = T((*tensor)[i * out.cols + j]);
                   }
                 }
               });
}

std::optional<std::string> LayerTensors::unusable(DType type) const {
  for (const StoredTensor& tensor : tensors_) {
    std::atomic<std::int64_t> first = tensor.size();
    parallel_for(tensor.size(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n) {
        if (is_finite_as(type, tensor[n])) continue;
        for (std::int64_t before = first; n < before && !first.compare_exchange_weak(before, n);) {
        }
        return;
      }
    });
    if (first == tensor.size()) continue;
    const float value = tensor[first];
    const std::string where = fmt::format("OCTET_TENSORS '{}': {} is {}", printable(path_),
                                          place_of(tensor, first), value);
    if (!std::isfinite(value)) return where + ", but every element must be finite";
    return fmt::format("{}, which {} cannot hold: run the step in another type", where,
                       octet::name(type));
  }
  return std::nullopt;
}

const LayerTensors* own_tensors() {
  static const std::unique_ptr<const LayerTensors> kTensors = [] {
    const Options& o = options();
    auto tensors = o.tensors ? std::make_unique<const LayerTensors>(*o.tensors) : nullptr;
    if (tensors && o.step.bias && !tensors->has_bias()) {
      throw std::invalid_argument(fmt::format(
          "OCTET_TENSORS '{}': it holds no b1 and b2, for which OCTET_BIAS asks: add them or leave "
          "OCTET_BIAS out",
          printable(tensors->path())));
    }
    return tensors;
  }();
  return kTensors.get();
}

template void LayerTensors::read(std::string_view, Matrix<f16>) const;
template void LayerTensors::read(std::string_view, Matrix<bf16>) const;

}  // namespace octet::harness
