#include "harness/problem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace octet::harness {
namespace {

Problem matrix(std::int64_t rows, std::int64_t cols, std::int64_t ld_padding = 0,
               bool special_values = false) {
  Problem p;
  p.m = rows;
  p.n = cols;
  p.ld_padding = ld_padding;
  p.special_values = special_values;
  p.name = fmt::format("{}x{}", rows, cols);
  if (ld_padding != 0) p.name += fmt::format("_pad{}", ld_padding);
  if (special_values) p.name += "_special";
  return p;
}

Problem product(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t ld_padding = 0) {
  Problem p = matrix(m, n, ld_padding);
  p.k = k;
  p.name = fmt::format("{}x{}x{}", m, n, k);
  if (ld_padding != 0) p.name += fmt::format("_pad{}", ld_padding);
  return p;
}

constexpr std::string_view name(Entries entries) {
  constexpr std::array<std::string_view, 5> kNames = {"none", "scattered", "columns", "full_row",
                                                      "overflow"};
  return kNames[static_cast<std::size_t>(entries)];
}

Problem with_entries(Problem p, Entries entries, bool special_values = false) {
  p.entries = entries;
  p.special_values = special_values;
  p.name += fmt::format("_{}{}", name(entries), special_values ? "_special" : "");
  return p;
}

std::vector<Problem> model_list_products(Pass pass) {
  std::vector<Problem> problems;
  for (const Problem& p : model_products(/*distinct_shapes=*/true)) {
    if (pass_of(*p.product) != pass) continue;
    problems.push_back(with_entries(p, Entries::scattered));
    problems.push_back(with_entries(p, Entries::columns));
  }
  return problems;
}

/// Tiles of the kernels are 8, 256 or 1024 rows and 8, 32 or 512 columns. Up to 7,000 of K in 16
/// bits (14,000 in 8) are whole rows of a half of a multiprocessor's shared memory, up to twice as
/// many of all of it, and more are slabs. 16 entries make a column long.
std::vector<Problem> hostile_list_products() {
  return {with_entries(product(0, 5, 4), Entries::none),
          with_entries(product(5, 0, 4), Entries::none),
          with_entries(product(5, 4, 0), Entries::none),
          with_entries(product(1, 1, 1), Entries::columns),
          with_entries(product(3, 5, 7), Entries::scattered),
          with_entries(product(64, 64, 64), Entries::scattered),
          with_entries(product(33, 17, 100), Entries::none),
          with_entries(product(33, 17, 100), Entries::overflow),
          with_entries(product(257, 100, 130, 3), Entries::overflow),
          with_entries(product(127, 129, 623), Entries::scattered),
          with_entries(product(129, 127, 625, 1), Entries::scattered),
          with_entries(product(65, 136, 1248, 8), Entries::full_row),
          with_entries(product(67, 513, 1249, 3), Entries::full_row),
          with_entries(product(1023, 16, 131), Entries::columns),
          with_entries(product(1025, 33, 96, 8), Entries::scattered),
          with_entries(product(2111, 31, 61), Entries::scattered),
          with_entries(product(9, 1031, 509), Entries::columns),
          with_entries(product(304, 33, 520), Entries::columns),
          with_entries(product(24, 40, 6007, 5), Entries::full_row),
          with_entries(product(24, 40, 7321, 5), Entries::full_row),
          with_entries(product(24, 40, 15013), Entries::full_row),
          with_entries(product(61, 96, 160), Entries::scattered, true),
          with_entries(product(40, 33, 129, 7), Entries::full_row, true),
          with_entries(product(5, 3, 300001), Entries::columns)};
}

}  // namespace

std::vector<Problem> list_products() {
  return concatenate(model_list_products(Pass::fprop), hostile_list_products());
}

std::vector<Problem> transposed_list_products() {
  return concatenate(model_list_products(Pass::wgrad), hostile_list_products());
}

std::vector<Problem> model_matrices() {
  std::vector<Problem> problems;
  for (const ModelSize& size : model_sizes()) {
    const std::int64_t t = size.layer.tokens(), d = size.layer.model, h = size.layer.hidden;
    std::vector<std::pair<std::int64_t, std::int64_t>> shapes;
    for (const auto& shape : {std::pair{t, d}, std::pair{t, h}, std::pair{h, d}}) {
      if (std::ranges::find(shapes, shape) == shapes.end()) shapes.push_back(shape);
    }
    for (const auto& [rows, cols] : shapes) {
      Problem p = matrix(rows, cols);
      p.size = size.name;
      p.layer = size.layer;
      p.name = fmt::format("{}_{}", size.test_name(), p.name);
      problems.push_back(std::move(p));
    }
  }
  return problems;
}

