#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "holdfast/base/utf8.hpp"
#include "holdfast/sql/copy.hpp"
#include "orders/modules/catalog/catalog.hpp"
#include "orders/modules/catalog/changes.hpp"
#include "orders/modules/catalog/product_row.hpp"
#include "orders/shared/rows_of.hpp"

namespace holdfast::orders::catalog {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Trimmed, inner runs of white space made one space.
std::string clean(std::string_view text) {
  std::string out;
  bool gap = false;
  for (const char c : text) {
    if (is_space(c)) {
      gap = !out.empty();
      continue;
    }
    if (gap) out.push_back(' ');
    gap = false;
    out.push_back(c);
  }
  return out;
}

std::string upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return text;
}

std::optional<std::int64_t> parse_whole(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// A line read as a product, or why not.
struct Line {
  NewProduct product;
  std::string reason;
  std::string message;
};

struct Written {
  std::int64_t created = 0;
  std::int64_t updated = 0;
  std::int64_t unchanged = 0;
  std::vector<std::string> changed;  // skus of those updated
};

using Found = std::unordered_map<std::string, Product>;

Found present_of(sql::Transaction& tx, std::span<const NewProduct> products) {
  std::vector<std::string_view> skus;
  for (const NewProduct& product : products) skus.push_back(product.sku);
  Found found;
  for_each_of<ProductRow>(tx, std::string(kSelectProduct) + " where sku", skus, [&](ProductRow&& row) {
    std::string sku = row.sku;
    found.insert_or_assign(std::move(sku), to_product(std::move(row)));
  });
  return found;
}

/// Those that are not there, in bulk; as create() does each.
void create_many(const Context& ctx, sql::Transaction& tx, std::span<const NewProduct* const> products) {
  const WallTime now = ctx.clock().wall_now();
  sql::copy_in(tx, "products",
               {"sku", "price_minor", "currency", "status", "name", "version", "created_at", "updated_at",
                "attributes", "description"},
               [&](sql::CopyRows& rows) {
                 for (const NewProduct* product : products) {
                   rows.add(product->sku, product->price.minor, product->price.currency,
                            ProductStatus::active, product->name, 1, now, now, product->attributes,
                            product->description);
                 }
               });
  std::vector<inventory::Opening> openings;
  for (const NewProduct* product : products) openings.push_back({product->sku, product->initial_stock});
  inventory::open_many(ctx, tx, openings);
}

Written write_all(const Context& ctx, sql::Transaction& tx, std::span<const NewProduct> products,
                  bool has_description) {
  Written written;
  const Found found = present_of(tx, products);
  std::vector<const NewProduct*> absent;
  for (const NewProduct& line : products) {
    const auto present = found.find(line.sku);
    if (present == found.end()) {
      absent.push_back(&line);
      continue;
    }
    const Product& before = present->second;
    ProductContents contents{line.name, has_description ? line.description : before.description, line.price,
                             before.status, before.attributes};
    if (contents ==
        ProductContents{before.name, before.description, before.price, before.status, before.attributes}) {
      ++written.unchanged;
      continue;
    }
    const Product after = replace(ctx, tx, line.sku, contents, before.version);
    if (after.version == before.version) {
      ++written.unchanged;
    } else {
      ++written.updated;
      written.changed.push_back(line.sku);
    }
  }
  if (!absent.empty()) create_many(ctx, tx, absent);
  written.created = static_cast<std::int64_t>(absent.size());
  return written;
}

}  // namespace

