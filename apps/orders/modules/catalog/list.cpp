// The list of products: SQL put together from whitelisted pieces; values are always parameters.
#include <algorithm>

#include "orders/modules/catalog/product_row.hpp"

namespace holdfast::orders::catalog {
namespace {

struct Sort {
  std::string_view name;
  std::string_view column;
  bool numeric;
};
constexpr Sort kSorts[] = {{"sku", "sku", false},
                           {"name", "name", false},
                           {"price", "price_minor", true},
                           {"createdAt", "created_at", true},
                           {"updatedAt", "updated_at", true}};

struct SortBy {
  Sort by;
  bool descending;
};

SortBy parse_sort(std::string_view text) {
  const bool descending = text.starts_with('-');
  if (descending) text.remove_prefix(1);
  const auto* found =
      std::find_if(std::begin(kSorts), std::end(kSorts), [&](const Sort& s) { return s.name == text; });
  if (found == std::end(kSorts)) {
    const std::string message =
        "must be one of sku, name, price, createdAt, updatedAt, with '-' before it to descend";
    throw Error(ErrorCode::invalid_argument, "Products can't be sorted like that: sort " + message + ".")
        .reason("bad_sort")
        .violations({{"?sort", "bad_sort", message}});
  }
  return {*found, descending};
}

// $1…$5 in this order, absent ones null. The text is sought in lower case: ASCII only, in SQLite.
constexpr std::string_view kFilter =
    " where ($1 is null or status = $1) and ($2 is null or price_minor >= $2) and ($3 is null or price_minor "
    "<= $3)"
    " and ($4 is null or currency = $4) and ($5 is null or lower(name) like $5 escape '\\'"
    " or lower(sku) like $5 escape '\\' or lower(description) like $5 escape '\\')";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

std::string key_of(const Product& product, const Sort& sort) {
  if (sort.name == "price") return std::to_string(product.price.minor);
  if (sort.name == "createdAt") return std::to_string(product.created_at.time_since_epoch().count());
  if (sort.name == "updatedAt") return std::to_string(product.updated_at.time_since_epoch().count());
  return sort.name == "name" ? product.name : product.sku;
}

}  // namespace

Page<Product> list(sql::Queries& db, const ProductQuery& query) {
  const SortBy sort = parse_sort(query.sort);
  const std::string direction = sort.descending ? " desc" : " asc";
  const std::string order_by =
      " order by " + std::string(sort.by.column) + direction + ", sku" + direction + " limit $6";
  std::optional<std::string> pattern;
  if (!query.text.empty()) pattern = like_anywhere(lower(query.text));

  Page<Product> result;
  const auto take = [&](ProductRow&& row) { result.items.push_back(to_product(std::move(row))); };
  const auto run = [&](const std::string& rest, const auto&... more) {
    db.for_each<ProductRow>(std::string(kSelectProduct) + std::string(kFilter) + rest, take, query.status,
                            query.min_price_minor, query.max_price_minor, query.currency, pattern, more...);
  };

  if (query.page) {
    result.page = *query.page;
    result.total =
        db.query_value<std::int64_t>("select count(*) from products" + std::string(kFilter), query.status,
                                     query.min_price_minor, query.max_price_minor, query.currency, pattern);
    run(order_by + " offset $7", query.limit, (*query.page - 1) * query.limit);
    return result;
  }

  const std::int64_t one_more = query.limit + 1;  // its presence tells whether there is a next page
  if (query.cursor.empty()) {
    run(order_by, one_more);
  } else {
    const Cursor after = read_cursor(query.cursor, query.sort, 2);
    const std::string from =
        " and (" + std::string(sort.by.column) + ", sku) " + (sort.descending ? "<" : ">") + " ($7, $8)";
    if (sort.by.numeric) {
      run(from + order_by, one_more, cursor_number(after.keys[0]), after.keys[1]);
    } else {
      run(from + order_by, one_more, after.keys[0], after.keys[1]);
    }
  }
  if (static_cast<std::int64_t>(result.items.size()) > query.limit) {
    result.items.pop_back();
    const Product& last = result.items.back();
    result.next_cursor = write_cursor({query.sort, {key_of(last, sort.by), last.sku}});
  }
  return result;
}

}  // namespace holdfast::orders::catalog
