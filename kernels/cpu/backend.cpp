// The host as a backend: memory, copies, and what it says of itself.
//
// Linux overcommits: it grants memory that it cannot back, and kills the process that touches it.
// Large requests are therefore held against what is left, so that they fail with std::bad_alloc as
// they do on other devices.
#include "octet/backend.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "allocations.hpp"
#include "cpu/parallel.hpp"

namespace octet {
namespace {

constexpr std::size_t kAlignmentBytes = 256;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
/// From here on a request is held against free memory and asks for huge pages.
constexpr std::size_t kLargeRequestBytes = std::size_t{64} << 20;
/// What a thread copies or fills at a time.
constexpr std::int64_t kCopyPieceBytes = std::int64_t{4} << 20;
constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

/// The number after `key` in a file of "key value" lines, or -1.
std::int64_t value_in(const std::filesystem::path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string word;
    std::int64_t value = 0;
    if (words >> word && word == key && words >> value) return value;
  }
  return -1;
}

/// The number that a file holds, or -1: also for a control group's "max".
std::int64_t number_in(const std::filesystem::path& file) {
  std::int64_t value = 0;
  return std::ifstream(file) >> value ? value : -1;
}

struct Memory {
  std::int64_t total_bytes, free_bytes;
};

/// How one version of control groups names its files.
struct ControlGroupFiles {
  const char* root;
  const char* limit;
  const char* usage;
  const char* reclaimable;  // key in memory.stat: file pages that are given up first
};
constexpr ControlGroupFiles kVersion1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                         "memory.usage_in_bytes", "total_inactive_file"};
constexpr ControlGroupFiles kVersion2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                         "inactive_file"};

/// Lowers `memory` to the limits of a group and of all that it lies in. Inside a container the path
/// may be the host's, which does not exist; the walk to the root then finds the container's own.
void bound_by_groups(const ControlGroupFiles& files, std::string path, Memory& memory) {
  for (;;) {
    const std::filesystem::path group = files.root + path;
    const std::int64_t limit = number_in(group / files.limit);
    const std::int64_t usage = number_in(group / files.usage);
    if (limit >= 0 && usage >= 0 && limit < memory.total_bytes) {
      const std::int64_t reclaimable =
          std::max<std::int64_t>(0, value_in(group / "memory.stat", files.reclaimable));
      memory.total_bytes = limit;
      memory.free_bytes = std::clamp<std::int64_t>(limit - usage + reclaimable, 0,
                                                   std::min(limit, memory.free_bytes));
    }
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return;
    path.resize(slash);
  }
}

Memory memory_now() {
  constexpr std::int64_t kKiB = 1024;
  const std::int64_t total = value_in("/proc/meminfo", "MemTotal:");
  const std::int64_t free = value_in("/proc/meminfo", "MemAvailable:");
  Memory memory{total < 0 ? kUnlimited : total * kKiB, free < 0 ? kUnlimited : free * kKiB};

  // Lines are "id:controllers:path"; version 2 has no controllers.
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") bound_by_groups(kVersion2, path, memory);
    if (controllers.find(",memory,") != std::string::npos) bound_by_groups(kVersion1, path, memory);
  }
  return memory;
}

std::string model_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return {};
}

std::int64_t last_level_cache_bytes() {
  const std::filesystem::path root = "/sys/devices/system/cpu/cpu0/cache";
  std::int64_t deepest = 0, bytes = 0;
  for (int index = 0; index < 16; ++index) {
    const std::filesystem::path cache = root / ("index" + std::to_string(index));
    const std::int64_t level = number_in(cache / "level");
    std::int64_t size = 0;
    char unit = 'B';
    if (!(std::ifstream(cache / "size") >> size >> unit) || level < deepest) continue;
    deepest = level;
    bytes = size * (unit == 'K' ? 1 << 10 : unit == 'M' ? 1 << 20 : 1);
  }
  if (bytes == 0) {
    bytes = std::max({0L, sysconf(_SC_LEVEL2_CACHE_SIZE), sysconf(_SC_LEVEL3_CACHE_SIZE)});
  }
  return bytes;
}

/// Outlives every buffer of static storage duration.
Allocations& allocations() {
  static Allocations& all = *new Allocations(Cpu::kName);
  return all;
}

void copy_bytes(void* destination, const void* source, std::size_t bytes) {
  cpu::parallel_for(static_cast<std::int64_t>(bytes), kCopyPieceBytes,
                    [&](std::int64_t begin, std::int64_t end) {
                      std::memcpy(static_cast<std::byte*>(destination) + begin,
                                  static_cast<const std::byte*>(source) + begin,
                                  static_cast<std::size_t>(end - begin));
                    });
}

}  // namespace

bool available(Cpu) noexcept { return true; }

DeviceInfo device_info(Cpu) {
  DeviceInfo info;
  info.name = model_name();
  info.multiprocessors = cpu::hardware_threads();
  info.l2_bytes = last_level_cache_bytes();
  const std::int64_t total = memory_now().total_bytes;
  info.memory_bytes = total == kUnlimited ? 0 : total;
  return info;
}

std::int64_t free_memory(Cpu) { return allocations().within_limit(memory_now().free_bytes); }

MemoryUse memory_use(Cpu) noexcept { return allocations().use(); }
void reset_memory_peak(Cpu) noexcept { allocations().reset_peak(); }
void limit_memory(Cpu, const MemoryLimit& limit) noexcept { allocations().limit(limit); }

void* allocate(Cpu, std::size_t bytes) {
  if (bytes == 0) return nullptr;
  allocations().request(bytes);
  const bool large = bytes >= kLargeRequestBytes;
  if (large && bytes > static_cast<std::uint64_t>(free_memory(Cpu{}))) {
    throw allocations().refusal(bytes);
  }
  // aligned_alloc takes multiples of the alignment; what is near the largest size_t has none.
  const std::size_t alignment = large ? kHugePageBytes : kAlignmentBytes;
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) throw allocations().refusal(bytes);
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* data = std::aligned_alloc(alignment, rounded);
  if (data == nullptr) throw allocations().refusal(bytes);
  try {
    allocations().add(data, bytes);
  } catch (...) {
    std::free(data);
    throw;
  }
  if (large) madvise(data, rounded, MADV_HUGEPAGE);  // advice: nothing is lost when it is refused
  return data;
}

void deallocate(Cpu, void* data) noexcept {
  if (data == nullptr) return;
  allocations().remove(data);  // first: once it is free, another thread may be given it
  std::free(data);
}

void copy_to_host(Cpu, void* host, const void* device, std::size_t bytes) {
  copy_bytes(host, device, bytes);
}

void copy_from_host(Cpu, void* device, const void* host, std::size_t bytes) {
  copy_bytes(device, host, bytes);
}

void copy(Cpu, void* destination, const void* source, std::size_t bytes) {
  copy_bytes(destination, source, bytes);
}

void fill(Cpu, void* device, unsigned char value, std::size_t bytes) {
  cpu::parallel_for(static_cast<std::int64_t>(bytes), kCopyPieceBytes,
                    [&](std::int64_t begin, std::int64_t end) {
                      std::memset(static_cast<std::byte*>(device) + begin, value,
                                  static_cast<std::size_t>(end - begin));
                    });
}

void synchronize(Cpu) {}

}  // namespace octet
