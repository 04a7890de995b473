// Counts and limits what the backends allocate, and says what was refused.
#include "allocations.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>

namespace octet {

OutOfMemory::OutOfMemory(std::string_view backend, std::uint64_t bytes, std::int64_t held_bytes) {
  // In place: the host's memory may be what is out.
  std::snprintf(text_.data(), text_.size(),
                "out of %.*s memory: %" PRIu64 " bytes were asked for while %" PRId64 " were held",
                static_cast<int>(backend.size()), backend.data(), bytes, held_bytes);
}

OutOfMemory Allocations::refusal_now(std::size_t bytes) const {
  return OutOfMemory(backend_, bytes, use_.bytes);
}

OutOfMemory Allocations::refusal(std::size_t bytes) const {
  const std::scoped_lock lock(mutex_);
  return refusal_now(bytes);
}

void Allocations::request(std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  ++use_.requests;
  if (limit_.request > 0 && --limit_.request == 0) throw refusal_now(bytes);
  const std::int64_t left = std::max<std::int64_t>(0, limit_.bytes - use_.bytes);
  if (bytes > static_cast<std::uint64_t>(left)) throw refusal_now(bytes);
}

void Allocations::add(const void* data, std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  blocks_.emplace(data, static_cast<std::int64_t>(bytes));
  ++use_.blocks;
  use_.bytes += static_cast<std::int64_t>(bytes);
  use_.peak_bytes = std::max(use_.peak_bytes, use_.bytes);
}

void Allocations::remove(const void* data) noexcept {
  const std::scoped_lock lock(mutex_);
  const auto block = blocks_.find(data);
  if (block == blocks_.end()) return;
  use_.bytes -= block->second;
  --use_.blocks;
  blocks_.erase(block);
}

MemoryUse Allocations::use() const noexcept {
  const std::scoped_lock lock(mutex_);
  return use_;
}

void Allocations::reset_peak() noexcept {
  const std::scoped_lock lock(mutex_);
  use_.peak_bytes = use_.bytes;
}

void Allocations::limit(const MemoryLimit& limit) noexcept {
  const std::scoped_lock lock(mutex_);
  limit_ = limit;
}

std::int64_t Allocations::within_limit(std::int64_t free_bytes) const noexcept {
  const std::scoped_lock lock(mutex_);
  return std::min(free_bytes, std::max<std::int64_t>(0, limit_.bytes - use_.bytes));
}

}  // namespace octet
