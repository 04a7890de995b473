// Graph<Cuda>: a stream's work, captured once and instantiated.
#include "octet/graph.hpp"

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <type_traits>

#include "cuda/error.hpp"

namespace octet {
namespace {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using GraphHandle = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;

}  // namespace

Graph<Cuda>::Graph(Cuda backend, const std::function<void()>& work) : backend_(backend) {
  if (backend.stream == nullptr || backend.stream == cudaStreamLegacy) {
    throw std::invalid_argument(
        "graph: the default stream cannot be captured; use the backend of a CudaStream");
  }
  // Thread-local: what other threads do meanwhile does not break this capture.
  cuda::check(cudaStreamBeginCapture(backend.stream, cudaStreamCaptureModeThreadLocal),
              "starting to capture a stream");
  cudaGraph_t captured = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(backend.stream, &captured);
    if (captured != nullptr) cudaGraphDestroy(captured);
    static_cast<void>(cudaGetLastError());
    throw;
  }
  const cudaError_t ended = cudaStreamEndCapture(backend.stream, &captured);
  const GraphHandle graph(captured);
  cuda::check(ended, "capturing a stream");

  cudaGraphExec_t executable = nullptr;
  // Each kernel keeps the priority of the stream that it was captured from.
  cuda::check(
      cudaGraphInstantiate(&executable, graph.get(), cudaGraphInstantiateFlagUseNodePriority),
      "instantiating a graph");
  executable_ = std::shared_ptr<void>(
      executable, [](void* e) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(e)); });
}

void Graph<Cuda>::launch() const {
  cuda::check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_.get()), backend_.stream),
              "launching a graph");
}

}  // namespace octet
