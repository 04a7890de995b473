#include "harness/environment.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "octet/config.hpp"
#include "octet_revision.hpp"

namespace octet::harness {

DeviceState device_state(Cpu) { return {}; }

std::optional<ProcessIds> other_processes(Cpu) { return std::nullopt; }
void watch_processes(Cpu) {}

BuildInfo build_info() {
  BuildInfo info;
  info.version = kVersion;
  info.git = OCTET_GIT_REVISION;
  info.dirty = OCTET_GIT_DIRTY;
  info.compiler = OCTET_COMPILER;
  info.flags = OCTET_FLAGS;
  return info;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::string utc_now() {
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ}",
      fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

const std::string& run_id() {
  static const std::string id =
      fmt::format("{:x}-{}", std::chrono::system_clock::now().time_since_epoch().count(), getpid());
  return id;
}

std::int64_t host_peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace octet::harness
