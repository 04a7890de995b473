// Sizes of layers: the benchmark's three, those that its user names, and that of the user's
// tensors.
//
//   OCTET_SIZES='name=7b,batch=4,seq=2048,model=4096,hidden=11008;llama-2-7b;llama-2-7b,name=x,seq=9'
//
// Sizes are separated by ';'. Each is a list of KEY=VALUE that gives name, batch, seq, model and
// hidden, or begins with a preset (layers.json) that gives all of them. scripts/octet_scripts/
// sizes.py refuses the same before anything is built.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "octet/layer.hpp"

namespace octet::harness {

struct ModelSize {
  std::string name;  // the benchmark's by model width: 4k, 5k, 12k
  LayerShape layer;
  bool is_own = false;  // not the benchmark's

  /// How tests' names begin: GoogleTest takes letters, digits and '_' alone.
  std::string test_name() const;
};

/// Longest name, so that tables stay within their width.
inline constexpr std::size_t kLongestSizeName = 24;
/// Of an extent, and of the tokens: int32 holds a sum of so many products of s8.
inline constexpr std::int64_t kLargestExtent = 131071;

/// The sizes in `text` (above). Throws std::invalid_argument that names `option`, the value and
/// what would be right; names must differ from one another's and from those of `existing`.
std::vector<ModelSize> parse_sizes(std::string_view option, std::string_view text,
                                   const std::vector<ModelSize>& existing);

/// `text` as a name of a size: what may not stand in one becomes '_'.
std::string size_name_from(std::string_view text);

/// The benchmark's layers: batch 2, seq 512; model / hidden 4096 / 12288, 5120 / 15360, 12288 /
/// 49152. After them those of options(). Throws what parse_sizes() and own_tensors() throw.
const std::vector<ModelSize>& model_sizes();

/// What a message quotes of a user's text: printable, and not all of what is long.
std::string printable(std::string_view text);

}  // namespace octet::harness
