#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/invoices/cleaning.hpp"
#include "cli/invoices/column_mapping.hpp"
#include "cli/invoices/mapped_csv.hpp"
#include "cli/invoices/product_collector.hpp"
#include "cli/invoices/rejects.hpp"
#include "holdfast/base/error.hpp"

namespace holdfast::cli {
namespace {

TEST(Cleaning, CollapsesSpacesAndControlCharacters) {
  EXPECT_EQ(collapse_spaces("  SET OF \t 3\n OWLS  "), "SET OF 3 OWLS");
  EXPECT_EQ(collapse_spaces(" \t "), "");
}

TEST(Cleaning, OneProductHasOneSku) {
  EXPECT_EQ(normalise_sku(" 85123a "), "85123A");
  EXPECT_TRUE(is_sku("15056BL"));
  EXPECT_FALSE(is_sku(""));
  EXPECT_FALSE(is_sku("-1"));
  EXPECT_FALSE(is_sku("BANK CHARGES"));
  EXPECT_FALSE(is_sku(std::string(65, 'A')));
  EXPECT_TRUE(is_not_a_product("POST"));
  EXPECT_FALSE(is_not_a_product("POSTER"));
}

TEST(Cleaning, ReadsPricesAsMinorUnits) {
  EXPECT_EQ(parse_price_minor("4.15"), 415);
  EXPECT_EQ(parse_price_minor(" 4.5 "), 450);
  EXPECT_EQ(parse_price_minor("12"), 1200);
  EXPECT_EQ(parse_price_minor("0.85000"), 85);
  EXPECT_EQ(parse_price_minor("-1.00"), -100);
  for (const char* bad : {"", "-", ".5", "4.155", "1,000.00", "4.1x", "1e3", "9999999999999"}) {
    EXPECT_EQ(parse_price_minor(bad), std::nullopt) << bad;
  }
}

TEST(Cleaning, ReadsQuantities) {
  EXPECT_EQ(parse_quantity("6"), 6);
  EXPECT_EQ(parse_quantity("-12"), -12);
  EXPECT_EQ(parse_quantity("6.0"), 6);
  for (const char* bad : {"", "six", "6.5", "--1", "1234567890123"})
    EXPECT_EQ(parse_quantity(bad), std::nullopt) << bad;
}

TEST(Cleaning, CustomersAreWrittenAsFloatsByTheSpreadsheet) {
  EXPECT_EQ(normalise_customer("12923.0"), "12923");
  EXPECT_EQ(normalise_customer(" acme.uk "), "acme.uk");
  EXPECT_EQ(normalise_customer("12.5"), "12.5");
  EXPECT_EQ(normalise_customer(""), "");
}

TEST(Cleaning, DatesSortAsTimeDoes) {
  EXPECT_EQ(parse_sortable_date("2011-10-06 16:20:00"), 20111006162000);
  EXPECT_EQ(parse_sortable_date("12/1/2010 8:26"), 20101201082600);
  EXPECT_EQ(parse_sortable_date("2011-10-06"), 20111006000000);
  for (const char* bad : {"", "today", "2011-13-01", "2011-10-06 25:00", "2011-10-06 16:20:00 +1"}) {
    EXPECT_EQ(parse_sortable_date(bad), std::nullopt) << bad;
  }
}

std::string usage_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.reason() == "usage" ? error.detail() : "another error: " + std::string(error.what());
  }
  return "nothing thrown";
}

TEST(ColumnMapping, PresetAndSingleColumns) {
  ColumnMapping mapping = ColumnMapping::preset("uci-online-retail");
  EXPECT_EQ(mapping.column_of(Field::sku), "StockCode");
  mapping.map("sku=Article");
  EXPECT_EQ(mapping.column_of(Field::sku), "Article");
  EXPECT_EQ(ColumnMapping().column_of(Field::price), "price");
}

