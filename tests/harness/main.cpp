// main() of every test program. Beyond GoogleTest's: bad options end with one sentence and exit
// status 2, so does a filter that matches nothing, --available names the backends that answer, and
// --sizes the sizes of layers. --sizes=BACKEND also refuses the user's own where they do not fit.
#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>
#include <exception>
#include <string_view>

#include "harness/gpu_resources.hpp"
#include "harness/layer_size.hpp"
#include "harness/options.hpp"
#include "harness/record.hpp"
#include "harness/step_memory.hpp"
#include "octet/config.hpp"

namespace {

template <class... Bs>
void print_available(octet::TypeList<Bs...>) {
  ((available(Bs{}) ? std::puts(Bs::kName.data()) : 0), ...);
}

/// own or benchmark, the name that tests begin with, the name, batch, seq, model, hidden.
void print_sizes() {
  for (const octet::harness::ModelSize& size : octet::harness::model_sizes()) {
    const auto& [batch, seq, model, hidden] = size.layer;
    std::printf("%s %s %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n",
                size.is_own ? "own" : "benchmark", size.test_name().c_str(), size.name.c_str(),
                batch, seq, model, hidden);
  }
}

template <class... Bs>
void limit_memory(octet::TypeList<Bs...>) {
  (octet::limit_memory(Bs{}, octet::harness::options().memory_limit), ...);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    // Before GoogleTest makes the cases of every size.
    octet::harness::model_sizes();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  testing::InitGoogleTest(&argc, argv);
  try {
    octet::harness::honour_resource_allocation();
    if (argc == 2 && std::string_view(argv[1]) == "--available") {
      print_available(octet::Backends{});
      return 0;
    }
    constexpr std::string_view kSizes = "--sizes", kSizesOn = "--sizes=";
    if (argc == 2 && (argv[1] == kSizes || std::string_view(argv[1]).starts_with(kSizesOn))) {
      if (argv[1] != kSizes) {
        octet::harness::require_own_sizes_fit(std::string_view(argv[1]).substr(kSizesOn.size()));
      }
      print_sizes();
      return 0;
    }
    if (argc > 1) {
      std::fprintf(stderr,
                   "%s: unknown argument %s; options are GoogleTest's, --available and --sizes\n",
                   argv[0], argv[1]);
      return 2;
    }
    limit_memory(octet::Backends{});
    if (!testing::GTEST_FLAG(list_tests)) octet::harness::require_writable_records();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  const int status = RUN_ALL_TESTS();
  if (testing::UnitTest::GetInstance()->test_to_run_count() == 0 &&
      !testing::GTEST_FLAG(list_tests)) {
    std::fprintf(stderr, "no test matches --gtest_filter=%s\n",
                 testing::GTEST_FLAG(filter).c_str());
    return 2;
  }
  return status;
}
