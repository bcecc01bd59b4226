#include "orders/modules/catalog/catalog.hpp"

#include <gmock/gmock.h>

#include "orders/testing/domain.hpp"

namespace holdfast::orders::catalog {
namespace {

using testing::Domain;
using ::testing::ElementsAre;
using testing::error_of;
using testing::product;
using testing::stock_shelf;
using testing::with_domain;

constexpr Currency kGbp = Currency::of("GBP");

Product read_product(Domain& d, std::string_view sku) {
  return d.read([&](sql::Snapshot& db) { return get(db, sku); });
}

Product patch_product(Domain& d, std::string_view sku, std::string_view json,
                      std::optional<std::int64_t> version = {}) {
  const JsonDocument document = JsonDocument::parse(json);
  return d.write([&](sql::Transaction& tx) { return patch(d.ctx, tx, sku, document.root(), version); });
}

TEST(Catalog, CreatesAProductWithItsStockOnce) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 12)});
    const Product mug = read_product(d, "MUG");
    EXPECT_EQ(mug.price, (Price{850, kGbp}));
    EXPECT_EQ(mug.version, 1);
    EXPECT_EQ(d.read([](sql::Snapshot& db) { return inventory::level(db, "MUG").value().quantity; }), 12);
    EXPECT_EQ(error_of([&] { stock_shelf(d, {product("MUG", 1, 99)}); }).reason(), "sku_exists");
    EXPECT_EQ(d.read([](sql::Snapshot& db) { return inventory::level(db, "MUG").value().quantity; }), 12);
  });
}

TEST(Catalog, PatchesAsRfc7396Says) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850)});
    patch_product(d, "MUG", R"({"attributes": {"colour": "red", "size": {"h": 9, "w": 8}}})");
    const Product mug = patch_product(
        d, "MUG", R"({"name": "Big mug", "attributes": {"colour": null, "size": {"w": 10}, "new": [1]}})");
    EXPECT_EQ(mug.name, "Big mug");
    EXPECT_EQ(mug.price.minor, 850);
    EXPECT_EQ(mug.attributes.text(), R"({"size":{"h":9,"w":10},"new":[1]})");
    EXPECT_EQ(mug.version, 3);
  });
}

TEST(Catalog, MergesLikeTheExamplesOfTheRfc) {
  const auto merged = [](std::string_view target, std::string_view patch) {
    return merge_json(JsonDocument::parse(target).root(), JsonDocument::parse(patch).root());
  };
  EXPECT_EQ(merged(R"({"a":"b"})", R"({"a":"c"})"), R"({"a":"c"})");
  EXPECT_EQ(merged(R"({"a":"b"})", R"({"b":"c"})"), R"({"a":"b","b":"c"})");
  EXPECT_EQ(merged(R"({"a":"b","b":"c"})", R"({"a":null})"), R"({"b":"c"})");
  EXPECT_EQ(merged(R"({"a":["b"]})", R"({"a":"c"})"), R"({"a":"c"})");
  EXPECT_EQ(merged(R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})"), R"({"a":{"b":"d"}})");
  EXPECT_EQ(merged(R"([1,2])", R"({"a":"b","c":null})"), R"({"a":"b"})");
  EXPECT_EQ(merged(R"({})", R"({"a":{"bb":{"ccc":null}}})"), R"({"a":{"bb":{}}})");
  EXPECT_EQ(merged(R"({"e":null})", R"({"a":1})"), R"({"e":null,"a":1})");
}

TEST(Catalog, ChecksWhatAPatchMakesOfAProduct) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850)});
    for (const char* json : {R"({"name": null})", R"({"name": ""})", R"({"price": {"minor": -1}})",
                             R"({"attributes": 3})", R"({"sku": "OTHER"})", R"({"version": 9})", "[]", "3"}) {
      const Error error = error_of([&] { patch_product(d, "MUG", json); });
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << json << error.what();
    }
    EXPECT_EQ(read_product(d, "MUG").version, 1);
  });
}

TEST(Catalog, RefusesAChangeOfAnotherVersion) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850)});
    patch_product(d, "MUG", R"({"name": "One"})", 1);
    const Error error = error_of([&] { patch_product(d, "MUG", R"({"name": "Two"})", 1); });
    EXPECT_EQ(error.code(), ErrorCode::failed_precondition);
    EXPECT_EQ(read_product(d, "MUG").name, "One");
  });
}

TEST(Catalog, AChangeThatChangesNothingKeepsTheVersion) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850)});
    EXPECT_EQ(patch_product(d, "MUG", R"({"name": "The MUG"})").version, 1);
    EXPECT_EQ(patch_product(d, "MUG", "{}").version, 1);
    EXPECT_EQ(d.write([&](sql::Transaction& tx) { return archive(d.ctx, tx, "MUG"); }).version, 2);
    EXPECT_EQ(d.write([&](sql::Transaction& tx) { return archive(d.ctx, tx, "MUG"); }).version, 2);
    EXPECT_EQ(read_product(d, "MUG").status, ProductStatus::archived);
  });
}