std::vector<Problem> hostile_matrices() {
  return {matrix(0, 5),
          matrix(5, 0),
          matrix(1, 1),
          matrix(1, 7),
          matrix(7, 1),
          matrix(1, 8192),
          matrix(3, 31),
          matrix(31, 33),
          matrix(63, 65),
          matrix(64, 64),
          matrix(65, 63),
          matrix(127, 129),
          matrix(129, 127, 1),
          matrix(128, 136, 8),
          matrix(257, 255, 7),
          matrix(1000, 17, 3),
          matrix(17, 1000, 24),
          matrix(2, 70001),
          matrix(70001, 2),
          matrix(61, 16411, 5),
          matrix(96, 160, 0, true),
          matrix(131, 257, 9, true),
          matrix(24, 12296, 0, true),
          matrix(24, 70001, 0, true)};
}

std::vector<Problem> model_products(bool distinct_shapes) {
  std::vector<Problem> problems;
  for (const ModelSize& size : model_sizes()) {
    for (const Product which : kProducts) {
      if (distinct_shapes && pass_of(which) == Pass::dgrad) continue;
      const ProductShape s = shape_of(which, size.layer);
      Problem p = product(s.m, s.n, s.k);
      p.size = size.name;
      p.layer = size.layer;
      p.product = which;
      p.name = fmt::format("{}_{}", size.test_name(), name(which));
      problems.push_back(std::move(p));
    }
  }
  return problems;
}

std::vector<Problem> hostile_products() {
  return {product(0, 4, 4), product(4, 0, 4), product(4, 4, 0), product(1, 1, 1), product(3, 5, 7),
          product(1, 257, 130), product(257, 1, 130), product(16, 16, 16), product(17, 33, 65),
          product(127, 129, 63), product(128, 128, 64), product(129, 127, 65, 1),
          product(128, 136, 72, 8), product(255, 257, 1031, 3), product(260, 132, 516, 4),
          product(384, 320, 1088, 16), product(2, 3, 131071), product(1021, 509, 67),
          // Rows at multiples of 16 bytes that no tile divides, with N a multiple of 32, 8 or 1.
          product(1, 544, 160), product(777, 3, 129, 15), product(1021, 509, 80),
          product(511, 1000, 400, 16), product(641, 416, 1040)};
}

std::vector<Problem> attention_products() {
  constexpr std::int64_t kHeadWidth = 128;
  std::vector<Problem> problems;
  for (const ModelSize& size : model_sizes()) {
    const LayerShape& l = size.layer;
    if (l.model % kHeadWidth != 0) continue;
    for (const bool scores : {true, false}) {
      Problem p = scores ? product(l.seq, l.seq, kHeadWidth) : product(l.seq, kHeadWidth, l.seq);
      p.matrices = l.batch * l.model / kHeadWidth;
      p.size = size.name;
      p.layer = l;
      p.name = fmt::format("{}_{}_b{}_{}", size.test_name(), scores ? "scores" : "context",
                           p.matrices, p.name);
      problems.push_back(std::move(p));
    }
  }
  return problems;
}

std::vector<Problem> hostile_batches() {
  const auto batch = [](std::int64_t matrices, Problem p, Batching batching = Batching::stacked) {
    p.matrices = matrices;
    p.batching = batching;
    if (matrices != 1) p.name = fmt::format("b{}_{}", matrices, p.name);
    if (batching == Batching::interleaved) p.name += "_interleaved";
    if (batching == Batching::shared_b) p.name += "_shared_b";
    return p;
  };
  constexpr Batching kInterleaved = Batching::interleaved, kSharedB = Batching::shared_b;
  return {batch(1, product(128, 128, 64)),
          batch(0, product(4, 4, 4)),
          batch(3, product(0, 4, 4)),
          batch(2, product(4, 8, 0)),
          batch(3, product(1, 1, 1)),
          batch(5, product(17, 33, 65)),
          batch(4, product(16, 16, 16)),
          batch(3, product(64, 48, 32), kInterleaved),
          batch(7, product(31, 37, 41, 1), kInterleaved),
          batch(3, product(129, 127, 65, 1)),
          batch(4, product(128, 136, 72, 8), kInterleaved),
          batch(3, product(96, 64, 128), kSharedB),
          batch(3, product(33, 20, 51, 5), kSharedB),
          batch(2, product(260, 132, 516, 4)),
          batch(300, product(12, 8, 20))};
}

std::vector<Problem> concatenate(std::vector<Problem> a, const std::vector<Problem>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace octet::harness
