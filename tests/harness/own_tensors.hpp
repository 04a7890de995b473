// A layer of the user's: a[batch, seq, model] or a[tokens, model], w1[hidden, model],
// w2[model, hidden], grad like a, and maybe b1[hidden] and b2[model], in a safetensors file that
// OCTET_TENSORS names.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/safetensors.hpp"
#include "octet/layer.hpp"
#include "octet/matrix.hpp"

namespace octet::harness {

/// The layer that tensors make up. Throws std::invalid_argument, the rest of a sentence that names
/// the file, where one is missing, is no tensor of a layer, or does not fit the others.
LayerShape layer_of(std::span<const StoredTensor> tensors);

class LayerTensors {
 public:
  /// Maps the file and reads its header. Throws std::invalid_argument that names OCTET_TENSORS, the
  /// file, and what is wrong.
  explicit LayerTensors(std::string path);
  ~LayerTensors();
  LayerTensors(const LayerTensors&) = delete;
  LayerTensors& operator=(const LayerTensors&) = delete;

  const std::string& path() const { return path_; }
  std::string file_name() const;  // without folders
  std::string size_name() const;  // made from the file's name
  const LayerShape& shape() const { return shape_; }
  bool has_bias() const { return find("b1") != nullptr; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  std::span<const std::byte> bytes() const { return file_; }

  /// Element by element, rounded to T. Throws std::out_of_range for a name that is not there.
  template <class T>
  void read(std::string_view name, Matrix<T> out) const;

  /// One sentence where an element is not finite, in the file or in `type`.
  std::optional<std::string> unusable(DType type) const;

 private:
  const StoredTensor* find(std::string_view name) const;

  std::string path_;
  std::span<const std::byte> file_;
  std::vector<StoredTensor> tensors_;
  LayerShape shape_;
};

/// Those of options(), mapped once; nullptr without. Throws as the constructor does.
const LayerTensors* own_tensors();

}  // namespace octet::harness
