// Sizes and tensors of the user's: what is right is read, and everything else is refused with one
// sentence. A safetensors file is made here byte by byte and broken on purpose.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/layer_size.hpp"
#include "harness/own_tensors.hpp"
#include "harness/problem.hpp"
#include "harness/safetensors.hpp"

namespace octet::harness {
namespace {

/// What f() throws, or nothing.
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

// ---- sizes ----

std::string size_refusal(const std::string& text) {
  const std::vector<ModelSize> existing = {{"4k", {2, 512, 4096, 12288}}};
  return refusal([&] { parse_sizes("OCTET_SIZES", text, existing); });
}

TEST(Sizes, AreReadInAnyOrderAndFromPresets) {
  const auto sizes = parse_sizes(
      "OCTET_SIZES",
      "hidden=11,model=7,seq=5,batch=3,name=mine.a-b;llama-2-7b;llama-2-7b,name=long,seq=4096", {});
  ASSERT_EQ(sizes.size(), 3u);
  EXPECT_EQ(sizes[0].name, "mine.a-b");
  EXPECT_EQ(sizes[0].test_name(), "mine_a_b");
  EXPECT_EQ(sizes[0].layer.batch, 3);
  EXPECT_EQ(sizes[0].layer.seq, 5);
  EXPECT_EQ(sizes[0].layer.model, 7);
  EXPECT_EQ(sizes[0].layer.hidden, 11);
  EXPECT_TRUE(sizes[0].is_own);
  EXPECT_EQ(sizes[1].name, "llama-2-7b");
  EXPECT_EQ(sizes[1].layer.hidden, 11008);
  EXPECT_EQ(sizes[2].name, "long");
  EXPECT_EQ(sizes[2].layer.seq, 4096);
}

TEST(Sizes, OfNoUserAreTheBenchmarks) {
  const auto& sizes = model_sizes();
  ASSERT_GE(sizes.size(), 3u);
  EXPECT_EQ(sizes[2].name, "12k");
  EXPECT_FALSE(sizes[2].is_own);
}

TEST(Sizes, TheLargestExtentsAreTaken) {
  EXPECT_EQ(size_refusal("name=a,batch=1,seq=131071,model=131071,hidden=131071"), "");
  EXPECT_EQ(size_refusal("name=abcdefghijklmnopqrstuvwx,batch=1,seq=1,model=1,hidden=1"), "");
}

TEST(Sizes, WhatCannotBeIsRefusedInOneSentence) {
  const std::string rest = ",batch=2,seq=3,model=4,hidden=5";
  const std::pair<std::string, std::string> refused[] = {
      {"", "OCTET_SIZES '': give KEY=VALUE for name, batch, seq, model and hidden or one of "},
      {"name=a,batch=0,seq=3,model=4,hidden=5",
       "batch is '0' but must be a whole number from 1 to 131071"},
      {"name=a,batch=1,seq=3,model=4,hidden=1000000000", "hidden is '1000000000' but must be"},
      {"name=a,batch=1,seq=3,model=99999999999999999999,hidden=1", "but must be a whole number"},
      {"name=a,batch=1,seq=3,model=4x,hidden=1", "model is '4x' but must be a whole number"},
      {"name=a,batch=+1,seq=3,model=4,hidden=1", "batch is '+1' but must be a whole number"},
      {"name=a,batch=,seq=3,model=4,hidden=1", "batch is '' but must be a whole number"},
      {"name=a,batch=400,seq=1000,model=4,hidden=1", "batch * seq is 400000 but may be at most"},
      {"name=a,batch=2,seq=3,model=4",
       "hidden is missing: give name, batch, seq, model and hidden"},
      {"batch=2,seq=3,model=4,hidden=5", "name is missing: give name, batch"},
      {"name=a,heads=9" + rest, "unknown key 'heads': the keys are name, batch, seq, model and"},
      {"name=a,seq=3" + rest, "seq is given twice"},
      {"name=a b" + rest, "name is 'a b' but must be letters, digits"},
      {"name=$(reboot)" + rest, "name is '$(reboot)' but must be"},
      {"name=a'b" + rest, "name is 'a'b' but must be"},
      {"name=abcdefghijklmnopqrstuvwxy" + rest, "at most 24"},
      {"name=" + rest, "name is '' but must be"},
      {"name=2x64x128x256" + rest, "one of them a letter other than x"},
      {"name=DISABLED_a" + rest, "name is 'DISABLED_a' but must be"},
      {"name=4k" + rest, "the name '4k' exists already: give another one with name="},
      {"name=a-b" + rest + ";name=a.b" + rest, "the name 'a.b' exists already, as 'a-b' ('.' and"},
      {"llama-9", "'llama-9' is neither KEY=VALUE nor one of bert-large, "},
      {"batch=2,llama-2-7b", "which come first"},
      {"name=a" + rest + ";", "OCTET_SIZES '': give"},
      {"name=a\n\x1b[31m" + rest, "name is 'a??[31m' but must be"},
  };
  for (const auto& [text, sentence] : refused) {
    const std::string said = size_refusal(text);
    EXPECT_NE(said.find(sentence), std::string::npos) << text << "\n" << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
    EXPECT_TRUE(said.starts_with("OCTET_SIZES '")) << said;
  }
}

TEST(Sizes, AFilesNameBecomesAName) {
  EXPECT_EQ(size_name_from("layer-3.mlp"), "layer-3.mlp");
  EXPECT_EQ(size_name_from("my layer;rm"), "my_layer_rm");
  EXPECT_EQ(size_name_from("2x3"), "layer_2x3");
  EXPECT_EQ(size_name_from(""), "layer_");
  EXPECT_EQ(size_name_from("a_very_long_name_of_a_layer_of_a_model"), "a_very_long_name_of_a_la");
}

// ---- files ----

std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return file + header + std::string(data_bytes, '\0');
}

std::vector<StoredTensor> parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)));
}
std::string file_refusal(const std::string& file) {
  return refusal([&] { parse(file); });
}