std::vector<std::string> skus(const Page<Product>& page) {
  std::vector<std::string> found;
  for (const Product& each : page.items) found.push_back(each.sku);
  return found;
}

Page<Product> list_products(Domain& d, const ProductQuery& query) {
  return d.read([&](sql::Snapshot& db) { return list(db, query); });
}

TEST(Catalog, ListsByCursorInEverySortWithoutLossOrRepeat) {
  with_domain([](Domain& d) {
    stock_shelf(
        d, {product("C", 100), product("A", 300), product("B", 100), product("E", 200), product("D", 100)});
    const auto walk = [&](std::string sort) {
      std::vector<std::string> all;
      ProductQuery query;
      query.sort = std::move(sort);
      query.limit = 2;
      for (int pages = 0; pages < 10; ++pages) {
        const auto page = list_products(d, query);
        for (auto& sku : skus(page)) all.push_back(sku);
        if (!page.next_cursor) break;
        query.cursor = *page.next_cursor;
      }
      return all;
    };
    EXPECT_THAT(walk("sku"), ElementsAre("A", "B", "C", "D", "E"));
    EXPECT_THAT(walk("-sku"), ElementsAre("E", "D", "C", "B", "A"));
    EXPECT_THAT(walk("price"), ElementsAre("B", "C", "D", "E", "A"));
    EXPECT_THAT(walk("-price"), ElementsAre("A", "E", "D", "C", "B"));
    EXPECT_THAT(walk("-name"), ElementsAre("E", "D", "C", "B", "A"));
    EXPECT_EQ(walk("createdAt").size(), 5U);
  });
}

TEST(Catalog, ACursorIsStableWhileProductsAreAddedBeforeIt) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("B", 1), product("D", 1), product("F", 1)});
    ProductQuery query;
    query.limit = 2;
    const auto first = list_products(d, query);
    stock_shelf(d, {product("A", 1), product("E", 1)});
    query.cursor = first.next_cursor.value();
    EXPECT_THAT(skus(list_products(d, query)), ElementsAre("E", "F"));
  });
}

TEST(Catalog, ListsByPageWithTotals) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("A", 1), product("B", 1), product("C", 1)});
    ProductQuery query;
    query.limit = 2;
    query.page = 2;
    const auto page = list_products(d, query);
    EXPECT_THAT(skus(page), ElementsAre("C"));
    EXPECT_EQ(page.total, 3);
    EXPECT_EQ(page.page, 2);
    EXPECT_FALSE(page.next_cursor);
  });
}

TEST(Catalog, FiltersByStatusTextAndPrice) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("A", 100), product("B", 200), product("C_1", 300), product("CX1", 400)});
    d.write([&](sql::Transaction& tx) { return archive(d.ctx, tx, "B"); });
    EXPECT_THAT(skus(list_products(d, {.status = ProductStatus::archived})), ElementsAre("B"));
    EXPECT_THAT(skus(list_products(d, {.min_price_minor = 200, .max_price_minor = 300})),
                ElementsAre("B", "C_1"));
    EXPECT_THAT(skus(list_products(d, {.text = "the c"})), ElementsAre("CX1", "C_1"));
    EXPECT_THAT(skus(list_products(d, {.text = "c_1"})), ElementsAre("C_1")) << "_ is no wildcard";
    EXPECT_THAT(skus(list_products(d, {.text = "%"})), ElementsAre());
  });
}

TEST(Catalog, RefusesSortsAndCursorsThatAreNone) {
  with_domain([](Domain& d) {
    EXPECT_EQ(error_of([&] { list_products(d, {.sort = "price; drop table products"}); }).reason(),
              "bad_sort");
    for (const char* cursor : {"x", "e30", "eyJvcmRlciI6InNrdSIsImtleXMiOlsiYSJdfQ"}) {
      EXPECT_EQ(error_of([&] { list_products(d, {.cursor = cursor}); }).reason(), "bad_cursor") << cursor;
    }
  });
}

// ---- import ---------------------------------------------------------------------------------------

struct Imported {
  ImportReport report;
  std::vector<RejectedLine> rejected;
  std::string reason(std::uint64_t line) const {
    for (const auto& each : rejected) {
      if (each.line == line) return each.reason;
    }
    return "accepted";
  }
};

Imported import_csv(Domain& d, std::string_view csv, ImportOptions options = {}, std::size_t chunk = 7) {
  Imported result;
  ProductImport import(d.db, std::move(options),
                       [&](const RejectedLine& line) { result.rejected.push_back(line); });
  for (std::size_t at = 0; at < csv.size(); at += chunk) import.push(d.ctx, csv.substr(at, chunk));
  result.report = import.finish(d.ctx);
  return result;
}

