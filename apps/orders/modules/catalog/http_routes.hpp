// The catalog over HTTP: /v1/products. Reading is for everybody, changing takes the scope `write`.
#pragma once

#include <cstddef>

#include "holdfast/http/router.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/modules/catalog/product_page.hpp"

namespace holdfast::orders::catalog {

/// Rejected lines that an import's answer lists; the rest is counted.
inline constexpr std::size_t kMaxRejectedLinesListed = 1000;

/// Both are borrowed by the routes.
void add_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                std::size_t max_import_bytes);

/// GET /v1/products/{sku}/page, and reviews. All are borrowed.
void add_page_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                     IdGenerator& ids, ProductPages& pages);

}  // namespace holdfast::orders::catalog
