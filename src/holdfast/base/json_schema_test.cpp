#include "holdfast/base/json_schema.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/base/id.hpp"

namespace holdfast::schema_test {

enum class Colour { red, green };
HOLDFAST_DESCRIBE_ENUM(Colour, red, green)

struct Inner {
  std::string sku;
  std::uint16_t count = 0;
  static constexpr auto rules() {
    return holdfast::rules(field<&Inner::sku>()
                               .length(1, 64)
                               .pattern_chars("A-Za-z0-9._-")
                               .doc("What is sold.")
                               .example("\"MUG-1\""));
  }
};
HOLDFAST_DESCRIBE(Inner, (sku, count))

struct Outer {
  std::vector<Inner> items;
  std::optional<Inner> extra;
  std::optional<Colour> colour;
  Id<"ord"> order_id;
  std::int64_t limit = 20;
  std::map<std::string, double> weights;
  JsonText attributes;
  static constexpr auto rules() {
    return holdfast::rules(field<&Outer::items>().size(1, 100),
                           field<&Outer::limit>().range(1, 200).defaulted());
  }
};
HOLDFAST_DESCRIBE(Outer, (items, extra, colour, order_id, limit, weights, attributes))

TEST(JsonSchema, SaysWhatTheDescriptionAndTheRulesSay) {
  SchemaRegistry schemas("#/s/");
  EXPECT_EQ(json_schema<Outer>(schemas), R"({"$ref":"#/s/Outer"})");
  ASSERT_EQ(schemas.all().size(), 2U);
  EXPECT_EQ(schemas.all().at("Inner"),
            R"({"type":"object","properties":{"sku":{"type":"string","minLength":1,"maxLength":64,)"
            R"("pattern":"^[A-Za-z0-9._\\-]*$","description":"What is sold.","examples":["MUG-1"]},)"
            R"("count":{"type":"integer","minimum":0,"maximum":65535}},"required":["sku","count"]})");
  EXPECT_EQ(schemas.all().at("Outer"),
            R"({"type":"object","properties":{"items":{"type":"array","minItems":1,"maxItems":100,)"
            R"("items":{"$ref":"#/s/Inner"}},"extra":{"anyOf":[{"$ref":"#/s/Inner"},{"type":"null"}]},)"
            R"("colour":{"type":["string","null"],"enum":["red","green",null]},)"
            R"("orderId":{"type":"string","pattern":"^ord_[0-7][0-9a-hjkmnp-tv-z]{25}$",)"
            R"("examples":["ord_01jz3s4m5e6f7g8h9jakbmcndp"]},)"
            R"("limit":{"type":"integer","format":"int64","minimum":1,"maximum":200,"default":20},)"
            R"("weights":{"type":"object","additionalProperties":{"type":"number","format":"double"}},)"
            R"("attributes":{}},"required":["items","orderId","weights","attributes"]})");
}

TEST(JsonSchema, RequestsRefuseUnknownMembers) {
  SchemaRegistry schemas("#/s/");
  schemas.refuse_unknown(true);
  json_schema<Inner>(schemas);
  EXPECT_THAT(schemas.all().at("Inner"), testing::HasSubstr(R"("additionalProperties":false)"));
}

namespace other {
struct Inner {
  int x = 0;
};
HOLDFAST_DESCRIBE(Inner, (x))
}  // namespace other

TEST(JsonSchema, TwoTypesOfOneNameAreADefect) {
  SchemaRegistry schemas("#/s/");
  json_schema<Inner>(schemas);
  EXPECT_THROW(json_schema<other::Inner>(schemas), Error);
}

}  // namespace holdfast::schema_test
