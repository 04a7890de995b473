// Cases that go wrong in ways that end a process, for faults_test.py: it runs this program and says
// what must be left of it. No suite of ctest's or the gate's, hence no name in _test.
//
// Each stands in the slot of quantize_rowwise. On the CPU, which has no context to lose, a throw
// stands for the loss; on CUDA an address that nobody owns brings about the real one.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <vector>

#include "harness/operators/quantize.hpp"
#include "harness/suite.hpp"

namespace octet::harness {
namespace {

template <class T>
Matrix<const T> astray(Matrix<const T> x) {
  x.data += std::ptrdiff_t{1} << 44;
  return x;
}

struct LosesTheDevice {
  void operator()(Cpu, Matrix<const f16>, Matrix<s8>, Vector<float>) {
    throw DeviceLost("waiting for the stream: a stand-in for an illegal address");
  }
  void operator()(Cuda backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> scale) {
    quantize_rowwise(backend, astray(x), q, scale);
  }
};

struct NeverEnds {
  template <class B>
  void operator()(B, Matrix<const f16>, Matrix<s8>, Vector<float>) {
    for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
  }
};

struct TakesAllHostMemory {
  template <class B>
  void operator()(B, Matrix<const f16>, Matrix<s8>, Vector<float>) {
    std::vector<std::vector<char>> held;
    for (;;) held.emplace_back(std::size_t{1} << 40);
  }
};

/// Asks for more of the backend's memory until there is none.
struct TakesAllMemory {
  template <class B>
  void operator()(B backend, Matrix<const f16>, Matrix<s8>, Vector<float>) {
    std::vector<Buffer<B, char>> held;
    for (;;) held.emplace_back(backend, std::int64_t{1} << 30);
  }
};

struct Leaks {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> scale) {
    static_cast<void>(allocate(backend, 1000));
    quantize_rowwise(backend, x, q, scale);
  }
};

struct IsKilled {
  template <class B>
  void operator()(B, Matrix<const f16>, Matrix<s8>, Vector<float>) {
    std::raise(SIGKILL);
  }
};

OCTET_KERNEL_SUITE(Faults1Sound_f16, QuantizeRowwise, f16, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(Faults2LosesTheDevice_f16, QuantizeRowwise, f16, LosesTheDevice{});
OCTET_KERNEL_SUITE(Faults2NeverEnds_f16, QuantizeRowwise, f16, NeverEnds{});
OCTET_KERNEL_SUITE(Faults2TakesAllHostMemory_f16, QuantizeRowwise, f16, TakesAllHostMemory{});
OCTET_KERNEL_SUITE(Faults2TakesAllMemory_f16, QuantizeRowwise, f16, TakesAllMemory{});
OCTET_KERNEL_SUITE(Faults2Leaks_f16, QuantizeRowwise, f16, Leaks{});
OCTET_KERNEL_SUITE(Faults2IsKilled_f16, QuantizeRowwise, f16, IsKilled{});
OCTET_KERNEL_SUITE(Faults3Sound_f16, QuantizeRowwise, f16, OCTET_FN(quantize_rowwise));

}  // namespace
}  // namespace octet::harness
