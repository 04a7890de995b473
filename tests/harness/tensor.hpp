// Operands and results of a case, in memory that notices damage.
//
// Every tensor lies between two guards of kGuardBytes, and the padding between its rows is guarded
// too. An input's guards and padding read as NaN (or -1), so that a kernel that uses them spoils
// its result; an output is poisoned before it is written, so that what is not written shows.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "harness/hash.hpp"
#include "harness/host_array.hpp"
#include "harness/inspect.hpp"
#include "octet/buffer.hpp"
#include "octet/matrix.hpp"

namespace octet::harness {

inline constexpr std::int64_t kGuardBytes = 256;
inline constexpr unsigned char kInputGuard = 0xff;

/// What lies on the host: the backend's own memory on the CPU, a copy of it otherwise.
template <class T>
struct HostMatrix {
  std::shared_ptr<T[]> storage;  // empty on the CPU
  Matrix<const T> view;
};

template <class B, class T>
HostMatrix<T> to_host(B backend, Matrix<const T> m) {
  if constexpr (std::is_same_v<B, Cpu>) {
    return {nullptr, m};
  } else {
    HostMatrix<T> host;
    host.storage = host_array<T>(m.capacity());
    set_bytes(host.storage.get(), 0, m.capacity() * static_cast<std::int64_t>(sizeof(T)));
    copy_to_host(backend, host.storage.get(), m.data,
                 static_cast<std::size_t>(m.capacity()) * sizeof(T));
    host.view = {host.storage.get(), m.rows, m.cols, m.layout};
    return host;
  }
}

template <class B, class T>
HostMatrix<T> to_host(B backend, Vector<const T> v) {
  return to_host(backend, Matrix<const T>(v.data, 1, v.length));
}

/// hash(m) of what lies in the backend's memory, there where it can be.
template <class B, class T>
std::uint64_t hash_in_place(B backend, Matrix<const T> m) {
  if constexpr (std::is_same_v<B, Cpu>) {
    return hash(m);
  } else {
    const bool packed = m.layout.ld == m.cols && reinterpret_cast<std::uintptr_t>(m.data) % 8 == 0;
    if (!packed) return hash(to_host(backend, m).view);
    return hash_bytes(backend, m.data, static_cast<std::size_t>(m.size()) * sizeof(T));
  }
}

enum class Role { input, output };

/// The tensors of a case: told apart by name, poisoned and inspected together.
class Ledger {
 public:
  struct Entry {
    std::string name;
    Role role;
    std::int64_t bytes;
    std::function<void(unsigned char)> poison;
    std::function<std::optional<std::string>()> damage;
  };

  void add(Entry entry) { entries_.push_back(std::move(entry)); }

  void poison_outputs(unsigned char byte) {
    for (Entry& e : entries_) {
      if (e.role == Role::output) e.poison(byte);
    }
  }
  /// One sentence about the first tensor whose guards, padding or (inputs) content were
  /// overwritten.
  std::optional<std::string> damage() const {
    for (const Entry& e : entries_) {
      if (auto text = e.damage()) return text;
    }
    return std::nullopt;
  }
  std::int64_t bytes() const {
    std::int64_t total = 0;
    for (const Entry& e : entries_) total += e.bytes;
    return total;
  }

