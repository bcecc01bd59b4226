// For tests of the Order System's modules: a runtime, a database of their own with the schema, and a
// publisher that remembers. The body runs on a fiber.
//
//   TEST(Catalog, …) {
//     with_domain([](Domain& d) { d.write([&](sql::Transaction& tx) { catalog::create(d.ctx, tx, mug()); });
//     });
//   }
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/testing/test_database.hpp"
#include "orders/modules/access/access.hpp"
#include "orders/modules/catalog/catalog.hpp"
#include "orders/modules/inventory/inventory.hpp"
#include "orders/modules/notifications/notifications.hpp"
#include "orders/modules/ordering/ordering.hpp"

namespace holdfast::orders::testing {

class RecordingPublisher final : public messaging::Publisher {
 public:
  std::string publish(const Context&, sql::Transaction&, const messaging::OutgoingMessage& message) override {
    published.push_back(message);
    return "msg_" + std::to_string(published.size());
  }
  std::vector<messaging::OutgoingMessage> published;  // rolled back ones too
};

struct Domain {
  Context ctx;
  ManualClock& clock;
  sql::Database& db;
  RecordingPublisher& publisher;
  ordering::Ordering& ordering;

  template <class Body>
  auto write(Body&& body) {
    return db.transact(ctx, "test", std::forward<Body>(body));
  }
  template <class Body>
  auto read(Body&& body) {
    return db.read(ctx, std::forward<Body>(body));
  }
};

inline std::vector<sql::Migration> domain_migrations() {
  std::vector<sql::Migration> steps;
  for (auto module : {access::migrations(), inventory::migrations(), catalog::migrations(),
                      ordering::migrations(), notifications::migrations()}) {
    steps.insert(steps.end(), module.begin(), module.end());
  }
  return steps;
}

inline void with_domain(const std::function<void(Domain&)>& body) {
  ManualClock clock;
  SeededRandom random(7);
  const sql::TestDatabase database;
  runtime::Runtime runtime(sql::by_hand(clock), clock, random);
  IdGenerator ids(clock, random);
  RecordingPublisher publisher;
  ordering::Ordering ordering(ids, publisher);
  runtime.run([&](const Context& ctx) {
    const auto db = database.open_alone(runtime);
    sql::Migrator(*db, domain_migrations()).up(ctx);
    Domain domain{ctx, clock, *db, publisher, ordering};
    body(domain);
  });
}

inline catalog::NewProduct product(std::string sku, std::int64_t price_minor, std::int64_t stock = 0,
                                   Currency currency = Currency::of("GBP")) {
  catalog::NewProduct made;
  made.name = "The " + sku;
  made.sku = std::move(sku);
  made.price = {price_minor, currency};
  made.initial_stock = stock;
  return made;
}

inline void stock_shelf(Domain& domain, const std::vector<catalog::NewProduct>& products) {
  domain.write([&](sql::Transaction& tx) {
    for (const auto& each : products) catalog::create(domain.ctx, tx, each);
  });
}

/// The Error that `body` throws; fails the test's expectation by returning a marked one where it doesn't.
inline Error error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::internal, "nothing was thrown").reason("nothing_thrown");
}

}  // namespace holdfast::orders::testing
