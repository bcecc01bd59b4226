// Checkout without a conductor: each part hears what happened, does its own work, and says what happened.
//
//   order.placed → payments → payment.authorized | payment.declined
//   payment.authorized → shipping → shipment.booked | shipment.refused
//   shipment.refused → payments → payment.released;  orders hear all of it and are confirmed or rejected
//
// The same flow as a saga, and when to prefer which: docs/sagas.md.   choreography DATA_FOLDER
#include <cstdio>

#include "holdfast/base/reflect.hpp"
#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/sqlite/database.hpp"

using namespace holdfast;
using namespace std::chrono_literals;

struct Checkout {
  std::string order;
  std::string card;
  std::string city;
};
HOLDFAST_DESCRIBE(Checkout, (order, card, city))

std::vector<sql::Migration> schema() {
  auto steps = messaging::migrations();
  steps.push_back({1'000'000, "checkout",
                   "create table orders (id text primary key, status text not null, why text not null);"
                   "create table charges (order_id text primary key, status text not null)",
                   "drop table charges; drop table orders"});
  return steps;
}

struct Parts {
  messaging::Publisher& publisher;

  /// What each part has to say, in the transaction of what it did: topic "checkout", keyed by the order, so
  /// that an order's events stay in order.
  void say(const Context& ctx, sql::Transaction& tx, const char* type, const Checkout& checkout) const {
    publisher.publish(
        ctx, tx, {.topic = "checkout", .key = checkout.order, .type = type, .payload = to_json(checkout)});
  }

  void place(const Context& ctx, sql::Transaction& tx, const Checkout& checkout) const {
    if (tx.execute("insert into orders values ($1, 'pending', '') on conflict do nothing", checkout.order) ==
        1)
      say(ctx, tx, "order.placed", checkout);
  }

  void payments(const Context& ctx, sql::Transaction& tx, const messaging::Message& message) const {
    const auto checkout = from_json<Checkout>(message.payload);
    if (message.type == "order.placed") {
      const bool good = checkout.card != "declined";
      tx.execute("insert into charges values ($1, $2)", checkout.order, good ? "authorized" : "declined");
      say(ctx, tx, good ? "payment.authorized" : "payment.declined", checkout);
    } else if (message.type == "shipment.refused") {
      tx.execute("update charges set status = 'released' where order_id = $1", checkout.order);
      say(ctx, tx, "payment.released", checkout);
    }
  }

  void shipping(const Context& ctx, sql::Transaction& tx, const messaging::Message& message) const {
    if (message.type != "payment.authorized") return;
    const auto checkout = from_json<Checkout>(message.payload);
    say(ctx, tx, checkout.city == "nowhere" ? "shipment.refused" : "shipment.booked", checkout);
  }

  void orders(const Context&, sql::Transaction& tx, const messaging::Message& message) const {
    const auto checkout = from_json<Checkout>(message.payload);
    const auto end = [&](const char* status) {
      tx.execute("update orders set status = $2, why = $3 where id = $1", checkout.order, status,
                 message.type);
    };
    if (message.type == "shipment.booked") end("confirmed");
    if (message.type == "payment.declined" || message.type == "payment.released") end("rejected");
  }
};

void run(runtime::Runtime& runtime, const Context& ctx, const std::string& folder) {
  observe::Metrics metrics;
  const auto db = sql::sqlite::open_file(runtime, {.path = folder + "/checkout.db"});
  sql::Migrator(*db, schema()).up(ctx);
  messaging::Outbox outbox(runtime.clock(), runtime.random(), metrics);
  const Parts parts{outbox};

  messaging::EmbeddedBroker broker(runtime, *db, outbox, metrics, observe::Logger());
  const auto listen = [&](const char* group, auto part) {
    broker.subscribe({.group = group, .topics = {"checkout"}},
                     messaging::transactional([&parts, part](const Context& inner, sql::Transaction& tx,
                                                             const messaging::Message& message) {
                       (parts.*part)(inner, tx, message);
                     }));
  };
  listen("payments", &Parts::payments);
  listen("shipping", &Parts::shipping);
  listen("orders", &Parts::orders);
  broker.start(ctx);

  for (const Checkout& checkout :
       {Checkout{"ord_1", "good", "London"}, Checkout{"ord_2", "declined", "London"},
        Checkout{"ord_3", "good", "nowhere"}}) {
    db->transact(ctx, "place order", [&](sql::Transaction& tx) { parts.place(ctx, tx, checkout); });
  }
  // Nobody knows how far an order is but its own table: that is the price of having no conductor.
  while (db->query_value(ctx, "select count(*) from orders where status = 'pending'") > 0)
    runtime::sleep_for(ctx, 5ms);
  db->for_each<std::tuple<std::string, std::string, std::string, std::string>>(
      ctx,
      "select o.id, o.status, o.why, c.status from orders o join charges c on c.order_id = o.id order by "
      "o.id",
      [](const auto& row) {
        const auto& [order, status, why, charge] = row;
        std::printf("%s %s (%s), charge %s\n", order.c_str(), status.c_str(), why.c_str(), charge.c_str());
      });
  broker.stop(ctx.with_timeout(10s));
}

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("choreography DATA_FOLDER\n", stderr), 2;
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({}, clock, random);
  runtime.run([&](const Context& ctx) { run(runtime, ctx, argv[1]); });
}
