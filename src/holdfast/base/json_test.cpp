#include "holdfast/base/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "holdfast/base/error.hpp"

namespace holdfast {
namespace {

using testing::HasSubstr;

std::string compact(std::string_view text) { return JsonText::parse(text).text(); }

std::string fault_of(std::string_view text, JsonLimits limits = {}) {
  try {
    JsonDocument::parse(text, limits);
  } catch (const Error& error) {
    return std::string(error.reason()) + ": " + error.detail();
  }
  return "none";
}

TEST(Json, KeepsKindsAndOrder) {
  const JsonDocument document =
      JsonDocument::parse(R"( {"b":[1,-2,18446744073709551615,1.5,true,null],"a":{"é\n":"\ud83d\ude00"}} )");
  const JsonValue& root = document.root();
  ASSERT_TRUE(root.is_object());
  EXPECT_EQ(root.members()[0].key, "b");
  const auto items = root.find("b")->items();
  ASSERT_EQ(items.size(), 6U);
  EXPECT_EQ(items[0].as_int64(), 1);
  EXPECT_EQ(items[1].as_int64(), -2);
  EXPECT_EQ(items[2].as_uint64(), 18446744073709551615U);
  EXPECT_EQ(items[3].as_double(), 1.5);
  EXPECT_TRUE(items[4].as_bool());
  EXPECT_TRUE(items[5].is_null());
  EXPECT_EQ(root.find("a")->find("é\n")->as_string(), "\U0001F600");
  EXPECT_EQ(root.find("c"), nullptr);
  EXPECT_EQ(items[0].find("c"), nullptr);
}

TEST(Json, NumbersAreExact) {
  for (const char* text : {"0.1", "1e+23", "5e-324", "1.7976931348623157e+308", "123456789.12345679"}) {
    EXPECT_EQ(compact(text), text);
  }
  EXPECT_EQ(compact("1e-400"), "0");
  EXPECT_EQ(compact("[-0,-0.0,-0e5]"), "[0,0,0]");
  EXPECT_THAT(fault_of("1e400"), HasSubstr("too large"));
  EXPECT_THAT(fault_of("[1e99999999999]"), HasSubstr("malformed_json"));
}

TEST(Json, SaysWhereItIsMalformed) {
  EXPECT_THAT(fault_of("{\n \"a\": ,\n}"), HasSubstr("line 2, column 7 (offset 8)"));
  for (const std::string_view text : {"",
                                      " ",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,}",
                                      "01",
                                      "nul",
                                      "\"\x01\"",
                                      "\"\\x\"",
                                      "\"\\ud800\"",
                                      "\"\xC0\xAF\"",
                                      "\"\xED\xA0\x80\"",
                                      "\"\xF4\x90\x80\x80\"",
                                      "\xEF\xBB\xBF{}",
                                      "{} x",
                                      "[1] [2]",
                                      "NaN",
                                      "-",
                                      "1.",
                                      "'a'",
                                      "{a:1}",
                                      "/**/1",
                                      "\"a"}) {
    EXPECT_THAT(fault_of(text), HasSubstr("malformed_json")) << text;
  }
}

TEST(Json, RefusesDuplicateKeysInSmallAndLargeObjects) {
  EXPECT_THAT(fault_of(R"({"a":1,"\u0061":2})"), HasSubstr("key \"a\" twice"));
  std::string large = "{";
  for (int i = 0; i < 100; ++i) large += "\"k" + std::to_string(i) + "\":1,";
  EXPECT_EQ(fault_of(large + "\"other\":1}"), "none");
  EXPECT_THAT(fault_of(large + "\"k7\":1}"), HasSubstr("key \"k7\" twice"));
}

TEST(Json, LimitsDepthAndBytes) {
  EXPECT_EQ(fault_of("[[[1]]]", {.max_depth = 3}), "none");
  EXPECT_THAT(fault_of("[[[[1]]]]", {.max_depth = 3}), HasSubstr("nested deeper than 3 levels"));
  EXPECT_THAT(fault_of(std::string(10'000, '[')), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(fault_of("[1,2]", {.max_bytes = 4}), HasSubstr("json_too_large"));
}

TEST(Json, LargeTextsSpanManyChunks) {
  std::string text = "[";
  for (int i = 0; i < 20'000; ++i)
    text += "{\"name\":\"value number " + std::to_string(i) + "\",\"n\":[" + std::to_string(i) + "]},";
  text.back() = ']';
  EXPECT_EQ(JsonText::parse(text, {.max_bytes = text.size()}).text(), text);
}

TEST(Json, ADocumentCanBeMoved) {
  JsonDocument first = JsonDocument::parse(R"({"a":"text long enough for no small string"})");
  const JsonDocument second = std::move(first);
  EXPECT_EQ(second.root().find("a")->as_string(), "text long enough for no small string");
}

TEST(JsonWriter, EscapesAndSeparates) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object()
      .member("a\"", "q\"\\\n\x01/é")
      .key("b")
      .begin_array()
      .value(1)
      .value(-2.5)
      .value(true)
      .null();
  writer.value(HUGE_VAL).end_array().key("c").begin_object().end_object().member("d", 7U).end_object();
  EXPECT_EQ(out, R"({"a\"":"q\"\\\n\u0001/é","b":[1,-2.5,true,null,null],"c":{},"d":7})");
}

TEST(JsonWriter, AlwaysWritesValidUtf8) {
  std::string out;
  JsonWriter(out).value(std::string_view("a\xFF\xC3\xA9\xE2\x82"));
  EXPECT_EQ(out, "\"a\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(Json, CanonicalFormForgetsOrderAndSpace) {
  const auto canonical = [](std::string_view text) {
    return canonical_json(JsonDocument::parse(text).root());
  };
  EXPECT_EQ(canonical("{ \"b\":1.50, \"a\":{\"d\":1,\"c\":\"\\u0041\"} }"),
            R"({"a":{"c":"A","d":1},"b":1.5})");
  EXPECT_NE(canonical("[1,2]"), canonical("[2,1]"));
}

}  // namespace
}  // namespace holdfast