 private:
  std::vector<Entry> entries_;
};

/// rows x cols elements with `ld_padding` guarded elements after each row, registered in a ledger.
template <class B, class T>
class Tensor {
 public:
  Tensor(B backend, Ledger& ledger, std::string name, Role role, std::int64_t rows,
         std::int64_t cols, std::int64_t ld_padding = 0)
      : backend_(backend),
        name_(std::move(name)),
        role_(role),
        rows_(rows),
        cols_(cols),
        ld_(cols + ld_padding),
        memory_(backend, 2 * kGuardBytes + data_bytes()),
        guard_(kInputGuard) {
    octet::fill(backend_, memory_.data(), guard_, static_cast<std::size_t>(memory_.size()));
    ledger.add({name_, role_, data_bytes(), [this](unsigned char byte) { poison(byte); },
                [this] { return damage(); }});
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  Matrix<T> view() const {
    return {reinterpret_cast<T*>(memory_.data() + kGuardBytes), rows_, cols_, RowMajor{ld_}};
  }
  Vector<T> vector() const { return {view().data, rows_ * cols_}; }
  HostMatrix<T> host() const { return to_host(backend_, Matrix<const T>(view())); }

  /// Writes an input through `fill`, which gets a host view whose padding it must leave alone.
  template <class F>
  void fill(F&& fill) {
    if constexpr (std::is_same_v<B, Cpu>) {
      fill(view());
      content_ = hash(Matrix<const T>(view()));
    } else {
      const auto count = static_cast<std::size_t>(rows_ * ld_);
      const std::shared_ptr<T[]> host = host_array<T>(rows_ * ld_);
      set_bytes(host.get(), guard_, data_bytes());
      const Matrix<T> written(host.get(), rows_, cols_, RowMajor{ld_});
      fill(written);
      copy_from_host(backend_, view().data, host.get(), count * sizeof(T));
      content_ = hash(Matrix<const T>(written));
    }
  }
  /// What lies in an input now is what must stay; for one that a kernel has made.
  void seal() { content_ = hash(host().view); }

  void poison(unsigned char byte) {
    guard_ = byte;
    octet::fill(backend_, memory_.data(), byte, static_cast<std::size_t>(memory_.size()));
  }

  std::optional<std::string> damage() const {
    // Of rows without padding the guards alone, of padded ones everything comes to the host, once.
    constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
    const bool is_packed = ld_ == cols_;
    const auto bring = [&](std::int64_t begin, std::int64_t bytes) {
      const auto* data = reinterpret_cast<const T*>(memory_.data() + begin);
      return to_host(backend_, Matrix<const T>(data, 1, bytes / kSize));
    };
    const std::int64_t copied = is_packed ? kGuardBytes : memory_.size();
    const std::int64_t behind = memory_.size() - copied;
    const HostMatrix<T> front = bring(0, copied);
    const HostMatrix<T> back = is_packed ? bring(behind, copied) : front;
    const auto first_bad = [&](std::int64_t begin,
                               std::int64_t end) -> std::optional<std::int64_t> {
      const auto* first = reinterpret_cast<const unsigned char*>(front.view.data);
      const auto* last = reinterpret_cast<const unsigned char*>(back.view.data);
      for (std::int64_t i = begin; i < end; ++i) {
        if ((i < copied ? first[i] : last[i - behind]) != guard_) return i;
      }
      return std::nullopt;
    };
    const std::int64_t end = kGuardBytes + data_bytes();
    if (const auto at = first_bad(0, kGuardBytes)) {
      return fmt::format("{} bytes before {} were overwritten", kGuardBytes - *at, name_);
    }
    if (const auto at = first_bad(end, end + kGuardBytes)) {
      return fmt::format("byte {} after the end of {} was overwritten", *at - end, name_);
    }
    for (std::int64_t i = 0; ld_ != cols_ && i < rows_; ++i) {
      const std::int64_t row = kGuardBytes + i * ld_ * kSize;
      if (first_bad(row + cols_ * kSize, row + ld_ * kSize)) {
        return fmt::format("the padding after row {} of {} was overwritten", i, name_);
      }
    }
    if (role_ == Role::output || !content_) return std::nullopt;
    const std::uint64_t content = is_packed
                                      ? hash_in_place(backend_, Matrix<const T>(view()))
                                      : hash(Matrix<const T>(front.view.data + kGuardBytes / kSize,
                                                             rows_, cols_, RowMajor{ld_}));
    if (content != *content_) return fmt::format("the input {} was changed", name_);
    return std::nullopt;
  }

 private:
  std::int64_t data_bytes() const { return rows_ * ld_ * static_cast<std::int64_t>(sizeof(T)); }

  B backend_;
  std::string name_;
  Role role_;
  std::int64_t rows_, cols_, ld_;
  Buffer<B, unsigned char> memory_;
  unsigned char guard_;
  std::optional<std::uint64_t> content_;
};

}  // namespace octet::harness
