#include "holdfast/base/reflect.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/base/id.hpp"
#include "holdfast/base/money.hpp"

namespace holdfast::reflect_test {

using testing::ElementsAre;
using testing::HasSubstr;

enum class Status { pending, paid_in_full };
HOLDFAST_DESCRIBE_ENUM(Status, pending, paid_in_full)

struct Line {
  std::string sku;
  std::int32_t quantity = 0;

  static constexpr auto rules() {
    return holdfast::rules(field<&Line::sku>().length(1, 8).pattern_chars("A-Za-z0-9._-"),
                           field<&Line::quantity>().range(1, 1'000));
  }
};
HOLDFAST_DESCRIBE(Line, (sku, quantity))

struct Place {
  Id<"cus"> customer_id;
  std::vector<Line> order_items;
  std::optional<std::string> gift_note;
  Status status = Status::pending;
  WallTime placed_at;
  Money total;
  std::map<std::string, double> weights;
  JsonText attributes;
  bool express = false;
  std::uint64_t big = 0;
  std::int64_t page = 7;

  static constexpr auto rules() {
    return holdfast::rules(field<&Place::order_items>().size(1, 3),
                           field<&Place::gift_note>().length(0, 5).printable(),
                           field<&Place::page>().defaulted());
  }
  void validate(Violations& faults) const {
    if (express && order_items.size() > 2) faults.add_at("/orderItems", "too_many", "express takes two");
  }
};
HOLDFAST_DESCRIBE(Place, (customer_id, order_items, gift_note, status, placed_at, total, weights, attributes,
                          express, big, page))

constexpr std::string_view kSound =
    R"({"customerId":"cus_01jz3s4m5e6f7g8h9jakbmcndp","orderItems":[{"sku":"MUG-1","quantity":2}],)"
    R"("status":"paid_in_full","placedAt":"2026-01-01T00:00:00.000250Z","total":{"minor":1250,"currency":"GBP"},)"
    R"("weights":{"a":1.5},"attributes":{"z":[1,2],"a":null},"express":true,"big":18446744073709551615,"page":7})";

std::vector<std::string> faults_of(std::string_view json) {
  try {
    from_json<Place>(json);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    std::vector<std::string> faults;
    for (const auto& fault : error.violations()) faults.push_back(fault.pointer + " " + fault.code);
    return faults;
  }
  return {};
}

std::string with(std::string_view from, std::string_view to) {
  std::string json(kSound);
  const std::size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return json.replace(at, from.size(), to);
}

TEST(Reflect, WhatIsReadIsWrittenAgain) {
  const auto place = from_json<Place>(kSound);
  EXPECT_EQ(place.order_items.at(0).sku, "MUG-1");
  EXPECT_EQ(place.status, Status::paid_in_full);
  EXPECT_EQ(place.attributes.text(), R"({"z":[1,2],"a":null})");
  EXPECT_EQ(to_json(place), kSound);
}

TEST(Reflect, ListsEveryFaultAtOnce) {
  const auto faults = faults_of(
      R"({"customerId":"ord_01jz3s4m5e6f7g8h9jakbmcndp","orderItems":[{"sku":"MUG 1","quantity":0},{"sku":"123456789"}],
          "giftNote":"a\nb","status":"lost","placedAt":"yesterday","total":{"minor":1.5,"currency":"gbp"},
          "weights":{"a/b":"x"},"attributes":1,"express":"yes","big":-1,"colour":"red"})");
  EXPECT_THAT(faults, ElementsAre("/customerId malformed", "/orderItems/0/sku bad_characters",
                                  "/orderItems/0/quantity out_of_range", "/orderItems/1/sku too_long",
                                  "/orderItems/1/quantity required", "/giftNote bad_characters",
                                  "/status unknown_value", "/placedAt malformed", "/total/minor out_of_range",
                                  "/total/currency malformed", "/weights/a~1b wrong_type",
                                  "/express wrong_type", "/big out_of_range", "/colour unknown_field"));
}

TEST(Reflect, IntegersRefuseWhatTheyCannotHold) {
  EXPECT_THAT(faults_of(with("\"quantity\":2", "\"quantity\":2147483648")),
              ElementsAre("/orderItems/0/quantity out_of_range"));
  EXPECT_THAT(faults_of(with("\"quantity\":2", "\"quantity\":1e300")),
              ElementsAre("/orderItems/0/quantity out_of_range"));
  EXPECT_THAT(faults_of(with("\"quantity\":2", "\"quantity\":\"2\"")),
              ElementsAre("/orderItems/0/quantity wrong_type"));
  EXPECT_THAT(faults_of(with("18446744073709551615", "18446744073709551616")),
              ElementsAre("/big out_of_range"));
  EXPECT_THAT(faults_of(with("\"quantity\":2", "\"quantity\":2.0")), ElementsAre());
}

TEST(Reflect, LengthCountsCodePointsAndSizeCountsItems) {
  EXPECT_THAT(faults_of(with("\"status\"", R"("giftNote":"äöüßé","status")")), ElementsAre());
  EXPECT_THAT(faults_of(with("\"status\"", R"("giftNote":"äöüßéx","status")")),
              ElementsAre("/giftNote too_long"));
  EXPECT_THAT(faults_of(with(R"([{"sku":"MUG-1","quantity":2}])", "[]")), ElementsAre("/orderItems too_few"));
  EXPECT_THAT(faults_of(with(R"([{"sku")", R"([1,2,3,{"sku")")), ElementsAre("/orderItems too_many"));
}

TEST(Reflect, OptionalMayBeAbsentOrNullAndDefaultedKeepsItsInitialiser) {
  EXPECT_FALSE(from_json<Place>(with("\"status\"", R"("giftNote":null,"status")")).gift_note);
  EXPECT_EQ(from_json<Place>(with(R"(,"page":7)", "")).page, 7);
  EXPECT_THAT(faults_of(with(R"("express":true,)", "")), ElementsAre("/express required"));
  EXPECT_THAT(faults_of(with(R"("express":true)", R"("express":null)")), ElementsAre("/express wrong_type"));
}

TEST(Reflect, RulesAcrossFieldsRunOnceFieldsAreSound) {
  const std::string line = R"({"sku":"A","quantity":1})";
  const std::string three = "[" + line + "," + line + "," + line + "]";
  EXPECT_THAT(faults_of(with(R"([{"sku":"MUG-1","quantity":2}])", three)),
              ElementsAre("/orderItems too_many"));
}

TEST(Reflect, UnknownFieldsCanBePassedOver) {
  const auto line = from_json<Line>(R"({"sku":"A","quantity":1,"new":{}})", {.ignore_unknown = true});
  EXPECT_EQ(line.quantity, 1);
}

TEST(Reflect, ManyFaultsAreCountedButNotAllKept) {
  std::string json = "{";
  for (int i = 0; i < 500; ++i) json += (i == 0 ? "\"x" : ",\"x") + std::to_string(i) + "\":1";
  json += "}";
  try {
    from_json<Line>(json);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.violations().size(), Violations::kMaxKept);
    EXPECT_THAT(error.detail(), HasSubstr("502 faults"));
  }
}

struct Patch {
  std::optional<std::optional<std::string>> description;
};
HOLDFAST_DESCRIBE(Patch, (description))

TEST(Reflect, OptionalOfOptionalTellsAbsentFromNull) {
  EXPECT_FALSE(from_json<Patch>("{}").description.has_value());
  const auto cleared = from_json<Patch>(R"({"description":null})").description;
  ASSERT_TRUE(cleared.has_value());
  EXPECT_FALSE(cleared->has_value());
  EXPECT_EQ(from_json<Patch>(R"({"description":"x"})").description.value(), "x");
  EXPECT_EQ(to_json(from_json<Patch>(R"({"description":null})")), R"({"description":null})");
}

template <class T>
struct Page {
  std::vector<T> items;
  std::optional<std::string> next_cursor;
  HOLDFAST_DESCRIBE_WITHIN(Page, (items, next_cursor))
};

namespace {
struct Unseen {
  int x = 0;
};
HOLDFAST_DESCRIBE(Unseen, (x))
}  // namespace

TEST(Describe, TypeNamesLeaveNamespacesOut) {
  EXPECT_EQ(type_name<Line>(), "Line");
  EXPECT_EQ(type_name<Unseen>(), "Unseen");
  EXPECT_EQ(type_name<Page<Unseen>>(), "PageUnseen");
}

TEST(Reflect, TemplatesAreDescribedWithin) {
  EXPECT_EQ(to_json(Page<Line>{.items = {{"A", 1}}, .next_cursor = "n"}),
            R"({"items":[{"sku":"A","quantity":1}],"nextCursor":"n"})");
  EXPECT_EQ(type_name<Page<Line>>(), "PageLine");
}

TEST(Describe, NamesMembersAndColumns) {
  EXPECT_EQ(column_name<Place>(1), "order_items");
  EXPECT_EQ(column_name<Place>(99), "");
  EXPECT_EQ((Member<Place, 1>::json_name), "orderItems");
  std::vector<std::string_view> names;
  for_each_member<Line>([&](std::string_view name, auto) { names.push_back(name); });
  EXPECT_THAT(names, ElementsAre("sku", "quantity"));
}

TEST(Reflect, ValuesBuiltInCodeAreCheckedByTheSameRules) {
  Violations faults;
  check_value(Line{"MUG 1", 5000}, faults);
  ASSERT_EQ(faults.count(), 2U);
  EXPECT_EQ(faults.kept()[0].pointer, "/sku");
  EXPECT_EQ(faults.kept()[1].message, "must be from 1 to 1000");
}

}  // namespace holdfast::reflect_test
