// A training step in memory that notices damage: what lies between its tensors, and beyond the part
// of the accumulators that a product uses, must never change; what a run writes can be poisoned.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "harness/hash.hpp"
#include "harness/tensor.hpp"
#include "octet/buffer.hpp"
#include "octet/training_step.hpp"

namespace octet::harness {

/// A step and the memory that it works in.
template <class B, class T>
class GuardedStep {
 public:
  GuardedStep(B backend, GemmWorkspace<B> gemm_workspace, const LayerShape& shape, Policy policy,
              const LayerInputs<T>& inputs,
              const std::optional<TransposedCopies<T>>& copies = std::nullopt)
      : backend_(backend),
        memory_(backend, TrainingStep<B, T>::workspace_bytes(shape, policy)),
        step_(backend, std::move(gemm_workspace), shape, policy, inputs,
              reinterpret_cast<std::byte*>(memory_.data()), memory_.size(), copies) {
    fill(backend_, memory_.data(), kInputGuard, static_cast<std::size_t>(memory_.size()));
  }

  TrainingStep<B, T>& operator*() { return step_; }
  TrainingStep<B, T>* operator->() { return &step_; }

  /// Fills everything that a run in this mode writes: results, accumulators, int8 copies and
  /// scales; with kept weights all but theirs.
  void poison(unsigned char byte, WeightMode mode) {
    std::set<const void*> kept;
    for (const Stage<B, T>& stage : step_.stages()) {
      const auto* work = std::get_if<QuantizeStage<T>>(&stage.work);
      if (work == nullptr || !stage.weights || mode != WeightMode::kept) continue;
      kept.insert({work->q_row.data, work->row_scale.data, work->q_col.data, work->col_scale.data});
    }
    for (const auto& [offset, bytes] : step_.extents()) {
      unsigned char* data = memory_.data() + offset;
      if (!kept.contains(data)) fill(backend_, data, byte, static_cast<std::size_t>(bytes));
    }
  }

  /// The accumulators are sized for the largest product: what a smaller one leaves over is a guard.
  void guard_beyond(Matrix<s32> acc) {
    const std::int64_t left = bytes_beyond(acc);
    fill(backend_, acc.data + acc.size(), kInputGuard, static_cast<std::size_t>(left));
  }
  std::optional<std::string> damage_beyond(Matrix<s32> acc) const {
    const auto* begin = reinterpret_cast<const unsigned char*>(acc.data + acc.size());
    const auto at = first_other_byte(backend_, begin, kInputGuard, bytes_beyond(acc));
    if (!at) return std::nullopt;
    return fmt::format("byte {} after the end of {} x {} accumulators was overwritten", *at,
                       acc.rows, acc.cols);
  }

  /// One hash for each result, in the order of kProducts.
  std::vector<std::uint64_t> hashes() const {
    std::vector<std::uint64_t> all;
    for (const Product p : kProducts) {
      all.push_back(hash_in_place(backend_, Matrix<const T>(step_.result(p))));
    }
    return all;
  }

  /// One sentence when something was written between the step's tensors.
  std::optional<std::string> damage() const {
    std::int64_t begin = 0;
    for (const auto& [offset, bytes] : step_.extents()) {
      if (const auto text = damage_between(begin, offset)) return text;
      begin = offset + bytes;
    }
    return damage_between(begin, memory_.size());
  }

 private:
  std::int64_t bytes_beyond(Matrix<s32> acc) const {
    const auto* data = reinterpret_cast<const unsigned char*>(acc.data);
    for (const auto& [offset, bytes] : step_.extents()) {
      if (memory_.data() + offset == data) return bytes - acc.size() * std::int64_t{sizeof(s32)};
    }
    throw std::logic_error("training_step: the accumulators are not in the workspace");
  }

  std::optional<std::string> damage_between(std::int64_t begin, std::int64_t end) const {
    const auto at = first_other_byte(backend_, memory_.data() + begin, kInputGuard, end - begin);
    if (!at) return std::nullopt;
    return fmt::format("byte {} of the step's workspace, which no tensor owns, was overwritten",
                       begin + *at);
  }

  B backend_;
  Buffer<B, unsigned char> memory_;
  TrainingStep<B, T> step_;
};

}  // namespace octet::harness
