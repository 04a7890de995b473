// What a training step is given: seeded tensors of the sizes and magnitudes of a layer.
//
// Or the user's own (own_tensors.hpp), which are taken as they are.
//
// A problem with ld_padding has its activations and gradients as a user may have them: tensors
// [batch, seq, model] with padding after each row and after each sequence, flattened before the
// step runs. Their values are those of the problem without.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include "harness/check.hpp"
#include "harness/own_tensors.hpp"
#include "harness/parallel.hpp"
#include "harness/problem.hpp"
#include "harness/random.hpp"
#include "harness/tensor.hpp"
#include "octet/layer.hpp"
#include "octet/transform.hpp"

namespace octet::harness {

template <class B, class T>
class StepInputs {
 public:
  StepInputs(B backend, Ledger& ledger, const Problem& problem, Distribution distribution,
             bool bias, const LayerTensors* tensors, std::uint64_t seed)
      : backend_(backend),
        ledger_(ledger),
        tensors_(tensors),
        layer_(problem.layer),
        distribution_(distribution),
        padding_(problem.ld_padding),
        seed_(seed) {
    const LayerShape& l = layer_;
    const auto root = [](std::int64_t n) { return 1.0f / std::sqrt(static_cast<float>(n)); };
    constexpr float kGradientScale = 1e-2f, kBiasScale = 0.5f;
    a_ = activations("a", 1.0f);
    w1_ = made("w1", l.hidden, l.model, distribution, root(l.model));
    w2_ = made("w2", l.model, l.hidden, distribution, root(l.hidden));
    grad_ = activations("grad", kGradientScale);
    b1_ = made("b1", 1, bias ? l.hidden : 0, Distribution::gaussian, kBiasScale);
    b2_ = made("b2", 1, bias ? l.model : 0, Distribution::gaussian, kBiasScale);
  }

  LayerInputs<T> views() const {
    return {a_->view(), w1_->view(), w2_->view(), grad_->view(), b1_->vector(), b2_->vector()};
  }

  /// That flattening has moved every value to its place.
  Check verify() const {
    Check check;
    for (const Flattened& f : flattened_) {
      const auto actual = to_host(backend_, Matrix<const T>(f.flat->view()));
      const Source<T> source(distribution_, f.scale, seed_from(f.name, seed_), layer_.model);
      check = merge(
          {check, compare_bits(fmt::format("{} flattened", f.name), actual.view,
                               [&](std::int64_t i, std::int64_t j) { return source(i, j); })});
    }
    return check;
  }

 private:
  using Owned = std::unique_ptr<Tensor<B, T>>;
  struct Flattened {
    std::string_view name;
    float scale;
    const Tensor<B, T>* flat;
  };

  Owned empty(std::string_view name, Role role, std::int64_t rows, std::int64_t cols,
              std::int64_t padding = 0) {
    return std::make_unique<Tensor<B, T>>(backend_, ledger_, std::string(name), role, rows, cols,
                                          padding);
  }

  Owned made(std::string_view name, std::int64_t rows, std::int64_t cols, Distribution distribution,
             float scale) {
    Owned tensor = empty(name, Role::input, rows, cols);
    tensor->fill([&](Matrix<T> host) {
      if (tensors_ != nullptr && !host.empty()) {
        tensors_->read(name, host);
      } else {
        fill(host, distribution, scale, seed_from(name, seed_));
      }
    });
    return tensor;
  }

  /// [batch, seq, model], each sequence followed by a row of its padding's kind.
  Owned activations(std::string_view name, float scale) {
    if (padding_ == 0) return made(name, layer_.tokens(), layer_.model, distribution_, scale);
    const std::int64_t rows = layer_.batch * (layer_.seq + 1);
    strided_.push_back(
        empty(fmt::format("strided {}", name), Role::input, rows, layer_.model, padding_));
    const Tensor<B, T>& strided = *strided_.back();
    const Source<T> source(distribution_, scale, seed_from(name, seed_), layer_.model);
    strided_.back()->fill([&](Matrix<T> host) {
      parallel_for(rows, 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t sequence = i / (layer_.seq + 1), token = i % (layer_.seq + 1);
          T* row = host.data + host.layout(i, 0);
          if (token < layer_.seq) {
            source.fill_row(sequence * layer_.seq + token, 0, layer_.model, row);
          } else {
            std::fill_n(row, layer_.model, T(std::numeric_limits<float>::quiet_NaN()));
          }
        }
      });
    });
    const RowMajor layout = strided.view().layout;
    const Matrix<const T> first(strided.view().data, layer_.seq, layer_.model, layout);
    Owned flat = empty(name, Role::input, layer_.tokens(), layer_.model);
    flatten<T>(backend_, Batch<const T>(first, layer_.batch, (layer_.seq + 1) * layout.ld),
               flat->view());
    synchronize(backend_);
    flat->seal();
    flattened_.push_back({name, scale, flat.get()});
    return flat;
  }

  B backend_;
  Ledger& ledger_;
  const LayerTensors* tensors_;
  LayerShape layer_;
  Distribution distribution_;
  std::int64_t padding_;
  std::uint64_t seed_;
  std::vector<Owned> strided_;
  std::vector<Flattened> flattened_;
  Owned a_, w1_, w2_, grad_, b1_, b2_;
};

}  // namespace octet::harness
