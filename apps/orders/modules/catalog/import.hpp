// Many products at once, from CSV of any length: pushed as it comes, cleaned, written in batches, every
// rejected line told with its reason. A run may be interrupted and repeated: what is there already is
// unchanged. (Part of catalog.hpp; include that.)
//
//   ProductImport import(db, uci_online_retail(), [](const RejectedLine& line) { print(line); });
//   while (…) import.push(ctx, chunk);
//   const ImportReport report = import.finish(ctx);
//
// Cleaning: text is trimmed and inner white space made one space; skus become upper case, so that 85099b
// and 85099B are one product; of several lines of one sku the first counts, the others are `repeated`.
// Thread-safety: one fiber.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/csv.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::orders::catalog {

/// Which column of the file holds what, by its heading (case ignored). Empty: there is none.
struct ImportColumns {
  std::string sku = "sku";
  std::string name = "name";
  std::string price = "price";  ///< in major units, with a decimal point: "4.15"
  std::string description = "description";
  std::string currency = "currency";
  std::string stock = "stock";
};

struct ImportOptions {
  static constexpr std::size_t kMaxProducts = 1'000'000;  // skus of one file, which are remembered

  ImportColumns columns;
  Currency currency = Currency::of("GBP");  ///< of lines without one
  int price_decimals = 2;                   ///< the minor units' digits: 2 for GBP, 0 for JPY
  std::int64_t initial_stock = 0;           ///< of new products without a stock column
  std::vector<std::string> not_products;    ///< codes in the sku column that are fees, postage, notes
  std::size_t batch = 500;                  ///< products a transaction
};

/// The layout of the UCI "Online Retail" data set: invoice lines, in which products repeat.
ImportOptions uci_online_retail();

struct RejectedLine {
  std::uint64_t line = 0;  ///< of the file, from 1
  std::string sku;         ///< as far as it could be read
  std::string reason;      ///< stable: "missing_sku", "bad_sku", "not_a_product", "missing_name", "bad_name",
                           ///< "bad_price", "price_not_positive", "bad_currency", "bad_stock",
                           ///< "too_many_products", or one of CsvFault's codes
  std::string message;     ///< for people
};
HOLDFAST_DESCRIBE(RejectedLine, (line, sku, reason, message))

struct ImportReport {
  std::int64_t lines = 0;  ///< below the heading; = created + updated + unchanged + repeated + rejected
  std::int64_t created = 0;
  std::int64_t updated = 0;
  std::int64_t unchanged = 0;
  std::int64_t repeated = 0;  ///< further lines of a sku
  std::int64_t rejected = 0;
  std::map<std::string, std::int64_t> rejected_by_reason;
};
HOLDFAST_DESCRIBE(ImportReport, (lines, created, updated, unchanged, repeated, rejected, rejected_by_reason))

class ProductImport {
 public:
  using OnRejected = std::function<void(const RejectedLine&)>;

  /// `database` and `publisher` are borrowed. `on_rejected` is told of each line, in no particular order of
  /// reasons; `publisher`, where there is one, of what changed, a message a batch (changes.hpp).
  ProductImport(sql::Database& database, ImportOptions options, OnRejected on_rejected,
                messaging::Publisher* publisher = nullptr);
  ~ProductImport();
  ProductImport(const ProductImport&) = delete;
  ProductImport& operator=(const ProductImport&) = delete;

  /// Writes what is complete. Throws Error(invalid_argument, "missing_column") where the heading lacks
  /// the sku, name or price, and what transact() throws; batches written before stay.
  void push(const Context& ctx, std::string_view chunk);

  /// After the last chunk. Throws as push(), and Error(invalid_argument, "empty_file").
  ImportReport finish(const Context& ctx);

  /// So far.
  const ImportReport& report() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "4.15" as 415. Nothing for what is no such number, or has more decimals than `decimals` that are not 0.
std::optional<std::int64_t> parse_price(std::string_view text, int decimals);

}  // namespace holdfast::orders::catalog
