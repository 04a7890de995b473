// main() of every test program. Beyond GoogleTest's: bad options end with one sentence and exit
// status 2, so does a filter that matches nothing, and --available names the backends that answer.
#include <gtest/gtest.h>

#include <cstdio>
#include <exception>
#include <string_view>

#include "harness/gpu_resources.hpp"
#include "harness/options.hpp"
#include "harness/record.hpp"
#include "octet/config.hpp"

namespace {

template <class... Bs>
void print_available(octet::TypeList<Bs...>) {
  ((available(Bs{}) ? std::puts(Bs::kName.data()) : 0), ...);
}

template <class... Bs>
void limit_memory(octet::TypeList<Bs...>) {
  (octet::limit_memory(Bs{}, octet::harness::options().memory_limit), ...);
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  try {
    octet::harness::honour_resource_allocation();
    if (argc == 2 && std::string_view(argv[1]) == "--available") {
      print_available(octet::Backends{});
      return 0;
    }
    if (argc > 1) {
      std::fprintf(stderr, "%s: unknown argument %s; options are GoogleTest's and --available\n",
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
