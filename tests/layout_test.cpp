// Layouts alone: golden offsets, one place for each coordinate, and exactly the padding that each
// order is documented to have.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "octet/layout.hpp"
#include "octet/matrix.hpp"

namespace octet {
namespace {

struct Golden {
  std::int64_t i, j, offset;
};

template <class L>
void expect_golden(std::int64_t rows, std::int64_t cols, const std::vector<Golden>& golden) {
  const L layout = L::packed(rows, cols);
  for (const auto& [i, j, offset] : golden) {
    EXPECT_EQ(layout(i, j), offset) << L::kName << " at (" << i << ", " << j << ")";
  }
}

TEST(Layout, GoldenOffsets) {
  expect_golden<RowMajor>(3, 5, {{0, 0, 0}, {0, 4, 4}, {1, 0, 5}, {2, 4, 14}});
  expect_golden<ColMajor>(3, 5, {{0, 0, 0}, {0, 4, 12}, {1, 0, 1}, {2, 4, 14}});
  expect_golden<Col32>(10, 64, {{1, 0, 32}, {9, 31, 319}, {0, 32, 320}, {3, 40, 424}});
  expect_golden<Col4_4R2_8C>(16, 64,
                             {{0, 4, 16},
                              {1, 0, 128},
                              {2, 0, 4},
                              {3, 5, 149},
                              {7, 31, 255},
                              {8, 0, 256},
                              {0, 32, 512},
                              {15, 63, 1023}});
  expect_golden<Col32_2R_4R4>(64, 64,
                              {{1, 0, 32},
                               {2, 0, 256},
                               {8, 0, 64},
                               {9, 1, 97},
                               {31, 31, 1023},
                               {32, 0, 1024},
                               {0, 32, 2048},
                               {17, 5, 165}});
}

TEST(Layout, Names) {
  EXPECT_EQ(RowMajor::kName, "row");
  EXPECT_EQ(ColMajor::kName, "col");
  EXPECT_EQ(Col32::kName, "col32");
  EXPECT_EQ(Col4_4R2_8C::kName, "col4_4r2_8c");
  EXPECT_EQ(Col32_2R_4R4::kName, "col32_2r_4r4");
}

constexpr std::int64_t kHostile[] = {1, 2, 3, 7, 8, 9, 16, 31, 32, 33, 63, 64, 65, 97, 128, 131};

std::int64_t round_up(std::int64_t x, std::int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

/// Each coordinate has a place of its own in [0, capacity), and padding is what is left.
template <class L>
void expect_injective(L layout, std::int64_t rows, std::int64_t cols, std::int64_t allocated) {
  SCOPED_TRACE(std::string(L::kName) + " " + std::to_string(rows) + "x" + std::to_string(cols));
  const std::int64_t capacity = layout.capacity(rows, cols);
  ASSERT_EQ(capacity, allocated);
  std::vector<char> taken(static_cast<std::size_t>(capacity));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const std::int64_t offset = layout(i, j);
      ASSERT_GE(offset, 0);
      ASSERT_LT(offset, capacity);
      ASSERT_EQ(taken[static_cast<std::size_t>(offset)]++, 0) << "(" << i << ", " << j << ")";
    }
  }
  EXPECT_EQ(std::count(taken.begin(), taken.end(), 0), allocated - rows * cols);
}

TEST(Layout, InjectiveWithinCapacity) {
  for (const std::int64_t r : kHostile) {
    for (const std::int64_t c : kHostile) {
      expect_injective(RowMajor::packed(r, c), r, c, r * c);
      expect_injective(ColMajor::packed(r, c), r, c, r * c);
      expect_injective(RowMajor{c + 5}, r, c, r * (c + 5) - 5);
      expect_injective(ColMajor{r + 3}, r, c, c * (r + 3) - 3);
      expect_injective(Col32::packed(r, c), r, c, r * round_up(c, 32));
      expect_injective(Col4_4R2_8C::packed(r, c), r, c, round_up(r, 8) * round_up(c, 32));
      expect_injective(Col32_2R_4R4::packed(r, c), r, c, round_up(r, 32) * round_up(c, 32));
    }
  }
}

/// Panels longer than the matrix, as a view into a larger one has them.
TEST(Layout, PanelsMayBeLonger) {
  for (const std::int64_t r : kHostile) {
    for (const std::int64_t c : kHostile) {
      const std::int64_t panels = round_up(c, 32);
      expect_injective(Col32{r + 5}, r, c, (r + 5) * panels);
      expect_injective(Col4_4R2_8C{round_up(r, 8) + 8}, r, c, (round_up(r, 8) + 8) * panels);
      expect_injective(Col32_2R_4R4{round_up(r, 32) + 32}, r, c, (round_up(r, 32) + 32) * panels);
    }
  }
}

struct Place {
  std::int64_t i, j;
};

// What lies at an offset, derived from how the orders are drawn, place by place, not by solving
// their formulas.
Place inverse(Col32 l, std::int64_t offset) {
  const std::int64_t panel = 32 * l.rows;
  return {offset % panel / 32, offset / panel * 32 + offset % 32};
}
/// A tile holds its even rows before its odd ones, each half in groups of four columns.
Place inverse(Col4_4R2_8C l, std::int64_t offset) {
  const std::int64_t panel = 32 * l.padded_rows, in_tile = offset % 256;
  const std::int64_t odd = in_tile / 128, group = in_tile % 128 / 16, pair = in_tile % 16 / 4;
  return {offset % panel / 256 * 8 + 2 * pair + odd, offset / panel * 32 + 4 * group + offset % 4};
}
/// Lines of 32 columns: rows 0 1 8 9 16 17 24 25, then 2 3 10 11 and so on.
Place inverse(Col32_2R_4R4 l, std::int64_t offset) {
  const std::int64_t panel = 32 * l.padded_rows, line = offset % 1024 / 32;
  const std::int64_t first_of_eight = line % 8 / 2 * 8, pair = line / 8;
  return {offset % panel / 1024 * 32 + first_of_eight + 2 * pair + line % 2,
          offset / panel * 32 + offset % 32};
}

template <class L>
void expect_inverse(std::int64_t rows, std::int64_t cols) {
  const L layout = L::packed(rows, cols);
  for (std::int64_t offset = 0; offset < layout.capacity(rows, cols); ++offset) {
    const Place place = inverse(layout, offset);
    ASSERT_EQ(layout(place.i, place.j), offset) << L::kName << ' ' << rows << 'x' << cols;
  }
}

/// Every place of the memory, padding included, belongs to one coordinate of the padded matrix.
TEST(Layout, InversesLeadBack) {
  for (const std::int64_t r : kHostile) {
    for (const std::int64_t c : kHostile) {
      expect_inverse<Col32>(r, c);
      expect_inverse<Col4_4R2_8C>(r, c);
      expect_inverse<Col32_2R_4R4>(r, c);
    }
  }
}

TEST(Layout, PreferredByComputeCapability) {
  for (const int capability : {0, 60, 61, 70, 72, 90, 100, 103, 120}) {
    EXPECT_EQ(preferred_layout(capability), LayoutKind::row) << capability;
  }
  EXPECT_EQ(preferred_layout(75), LayoutKind::col4_4r2_8c);
  for (const int capability : {80, 86, 87, 89}) {
    EXPECT_EQ(preferred_layout(capability), LayoutKind::col32_2r_4r4) << capability;
  }
}

TEST(Layout, KindsAndNamesAgree) {
  EXPECT_EQ(name(kLayout<RowMajor>), RowMajor::kName);
  EXPECT_EQ(name(kLayout<ColMajor>), ColMajor::kName);
  EXPECT_EQ(name(kLayout<Col32>), Col32::kName);
  EXPECT_EQ(name(kLayout<Col4_4R2_8C>), Col4_4R2_8C::kName);
  EXPECT_EQ(name(kLayout<Col32_2R_4R4>), Col32_2R_4R4::kName);
}

TEST(Layout, NothingIsAllocatedForNothing) {
  EXPECT_EQ(RowMajor::packed(0, 5).capacity(0, 5), 0);
  EXPECT_EQ(RowMajor::packed(5, 0).capacity(5, 0), 0);
  EXPECT_EQ(ColMajor::packed(0, 5).capacity(0, 5), 0);
  EXPECT_EQ(ColMajor::packed(5, 0).capacity(5, 0), 0);
  EXPECT_EQ(Col32::packed(0, 5).capacity(0, 5), 0);
  EXPECT_EQ(Col32::packed(5, 0).capacity(5, 0), 0);
  EXPECT_EQ(Col4_4R2_8C::packed(0, 5).capacity(0, 5), 0);
  EXPECT_EQ(Col4_4R2_8C::packed(5, 0).capacity(5, 0), 0);
  EXPECT_EQ(Col32_2R_4R4::packed(0, 5).capacity(0, 5), 0);
  EXPECT_EQ(Col32_2R_4R4::packed(5, 0).capacity(5, 0), 0);
}

/// Inside one tile each order is a permutation, so a panel of full tiles has no gap either.
TEST(Layout, FullTilesHaveNoPadding) {
  expect_injective(Col4_4R2_8C::packed(8, 32), 8, 32, 256);
  expect_injective(Col32_2R_4R4::packed(32, 32), 32, 32, 1024);
}

TEST(Layout, ColMajorIsTheTransposeInRowMajor) {
  for (const std::int64_t r : kHostile) {
    for (const std::int64_t c : kHostile) {
      for (const std::int64_t padding : {0, 4}) {
        const ColMajor col{r + padding};
        const RowMajor row{r + padding};
        ASSERT_EQ(col.capacity(r, c), row.capacity(c, r));
        for (std::int64_t i = 0; i < r; ++i) {
          for (std::int64_t j = 0; j < c; ++j) ASSERT_EQ(col(i, j), row(j, i));
        }
      }
    }
  }
}

TEST(Layout, TransposedViewsReadTheSameElements) {
  std::vector<int> data(4 * 9);
  for (std::size_t n = 0; n < data.size(); ++n) data[n] = static_cast<int>(n);
  const Matrix<int> m(data.data(), 4, 7, RowMajor{9});
  const auto t = transposed(m);
  const auto back = transposed(t);
  EXPECT_EQ(t.rows, 7);
  EXPECT_EQ(t.cols, 4);
  EXPECT_EQ(back.layout.ld, 9);
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < m.cols; ++j) {
      ASSERT_EQ(&m(i, j), &t(j, i));
      ASSERT_EQ(&m(i, j), &back(i, j));
    }
  }
}

TEST(Layout, OffsetsAre64BitsWide) {
  constexpr std::int64_t kRows = 70'000, kCols = 65'536;  // 4.6e9 elements
  constexpr std::int64_t kLast = kRows * kCols - 1;
  EXPECT_EQ(RowMajor::packed(kRows, kCols)(kRows - 1, kCols - 1), kLast);
  EXPECT_EQ(ColMajor::packed(kRows, kCols)(kRows - 1, kCols - 1), kLast);
  EXPECT_EQ(Col32::packed(kRows, kCols)(kRows - 1, kCols - 1), kLast);
  EXPECT_EQ(Col4_4R2_8C::packed(kRows, kCols)(kRows - 1, kCols - 1), kLast);
  EXPECT_EQ(Col32_2R_4R4::packed(kRows, kCols).capacity(kRows, kCols), round_up(kRows, 32) * kCols);
}

}  // namespace
}  // namespace octet
