// What a backend has allocated: counted, so that peaks are known and leaks show, and limited where
// a test asks for it. One for each backend, which tells it of every block; safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "octet/backend.hpp"

namespace octet {

class Allocations {
 public:
  explicit Allocations(std::string_view backend) : backend_(backend) {}

  /// Counts a request. Throws OutOfMemory where the limit refuses it.
  void request(std::size_t bytes);
  /// What to throw where the backend itself refuses a request.
  OutOfMemory refusal(std::size_t bytes) const;
  /// Takes in a block; where that throws, the block is the caller's to free.
  void add(const void* data, std::size_t bytes);
  void remove(const void* data) noexcept;

  MemoryUse use() const noexcept;
  void reset_peak() noexcept;
  void limit(const MemoryLimit& limit) noexcept;
  /// Bytes that the limit leaves; at most `free_bytes`.
  std::int64_t within_limit(std::int64_t free_bytes) const noexcept;

 private:
  OutOfMemory refusal_now(std::size_t bytes) const;

  std::string_view backend_;
  mutable std::mutex mutex_;
  std::unordered_map<const void*, std::int64_t> blocks_;
  MemoryUse use_;
  MemoryLimit limit_;
};

}  // namespace octet
