// What a workspace on CUDA remembers, and the parts of gemm_s8 that scaled_gemm is made of.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/gemm_cublaslt.hpp"
#include "cuda/gemm_sm90.hpp"
#include "octet/buffer.hpp"
#include "octet/gemm.hpp"

namespace octet {
namespace cuda {
struct ScaledProduct;  // scaled_gemm.cpp
}

template <>
struct GemmWorkspaceState<Cuda> {
  explicit GemmWorkspaceState(Cuda on) : library(on), device(device_info(on)) {}

  cuda::GemmLibrary library;
  DeviceInfo device;
  std::vector<std::shared_ptr<const cuda::Matmul>> plans;
  std::vector<std::shared_ptr<const cuda::ScaledProduct>> scaled_plans;
  std::shared_ptr<Buffer<Cuda, s32>> accumulators;  // of scaled products through the library
  std::array<std::optional<bool>, 5> multiplies{};  // by LayoutKind of b, once it was asked
};

template <>
struct GemmPlanState<Cuda> {
  std::shared_ptr<GemmWorkspaceState<Cuda>> workspace;
  std::shared_ptr<const cuda::Matmul> matmul;
};

namespace cuda {

/// A choice of GemmWorkspace::pinned: "sm90" or "cublaslt", alone or with which of its
/// configurations or algorithms, or "mma". Both parts are empty where nothing is pinned.
struct Pin {
  std::string kernel, how;
};
Pin find_pin(const GemmWorkspace<Cuda>& workspace, const GemmProblem& problem);

/// How gemm_sm90 may run an int8 problem: the configurations worth timing, the one that should be
/// the best first, or the one that is pinned; none where the kernel does not take it.
std::vector<GemmSm90Config> sm90_candidates(const GemmWorkspaceState<Cuda>& workspace,
                                            const GemmProblem& problem, const Pointers& p,
                                            const Pin& pin);
GemmSm90Problem sm90_problem(const GemmProblem& problem, const Pointers& p);

/// Chooses who runs a problem; may time candidates, which overwrite D.
std::shared_ptr<const Matmul> make_matmul(GemmWorkspaceState<Cuda>& workspace,
                                          const GemmProblem& problem, const Pointers& p,
                                          const Pin& pin);
void run(const GemmWorkspaceState<Cuda>& workspace, const Matmul& matmul, cudaStream_t stream,
         const Pointers& p);

}  // namespace cuda
}  // namespace octet
