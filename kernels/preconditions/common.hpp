// What the checks of every operator share.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "preconditions/preconditions.hpp"

namespace octet::preconditions {

template <class... Args>
[[noreturn]] void reject(std::string_view op, fmt::format_string<Args...> text, Args&&... args) {
  throw std::invalid_argument(
      fmt::format("{}: {}", op, fmt::format(text, std::forward<Args>(args)...)));
}

inline void extent(std::string_view op, std::string_view what, std::int64_t value,
                   std::string_view like, std::int64_t expected) {
  if (value != expected) reject(op, "{} is {} but must equal {}, {}", what, value, like, expected);
}

/// Not negative, not null unless empty, a leading dimension that the layout can have, aligned.
void view(std::string_view op, std::string_view what, const Extents& m);

/// An output and anything else have no byte in common.
void disjoint(std::string_view op, std::string_view what, const Extents& a, std::string_view other,
              const Extents& b);

}  // namespace octet::preconditions
