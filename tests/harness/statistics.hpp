// Order statistics of timing samples. Nothing here assumes a distribution: launches are skewed.
//
// Errors: std::invalid_argument that names the function, for no samples, a sample that is not
// finite, a confidence outside (0, 1), or paired samples that do not pair.
#pragma once

#include <cstdint>
#include <span>

namespace octet::harness {

struct Summary {
  std::int64_t samples = 0;
  double median = 0;
  double mad = 0;  // median of |sample - median|, not scaled to a standard deviation
  double min = 0;
  double q1 = 0, q3 = 0;  // linear between the neighbouring order statistics
  double max = 0;
  double mean = 0;
};
Summary summarize(std::span<const double> samples);

/// How much longer the second half of the samples, in the order in which they were taken, took than
/// the first: the ratio of their medians minus 1. Of an odd number the middle one is left out; one
/// sample has no drift.
double drift(std::span<const double> samples);

/// [low, high] covers the true median with probability `confidence`, the coverage attained. It is
/// under the coverage asked for only where the samples are too few for that; then it is [min, max].
struct Interval {
  double estimate = 0, low = 0, high = 0, confidence = 0;

  /// Relative to the estimate.
  double half_width() const { return (high - low) / 2 / estimate; }
};

/// The k-th smallest and k-th largest sample, with the largest k whose coverage,
/// 1 - 2 P(Binomial(n, 1/2) < k), is at least `confidence`.
Interval median_interval(std::span<const double> samples, double confidence);

/// The same for a[i] / b[i] of samples that were taken in pairs.
Interval ratio_interval(std::span<const double> a, std::span<const double> b, double confidence);

}  // namespace octet::harness
