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
              const StepOptions& options, const LayerInputs<T>& inputs,
              const std::optional<TransposedCopies<T>>& copies = std::nullopt)
      : backend_(backend),
        memory_(backend, TrainingStep<B, T>::workspace_bytes(shape, policy, options)),
        step_(backend, std::move(gemm_workspace), shape, policy, options, inputs,
              reinterpret_cast<std::byte*>(memory_.data()), memory_.size(), copies) {
    fill(backend_, memory_.data(), kInputGuard, static_cast<std::size_t>(memory_.size()));
  }

  TrainingStep<B, T>& operator*() { return step_; }
  TrainingStep<B, T>* operator->() { return &step_; }

  /// Fills everything that a run in this mode writes: results, accumulators, int8 copies in every
  /// layout, scales, lists; with kept weights all but theirs.
  void poison(unsigned char byte, WeightMode mode) {
    std::set<const void*> kept;
    for (const Stage<B, T>& stage : step_.stages()) {
      if (!stage.weights || mode != WeightMode::kept) continue;
      std::visit(
          [&](const auto& work) {
            if constexpr (requires { work.q_row; }) {
              kept.insert(
                  {work.q_row.data, work.row_scale.data, work.q_col.data, work.col_scale.data});
            } else if constexpr (requires { work.y; }) {
              kept.insert(work.y.data);
            }
          },
          stage.work);
    }
    for (const auto& [offset, bytes] : step_.extents()) {
      unsigned char* data = memory_.data() + offset;
      if (!kept.contains(data)) fill(backend_, data, byte, static_cast<std::size_t>(bytes));
    }
  }

  /// The accumulators are sized for the largest product: what a smaller one leaves over is a guard.
  template <class L>
  void guard_beyond(Matrix<s32, L> acc) {
    const std::int64_t left = bytes_beyond(acc);
    fill(backend_, acc.data + acc.capacity(), kInputGuard, static_cast<std::size_t>(left));
  }
  template <class L>
  std::optional<std::string> damage_beyond(Matrix<s32, L> acc) const {
    const auto* begin = reinterpret_cast<const unsigned char*>(acc.data + acc.capacity());
    const auto at = first_other_byte(backend_, begin, kInputGuard, bytes_beyond(acc));
    if (!at) return std::nullopt;
    return fmt::format("byte {} after the end of {} x {} accumulators was overwritten", *at,
                       acc.rows, acc.cols);
  }

  /// One hash for each result, in the order of result_names().
  std::vector<std::uint64_t> hashes() const {
    std::vector<std::uint64_t> all;
    for (const Product p : kProducts) {
      all.push_back(hash_in_place(backend_, Matrix<const T>(step_.result(p))));
    }
    if (step_.options().bias) {
      for (const Vector<T> sum : {step_.grad_b1(), step_.grad_b2()}) {
        all.push_back(hash(to_host(backend_, Vector<const T>(sum)).view));
      }
    }
    return all;
  }
  /// The products, and with a bias the gradients of both.
  std::vector<std::string> result_names() const {
    std::vector<std::string> all;
    for (const Product p : kProducts) all.emplace_back(name(p));
    if (step_.options().bias) all.insert(all.end(), {"grad_b1", "grad_b2"});
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
  template <class L>
  std::int64_t bytes_beyond(Matrix<s32, L> acc) const {
    const auto* data = reinterpret_cast<const unsigned char*>(acc.data);
    for (const auto& [offset, bytes] : step_.extents()) {
      if (memory_.data() + offset == data) {
        return bytes - acc.capacity() * std::int64_t{sizeof(s32)};
      }
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
