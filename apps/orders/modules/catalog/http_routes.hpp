// The catalog over HTTP: /v1/products. Reading is for everybody, changing takes the scope `write`.
#pragma once

#include <cstddef>
#include <functional>

#include "holdfast/http/router.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/modules/catalog/product_page.hpp"

namespace holdfast::orders::catalog {

/// Rejected lines that an import's answer lists; the rest is counted.
inline constexpr std::size_t kMaxRejectedLinesListed = 1000;

/// Where a request that only reads may be answered from, be that a little late.
using ReadsFor = std::function<sql::Database&(const http::Request&)>;

/// All are borrowed by the routes. Changes are told by `publisher` (changes.hpp). Without `reads_for` all is
/// read from `database`.
void add_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                messaging::Publisher& publisher, std::size_t max_import_bytes, ReadsFor reads_for = {});

/// GET /v1/products/{sku}/page, and reviews. All are borrowed.
void add_page_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                     IdGenerator& ids, ProductPages& pages);

}  // namespace holdfast::orders::catalog
