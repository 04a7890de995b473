#include "harness/check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "harness/random.hpp"

namespace octet::harness {
namespace {

constexpr std::array<std::string_view, 4> kSeverity = {"PASSED", "MISTRUSTED", "INVALID", "FAILED"};

std::size_t severity(const Check& check) {
  return static_cast<std::size_t>(std::find(kSeverity.begin(), kSeverity.end(), check.status) -
                                  kSeverity.begin());
}

/// "1 whole row" or "3 whole rows (first 7)"; nothing for none.
std::string wholes(std::string_view noun, const std::vector<std::int64_t>& counts,
                   const std::function<std::int64_t(std::size_t)>& size,
                   const std::function<std::string(std::size_t)>& place) {
  std::size_t first = 0, count = 0;
  for (std::size_t n = 0; n < counts.size(); ++n) {
    if (counts[n] != size(n) || counts[n] == 0) continue;
    if (count++ == 0) first = n;
  }
  if (count == 0) return "";
  if (count == 1) return fmt::format("; the whole {} {}", noun, place(first));
  return fmt::format("; {} whole {}s, the first {}", count, noun, place(first));
}

/// First and last index with a count.
std::pair<std::int64_t, std::int64_t> extent(const std::vector<std::int64_t>& counts) {
  const auto some = [](std::int64_t count) { return count != 0; };
  return {std::find_if(counts.begin(), counts.end(), some) - counts.begin(),
          counts.rend() - std::find_if(counts.rbegin(), counts.rend(), some) - 1};
}

void set_status(Check& check, std::string_view status) {
  check.status = status;
  check.passed = status == "PASSED";
}

}  // namespace

Check merge(std::span<const Check> checks) {
  Check all;
  if (checks.empty()) return all;
  all.exact = true;
  std::vector<std::string_view> kinds;
  for (const Check& c : checks) {
    if (c.kind.empty()) continue;  // nothing was checked
    if (std::find(kinds.begin(), kinds.end(), c.kind) == kinds.end()) {
      kinds.push_back(c.kind);
      all.kind.append(all.kind.empty() ? "" : "+").append(c.kind);
    }
    all.passed = all.passed && c.passed;
    all.exact = all.exact && c.exact;
    all.compared += c.compared;
    all.mismatches += c.mismatches;
    all.max_abs = std::max(all.max_abs, c.max_abs);
    all.max_ulp = std::max(all.max_ulp, c.max_ulp);
    all.rel_frobenius = std::max(all.rel_frobenius, c.rel_frobenius);
    all.worst_row = std::max(all.worst_row, c.worst_row);
    all.worst_col = std::max(all.worst_col, c.worst_col);
    all.cosine = std::min(all.cosine, c.cosine);
    all.bound = std::max(all.bound, c.bound);
    if (severity(c) > severity(all)) all.status = c.status;
    if (c.message.empty()) continue;
    if (!all.message.empty()) all.message += '\n';
    all.message += c.message;
  }
  if (kinds.empty()) return {};
  return all;
}

Check merge(std::initializer_list<Check> checks) {
  return merge(std::span<const Check>(checks.begin(), checks.size()));
}

std::string to_text(s8 x) { return fmt::format("{}", static_cast<int>(x)); }
std::string to_text(s32 x) { return fmt::format("{}", x); }
std::string to_text(f16 x) {
  return fmt::format("{:.5g} (0x{:04x})", static_cast<float>(x), x.bits);
}
std::string to_text(bf16 x) {
  return fmt::format("{:.4g} (0x{:04x})", static_cast<float>(x), x.bits);
}
std::string to_text(float x) {
  return fmt::format("{:.9g} (0x{:08x})", x, std::bit_cast<std::uint32_t>(x));
}
std::string to_text(e4m3 x) {
  return fmt::format("{:.4g} (0x{:02x})", static_cast<float>(x), x.bits);
}

namespace detail {

Differences::Differences(std::int64_t rows, std::int64_t cols)
    : rows(rows),
      cols(cols),
      in_row(static_cast<std::size_t>(rows)),
      in_col(static_cast<std::size_t>(cols)),
      in_tile(static_cast<std::size_t>((rows + kReportTile - 1) / kReportTile * tile_cols())) {}

std::string describe(std::string_view what, const Differences& d,
                     std::pair<std::int64_t, std::int64_t> first,
                     std::pair<std::int64_t, std::int64_t> last, const Neighbourhood& expected,
                     const Neighbourhood& actual) {
  std::int64_t count = 0;
  for (const std::int64_t n : d.in_row) count += n;
  const auto rows = extent(d.in_row), cols = extent(d.in_col);
  std::string text =
      fmt::format("{}: {} of {} x {} elements differ, in rows {} to {} and columns {} to {}", what,
                  count, d.rows, d.cols, rows.first, rows.second, cols.first, cols.second);

  const auto number = [](std::size_t n) { return std::to_string(n); };
  const auto tile_cols = static_cast<std::size_t>(d.tile_cols());
  const auto tile_extent = [](std::int64_t extent, std::size_t tile) {
    return std::min(kReportTile, extent - static_cast<std::int64_t>(tile) * kReportTile);
  };
  const auto tile_name = [&](std::size_t n) {
    return fmt::format("({}, {})", n / tile_cols, n % tile_cols);
  };
  const auto touched =
      std::count_if(d.in_tile.begin(), d.in_tile.end(), [](std::int64_t n) { return n != 0; });
  text +=
      fmt::format(", in {} of {} {}x{} tiles", touched, d.in_tile.size(), kReportTile, kReportTile);
  if (count == d.rows * d.cols) {
    text += "; everything";
  } else {
    if (d.cols > 1) {
      text += wholes(
          "row", d.in_row, [&](std::size_t) { return d.cols; }, number);
    }
    if (d.rows > 1) {
      text += wholes(
          "column", d.in_col, [&](std::size_t) { return d.rows; }, number);
    }
    text += wholes(
        "tile", d.in_tile,
        [&](std::size_t n) {
          return tile_extent(d.rows, n / tile_cols) * tile_extent(d.cols, n % tile_cols);
        },
        tile_name);
  }

  const auto [i, j] = first;
  text += fmt::format(
      "; first at ({}, {}) in tile ({}, {}): expected {}, actual {}; last at ({}, {}): expected "
      "{}, actual {}",
      i, j, i / kReportTile, j / kReportTile, expected(i, j), actual(i, j), last.first, last.second,
      expected(last.first, last.second), actual(last.first, last.second));
  for (const auto& [label, values] :
       {std::pair{"expected", &expected}, std::pair{"actual  ", &actual}}) {
    text += fmt::format("\n  {} around ({}, {}):", label, i, j);
    for (std::int64_t row = std::max<std::int64_t>(0, i - 1); row < std::min(d.rows, i + 2);
         ++row) {
      text += " [";
      for (std::int64_t col = std::max<std::int64_t>(0, j - 1); col < std::min(d.cols, j + 2);
           ++col) {
        text += fmt::format(" {}", (*values)(row, col));
      }
      text += " ]";
    }
  }
  return text;
}

std::string describe_blank(std::string_view what, std::int64_t blank, std::int64_t compared) {
  return fmt::format("{}: {} of {} expected elements are zero or NaN, which proves nothing", what,
                     blank, compared);
}

Check judge_norms(std::string_view what, const NormSums& sums, const Bounds& bounds) {
  const auto rows = static_cast<std::int64_t>(sums.rows.size());
  const auto cols = static_cast<std::int64_t>(sums.cols.size());
  Check check;
  check.kind = "norms";
  check.compared = rows * cols;
  check.bound = bounds.rel_frobenius;
  if (check.compared == 0) return check;
  if (sums.bad_expected) {
    set_status(check, "INVALID");
    check.message = fmt::format("{}: the reference is not finite at ({}, {})", what,
                                sums.bad_expected->first, sums.bad_expected->second);
    return check;
  }
  double error = 0, expected = 0;
  for (const ErrorSums& row : sums.rows) {
    error += row.error;
    expected += row.expected;
  }
  if (expected == 0) {
    set_status(check, "INVALID");
    check.message = fmt::format("{}: the reference is all zero", what);
    return check;
  }
  if (sums.bad_actual) {
    set_status(check, "FAILED");
    check.mismatches = 1;
    check.message = fmt::format("{}: the result is not finite at ({}, {})", what,
                                sums.bad_actual->first, sums.bad_actual->second);
    return check;
  }

  check.max_abs = sums.max_abs;
  check.rel_frobenius = std::sqrt(error / expected);
  check.cosine = sums.actual == 0 ? 0 : sums.cross / std::sqrt(sums.actual) / std::sqrt(expected);
  const auto worst = [&](const std::vector<ErrorSums>& lines) {
    const double floor = kNormFloor * kNormFloor * expected / static_cast<double>(lines.size());
    std::pair<double, std::size_t> found{0, 0};
    for (std::size_t n = 0; n < lines.size(); ++n) {
      const double relative = std::sqrt(lines[n].error / std::max(lines[n].expected, floor));
      if (relative > found.first) found = {relative, n};
    }
    return found;
  };
  const auto [worst_row, row] = worst(sums.rows);
  const auto [worst_col, col] = worst(sums.cols);
  check.worst_row = worst_row;
  check.worst_col = worst_col;

  std::vector<std::string> exceeded;
  if (!(check.rel_frobenius <= bounds.rel_frobenius)) {
    exceeded.push_back(fmt::format("relative Frobenius error {:.4g} is over {:.4g}",
                                   check.rel_frobenius, bounds.rel_frobenius));
    ++check.mismatches;
  }
  if (!(worst_row <= bounds.worst_row)) {
    exceeded.push_back(fmt::format("relative error of row {} is {:.4g}, over {:.4g}", row,
                                   worst_row, bounds.worst_row));
    ++check.mismatches;
  }
  if (!(worst_col <= bounds.worst_col)) {
    exceeded.push_back(fmt::format("relative error of column {} is {:.4g}, over {:.4g}", col,
                                   worst_col, bounds.worst_col));
    ++check.mismatches;
  }
  if (!(check.cosine >= bounds.cosine)) {
    exceeded.push_back(fmt::format("cosine {:.6g} is under {:.6g}", check.cosine, bounds.cosine));
    ++check.mismatches;
  }
  if (exceeded.empty()) return check;
  set_status(check, "FAILED");
  check.message = fmt::format("{}: {}", what, fmt::join(exceeded, "; "));
  return check;
}

Check judge_bounded(std::string_view what, std::span<const Sample> samples, double largest,
                    Zeros zeros) {
  Check check;
  check.kind = "bounded";
  check.compared = static_cast<std::int64_t>(samples.size());
  const Sample* worst = nullptr;
  double worst_excess = -1;
  std::int64_t zero = 0;
  for (const Sample& s : samples) {
    if (!(std::fabs(s.expected.value) <= largest) || !std::isfinite(s.expected.bound)) {
      set_status(check, "INVALID");
      check.message = fmt::format("{}: the reference at ({}, {}) is {}, which the type cannot hold",
                                  what, s.at.i, s.at.j, s.expected.value);
      return check;
    }
    zero += s.expected.value == 0;
    const double difference = std::fabs(s.actual - s.expected.value);
    if (std::isfinite(difference)) check.max_abs = std::max(check.max_abs, difference);
    if (!(difference <= s.expected.bound)) ++check.mismatches;
    // How many times its bound an error is; NaN and Inf are worst of all.
    const double excess = difference == 0              ? 0
                          : !std::isfinite(difference) ? std::numeric_limits<double>::infinity()
                                                       : difference / s.expected.bound;
    if (excess > worst_excess) {
      worst_excess = excess;
      worst = &s;
      check.bound = s.expected.bound;
    }
  }
  if (check.mismatches > 0) {
    set_status(check, "FAILED");
    check.message = fmt::format(
        "{}: {} of {} samples are beyond their bound, the worst at ({}, {}): expected {:.9g} "
        "within "
        "{:.3g}, actual {:.9g}",
        what, check.mismatches, check.compared, worst->at.i, worst->at.j, worst->expected.value,
        worst->expected.bound, worst->actual);
  } else if (zeros == Zeros::mistrusted && check.compared >= 64 &&
             zero * 100 > check.compared * 99) {
    set_status(check, "MISTRUSTED");
    check.message = describe_blank(what, zero, check.compared);
  }
  return check;
}

}  // namespace detail

std::vector<Coordinate> sample_coordinates(std::int64_t rows, std::int64_t cols,
                                           std::uint64_t seed) {
  std::vector<Coordinate> samples;
  if (rows <= 0 || cols <= 0) return samples;
  if (rows <= kCompleteSamples / cols) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) samples.push_back({i, j});
    }
    return samples;
  }
  std::uint64_t draws = 0;
  const auto below = [&](std::int64_t extent) {
    return static_cast<std::int64_t>(word(seed, draws++) % static_cast<std::uint64_t>(extent));
  };
  for (const std::int64_t i : {std::int64_t{0}, rows - 1}) {
    for (const std::int64_t j : {std::int64_t{0}, cols - 1}) samples.push_back({i, j});
  }
  constexpr int kAlongEdge = 16;
  for (int n = 0; n < kAlongEdge; ++n) {
    samples.push_back({0, below(cols)});
    samples.push_back({rows - 1, below(cols)});
    samples.push_back({below(rows), 0});
    samples.push_back({below(rows), cols - 1});
  }
  for (std::int64_t i = 0; i < rows; i += kReportTile) {
    for (std::int64_t j = 0; j < cols; j += kReportTile) {
      const std::int64_t down = below(std::min(kReportTile, rows - i));
      samples.push_back({i + down, j + below(std::min(kReportTile, cols - j))});
    }
  }
  // Row by row, which is kinder to the caches; the same place twice would be counted twice.
  std::sort(samples.begin(), samples.end());
  samples.erase(std::unique(samples.begin(), samples.end()), samples.end());
  return samples;
}

}  // namespace octet::harness