TEST(Safetensors, AreReadInTheOrderOfTheirData) {
  std::string file = file_of(
      R"({"w":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]},"__metadata__":{"by":"me"},)"
      R"("v":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
      R"("e":{"dtype":"F16","shape":[0,3],"data_offsets":[4,4]}}   )",
      12);
  const float values[] = {1.5f, -3e38f};
  std::memcpy(file.data() + file.size() - 8, values, 8);
  file[file.size() - 12] = 0;  // 1.0 in bf16: 0x3f80
  file[file.size() - 11] = 0;
  file[file.size() - 10] = static_cast<char>(0x80);
  file[file.size() - 9] = 0x3f;
  const auto tensors = parse(file);
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors[0].name, "v");
  EXPECT_EQ(tensors[0].type, DType::bf16);
  EXPECT_EQ(tensors[0].size(), 2);
  EXPECT_EQ(tensors[0][1], 1.0f);
  EXPECT_EQ(tensors[1].name, "e");
  EXPECT_EQ(tensors[1].size(), 0);
  EXPECT_EQ(tensors[2].shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(tensors[2][0], 1.5f);
  EXPECT_EQ(tensors[2][1], -3e38f);
}

TEST(Safetensors, WhatIsNoneIsRefusedInOneSentence) {
  const auto one = [](const std::string& entry, std::size_t bytes = 8) {
    return file_of("{\"a\":" + entry + "}", bytes);
  };
  const auto two = [](int begin, int end, std::size_t bytes) {
    return file_of(R"({"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},"b":{"dtype":"F16",)"
                   R"("shape":[4],"data_offsets":[)" +
                       std::to_string(begin) + "," + std::to_string(end) + "]}}",
                   bytes);
  };
  const std::string kGood = R"({"dtype":"F16","shape":[2,2],"data_offsets":[0,8]})";
  ASSERT_EQ(file_refusal(one(kGood)), "");
  const std::string kHundredGigabytes("\x00\xe8\x76\x48\x17\x00\x00\x00{}", 10);
  const std::pair<std::string, std::string> refused[] = {
      {"", "it holds 0 bytes, but a safetensors file begins with 8"},
      {"{\"a\":1}", "it holds 7 bytes"},
      {kHundredGigabytes, "its header claims 100000000000 bytes, but at most 1048576 are read"},
      {std::string(8, '\xff'), "its header claims 18446744073709551615 bytes"},
      {file_of(std::string(100, ' '), 0).substr(0, 50),
       "its header claims 100 bytes, but 42 follow: the file is truncated"},
      {file_of("", 8), "its header does not begin with '{'"},
      {file_of("[1]", 0), "its header does not begin with '{'"},
      {file_of("{\"a\":", 0), "its header is not JSON, at byte"},
      {file_of("{} x", 0), "its header is not JSON, at byte"},
      {file_of("{\"a\xff\":1}", 0), "its header is not JSON, at byte"},
      {file_of("{\"a\":1e999}", 0), "a number that is out of range"},
      {file_of("{\"a\":" + std::string(1000000, '['), 0), "nested deeper than 4 levels"},
      {file_of("{\"a\":" + kGood + ",\"a\":" + kGood + "}", 8), "its header gives 'a' twice"},
      {one(R"({"dtype":"F16","shape":[4],"shape":[4],"data_offsets":[0,8]})"), "'shape' twice"},
      {one("1"), "'a' must be an object of dtype, shape and data_offsets"},
      {one(R"({"dtype":"F16","shape":[4]})"), "'a' must be an object of dtype"},
      {one(R"({"dtype":"F16","shape":[4],"data_offsets":[0,8],"x":1})"), "and nothing else"},
      {one(R"({"dtype":"F64","shape":[1],"data_offsets":[0,8]})"),
       "'a' is of type F64, but F16, BF16 and F32 are read"},
      {one(R"({"dtype":16,"shape":[4],"data_offsets":[0,8]})"), "'a' is of type unknown"},
      {one(R"({"dtype":"F16","shape":4,"data_offsets":[0,8]})"), "shape of 'a' must be an array"},
      {one(R"({"dtype":"F16","shape":[-4],"data_offsets":[0,8]})"), "shape of 'a' holds -4"},
      {one(R"({"dtype":"F16","shape":[4.0],"data_offsets":[0,8]})"), "shape of 'a' holds 4.0"},
      {one(R"({"dtype":"F16","shape":["4"],"data_offsets":[0,8]})"), "shape of 'a' holds"},
      {one(R"({"dtype":"F16","shape":[9223372036854775808],"data_offsets":[0,8]})"), "holds 922"},
      {one(R"({"dtype":"F16","shape":[4294967296,4294967296],"data_offsets":[0,8]})"),
       "'a' has the shape [4294967296, 4294967296], which no file holds"},
      {one(R"({"dtype":"F16","shape":[5],"data_offsets":[0,8]})"),
       "'a' takes 10 bytes by its shape [5] and type f16, but its data_offsets span 8"},
      {one(R"({"dtype":"F16","shape":[4],"data_offsets":[8,0]})"),
       "data_offsets of 'a' are [8, 0]"},
      {one(R"({"dtype":"F16","shape":[4],"data_offsets":[0]})"), "data_offsets of 'a' are [0]"},
      {one(kGood, 7), "'a' ends at byte 8 of the data, but there are 7: the file is truncated"},
      {one(kGood, 9), "1 bytes after the last tensor belong to none"},
      {file_of("{}", 1), "1 bytes after the last tensor belong to none"},
      {one(R"({"dtype":"F16","shape":[3],"data_offsets":[2,8]})"),
       "bytes 0 to 2 of the data, before 'a', belong to no tensor"},
      {two(4, 12, 12), "'b' begins at byte 4 of the data, inside 'a', which ends at 8"},
      {two(0, 8, 8), "'b' begins at byte 0 of the data, inside 'a'"},
      {two(10, 18, 18), "bytes 8 to 10 of the data, before 'b', belong to no tensor"},
      {file_of(R"({"__metadata__":{"a":1}})", 0), "__metadata__ must be an object of strings"},
  };
  for (const auto& [file, sentence] : refused) {
    const std::string said = file_refusal(file);
    EXPECT_NE(said.find(sentence), std::string::npos) << sentence << "\n" << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
}

