#include "orders/modules/catalog/http_routes.hpp"

#include <algorithm>

#include "holdfast/http/conditional.hpp"
#include "orders/modules/catalog/catalog.hpp"
#include "orders/modules/catalog/changes.hpp"
#include "orders/shared/http.hpp"

namespace holdfast::orders::catalog {
namespace {

struct ProductPath {
  std::string sku;
  static constexpr auto rules() {
    return holdfast::rules(field<&ProductPath::sku>().length(1, kMaxSkuLength).pattern_chars(kSkuChars));
  }
};
HOLDFAST_DESCRIBE(ProductPath, (sku))

struct FieldsQuery {
  std::vector<std::string> fields;
  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(field<&FieldsQuery::fields>().size(1, 20).length(1, 40).defaulted().doc(
        "Only these members of a product."));
  }
};
HOLDFAST_DESCRIBE(FieldsQuery, (fields))

struct ListQuery {
  std::optional<ProductStatus> status;
  std::optional<std::string> q;
  std::optional<std::int64_t> min_price;
  std::optional<std::int64_t> max_price;
  std::optional<Currency> currency;
  std::string sort = "sku";
  std::optional<std::string> cursor;
  std::optional<std::int64_t> page;
  std::int64_t limit = kDefaultLimit;
  std::vector<std::string> fields;

  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&ListQuery::q>().length(1, 100).doc("Text anywhere in sku, name or description."),
        field<&ListQuery::min_price>().range(0, kMaxPriceMinor).doc("Minor units, inclusive."),
        field<&ListQuery::max_price>().range(0, kMaxPriceMinor).doc("Minor units, inclusive."),
        field<&ListQuery::sort>().length(1, 20).defaulted().doc(
            "sku, name, price, createdAt or updatedAt; '-' before it to descend."),
        field<&ListQuery::cursor>().length(1, 2048).doc(
            "nextCursor of the page before; stable under inserts."),
        field<&ListQuery::page>().range(1, kMaxPageNumber).doc("By number instead, with a total."),
        field<&ListQuery::limit>().range(1, kMaxLimit).defaulted().doc("Products a page."),
        field<&ListQuery::fields>().size(1, 20).length(1, 40).defaulted().doc(
            "Only these members of a product."));
  }
};
HOLDFAST_DESCRIBE(ListQuery, (status, q, min_price, max_price, currency, sort, cursor, page, limit, fields))

struct ImportQuery {
  std::optional<std::string> preset;
  std::optional<Currency> currency;
  std::int64_t initial_stock = 0;
  std::optional<std::string> sku_column;
  std::optional<std::string> name_column;
  std::optional<std::string> price_column;
  std::optional<std::string> description_column;
  std::optional<std::string> currency_column;
  std::optional<std::string> stock_column;
  static constexpr auto rules() {
    return holdfast::rules(field<&ImportQuery::preset>().one_of("uci-online-retail").doc("A known layout."),
                           field<&ImportQuery::currency>().doc("Of lines without one; GBP unless set."),
                           field<&ImportQuery::initial_stock>()
                               .range(0, inventory::kMaxLevel)
                               .defaulted()
                               .doc("Of new products without a stock column."),
                           field<&ImportQuery::sku_column>().length(1, 100).doc(
                               "Heading of the column with the sku; likewise the rest."));
  }
};
HOLDFAST_DESCRIBE(ImportQuery, (preset, currency, initial_stock, sku_column, name_column, price_column,
                                description_column, currency_column, stock_column))

struct ImportAnswer {
  ImportReport report;
  std::vector<RejectedLine> rejected_lines;
  std::int64_t rejected_lines_omitted = 0;
};
HOLDFAST_DESCRIBE(ImportAnswer, (report, rejected_lines, rejected_lines_omitted))

bool is_member(std::string_view name) {
  bool found = false;
  for_each_member_info<Product>([&](auto member) { found = found || member.json_name == name; });
  return found;
}

void check_fields(const std::vector<std::string>& fields, Violations& faults) {
  const auto place = Violations::Place::named(faults, "?fields");
  for (const std::string& name : fields) {
    if (!is_member(name))
      faults.add("unknown_field", "names '" + name + "', which is no member of a product");
  }
}

void FieldsQuery::validate(Violations& faults) const { check_fields(fields, faults); }

void ListQuery::validate(Violations& faults) const {
  check_fields(fields, faults);
  if (page && cursor) {
    const auto place = Violations::Place::named(faults, "?page");
    faults.add("page_and_cursor", "can't be given together with cursor");
  }
}

