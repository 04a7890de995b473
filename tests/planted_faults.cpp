// A case that goes wrong in ways that end a process, for faults_test.py: it runs this program and
// says what must be left of it. No suite of ctest's or the gate's, hence no name in _test.
//
//   PLANTED_FAULT=NAME planted_faults --gtest_filter='Cpu/Planted_f16.MatchesReference/*'
//
// The fault stands in the slot of quantize_rowwise and strikes matrices of 64 rows; others are
// quantized. On the CPU, which has no context to lose, a throw stands for the loss; on CUDA an
// address that nobody owns brings about the real one.
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "harness/operators/quantize.hpp"
#include "harness/suite.hpp"

namespace octet::harness {
namespace {

struct LoseDevice {
  void operator()(Cpu, Matrix<const f16>, Matrix<s8>, Vector<float>) const {
    throw DeviceLost("waiting for the stream: a stand-in for an illegal address");
  }
  void operator()(Cuda backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> scale) const {
    x.data += std::ptrdiff_t{1} << 44;
    quantize_rowwise(backend, x, q, scale);
  }
};

struct Planted {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> scale) {
    constexpr std::int64_t kStruckRows = 64;
    const char* name = std::getenv("PLANTED_FAULT");
    const std::string_view fault = x.rows == kStruckRows && name != nullptr ? name : "";
    if (fault == "loses_device") return LoseDevice{}(backend, x, q, scale);
    if (fault == "never_ends") {
      for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
    }
    if (fault == "takes_host_memory") {
      const std::vector<char> more_than_addresses(std::size_t{1} << 62);
    }
    if (fault == "takes_memory") {
      std::vector<Buffer<B, char>> held;
      for (;;) held.emplace_back(backend, std::int64_t{1} << 30);
    }
    if (fault == "is_killed") std::raise(SIGKILL);
    if (fault == "leaks") static_cast<void>(allocate(backend, 1000));
    if (!fault.empty() && fault != "leaks") {
      throw std::invalid_argument("planted_faults: no fault is named " + std::string(fault));
    }
    quantize_rowwise(backend, x, q, scale);
  }
};

OCTET_KERNEL_SUITE(Planted_f16, QuantizeRowwise, f16, Planted{});

}  // namespace
}  // namespace octet::harness
