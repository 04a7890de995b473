#include "harness/record.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "harness/line_file.hpp"
#include "harness/options.hpp"

namespace octet::harness {
namespace {

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
Json positive_or_null(std::int64_t value) { return value > 0 ? Json(value) : Json(nullptr); }

/// One line. Bytes of a path that are no UTF-8 are replaced, for JSON has no place for them.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

/// A word for a shell, quoted unless it holds only what no shell takes for its own.
std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:,=@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

/// This program, from the current folder, with the options that it was given: what runs a case
/// again as it was.
std::string this_command() {
  std::string command;
  for (const char* name :
       {"OCTET_SEED", "OCTET_ITERATIONS", "OCTET_WARMUP", "OCTET_DISTRIBUTION", "OCTET_POLICY",
        "OCTET_LAYOUT", "OCTET_OUTLIER_THRESHOLD", "OCTET_OUTLIER_MODE", "OCTET_OUTLIER_SHARE",
        "OCTET_BIAS", "OCTET_GRADIENT_ROUNDING", "OCTET_SIZES", "OCTET_TENSORS"}) {
    if (const char* value = std::getenv(name)) {
      command += fmt::format("{}={} ", name, shell_word(value));
    }
  }
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = std::filesystem::proximate(program, error).string();
  // A name alone would be looked up, and one that begins with a dash be an option.
  return command + shell_word((path.find('/') == std::string::npos ? "./" : "") + path);
}

Json to_json(const Problem& p) {
  Json j;
  const LayerShape& l = p.layer;
  j["size"] = text_or_null(p.size);
  j["batch"] = positive_or_null(l.batch);
  j["seq"] = positive_or_null(l.seq);
  j["model"] = positive_or_null(l.model);
  j["hidden"] = positive_or_null(l.hidden);
  j["product"] = p.product ? Json(octet::name(*p.product)) : Json(nullptr);
  const bool is_matrix = p.k == 0 && !p.product && p.m + p.n > 0;
  const bool is_product = p.k > 0 || p.product;
  j["m"] = is_product ? Json(p.m) : Json(nullptr);
  j["n"] = is_product ? Json(p.n) : Json(nullptr);
  j["k"] = is_product ? Json(p.k) : Json(nullptr);
  j["rows"] = is_matrix ? Json(p.m) : Json(nullptr);
  j["cols"] = is_matrix ? Json(p.n) : Json(nullptr);
  j["ld_padding"] = p.ld_padding;
  if (p.matrices != 1) j["matrices"] = p.matrices;
  return j;
}

}  // namespace

Json new_record(std::string_view backend, std::string_view op, DType dtype, const Problem& problem,
                std::uint64_t seed) {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string test_name =
      test == nullptr ? "" : fmt::format("{}.{}", test->test_suite_name(), test->name());
  Json r;
  r["schema"] = kSchemaVersion;
  r["run"] = run_id();
  r["status"] = "PASSED";
  r["reason"] = nullptr;
  r["test"] = test_name;
  r["rerun"] = fmt::format("{} {}", this_command(), shell_word("--gtest_filter=" + test_name));
  r["seed"] = seed;
  r["backend"] = backend;
  r["operator"] = op;
  r["dtype"] = octet::name(dtype);
  r["layout"] = RowMajor::kName;
  r["problem"] = to_json(problem);
  r["data"] = name(options().distribution);
  for (const char* key : {"policy", "check"}) r[key] = nullptr;
  r["products"] = Json::array();
  r["time"] = nullptr;
  for (const char* key : {"variants", "stages"}) r[key] = Json::array();
  for (const char* key : {"iterations", "warm_up", "output_hash", "plan"}) r[key] = nullptr;
  r["memory"] = {
      {"host_peak_bytes", nullptr}, {"device_peak_bytes", nullptr}, {"predicted_bytes", nullptr}};
  for (const char* key : {"samples_file", "cost", "rate", "baseline", "ratio"}) r[key] = nullptr;
  r["floors"] = Json::array();
  r["device"] = nullptr;
  r["build"] = nullptr;
  r["host"] = host_name();
  r["time_utc"] = utc_now();
  return r;
}

void set_device(Json& record, std::string_view backend, const DeviceInfo& info,
                const DeviceState& state, const std::optional<ProcessIds>& others) {
  std::optional<std::set<unsigned>> busy;
  if (others) busy.emplace(others->begin(), others->end());
  if (const Json& before = record["device"];
      before.is_object() && before.contains("busy") && before["busy"].is_array()) {
    if (!busy) busy.emplace();
    for (const Json& id : before["busy"]) busy->insert(id.get<unsigned>());
  }
  Json d;
  d["name"] = info.name.empty() ? std::string(backend) : info.name;
  d["uuid"] = text_or_null(info.uuid);
  d["compute_capability"] = positive_or_null(info.compute_capability);
  d["multiprocessors"] = positive_or_null(info.multiprocessors);
  d["l2_bytes"] = positive_or_null(info.l2_bytes);
  d["memory_bytes"] = positive_or_null(info.memory_bytes);
  d["driver"] = positive_or_null(info.driver_version);
  d["clock_sm_mhz"] = or_null(state.clock_sm_mhz);
  d["clock_mem_mhz"] = or_null(state.clock_mem_mhz);
  d["power_w"] = or_null(state.power_w);
  d["temperature_c"] = or_null(state.temperature_c);
  d["throttle"] = or_null(state.throttle);
  d["busy"] = or_null(busy);
  record["device"] = d;
}

void set_build(Json& record, const BuildInfo& info) {
  record["build"] = {{"version", info.version},
                     {"git", info.git},
                     {"dirty", info.git.empty() ? Json(nullptr) : Json(info.dirty)},
                     {"cuda", text_or_null(info.cuda)},
                     {"cublaslt", text_or_null(info.cublaslt)},
                     {"compiler", info.compiler},
                     {"flags", info.flags}};
}

Json to_json(const Check& c, bool after_timing) {
  Json j;
  j["kind"] = c.kind;
  j["exact"] = c.exact;
  j["compared"] = c.compared;
  j["mismatches"] = c.mismatches;
  const auto finite = [](double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); };
  j["max_abs"] = finite(c.max_abs);
  j["max_ulp"] = finite(c.max_ulp);
  j["rel_frobenius"] = finite(c.rel_frobenius);
  j["worst_row"] = finite(c.worst_row);
  j["worst_col"] = finite(c.worst_col);
  j["cosine"] = finite(c.cosine);
  j["bound"] = finite(c.bound);
  j["after_timing"] = after_timing;
  return j;
}

