// quantize_rows on the CPU: one thread, one row after another. Reads each element twice, writes its
// int8 and a scale for each row.
#include "quantize_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace outside {

void quantize_rows(octet::Cpu, octet::Matrix<const octet::f16> x, octet::Matrix<octet::s8> q,
                   octet::Vector<float> row_scale) {
  if (x.empty()) return;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    float absmax = 0;
    bool finite = true;
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const float magnitude = std::fabs(static_cast<float>(x(i, j)));
      finite = finite && std::isfinite(magnitude);
      absmax = std::max(absmax, magnitude);
    }
    const float quotient = 127.0f / absmax;
    const float multiplier = finite && std::isfinite(quotient) ? quotient : 0.0f;
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const float scaled = std::nearbyint(static_cast<float>(x(i, j)) * multiplier);
      q(i, j) = multiplier == 0 ? octet::s8{0} : static_cast<octet::s8>(scaled);
    }
    row_scale(i) = finite ? (multiplier == 0 ? 0.0f : absmax / 127.0f)
                          : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace outside
