#include "orders/modules/catalog/catalog.hpp"

#include "orders/modules/catalog/product_row.hpp"

namespace holdfast::orders::catalog {
namespace {

ProductContents contents_of(const Product& product) {
  return {product.name, product.description, product.price, product.status, product.attributes};
}

void require_object(const JsonText& attributes, Violations& faults) {
  if (!attributes.text().starts_with('{')) faults.add_at("/attributes", "wrong_type", "must be an object");
}

void require_currency(const Price& price, Violations& faults) {
  if (price.currency == Currency())
    faults.add_at("/price/currency", "no_currency", "must be a currency; XXX is none");
}

void require_version(const Product& product, std::optional<std::int64_t> expected) {
  if (!expected || *expected == product.version) return;
  throw Error(ErrorCode::failed_precondition, "Product " + product.sku + " is at version " +
                                                  std::to_string(product.version) +
                                                  " by now. Read it again and decide anew.")
      .reason("version_mismatch");
}

Product change(const Context& ctx, sql::Transaction& tx, Product product, const ProductContents& to) {
  if (contents_of(product) == to) return product;
  const std::int64_t changed = tx.execute(
      "update products set name = $2, description = $3, price_minor = $4, currency = $5, status = $6, "
      "attributes = $7, version = version + 1, updated_at = $8 where sku = $1 and version = $9",
      product.sku, to.name, to.description, to.price.minor, to.price.currency, to.status, to.attributes,
      ctx.clock().wall_now(), product.version);
  if (changed == 0) require_version(get(tx, product.sku), product.version);
  return get(tx, product.sku);
}

void write_merged(JsonWriter& writer, const JsonValue& target, const JsonValue& patch) {
  if (!patch.is_object()) {
    writer.value(patch);
    return;
  }
  writer.begin_object();
  if (target.is_object()) {
    for (const JsonMember& member : target.members()) {
      const JsonValue* change = patch.find(member.key);
      if (change == nullptr) {
        writer.key(member.key).value(member.value);
      } else if (!change->is_null()) {
        write_merged(writer.key(member.key), member.value, *change);
      }
    }
  }
  for (const JsonMember& member : patch.members()) {
    const bool is_new = !target.is_object() || target.find(member.key) == nullptr;
    if (is_new && !member.value.is_null()) write_merged(writer.key(member.key), JsonValue(), member.value);
  }
  writer.end_object();
}

}  // namespace

void ProductContents::validate(Violations& faults) const {
  require_object(attributes, faults);
  require_currency(price, faults);
}

void NewProduct::validate(Violations& faults) const {
  require_object(attributes, faults);
  require_currency(price, faults);
}

Product create(const Context& ctx, sql::Transaction& tx, const NewProduct& product) {
  const WallTime now = ctx.clock().wall_now();
  const std::int64_t created = tx.execute(
      "insert into products(sku, price_minor, currency, status, name, version, created_at, updated_at, "
      "attributes, "
      "description) values($1, $2, $3, 'active', $4, 1, $5, $5, $6, $7) on conflict(sku) do nothing",
      product.sku, product.price.minor, product.price.currency, product.name, now, product.attributes,
      product.description);
  if (created == 0) {
    throw Error(ErrorCode::conflict,
                "Product " + product.sku + " exists already. Change it with PUT or PATCH.")
        .reason("sku_exists");
  }
  inventory::open(ctx, tx, product.sku, product.initial_stock);
  return get(tx, product.sku);
}

std::optional<Product> find(sql::Queries& db, std::string_view sku) {
  auto row = db.query_one<ProductRow>(std::string(kSelectProduct) + " where sku = $1", sku);
  if (!row) return std::nullopt;
  return to_product(std::move(*row));
}

Product get(sql::Queries& db, std::string_view sku) {
  auto found = find(db, sku);
  if (!found)
    throw Error(ErrorCode::not_found, "There is no product " + std::string(sku) + ".").reason("unknown_sku");
  return std::move(*found);
}

Product replace(const Context& ctx, sql::Transaction& tx, std::string_view sku,
                const ProductContents& contents, std::optional<std::int64_t> expected_version) {
  Product product = get(tx, sku);
  require_version(product, expected_version);
  return change(ctx, tx, std::move(product), contents);
}

Product patch(const Context& ctx, sql::Transaction& tx, std::string_view sku, const JsonValue& merge_patch,
              std::optional<std::int64_t> expected_version) {
  if (!merge_patch.is_object()) {
    throw Error(ErrorCode::invalid_argument, "A product's patch must be a JSON object.")
        .reason("validation_failed");
  }
  Product product = get(tx, sku);
  require_version(product, expected_version);
  const JsonDocument present = JsonDocument::parse(to_json(contents_of(product)));
  const auto contents = from_json<ProductContents>(merge_json(present.root(), merge_patch));
  return change(ctx, tx, std::move(product), contents);
}

Product archive(const Context& ctx, sql::Transaction& tx, std::string_view sku,
                std::optional<std::int64_t> expected_version) {
  Product product = get(tx, sku);
  require_version(product, expected_version);
  ProductContents contents = contents_of(product);
  contents.status = ProductStatus::archived;
  return change(ctx, tx, std::move(product), contents);
}

std::optional<PriceTag> price_tag(sql::Queries& db, std::string_view sku) {
  return db.query_one<PriceTag>("select price_minor, currency, status, name from products where sku = $1",
                                sku);
}

std::string merge_json(const JsonValue& target, const JsonValue& patch) {
  std::string out;
  JsonWriter writer(out);
  write_merged(writer, target, patch);
  return out;
}

}  // namespace holdfast::orders::catalog