void write_product(JsonWriter& writer, const Product& product, const std::vector<std::string>& fields) {
  if (fields.empty()) return write_json(writer, product);
  writer.begin_object();
  for_each_member_info<Product>([&](auto member) {
    if (std::find(fields.begin(), fields.end(), member.json_name) == fields.end()) return;
    write_json(writer.quoted_key(member.json_key), product.*member.pointer);
  });
  writer.end_object();
}

http::Response product_answer(int status, const Product& product,
                              const std::vector<std::string>& fields = {}) {
  std::string body;
  JsonWriter writer(body);
  write_product(writer, product, fields);
  return http::Response::json(status, std::move(body)).set("ETag", etag_of_version(product.version));
}

http::Response list_answer(const Page<Product>& page, const std::vector<std::string>& fields) {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object().key("items").begin_array();
  for (const Product& product : page.items) write_product(writer, product, fields);
  writer.end_array();
  if (page.next_cursor) writer.member("nextCursor", *page.next_cursor);
  if (page.page) writer.member("page", *page.page);
  if (page.total) writer.member("total", *page.total);
  writer.end_object();
  return http::Response::json(200, std::move(body));
}

ProductQuery query_of(const ListQuery& given) {
  return {.status = given.status,
          .text = given.q.value_or(""),
          .min_price_minor = given.min_price,
          .max_price_minor = given.max_price,
          .currency = given.currency,
          .sort = given.sort,
          .cursor = given.cursor.value_or(""),
          .page = given.page,
          .limit = given.limit};
}

/// The version that If-Match makes a condition; none without the header. Inside the transaction, so that
/// what is compared is what is changed.
std::optional<std::int64_t> expected_version(sql::Transaction& tx, std::string_view sku,
                                             const std::string& if_match) {
  if (if_match.empty()) return std::nullopt;
  const Product present = get(tx, sku);
  if (http::names_etag(if_match, etag_of_version(present.version), http::EtagComparison::strong)) {
    return present.version;
  }
  throw Error(ErrorCode::failed_precondition, "Product " + present.sku + " is at version " +
                                                  std::to_string(present.version) +
                                                  " by now. Read it again and decide anew.")
      .reason("version_mismatch");
}

ImportOptions options_of(const ImportQuery& query) {
  ImportOptions options = query.preset ? uci_online_retail() : ImportOptions{};
  const auto set = [](std::string& column, const std::optional<std::string>& given) {
    if (given) column = *given;
  };
  set(options.columns.sku, query.sku_column);
  set(options.columns.name, query.name_column);
  set(options.columns.price, query.price_column);
  set(options.columns.description, query.description_column);
  set(options.columns.currency, query.currency_column);
  set(options.columns.stock, query.stock_column);
  if (query.currency) options.currency = *query.currency;
  options.initial_stock = query.initial_stock;
  return options;
}

void require_csv(const http::Request& request) {
  http::binding::require_uncoded(request);
  std::string_view type = request.header("Content-Type");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  if (http::equal_ignoring_case(type, "text/csv")) return;
  throw http::HttpError(415, "unsupported_media_type", "The body must be text/csv.");
}

ImportAnswer import_products(const Context& ctx, sql::Database& database, messaging::Publisher& publisher,
                             const ImportQuery& query, http::Request& request) {
  require_csv(request);
  ImportAnswer answer;
  ProductImport import(
      database, options_of(query),
      [&](const RejectedLine& line) {
        if (answer.rejected_lines.size() < kMaxRejectedLinesListed) {
          answer.rejected_lines.push_back(line);
        } else {
          ++answer.rejected_lines_omitted;
        }
      },
      &publisher);
  if (request.body_reader == nullptr) {
    import.push(ctx, request.body);
  } else {
    for (auto piece = request.body_reader->read(ctx); !piece.empty();
         piece = request.body_reader->read(ctx)) {
      import.push(ctx, piece);
    }
  }
  answer.report = import.finish(ctx);
  return answer;
}

void add_reading(http::Router& router, sql::Database& database, const ReadsFor& reads_for) {
  http::route(router, http::Method::get, "/v1/products",
              {.name = "listProducts",
               .summary = "Lists products",
               .description = "By cursor, or by page with a total.",
               .tags = {"catalog"}},
              [reads_for](const Context& ctx, http::Request& request,
                          http::Query<ListQuery> query) -> http::Response {
                const auto page = reads_for(request).read(
                    ctx, [&](sql::Snapshot& db) { return list(db, query_of(query.value)); });
                return list_answer(page, query->fields);
              });
  http::route(router, http::Method::get, "/v1/products/{sku}",
              {.name = "getProduct", .summary = "Reads a product", .tags = {"catalog"}},
              [&database](const Context& ctx, http::Path<ProductPath> path,
                          http::Query<FieldsQuery> query) -> http::Response {
                const Product product =
                    database.read(ctx, [&](sql::Snapshot& db) { return get(db, path->sku); });
                return product_answer(200, product, query->fields);
              });
}