/// Every file cut short, and every one with one byte changed, is read or refused: never more.
TEST(Safetensors, NoByteCanDoHarm) {
  const std::string good = file_of(
      R"({"a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]},"__metadata__":{"k":"v"}})", 8);
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_NE(file_refusal(good.substr(0, length)), "") << length;
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = good;
      changed[at] = static_cast<char>(byte);
      try {
        for (const StoredTensor& t : parse(changed)) {
          float sum = 0;
          for (std::int64_t n = 0; n < t.size(); ++n) sum += t[n];
          EXPECT_TRUE(sum == 0 || at >= good.size() - 8) << at;
        }
      } catch (const std::invalid_argument&) {
      }
    }
  }
}

// ---- layers ----

struct Part {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string type = "F32";
};

std::string layer_file(const std::vector<Part>& parts) {
  std::string header = "{";
  std::int64_t at = 0;
  for (const Part& p : parts) {
    std::int64_t bytes = p.type == "F32" ? 4 : 2;
    std::string shape;
    for (const std::int64_t n : p.shape) {
      bytes *= n;
      shape += (shape.empty() ? "" : ",") + std::to_string(n);
    }
    header += (header == "{" ? "\"" : ",\"") + p.name + R"(":{"dtype":")" + p.type +
              R"(","shape":[)" + shape + R"(],"data_offsets":[)" + std::to_string(at) + "," +
              std::to_string(at + bytes) + "]}";
    at += bytes;
  }
  return file_of(header + "}", static_cast<std::size_t>(at));
}

std::string layer_refusal(const std::vector<Part>& parts) {
  const std::string file = layer_file(parts);
  return refusal([&] { layer_of(parse(file)); });
}

TEST(OwnTensors, TheSizeFollowsFromTheShapes) {
  const std::string file = layer_file({{"grad", {15, 7}},
                                       {"a", {3, 5, 7}},
                                       {"w1", {11, 7}},
                                       {"w2", {7, 11}},
                                       {"b1", {11}},
                                       {"b2", {7}}});
  const LayerShape layer = layer_of(parse(file));
  EXPECT_EQ(layer.batch, 3);
  EXPECT_EQ(layer.seq, 5);
  EXPECT_EQ(layer.model, 7);
  EXPECT_EQ(layer.hidden, 11);
  const std::string flat =
      layer_file({{"a", {15, 7}}, {"w1", {11, 7}}, {"w2", {7, 11}}, {"grad", {15, 7}}});
  EXPECT_EQ(layer_of(parse(flat)).tokens(), 15);
}

TEST(OwnTensors, WhatIsNoLayerIsRefusedInOneSentence) {
  const Part a{"a", {3, 5, 7}}, w1{"w1", {11, 7}}, w2{"w2", {7, 11}}, grad{"grad", {3, 5, 7}};
  ASSERT_EQ(layer_refusal({a, w1, w2, grad}), "");
  const std::pair<std::vector<Part>, std::string> refused[] = {
      {{a, w1, grad}, "it holds no 'w2': a layer is a, w1, w2 and grad, and maybe b1 and b2"},
      {{a, w1, w2, grad, {"w3", {1}}}, "it holds 'w3', but a layer is"},
      {{{"a", {7}}, w1, w2, grad}, "a has the shape [7], but must be [batch, seq, model] or"},
      {{a, {"w1", {11}}, w2, grad}, "w1 has the shape [11], but must be [hidden, model]"},
      {{a, {"w1", {7, 11}}, w2, grad},
       "w1 has the shape [7, 11], but must be [hidden, model], which is [7, 7] here"},
      {{a, w1, {"w2", {11, 7}}, grad},
       "w2 has the shape [11, 7], but must be [model, hidden], which is [7, 11] here"},
      {{a, w1, w2, {"grad", {5, 3, 7}}},
       "grad has the shape [5, 3, 7], but must be shaped as a, which is [3, 5, 7] here"},
      {{a, w1, w2, grad, {"b1", {11}}}, "it holds one of b1 and b2: give both or none"},
      {{a, w1, w2, grad, {"b1", {7}}, {"b2", {7}}}, "b1 has the shape [7], but must be [hidden]"},
      {{{"a", {0, 7}}, w1, w2, {"grad", {0, 7}}}, "its shapes make seq 0, but it must be from 1"},
      {{{"a", {131072, 1}}, {"w1", {1, 1}}, {"w2", {1, 1}}, {"grad", {131072, 1}}},
       "its shapes make seq 131072, but it must be from 1 to 131071"},
      {{{"a", {2, 100000, 1}}, {"w1", {1, 1}}, {"w2", {1, 1}}, {"grad", {2, 100000, 1}}},
       "its shapes make 200000 tokens, but there may be at most 131071"},
  };
  for (const auto& [parts, sentence] : refused) {
    const std::string said = layer_refusal(parts);
    EXPECT_NE(said.find(sentence), std::string::npos) << sentence << "\n" << said;
  }
}

/// A layer in a file of its own.
class OwnTensorsFile : public testing::Test {
 protected:
  ~OwnTensorsFile() override { std::remove(path_.c_str()); }

  /// [1, 2, 3], [4, 3], [3, 4], [1, 2, 3]: `changed` is element 4 of w1.
  void write(const std::string& type, std::string_view changed = {}) {
    std::string file = layer_file({{"a", {1, 2, 3}, type},
                                   {"w1", {4, 3}, type},
                                   {"w2", {3, 4}, type},
                                   {"grad", {1, 2, 3}, type}});
    const std::size_t width = type == "F32" ? 4 : 2;
    if (!changed.empty()) file.replace(file.size() - 26 * width, width, changed);
    std::ofstream(path_, std::ios::binary) << file;
  }
  template <class T>
  static std::string bytes_of(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

  std::string path_ = testing::TempDir() + "own_layer_test-" + std::to_string(getpid()) + ".st";
};

TEST_F(OwnTensorsFile, IsConvertedElementByElement) {
  write("F32", bytes_of(1.0f + 0x1p-9f));
  const LayerTensors tensors(path_);
  EXPECT_EQ(tensors.shape().hidden, 4);
  EXPECT_FALSE(tensors.has_bias());
  EXPECT_EQ(tensors.unusable(DType::f16), std::nullopt);
  std::vector<f16> half(4 * 5);
  tensors.read("w1", Matrix<f16>(half.data(), 4, 3, RowMajor{5}));
  EXPECT_EQ(static_cast<float>(half[1 * 5 + 1]), 1.0f + 0x1p-9f);
  std::vector<bf16> brain(4 * 3);
  tensors.read("w1", Matrix<bf16>(brain.data(), 4, 3));
  EXPECT_EQ(static_cast<float>(brain[4]), 1.0f);
  EXPECT_EQ(static_cast<float>(brain[3]), 0.0f);
  EXPECT_THROW(tensors.read("b1", Matrix<bf16>(brain.data(), 1, 4)), std::out_of_range);
  EXPECT_THROW(tensors.read("w1", Matrix<bf16>(brain.data(), 3, 3)), std::out_of_range);
}

TEST_F(OwnTensorsFile, WhatIsNotFiniteIsSaid) {
  write("F32", bytes_of(std::numeric_limits<float>::quiet_NaN()));
  EXPECT_NE(LayerTensors(path_)
                .unusable(DType::f32)
                ->find("w1[1, 1] is nan, but every element must be finite"),
            std::string::npos);
  write("F16", std::string("\x00\x7c", 2));
  EXPECT_NE(LayerTensors(path_).unusable(DType::bf16)->find("w1[1, 1] is inf"), std::string::npos);
  write("F32", bytes_of(1e6f));
  EXPECT_NE(LayerTensors(path_)
                .unusable(DType::f16)
                ->find("w1[1, 1] is 1000000, which f16 cannot hold: run the step in another type"),
            std::string::npos);
  EXPECT_EQ(LayerTensors(path_).unusable(DType::bf16), std::nullopt);
}

TEST_F(OwnTensorsFile, AMessageNamesTheVariableAndTheFile) {
  const auto said = [](const std::string& path) {
    return refusal([&] { LayerTensors tensors(path); });
  };
  EXPECT_EQ(said("/nonexistent/x.safetensors"),
            "OCTET_TENSORS '/nonexistent/x.safetensors': it cannot be read: No such file or "
            "directory");
  EXPECT_NE(said("/tmp").find("OCTET_TENSORS '/tmp': it is no file"), std::string::npos);
  EXPECT_NE(said("/dev/null").find("it is no file"), std::string::npos);
  std::ofstream(path_).close();
  EXPECT_NE(said(path_).find("it holds 0 bytes"), std::string::npos);
}

}  // namespace
}  // namespace octet::harness