Json to_json(const Timing& t) {
  const Summary s = t.summary();
  const Interval median = median_interval(t.samples_us, kConfidence);
  Json j;
  j["mode"] = name(t.mode);
  j["state"] = name(t.state);
  j["samples"] = s.samples;
  j["calls_in_sample"] = t.calls_in_sample;
  j["median_us"] = s.median;
  j["low_us"] = median.low;
  j["high_us"] = median.high;
  j["confidence"] = median.confidence;
  j["mad_us"] = s.mad;
  j["min_us"] = s.min;
  j["q1_us"] = s.q1;
  j["q3_us"] = s.q3;
  j["max_us"] = s.max;
  j["stop"] = name(t.stop);
  j["throttled"] = or_null(t.throttled);
  j["clock_sm_mhz"] = t.clock_mhz.empty() ? Json(nullptr) : Json(summarize(t.clock_mhz).median);
  j["power_w"] = or_null(t.power_w);
  j["joules"] = or_null(t.joules);
  j["drift"] = or_null(t.drift);
  j["stationary"] = or_null(t.stationary);
  return j;
}

Json to_json(const Roofline& r) {
  return {{"gb_per_s", r.gb_per_s},
          {"tops", r.tops},
          {"copy_gb_per_s", or_null(r.copy_gb_per_s)},
          {"peak_tops", or_null(r.peak_tops)},
          {"roofline_fraction", r.fraction ? Json(r.fraction->estimate) : Json(nullptr)},
          {"roofline", r.fraction ? to_json(*r.fraction) : Json(nullptr)},
          {"bound", r.bound.empty() ? Json(nullptr) : Json(r.bound)}};
}

void set_baseline(Json& record, const std::string& name, const std::string& algorithm,
                  const Timing& timing, const Timing& baseline) {
  record["baseline"] = {{"name", name},
                        {"algorithm", text_or_null(algorithm)},
                        {"median_us", baseline.summary().median}};
  record["ratio"] = to_json(ratio_interval(baseline.samples_us, timing.samples_us, kConfidence));
}

void write_samples(Json& record, std::span<const Timing> timings) {
  if (!options().records) return;
  const std::string path = *options().records + ".samples";
  Json line = {{"run", run_id()}, {"test", record["test"]}};
  line["contenders"] = Json::array();
  for (const Timing& t : timings) {
    line["contenders"].push_back({{"samples_us", t.samples_us}, {"clock_mhz", t.clock_mhz}});
  }
  append_line(path, text_of(line));
  record["samples_file"] = path.substr(path.find_last_of('/') + 1);
}

Json to_json(const Interval& ratio) {
  return {{"estimate", ratio.estimate},
          {"low", ratio.low},
          {"high", ratio.high},
          {"confidence", ratio.confidence}};
}

Json to_json(Policy policy) {
  return {
      {"fprop", name(policy.fprop)}, {"dgrad", name(policy.dgrad)}, {"wgrad", name(policy.wgrad)}};
}

std::string hex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

void require_writable_records() {
  if (options().records) require_appendable(*options().records);
}

void write(const Json& record) {
  if (options().records) append_line(*options().records, text_of(record));
}

}  // namespace octet::harness