TEST(ProductImport, CleansWhatItCanAndSaysWhyItRejectsTheRest) {
  with_domain([](Domain& d) {
    const Imported result = import_csv(d,
                                       "Stock, NAME ,price,currency,sku\r\n"
                                       "5,  Red   mug ,4.15,gbp,mug-1\r\n"   // 2
                                       "5,Red mug again,9.99,GBP,MUG-1\r\n"  // 3: repeated
                                       "5,No sku,1,GBP,\r\n"                 // 4
                                       "5,Bad sku,1,GBP,A B\r\n"             // 5
                                       "5,,1,GBP,X1\r\n"                     // 6
                                       "5,Bad price,1.999,GBP,X2\r\n"        // 7
                                       "5,Free,0,GBP,X3\r\n"                 // 8
                                       "5,Minus,-1,GBP,X4\r\n"               // 9
                                       "5,Currency,1,POUND,X5\r\n"           // 10
                                       "-5,Stock,1,GBP,X6\r\n"               // 11
                                       "5,Short,1\r\n"                       // 12
                                       "5,Price,1e3,GBP,X7\r\n"              // 13
                                       ",No stock,2.50,,X8\r\n");            // 14
    EXPECT_EQ(result.report.lines, 13);
    EXPECT_EQ(result.report.created, 2);
    EXPECT_EQ(result.report.repeated, 1);
    EXPECT_EQ(result.report.rejected, 10);
    EXPECT_EQ(result.reason(4), "missing_sku");
    EXPECT_EQ(result.reason(5), "bad_sku");
    EXPECT_EQ(result.reason(6), "missing_name");
    EXPECT_EQ(result.reason(7), "bad_price");
    EXPECT_EQ(result.reason(8), "price_not_positive");
    EXPECT_EQ(result.reason(9), "price_not_positive");
    EXPECT_EQ(result.reason(10), "bad_currency");
    EXPECT_EQ(result.reason(11), "bad_stock");
    EXPECT_EQ(result.reason(12), "wrong_column_count");
    EXPECT_EQ(result.reason(13), "bad_price");
    EXPECT_EQ(result.report.rejected_by_reason.at("price_not_positive"), 2);
    const Product mug = read_product(d, "MUG-1");
    EXPECT_EQ(mug.name, "Red mug");
    EXPECT_EQ(mug.price, (Price{415, kGbp}));
    EXPECT_EQ(d.read([](sql::Snapshot& db) { return inventory::level(db, "MUG-1").value().quantity; }), 5);
  });
}

TEST(ProductImport, RunningAgainChangesNothingAndNewPricesUpdate) {
  with_domain([](Domain& d) {
    const std::string csv = "sku,name,price,stock\nA,Apple,1.00,5\nB,Bread,2.00,5\n";
    EXPECT_EQ(import_csv(d, csv, {.batch = 1}).report.created, 2);
    EXPECT_EQ(import_csv(d, csv).report.unchanged, 2);
    const Imported changed = import_csv(d, "sku,name,price,stock\nA,Apple,1.10,99\n");
    EXPECT_EQ(changed.report.updated, 1);
    EXPECT_EQ(read_product(d, "A").price.minor, 110);
    EXPECT_EQ(d.read([](sql::Snapshot& db) { return inventory::level(db, "A").value().quantity; }), 5)
        << "the stock of a known product is not the file's business";
    d.read([](sql::Snapshot& db) { EXPECT_TRUE(inventory::imbalances(db).empty()); });
  });
}

TEST(ProductImport, ReadsInvoiceLines) {
  with_domain([](Domain& d) {
    ImportOptions options = uci_online_retail();
    options.initial_stock = 1000;
    const Imported result =
        import_csv(d,
                   "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
                   "569901,85099b,\"JUMBO BAG, RED \",2,2011-10-06 16:20:00,4.15,12923.0,United Kingdom\n"
                   "569902,85099B,JUMBO BAG RED,1,2011-10-06 16:20:00,4.20,12923.0,France\n"
                   "C569903,POST,POSTAGE,-1,2011-10-06 16:20:00,18.0,12923.0,France\n"
                   "569904,23256,,1,2011-10-06 16:20:00,0.0,,France\n",
                   options);
    EXPECT_EQ(result.report.created, 1);
    EXPECT_EQ(result.report.repeated, 1);
    EXPECT_EQ(result.reason(4), "not_a_product");
    EXPECT_EQ(result.reason(5), "missing_name");
    EXPECT_EQ(read_product(d, "85099B").name, "JUMBO BAG, RED");
  });
}

TEST(ProductImport, RefusesAFileWithoutItsColumns) {
  with_domain([](Domain& d) {
    EXPECT_EQ(error_of([&] { import_csv(d, "sku,name\nA,B\n"); }).reason(), "missing_column");
    EXPECT_EQ(error_of([&] { import_csv(d, ""); }).reason(), "empty_file");
  });
}

TEST(ProductImport, ParsesPrices) {
  EXPECT_EQ(parse_price("4.15", 2), 415);
  EXPECT_EQ(parse_price("4", 2), 400);
  EXPECT_EQ(parse_price("4.1", 2), 410);
  EXPECT_EQ(parse_price("4.1500", 2), 415);
  EXPECT_EQ(parse_price("-4.15", 2), -415);
  EXPECT_EQ(parse_price("400", 0), 400);
  for (const char* bad :
       {"", ".", "4.", ".5", "4.155", "4,15", "1e3", "4.1.5", "--4", "+4", "£4", "99999999999999999999"}) {
    EXPECT_EQ(parse_price(bad, 2), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace holdfast::orders::catalog
