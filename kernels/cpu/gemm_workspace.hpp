// What products on the CPU share: memory that grows with the largest problem planned.
#pragma once

#include <cstdint>
#include <memory>

#include "octet/buffer.hpp"
#include "octet/gemm.hpp"

namespace octet {

/// The panels of the BLAS, and the accumulators of scaled_gemm. A plan has nothing to remember but
/// their place: its tiles follow from the problem.
template <>
struct GemmWorkspaceState<Cpu> {
  Buffer<Cpu, float> panels;
  Buffer<Cpu, s32> accumulators;

  void reserve(std::int64_t floats) {
    if (panels.size() < floats) panels = Buffer<Cpu, float>(Cpu{}, floats);
  }
  void reserve_accumulators(std::int64_t count) {
    if (accumulators.size() < count) accumulators = Buffer<Cpu, s32>(Cpu{}, count);
  }
};

template <>
struct GemmPlanState<Cpu> {
  std::shared_ptr<GemmWorkspaceState<Cpu>> workspace;
};

}  // namespace octet
