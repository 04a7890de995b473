// The feed-forward layer that a training step runs: its shape, its six products, and the choices of
// how they are computed.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "octet/matrix.hpp"
#include "octet/outliers.hpp"
#include "octet/rounding.hpp"

namespace octet {

/// batch * seq tokens of `model` channels; `hidden` channels between the two products.
struct LayerShape {
  std::int64_t batch = 0, seq = 0, model = 0, hidden = 0;

  /// T.
  constexpr std::int64_t tokens() const { return batch * seq; }
  /// Floating-point or integer operations of the six products: 12 T D H.
  constexpr std::int64_t operations() const { return 12 * tokens() * model * hidden; }
};

/// Forward, gradients of activations, gradients of weights.
enum class Pass : std::uint8_t { fprop, dgrad, wgrad };
/// In what a product is computed.
enum class Precision : std::uint8_t { s8, native, e4m3 };  // native: the tensors' own 16-bit type

/// As OCTET_POLICY has it: e4m3.
constexpr std::string_view name(Precision precision) {
  constexpr std::array<std::string_view, 3> kNames = {"s8", "native", "e4m3"};
  return kNames[static_cast<std::size_t>(precision)];
}

/// Which passes run in eight bits; all that do in the same.
struct Policy {
  Precision fprop = Precision::s8, dgrad = Precision::s8, wgrad = Precision::s8;

  /// No pass in eight bits.
  static constexpr Policy native() {
    return {Precision::native, Precision::native, Precision::native};
  }
  /// Every pass in e4m3.
  static constexpr Policy e4m3() { return {Precision::e4m3, Precision::e4m3, Precision::e4m3}; }
  /// A pass's, and whether any has it.
  constexpr Precision of(Pass pass) const {
    return pass == Pass::fprop ? fprop : pass == Pass::dgrad ? dgrad : wgrad;
  }
  constexpr bool uses(Precision p) const { return fprop == p || dgrad == p || wgrad == p; }
};

/// Whether a step quantizes its weights, or finds them quantized by an earlier run.
enum class WeightMode : std::uint8_t { every_step, kept };

/// The six products, in the order in which a step runs them.
enum class Product : std::uint8_t {
  fc1_fprop,
  fc2_fprop,
  fc2_dgrad,
  fc1_dgrad,
  fc2_wgrad,
  fc1_wgrad
};
/// All of them.
inline constexpr std::array kProducts = {Product::fc1_fprop, Product::fc2_fprop,
                                         Product::fc2_dgrad, Product::fc1_dgrad,
                                         Product::fc2_wgrad, Product::fc1_wgrad};

/// As records and tables have it: fc1_fprop.
constexpr std::string_view name(Product product) {
  constexpr std::array<std::string_view, 6> kNames = {"fc1_fprop", "fc2_fprop", "fc2_dgrad",
                                                      "fc1_dgrad", "fc2_wgrad", "fc1_wgrad"};
  return kNames[static_cast<std::size_t>(product)];
}

/// The pass that a product belongs to.
constexpr Pass pass_of(Product product) { return static_cast<Pass>(static_cast<int>(product) / 2); }

/// d[m,n] = a[m,k] . b[n,k]^T.
struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0;
};

/// A product's extents in a layer: the table in training_step.hpp.
constexpr ProductShape shape_of(Product product, const LayerShape& layer) {
  const std::int64_t t = layer.tokens(), d = layer.model, h = layer.hidden;
  switch (product) {
    case Product::fc1_fprop:
    case Product::fc2_dgrad:
      return {t, h, d};
    case Product::fc2_fprop:
    case Product::fc1_dgrad:
      return {t, d, h};
    case Product::fc2_wgrad:
      return {d, h, t};
    case Product::fc1_wgrad:
      return {h, d, t};
  }
  return {};
}

/// The order in which int8 products read their second operand, the weights in the forward pass:
/// row-major, Col4_4R2_8C or Col32_2R_4R4. With the tiled ones the first operand and the
/// accumulators are in Col32. bitsandbytes names them by the devices that they are for.
enum class StepLayout : std::uint8_t { row, col_turing, col_ampere };

/// As OCTET_LAYOUT has it: col_turing.
constexpr std::string_view name(StepLayout layout) {
  constexpr std::array<std::string_view, 3> kNames = {"row", "col_turing", "col_ampere"};
  return kNames[static_cast<std::size_t>(layout)];
}

/// As OCTET_OUTLIER_MODE has it: element.
constexpr std::string_view name(OutlierMode mode) {
  return mode == OutlierMode::element ? "element" : "column";
}

/// How the parts of a step that do not need each other share a device. The same bits each way.
enum class Overlap : std::uint8_t {
  none,      // one after another
  launches,  // an int8 product may be launched while the kernel before it ends
  branches   // beside that, tensors are quantized beneath products that do not read them; in steps
             // in int8 of row-major products without a threshold, and else as launches
};

/// As OCTET_OVERLAP has it: branches.
constexpr std::string_view name(Overlap overlap) {
  constexpr std::array<std::string_view, 3> kNames = {"none", "launches", "branches"};
  return kNames[static_cast<std::size_t>(overlap)];
}

/// How a step computes, beside the precision of its passes.
struct StepOptions {
  StepLayout layout = StepLayout::row;
  /// Outliers of a and out1 (outliers.hpp) stay out of the int8 products and are added in 16 bits.
  /// 0: none are set apart.
  float threshold = 0;
  OutlierMode outlier_mode = OutlierMode::element;
  /// Room in the list of a tensor's outliers, as a share of its elements. A list that overflows
  /// turns the results that it is added to into NaN.
  double outlier_share = 0.02;
  /// Adds b1 and b2 in the forward pass and computes their gradients.
  bool bias = false;
  /// How grad and d1 are rounded to int8. Their words follow from the seed and from an offset that
  /// TrainingStep::set_rounding_offset moves on.
  Rounding gradient_rounding = Rounding::nearest;
  std::uint64_t rounding_seed = 0;
  /// What runs at the same time.
  Overlap overlap = Overlap::branches;

  /// Member by member.
  bool operator==(const StepOptions&) const = default;

  /// Entries of the list of a tensor of so many elements, and the least of any list.
  static constexpr std::int64_t kLeastOutlierCapacity = 1024;
  constexpr std::int64_t outlier_capacity(std::int64_t elements) const {
    return std::max(kLeastOutlierCapacity,
                    static_cast<std::int64_t>(outlier_share * static_cast<double>(elements)));
  }
};

/// What a step is given: a[T,D], w1[H,D], w2[D,H], grad[T,D], and with bias b1[H], b2[D].
template <class T>
struct LayerInputs {
  Matrix<const T> a, w1, w2, grad;
  Vector<const T> b1{}, b2{};
};

/// Copies that somebody transposed beforehand, for 16-bit products whose operands all have K
/// contiguous: a[D,T], w1[D,H], w2[H,D], grad[D,T], out1[H,T], d1[H,T].
template <class T>
struct TransposedCopies {
  Matrix<const T> a, w1, w2, grad, out1, d1;
};

}  // namespace octet
