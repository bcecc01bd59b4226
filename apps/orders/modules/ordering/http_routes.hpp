// Orders over HTTP: /v1/orders.
#pragma once

#include <cstddef>

#include "holdfast/http/router.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/modules/ordering/ordering.hpp"

namespace holdfast::orders::ordering {

struct RouteOptions {
  std::size_t max_batch_bytes = 2 * 1024 * 1024;
  Duration event_poll = std::chrono::seconds(1);          ///< events of other processes are looked for
  Duration event_pause = std::chrono::milliseconds(100);  ///< between two looks of one stream, at least
  Duration event_heartbeat =
      std::chrono::seconds(15);  ///< a comment, so that proxies keep a silent stream open
};

/// All are borrowed by the routes. `changed` is notified when events were committed.
void add_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                Ordering& ordering, runtime::Signal& changed, RouteOptions options = {});

}  // namespace holdfast::orders::ordering