std::optional<std::int64_t> parse_price(std::string_view text, int decimals) {
  bool negative = false;
  if (text.starts_with('-')) {
    negative = true;
    text.remove_prefix(1);
  }
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  std::string_view part = point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  if (whole.empty() || (point != std::string_view::npos && part.empty())) return std::nullopt;
  const auto wanted = static_cast<std::size_t>(decimals);
  while (part.size() > wanted && part.back() == '0') part.remove_suffix(1);
  if (part.size() > wanted || whole.size() + wanted > 18) return std::nullopt;
  std::string digits(whole);
  digits.append(part).append(wanted - part.size(), '0');
  if (digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const auto value = parse_whole(digits);
  return value && negative ? -*value : value;
}

ImportOptions uci_online_retail() {
  ImportOptions options;
  options.columns = {.sku = "StockCode",
                     .name = "Description",
                     .price = "UnitPrice",
                     .description = "",
                     .currency = "",
                     .stock = ""};
  options.not_products = {"POST", "DOT",  "M",    "D",         "C2",          "S",
                          "B",    "CRUK", "PADS", "AMAZONFEE", "BANK CHARGES"};
  return options;
}

struct ProductImport::State {
  State(sql::Database& db, ImportOptions given, OnRejected told)
      : database(db),
        options(std::move(given)),
        on_rejected(std::move(told)),
        reader([this](const CsvRecord& record) { take(record); },
               [this](const CsvFault& fault) { take(fault); }) {}

  static constexpr std::size_t kNoColumn = static_cast<std::size_t>(-1);
  struct Places {
    std::size_t sku = kNoColumn, name = kNoColumn, price = kNoColumn, description = kNoColumn,
                currency = kNoColumn, stock = kNoColumn;
  };

  void take(const CsvFault& fault) {
    if (!has_heading) {
      throw Error(ErrorCode::invalid_argument,
                  "The heading on line 1 can't be read: it " + fault.message + ".")
          .reason("bad_heading");
    }
    ++report.lines;
    reject(fault.line, "", std::string(fault.code), fault.message);
  }

  void take(const CsvRecord& record) {
    if (!has_heading) {
      find_columns(record.fields);
      has_heading = true;
      return;
    }
    ++report.lines;
    Line line = read(record.fields);
    if (!line.reason.empty()) {
      reject(record.line, line.product.sku, std::move(line.reason), std::move(line.message));
    } else if (seen.contains(line.product.sku)) {
      ++report.repeated;
    } else if (seen.size() >= ImportOptions::kMaxProducts) {
      reject(record.line, line.product.sku, "too_many_products",
             "is past the most products one file may have");
    } else {
      seen.insert(line.product.sku);
      pending.push_back(std::move(line.product));
      if (pending.size() >= options.batch) write();
    }
  }

  void find_columns(std::span<const std::string_view> heading) {
    const auto find = [&](const std::string& wanted) {
      for (std::size_t i = 0; i < heading.size() && !wanted.empty(); ++i) {
        if (upper(clean(heading[i])) == upper(clean(wanted))) return i;
      }
      return kNoColumn;
    };
    at = {find(options.columns.sku),         find(options.columns.name),     find(options.columns.price),
          find(options.columns.description), find(options.columns.currency), find(options.columns.stock)};
    for (const auto& [place, name] : {std::pair(at.sku, options.columns.sku),
                                      {at.name, options.columns.name},
                                      {at.price, options.columns.price}}) {
      if (place != kNoColumn) continue;
      throw Error(ErrorCode::invalid_argument,
                  "The file has no column '" + name + "'. Say which column holds what.")
          .reason("missing_column");
    }
  }

  Line read(std::span<const std::string_view> fields) const {
    const auto field = [&](std::size_t place) {
      return place < fields.size() ? clean(fields[place]) : std::string();
    };
    Line line;
    NewProduct& product = line.product;
    const auto refuse = [&](std::string reason, std::string message) {
      line.reason = std::move(reason);
      line.message = std::move(message);
      return std::move(line);
    };

    product.sku = upper(field(at.sku));
    if (product.sku.empty()) return refuse("missing_sku", "has no sku");
    if (std::find(options.not_products.begin(), options.not_products.end(), product.sku) !=
        options.not_products.end()) {
      return refuse("not_a_product", "is no product but a fee, postage or a note");
    }
    Violations sku_faults;
    check_text(field_rule_of_sku(), product.sku, sku_faults);
    if (!sku_faults.empty()) return refuse("bad_sku", "has a sku that " + sku_faults.kept().front().message);

    product.name = field(at.name);
    if (product.name.empty()) return refuse("missing_name", "has no name");
    if (code_points(product.name) > kMaxNameLength || has_control_characters(product.name)) {
      return refuse("bad_name", "has a name that is too long or has control characters");
    }
    const std::string price = field(at.price);
    const auto minor = parse_price(price, options.price_decimals);
    if (!minor || *minor > kMaxPriceMinor)
      return refuse("bad_price", "has the price '" + price.substr(0, 40) + "'");
    if (*minor <= 0) return refuse("price_not_positive", "has the price " + price);
    product.price = {*minor, options.currency};
    if (const std::string currency = upper(field(at.currency)); !currency.empty()) {
      const auto parsed = Currency::parse(currency);
      if (!parsed) return refuse("bad_currency", "has the currency '" + currency.substr(0, 40) + "'");
      product.price.currency = *parsed;
    }
    product.description = field(at.description);
    product.initial_stock = options.initial_stock;
    if (const std::string stock = field(at.stock); !stock.empty()) {
      const auto pieces = parse_whole(stock);
      if (!pieces || *pieces < 0 || *pieces > inventory::kMaxLevel) {
        return refuse("bad_stock", "has the stock '" + stock.substr(0, 40) + "'");
      }
      product.initial_stock = *pieces;
    }
    return line;
  }

  static const FieldRule& field_rule_of_sku() { return kRuleOf<NewProduct, 0>; }

  void reject(std::uint64_t line, std::string sku, std::string reason, std::string message) {
    ++report.rejected;
    ++report.rejected_by_reason[reason];
    if (on_rejected) on_rejected({line, std::move(sku), std::move(reason), std::move(message)});
  }

  void write() {
    if (pending.empty()) return;
    const bool has_description = at.description != kNoColumn;
    const Written written = database.transact(*ctx, "import products", [&](sql::Transaction& tx) {
      Written all = write_all(*ctx, tx, pending, has_description);
      if (publisher != nullptr && !all.changed.empty()) publish_changes(*ctx, tx, *publisher, all.changed);
      return all;
    });
    report.created += written.created;
    report.updated += written.updated;
    report.unchanged += written.unchanged;
    pending.clear();
  }

  sql::Database& database;
  ImportOptions options;
  OnRejected on_rejected;
  CsvReader reader;
  Places at;
  bool has_heading = false;
  std::unordered_set<std::string> seen;
  std::vector<NewProduct> pending;
  ImportReport report;
  messaging::Publisher* publisher = nullptr;
  const Context* ctx = nullptr;  // of the push() or finish() that runs
};

ProductImport::ProductImport(sql::Database& database, ImportOptions options, OnRejected on_rejected,
                             messaging::Publisher* publisher)
    : state_(std::make_unique<State>(database, std::move(options), std::move(on_rejected))) {
  state_->publisher = publisher;
}
ProductImport::~ProductImport() = default;

void ProductImport::push(const Context& ctx, std::string_view chunk) {
  state_->ctx = &ctx;
  state_->reader.push(chunk);
}

ImportReport ProductImport::finish(const Context& ctx) {
  state_->ctx = &ctx;
  state_->reader.finish();
  if (!state_->has_heading) {
    throw Error(ErrorCode::invalid_argument, "The file is empty; it must begin with a line of headings.")
        .reason("empty_file");
  }
  state_->write();
  return state_->report;
}

const ImportReport& ProductImport::report() const noexcept { return state_->report; }

}  // namespace holdfast::orders::catalog
