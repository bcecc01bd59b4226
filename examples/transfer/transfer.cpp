// An idempotent transfer with an outbox and a subscriber, on embedded SQLite: a retry, a crash, a redelivery
// change nothing. transfer DATA_FOLDER 127.0.0.1:8080
#include <cstdio>

#include "holdfast/base/reflect.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/http/typed.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/idempotency/schema.hpp"
#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/signals.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/sqlite/database.hpp"

using namespace holdfast;

struct Transfer {
  std::string from;
  std::string to;
  std::int64_t amount_minor = 0;
  static constexpr auto rules() {
    return holdfast::rules(field<&Transfer::from>().length(1, 40), field<&Transfer::to>().length(1, 40),
                           field<&Transfer::amount_minor>().range(1, 1'000'000'00));
  }
};
HOLDFAST_DESCRIBE(Transfer, (from, to, amount_minor))

struct Account {
  std::string name;
  std::int64_t balance_minor = 0;
};
HOLDFAST_DESCRIBE(Account, (name, balance_minor))

struct ByName {
  std::string name;
};
HOLDFAST_DESCRIBE(ByName, (name))

struct Notices {
  std::int64_t count = 0;
};
HOLDFAST_DESCRIBE(Notices, (count))

// Each part brings the steps of its own tables; ours come after them.
std::vector<sql::Migration> schema() {
  auto steps = messaging::migrations();
  for (auto& step : idempotency::migrations()) steps.push_back(std::move(step));
  steps.push_back({1'000'000, "accounts",
                   "create table accounts (name text primary key, balance_minor integer not null check "
                   "(balance_minor >= 0));"
                   "create table notices (message_id text primary key, account text not null);"
                   "insert into accounts values ('ada', 1000), ('bob', 0)",
                   "drop table notices; drop table accounts"});
  return steps;
}

// The domain: plain statements in a transaction that the caller opened.
Transfer transfer(const Context& ctx, sql::Transaction& tx, messaging::Publisher& publisher,
                  const Transfer& order) {
  if (tx.execute(
          "update accounts set balance_minor = balance_minor - $2 where name = $1 and balance_minor >= $2",
          order.from, order.amount_minor) == 0)
    throw Error(ErrorCode::conflict, "There is not enough in the account of " + order.from + ".")
        .reason("insufficient_funds");
  if (tx.execute("update accounts set balance_minor = balance_minor + $2 where name = $1", order.to,
                 order.amount_minor) == 0)
    throw Error(ErrorCode::not_found, "There is no account of " + order.to + ".");
  publisher.publish(
      ctx, tx, {.topic = "transfers", .key = order.to, .type = "money.received", .payload = to_json(order)});
  return order;
}

void run(runtime::Runtime& runtime, const Context& ctx, const std::string& folder,
         const std::string& address) {
  observe::Metrics metrics;
  const auto db = sql::sqlite::open_file(runtime, {.path = folder + "/transfers.db"});
  sql::Migrator(*db, schema()).up(ctx);
  messaging::Outbox outbox(runtime.clock(), runtime.random(), metrics);
  idempotency::Idempotency idempotency(*db, metrics);

  // The subscriber: its effect and its progress commit together, so each notice is written once.
  messaging::EmbeddedBroker broker(runtime, *db, outbox, metrics, observe::Logger());
  broker.subscribe(
      {.group = "notices", .topics = {"transfers"}},
      messaging::transactional([](const Context&, sql::Transaction& tx, const messaging::Message& message) {
        const auto received = from_json<Transfer>(message.payload);
        tx.execute("insert into notices values ($1, $2)", message.id, received.to);
      }));
  broker.start(ctx);

  http::Router router;
  router.use(http::problem_details());
  router.post("/v1/transfers",
              idempotency.transactional(
                  "transfer",
                  [&](const Context&, http::Request& request) {
                    auto order =
                        from_json<Transfer>(request.body);  // every fault listed; nothing is stored for those
                    return idempotency::Effect([&outbox, order](const Context& inner, sql::Transaction& tx) {
                      return http::Response::json(201, to_json(transfer(inner, tx, outbox, order)));
                    });
                  }),
              {.name = "transfer", .idempotency = http::Idempotency::required});
  http::route(router, http::Method::get, "/v1/accounts/{name}", {.name = "account"},
              [&](const Context& inner, http::Path<ByName> path) {
                auto account =
                    db->query_one<Account>(inner, "select * from accounts where name = $1", path->name);
                if (!account) throw Error(ErrorCode::not_found, "There is no account of " + path->name + ".");
                return *account;
              });
  http::route(
      router, http::Method::get, "/v1/accounts/{name}/notices", {.name = "notices"},
      [&](const Context& inner, http::Path<ByName> path) {
        return Notices{db->query_value(inner, "select count(*) from notices where account = $1", path->name)};
      });

  http::Server server(runtime, std::move(router), {.address = address});
  server.start();
  std::printf("http://127.0.0.1:%u\n", server.port());
  std::fflush(stdout);
  runtime::ShutdownSignals().wait(ctx);
  server.drain(ctx.with_timeout(std::chrono::seconds(10)));
  broker.stop(ctx.with_timeout(std::chrono::seconds(10)));
}

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("transfer DATA_FOLDER HOST:PORT\n", stderr), 2;
  runtime::ShutdownSignals::block();
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({}, clock, random);
  runtime.run([&](const Context& ctx) { run(runtime, ctx, argv[1], argv[2]); });
}