TEST(ColumnMapping, RefusalsSayWhatIsKnown) {
  ColumnMapping mapping;
  EXPECT_NE(usage_of([&] { mapping.map("skew=A"); }).find("known: sku, name"), std::string::npos);
  EXPECT_NE(usage_of([&] { mapping.map("sku"); }).find("field=Column"), std::string::npos);
  EXPECT_NE(usage_of([] { ColumnMapping::preset("amazon"); }).find("uci-online-retail"), std::string::npos);
  const std::vector<std::string_view> header{"sku", "title"};
  const std::string missing = usage_of([&] {
    mapping.resolve(header, {Field::sku, Field::name, Field::price});
  });
  EXPECT_NE(missing.find("\"name\" (for name), \"price\" (for price); it has: sku, title"), std::string::npos)
      << missing;
}

class Collecting : public testing::Test {
 protected:
  void line(std::string_view sku, std::string_view name, std::string_view price) {
    const std::vector<std::string_view> fields{sku, name, price};
    positions_.set(Field::sku, 0);
    positions_.set(Field::name, 1);
    positions_.set(Field::price, 2);
    products_.add(MappedRecord{++line_, fields, positions_});
  }
  FieldPositions positions_;
  std::uint64_t line_ = 1;
  Rejects rejects_;
  ProductCollector products_{rejects_};
};

TEST_F(Collecting, KeepsTheMostFrequentSpellingOrTheFirst) {
  line("85123A", "WHITE HEART", "2.55");
  line("85123a", "CREAM  HEART", "2.95");
  line("85123A ", "CREAM HEART", "2.95");
  line("22423", "CAKESTAND", "12.75");
  line("22423", "CAKE STAND", "10.95");
  const auto products = products_.finish();
  ASSERT_EQ(products.size(), 2u);
  EXPECT_EQ(products[0].sku, "85123A");
  EXPECT_EQ(products[0].name, "CREAM HEART");
  EXPECT_EQ(products[0].price_minor, 295);
  EXPECT_EQ(products[0].spellings, 2u);
  EXPECT_EQ(products[1].name, "CAKESTAND");
  EXPECT_EQ(products[1].price_minor, 1275);
  EXPECT_EQ(rejects_.total(), 0u);
}

TEST_F(Collecting, RejectsEachBadLineWithItsReason) {
  line("POST", "POSTAGE", "18.00");
  line("?", "what", "1.00");
  line("22423", "CAKESTAND", "free");
  line("22423", "CAKESTAND", "0.00");
  line("22423", "CAKESTAND", "-1.00");
  line("22423", " ", "1.00");
  EXPECT_TRUE(products_.finish().empty());
  const std::map<std::string, std::uint64_t, std::less<>> expected{
      {"not_a_product", 1}, {"bad_sku", 1},        {"bad_price", 1},
      {"zero_price", 1},    {"negative_price", 1}, {"missing_name", 1}};
  EXPECT_EQ(rejects_.by_reason(), expected);
  EXPECT_EQ(rejects_.first()[0].line, 2u);
}

TEST(MappedCsv, ReadsFilesAndWritesRejectsAsCsv) {
  const auto folder = std::filesystem::temp_directory_path() / "holdfast_mapped_csv_test";
  std::filesystem::create_directories(folder);
  const std::string path = folder / "prices.csv";
  std::ofstream(path) << "name,sku,price\n\"a \"\"big\"\", red mug\",MUG-1,1.50\nshort\n";
  Rejects rejects((folder / "rejects.csv").string());
  std::vector<std::string> names;
  read_mapped_csv(path, ColumnMapping(), {Field::sku},
                  {.on_record = [&](const MappedRecord& r) { names.emplace_back(r[Field::name]); },
                   .on_fault = [&](std::uint64_t line, std::string_view reason,
                                   std::string detail) { rejects.add(line, reason, std::move(detail)); },
                   .on_progress = nullptr});
  rejects.close();
  EXPECT_EQ(names, std::vector<std::string>{"a \"big\", red mug"});
  std::ifstream written(folder / "rejects.csv");
  std::string header, first;
  std::getline(written, header);
  std::getline(written, first);
  EXPECT_EQ(header, "line,reason,detail,record\r");
  EXPECT_TRUE(first.starts_with("3,wrong_column_count,")) << first;
  EXPECT_NE(usage_of([] { read_mapped_csv("/nonexistent.csv", ColumnMapping(), {}, {}); }).find("Can't open"),
            std::string::npos);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace holdfast::cli
