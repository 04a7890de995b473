// Problems: the shapes that suites run on, most of them those of a layer (layer_size.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/layer_size.hpp"
#include "harness/random.hpp"
#include "octet/training_step.hpp"

namespace octet::harness {

/// How the matrices of a batch lie: one after another, side by side as the heads of an attention
/// layer do, or one after another with a single b for all of them.
enum class Batching : std::uint8_t { stacked, interleaved, shared_b };

/// How the entries of a list lie in its matrix.
enum class Entries : std::uint8_t {
  none,
  scattered,  // one element in a thousand of a model's matrix, one in thirty of a small one
  columns,    // every element of about one column in 600, at least one
  full_row,   // scattered, and every element of the middle row
  overflow    // more than the list can hold
};

/// One case. `name` is the last part of the test's name and tells the case apart within its suite.
struct Problem {
  std::string name;
  std::string size;                  // a model size, or empty
  LayerShape layer;                  // of that size
  std::optional<Product> product;    // for products
  std::int64_t m = 0, n = 0, k = 0;  // a product's; a matrix is m x n and its k is 0
  std::int64_t ld_padding = 0;       // elements between the end of a row and the next
  bool special_values = false;       // rows and columns of zeros, NaN, Inf and subnormals
  bool bias = false;
  // Of a training step; without them options() decides.
  std::optional<StepOptions> step;
  std::optional<Distribution> distribution;
  float threshold = 0;           // of outliers
  bool outlier_columns = false;  // whole columns are set apart
  std::int64_t list_room = 0;    // entries that a list has room for beyond its own; may be negative
  std::int64_t matrices = 1;     // of a batched product
  Batching batching = Batching::stacked;
  Entries entries = Entries::none;
};

/// Thrown where the device at hand has no kernel for a problem: its case is skipped, visibly.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// m x n matrices: the tensors of every model size (activations and weights), each shape once.
std::vector<Problem> model_matrices();
/// m x n matrices chosen to hurt: 0, 1, primes, tiles -1 and +1, padded rows, special values.
std::vector<Problem> hostile_matrices();

/// The products of every model size, one for each distinct shape or for all six.
std::vector<Problem> model_products(bool distinct_shapes);
/// Products chosen to hurt.
std::vector<Problem> hostile_products();

/// Scores and contexts of attention at every model size whose width is that of heads 128 wide, a
/// matrix for each head of each sequence.
std::vector<Problem> attention_products();
/// Batches chosen to hurt.
std::vector<Problem> hostile_batches();

/// m x n += (list of m x k) . (n x k)^T: the products of the forward pass, and ones chosen to hurt.
std::vector<Problem> list_products();
/// m x n += (k x m)^T . (list of k x n): the products of the weights' gradients, and ones chosen to
/// hurt.
std::vector<Problem> transposed_list_products();

std::vector<Problem> concatenate(std::vector<Problem> a, const std::vector<Problem>& b);

}  // namespace octet::harness
