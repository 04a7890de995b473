// Floors are judged inside the case: passed, failed by a stated amount, left open by a wide
// interval.
#include "harness/floors.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>

#include "harness/step_case.hpp"
#include "harness/test_run.hpp"

namespace octet::harness {
namespace {

/// A folder with one thresholds file, for the device "Card A".
class Thresholds {
 public:
  explicit Thresholds(const std::string& content)
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("octet_floors_" +
                 std::string(testing::UnitTest::GetInstance()->current_test_info()->name()))) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "Card_A.json") << content;
  }
  ~Thresholds() { std::filesystem::remove_all(folder_); }
  Thresholds(const Thresholds&) = delete;
  Thresholds& operator=(const Thresholds&) = delete;
  std::string folder() const { return folder_.string(); }

 private:
  std::filesystem::path folder_;
};

std::string file_with(const std::string& metric, double floor, const std::string& state = "burst") {
  return fmt::format(
      R"({{"schema": 1, "device": "Card A", "floors": [
        {{"test": "Cuda/A_f16.Timing/1x1", "metric": "{}", "floor": {}, "state": "{}"}},
        {{"test": "Cuda/A_f16.Timing/2x2", "metric": "ratio", "floor": 100, "state": "burst"}}]}})",
      metric, floor, state);
}

Json interval(double estimate, double low, double high) {
  return to_json(Interval{estimate, low, high, 0.95});
}

Json record_of(const Json& ratio) {
  Json r;
  r["test"] = "Cuda/A_f16.Timing/1x1";
  r["device"] = {{"name", "Card A"}};
  r["time"] = {{"state", "burst"}};
  r["ratio"] = ratio;
  r["rate"] = {{"roofline", interval(0.8, 0.799, 0.801)}};
  r["variants"] = Json::array({{{"name", "int8_kept"}, {"ratio", interval(1.3, 1.299, 1.301)}}});
  r["floors"] = Json::array();
  return r;
}

TEST(Floors, ReachedPasses) {
  const Thresholds file(file_with("ratio", 0.9));
  Json r = record_of(interval(0.95, 0.949, 0.951));
  EXPECT_TRUE(judge_floors(r, {}, file.folder()).passed);
  ASSERT_EQ(r["floors"].size(), 1u);
  EXPECT_EQ(r["floors"][0]["verdict"], "PASSED");
}

TEST(Floors, MissedFailsAndSaysByHowMuch) {
  const Thresholds file(file_with("ratio", 1.0));
  Json r = record_of(interval(0.94, 0.93, 0.95));
  const Check check = judge_floors(r, {}, file.folder());
  EXPECT_FALSE(check.passed);
  EXPECT_EQ(check.status, "FAILED");
  EXPECT_EQ(check.message, "ratio is 0.9400 [0.9300, 0.9500], 5.00 % under its floor of 1.0000");
  EXPECT_EQ(r["floors"][0]["verdict"], "FAILED");
}

TEST(Floors, TheUpperBoundDecides) {
  const Thresholds file(file_with("ratio", 0.95));
  Json touching = record_of(interval(0.945, 0.94, 0.95));
  EXPECT_TRUE(judge_floors(touching, {}, file.folder()).passed);
  Json under = record_of(interval(0.945, 0.94, 0.9499));
  EXPECT_FALSE(judge_floors(under, {}, file.folder()).passed);
}

TEST(Floors, WideIntervalIsInconclusive) {
  const Thresholds file(file_with("ratio", 0.9));
  Json r = record_of(interval(0.95, 0.93, 0.97));
  EXPECT_TRUE(judge_floors(r, {}, file.folder()).passed);
  EXPECT_EQ(r["floors"][0]["verdict"], "INCONCLUSIVE");
}

TEST(Floors, RooflineAndVariantsHaveFloorsToo) {
  for (const char* metric : {"roofline_fraction", "variant_ratio:int8_kept"}) {
    const Thresholds file(file_with(metric, 2.0));
    Json r = record_of(nullptr);
    EXPECT_FALSE(judge_floors(r, {}, file.folder()).passed) << metric;
  }
}

TEST(Floors, AnotherStateIsNotJudged) {
  const Thresholds file(file_with("ratio", 2.0, "steady"));
  Json r = record_of(interval(0.95, 0.949, 0.951));
  EXPECT_TRUE(judge_floors(r, {}, file.folder()).passed);
  EXPECT_TRUE(r["floors"].empty());
}

TEST(Floors, NoFileNoFloors) {
  Json r = record_of(interval(0.95, 0.949, 0.951));
  EXPECT_TRUE(judge_floors(r, {}, "/nonexistent").passed);
}

TEST(Floors, AFileThatIsNoneIsAnError) {
  for (const char* content : {"", "{", "[]", R"({"schema": 2, "device": "Card A", "floors": []})",
                              R"({"schema": 1, "device": "Card B", "floors": []})"}) {
    const Thresholds file(content);
    Json r = record_of(interval(0.95, 0.949, 0.951));
    EXPECT_THROW(judge_floors(r, {}, file.folder()), std::runtime_error) << content;
  }
}

TEST(Floors, AFloorThatWouldBePassedOverIsAnError) {
  const std::string good =
      R"({"test": "Cuda/A_f16.Timing/1x1", "metric": "ratio", "floor": 0.9, "state": "burst"})";
  const auto error_of = [](const std::string& floors) -> std::string {
    const Thresholds file(R"({"schema": 1, "device": "Card A", "floors": [)" + floors + "]}");
    Json r = record_of(interval(0.95, 0.949, 0.951));
    try {
      judge_floors(r, {}, file.folder());
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_EQ(error_of(good), "");
  for (const auto& [floors, mention] : std::initializer_list<std::pair<std::string, std::string>>{
           {with("\"floor\"", "\"flor\""), "Card_A.json: floor 1: the keys must be"},
           {with("}", R"(, "note": 1})"), "floor 1: the keys must be"},
           {with("0.9", "\"0.9\""), "floor 1: the keys must be"},
           {"7", "floor 1: the keys must be"},
           {with("0.9", "0"), "the floor must be above 0"},
           {with("\"ratio\"", "\"speed\""), "metric 'speed' is none of ratio"},
           {with("burst", "idle"), "state 'idle' is none of burst"},
           {good + "," + good, "floor 2: a second floor for Cuda/A_f16.Timing/1x1 ratio (burst)"},
       }) {
    EXPECT_NE(error_of(floors).find(mention), std::string::npos) << floors << error_of(floors);
  }
}

TEST(StepMemory, ASizeThatDoesNotFitIsRefusedBeforeItIsTried) {
  Problem problem;
  problem.name = "huge";
  problem.layer = {2, 512, std::int64_t{1} << 20, std::int64_t{1} << 22};
  try {
    const StepCase<Cpu, f16> step(Cpu{}, problem, StepSetting{}, 0, false);
    FAIL() << "it was tried";
  } catch (const std::runtime_error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("training_step: size huge needs "))
        << error.what();
    EXPECT_NE(std::string(error.what()).find(" bytes of cpu memory, but "), std::string::npos);
  }
}

}  // namespace
}  // namespace octet::harness
