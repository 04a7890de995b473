#include "harness/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace octet::harness {
namespace {

std::vector<double> sorted(std::string_view function, std::span<const double> samples) {
  if (samples.empty()) {
    throw std::invalid_argument(std::string(function) + ": there are no samples");
  }
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!std::isfinite(samples[i])) {
      throw std::invalid_argument(std::string(function) + ": sample " + std::to_string(i) +
                                  " is not finite");
    }
  }
  std::vector<double> copy(samples.begin(), samples.end());
  std::sort(copy.begin(), copy.end());
  return copy;
}

double quantile(const std::vector<double>& ascending, double p) {
  const double position = p * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, ascending.size() - 1);
  const double fraction = position - static_cast<double>(below);
  return ascending[below] + fraction * (ascending[above] - ascending[below]);
}

Interval interval(const std::vector<double>& ascending, double confidence) {
  // In logarithms, since 2^-n underflows for n > 1074.
  const auto n = static_cast<double>(ascending.size());
  const auto probability = [&](double k) {
    return std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) -
                    n * std::log(2.0));
  };
  std::size_t k = 1;
  double tail = probability(0);  // P(Binomial < k)
  while (2 * (k + 1) <= ascending.size()) {
    const double next = tail + probability(static_cast<double>(k));
    if (1 - 2 * next < confidence) break;
    tail = next;
    ++k;
  }
  return {quantile(ascending, 0.5), ascending[k - 1], ascending[ascending.size() - k],
          std::max(0.0, 1 - 2 * tail)};
}

void require_confidence(std::string_view function, double confidence) {
  if (!(confidence > 0 && confidence < 1)) {
    throw std::invalid_argument(std::string(function) + ": confidence is " +
                                std::to_string(confidence) + " but must lie in (0, 1)");
  }
}

}  // namespace

Summary summarize(std::span<const double> samples) {
  const std::vector<double> ascending = sorted("summarize", samples);
  Summary s;
  s.samples = static_cast<std::int64_t>(ascending.size());
  s.median = quantile(ascending, 0.5);
  s.min = ascending.front();
  s.q1 = quantile(ascending, 0.25);
  s.q3 = quantile(ascending, 0.75);
  s.max = ascending.back();
  s.mean = std::accumulate(ascending.begin(), ascending.end(), 0.0) /
           static_cast<double>(ascending.size());
  std::vector<double> deviations(ascending.size());
  std::transform(ascending.begin(), ascending.end(), deviations.begin(),
                 [&](double x) { return std::fabs(x - s.median); });
  std::sort(deviations.begin(), deviations.end());
  s.mad = quantile(deviations, 0.5);
  return s;
}

double drift(std::span<const double> samples) {
  const std::size_t half = samples.size() / 2;
  if (half == 0) {
    sorted("drift", samples);
    return 0;
  }
  const double first = quantile(sorted("drift", samples.first(half)), 0.5);
  const double second = quantile(sorted("drift", samples.last(half)), 0.5);
  return second / first - 1;
}

Interval median_interval(std::span<const double> samples, double confidence) {
  require_confidence("median_interval", confidence);
  return interval(sorted("median_interval", samples), confidence);
}

Interval ratio_interval(std::span<const double> a, std::span<const double> b, double confidence) {
  require_confidence("ratio_interval", confidence);
  if (a.size() != b.size()) {
    throw std::invalid_argument("ratio_interval: " + std::to_string(a.size()) + " samples and " +
                                std::to_string(b.size()) + " samples do not pair");
  }
  std::vector<double> ratios(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) ratios[i] = a[i] / b[i];
  return interval(sorted("ratio_interval", ratios), confidence);
}

}  // namespace octet::harness
