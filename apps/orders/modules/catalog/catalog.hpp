// Catalog: the products that are sold, at which price. Its functions run inside a transaction of the
// caller's; `import.hpp` behind this header loads many at once.
//
//   const Product mug = catalog::create(ctx, tx, {.sku = "MUG-1", .name = "Mug", .price = {850, gbp}});
//   catalog::patch(ctx, tx, "MUG-1", patch_document.root(), /*expected_version=*/1);
//   const auto tag = catalog::price_tag(tx, "MUG-1");   // what the order path asks
//
// Thread-safety: as the Transaction's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"
#include "orders/modules/catalog/bought_together.hpp"
#include "orders/modules/catalog/import.hpp"
#include "orders/modules/catalog/reviews.hpp"
#include "orders/modules/catalog/settings.hpp"
#include "orders/modules/inventory/inventory.hpp"
#include "orders/shared/paging.hpp"

namespace holdfast::orders::catalog {

inline constexpr std::size_t kMaxSkuLength = 64;
inline constexpr std::size_t kMaxNameLength = 200;
inline constexpr std::int64_t kMaxPriceMinor = 1'000'000'000'000;  // times the most pieces still fits 64 bits
inline constexpr std::string_view kSkuChars = "A-Za-z0-9._-";

enum class ProductStatus : std::uint8_t {
  active,    ///< can be ordered
  archived,  ///< kept for the orders that have it, can't be ordered
};
HOLDFAST_DESCRIBE_ENUM(ProductStatus, active, archived)

struct Price {
  std::int64_t minor = 0;
  Currency currency;
  static constexpr auto rules() {
    return holdfast::rules(field<&Price::minor>()
                               .range(0, kMaxPriceMinor)
                               .doc("Whole minor units (pence, cents).")
                               .example("1250"),
                           field<&Price::currency>().doc("ISO 4217.").example("\"GBP\""));
  }
  bool operator==(const Price&) const = default;
};
HOLDFAST_DESCRIBE(Price, (minor, currency))

struct Product {
  std::string sku;
  std::string name;
  std::string description;
  Price price;
  ProductStatus status = ProductStatus::active;
  JsonText attributes;
  std::int64_t version = 1;  ///< grows with each change; the ETag
  WallTime created_at;
  WallTime updated_at;
};
HOLDFAST_DESCRIBE(Product,
                  (sku, name, description, price, status, attributes, version, created_at, updated_at))

/// What can be changed of a product.
struct ProductContents {
  std::string name;
  std::string description;
  Price price;
  ProductStatus status = ProductStatus::active;
  JsonText attributes = JsonText::trusted("{}");

  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(field<&ProductContents::name>()
                               .length(1, kMaxNameLength)
                               .printable()
                               .example("\"Regency cake stand\""),
                           field<&ProductContents::description>().length(0, 10'000).defaulted(),
                           field<&ProductContents::status>().defaulted(),
                           field<&ProductContents::attributes>()
                               .length(2, 16 * 1024)
                               .defaulted()
                               .doc("Any JSON object.")
                               .example("{\"colour\": \"red\"}"));
  }
  bool operator==(const ProductContents&) const = default;
};
HOLDFAST_DESCRIBE(ProductContents, (name, description, price, status, attributes))

struct NewProduct {
  std::string sku;
  std::string name;
  std::string description;
  Price price;
  JsonText attributes = JsonText::trusted("{}");
  std::int64_t initial_stock = 0;

  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&NewProduct::sku>()
            .length(1, kMaxSkuLength)
            .pattern_chars(kSkuChars)
            .example("\"CAKE-STAND-3\""),
        field<&NewProduct::name>().length(1, kMaxNameLength).printable().example("\"Regency cake stand\""),
        field<&NewProduct::description>().length(0, 10'000).defaulted(),
        field<&NewProduct::attributes>()
            .length(2, 16 * 1024)
            .defaulted()
            .doc("Any JSON object.")
            .example("{\"colour\": \"red\"}"),
        field<&NewProduct::initial_stock>()
            .range(0, inventory::kMaxLevel)
            .defaulted()
            .doc("Pieces in stock."));
  }
};
HOLDFAST_DESCRIBE(NewProduct, (sku, name, description, price, attributes, initial_stock))

/// Throws Error(conflict, "sku_exists") where the sku is taken.
Product create(const Context& ctx, sql::Transaction& tx, const NewProduct& product);

std::optional<Product> find(sql::Queries& db, std::string_view sku);
/// As find(); throws Error(not_found, "unknown_sku") where there is none.
Product get(sql::Queries& db, std::string_view sku);

// Changes. With `expected_version`, each throws Error(failed_precondition, "version_mismatch") unless the
// product has that version; without, the last writer wins. A change that changes nothing keeps the
// version. All throw as get().

Product replace(const Context& ctx, sql::Transaction& tx, std::string_view sku,
                const ProductContents& contents, std::optional<std::int64_t> expected_version = {});
/// `merge_patch` as in RFC 7396, upon the members of ProductContents. Throws Error(invalid_argument) as
/// from_json() does where the result is no sound product.
Product patch(const Context& ctx, sql::Transaction& tx, std::string_view sku, const JsonValue& merge_patch,
              std::optional<std::int64_t> expected_version = {});
Product archive(const Context& ctx, sql::Transaction& tx, std::string_view sku,
                std::optional<std::int64_t> expected_version = {});

/// What the order path needs to know of a product.
struct PriceTag {
  std::int64_t price_minor = 0;
  Currency currency;
  ProductStatus status = ProductStatus::active;
  std::string name;
};
HOLDFAST_DESCRIBE(PriceTag, (price_minor, currency, status, name))

std::optional<PriceTag> price_tag(sql::Queries& db, std::string_view sku);

struct ProductQuery {
  std::optional<ProductStatus> status;
  std::string text;  ///< anywhere in sku, name or description, ASCII case ignored
  std::optional<std::int64_t> min_price_minor;
  std::optional<std::int64_t> max_price_minor;
  std::optional<Currency> currency;
  std::string sort = "sku";          ///< one of kProductSorts, '-' before it for descending
  std::string cursor;                ///< nextCursor of the page before
  std::optional<std::int64_t> page;  ///< by number instead, from 1
  std::int64_t limit = kDefaultLimit;
};

inline constexpr std::string_view kProductSorts[] = {"sku", "name", "price", "createdAt", "updatedAt"};
inline constexpr std::int64_t kMaxPageNumber = 10'000;

/// Throws Error(invalid_argument): "bad_sort", "bad_cursor".
Page<Product> list(sql::Queries& db, const ProductQuery& query);

/// RFC 7396 upon JSON text.
std::string merge_json(const JsonValue& target, const JsonValue& patch);

/// This module's steps of the schema; their numbers are given out in orders/migrations.cpp.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::orders::catalog
