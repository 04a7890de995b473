#include "preconditions/common.hpp"

#include "octet/layout.hpp"

namespace octet::preconditions {

void view(std::string_view op, std::string_view what, const Extents& m) {
  if (m.rows < 0 || m.cols < 0) {
    reject(op, "{} is {} x {}, but extents cannot be negative", what, m.rows, m.cols);
  }
  if (m.rows == 0 || m.cols == 0) return;
  if (m.data == nullptr) {
    reject(op, "{} is null, but {} x {} elements were expected", what, m.rows, m.cols);
  }
  const bool is_one_line =
      (m.layout == LayoutKind::row && m.rows == 1) || (m.layout == LayoutKind::col && m.cols == 1);
  switch (m.layout) {
    case LayoutKind::row:
    case LayoutKind::col:
      if (const std::int64_t line = m.layout == LayoutKind::row ? m.cols : m.rows;
          m.ld < line && !is_one_line) {
        reject(op, "{} has leading dimension {}, but a {} of it takes {}", what, m.ld,
               m.layout == LayoutKind::row ? "row" : "column", line);
      }
      break;
    case LayoutKind::col32:
    case LayoutKind::col4_4r2_8c:
    case LayoutKind::col32_2r_4r4:
      if (const std::int64_t unit = m.layout == LayoutKind::col32         ? 1
                                    : m.layout == LayoutKind::col4_4r2_8c ? 8
                                                                          : 32;
          m.ld < m.rows || m.ld % unit != 0) {
        reject(op, "{} in {} has panels of {} rows, but needs a multiple of {} that holds {}", what,
               name(m.layout), m.ld, unit, m.rows);
      }
      break;
  }
  if (reinterpret_cast<std::uintptr_t>(m.data) % static_cast<std::uintptr_t>(m.element_bytes) !=
      0) {
    reject(op, "{} is at address {}, but its elements need a multiple of {}", what,
           fmt::ptr(m.data), m.element_bytes);
  }
}

void disjoint(std::string_view op, std::string_view what, const Extents& a, std::string_view other,
              const Extents& b) {
  if (a.capacity == 0 || b.capacity == 0) return;
  const auto begin = [](const Extents& m) { return reinterpret_cast<std::uintptr_t>(m.data); };
  const auto end = [&](const Extents& m) {
    return begin(m) + static_cast<std::uintptr_t>(m.capacity * m.element_bytes);
  };
  if (begin(a) < end(b) && begin(b) < end(a)) {
    reject(op, "{} overlaps {}, but an output needs memory of its own", what, other);
  }
}

}  // namespace octet::preconditions