http::RouteInfo changing(std::string name, std::string summary) {
  return {.name = std::move(name),
          .summary = std::move(summary),
          .tags = {"catalog"},
          .scope = "write",
          .idempotency = http::Idempotency::optional};
}

idempotency::Effect archive_effect(const http::Request& request, messaging::Publisher& publisher) {
  return [&publisher, path = read_path<ProductPath>(request),
          if_match = std::string(request.header("If-Match"))](const Context& ctx, sql::Transaction& tx) {
    const Product product = archive(ctx, tx, path.sku, expected_version(tx, path.sku, if_match));
    publish_changes(ctx, tx, publisher, {product.sku});
    return product_answer(200, product);
  };
}

void add_changing(http::Router& router, idempotency::Idempotency& idempotency,
                  messaging::Publisher& publisher) {
  using idempotency::Effect;
  router.post("/v1/products",
              idempotency.transactional("create product",
                                        [](const Context&, http::Request& request) -> Effect {
                                          return [product = read_body<NewProduct>(request)](
                                                     const Context& ctx, sql::Transaction& tx) {
                                            return product_answer(201, create(ctx, tx, product))
                                                .set("Location", "/v1/products/" + product.sku);
                                          };
                                        }),
              described<Nothing, NewProduct, Product>(
                  changing("createProduct", "Adds a product, with its stock"), 201));
  router.put("/v1/products/{sku}",
             idempotency.transactional("replace product",
                                       [&publisher](const Context&, http::Request& request) -> Effect {
                                         return [&publisher, path = read_path<ProductPath>(request),
                                                 contents = read_body<ProductContents>(request),
                                                 if_match = std::string(request.header("If-Match"))](
                                                    const Context& ctx, sql::Transaction& tx) {
                                           const Product product =
                                               replace(ctx, tx, path.sku, contents,
                                                       expected_version(tx, path.sku, if_match));
                                           publish_changes(ctx, tx, publisher, {product.sku});
                                           return product_answer(200, product);
                                         };
                                       }),
             described<ProductPath, ProductContents, Product>(
                 changing("replaceProduct", "Replaces a product's contents"), 200));
  router.patch("/v1/products/{sku}",
               idempotency.transactional(
                   "patch product",
                   [&publisher](const Context&, http::Request& request) -> Effect {
                     http::binding::require_json(request, true);
                     auto document = std::make_shared<const JsonDocument>(http::binding::parse_body(request));
                     return [&publisher, document, path = read_path<ProductPath>(request),
                             if_match = std::string(request.header("If-Match"))](const Context& ctx,
                                                                                 sql::Transaction& tx) {
                       const Product product = patch(ctx, tx, path.sku, document->root(),
                                                     expected_version(tx, path.sku, if_match));
                       publish_changes(ctx, tx, publisher, {product.sku});
                       return product_answer(200, product);
                     };
                   }),
               described<ProductPath, ProductContents, Product>(
                   changing("patchProduct", "Changes a product by a merge patch (RFC 7396)"), 200));
  const auto archiving = [&publisher](const Context&, http::Request& request) -> Effect {
    return archive_effect(request, publisher);
  };
  router.remove("/v1/products/{sku}", idempotency.transactional("archive product", archiving),
                described<ProductPath, Nothing, Product>(
                    changing("archiveProduct", "Takes a product out of sale; its orders keep it"), 200));
  router.post("/v1/products/{sku}/archive", idempotency.transactional("archive product", archiving),
              described<ProductPath, Nothing, Product>(
                  changing("archiveProductByPost", "Takes a product out of sale; its orders keep it"), 200));
}

}  // namespace

void add_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                messaging::Publisher& publisher, std::size_t max_import_bytes, ReadsFor reads_for) {
  if (!reads_for) reads_for = [&database](const http::Request&) -> sql::Database& { return database; };
  add_reading(router, database, reads_for);
  add_changing(router, idempotency, publisher);
  http::RouteInfo info{
      .name = "importProducts",
      .summary = "Adds and changes products by CSV",
      .description = "Streamed. Lines that can't be read are rejected one by one, with the reason.",
      .tags = {"catalog"},
      .scope = "write"};
  info.max_body_bytes = max_import_bytes;
  info.timeout = std::chrono::minutes(10);
  info.streaming_body = true;
  info.priority = Priority::background;
  info.bulkhead = kReportsBulkhead;
  http::route(
      router, http::Method::post, "/v1/products/import", std::move(info),
      [&database, &publisher](const Context& ctx, http::Query<ImportQuery> query, http::Request& request) {
        return import_products(ctx, database, publisher, query.value, request);
      });
}

}  // namespace holdfast::orders::catalog
