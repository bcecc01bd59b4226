// Commit to handler: how long after a commit the handler of its message starts, at half of the highest
// rate and below; and how many messages a second each kind of handler gets through, of a backlog and of
// what is published meanwhile. Handlers do nothing.
//
//   build/bench/bench_messaging_delivery [messages] [postgres://…]
//
// Prints the rates of a backlog, in batches and one by one; the delay (p50, p99) of both kinds of handlers at
// several rates; the rate of handling beside the rate of publishing alone (the same transactions without a
// subscriber), and the ratio of the two. In a SQLite file, or in the PostgreSQL database given, whose tables
// are dropped.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace {

using namespace holdfast;
using namespace std::chrono_literals;

constexpr int kPublishers = 64;

struct Figures {
  double published_per_second = 0;
  double handled_per_second = 0;
  Duration p50{};
  Duration p99{};
};

enum class Kind { none, transactional, external };

std::string postgres_uri;  // empty: SQLite

/// A database without a message in it.
std::unique_ptr<sql::Database> fresh(const Context& ctx, runtime::Runtime& runtime,
                                     const sql::TemporaryFolder& folder) {
  std::unique_ptr<sql::Database> db;
  if (postgres_uri.empty()) {
    db = sql::sqlite::open_file(runtime, {.path = folder.path() / "bench.db"});
  } else {
    db = sql::postgres::open(runtime, {.uri = postgres_uri});
    db->transact(ctx, "empty", [](sql::Transaction& tx) {
      tx.execute_script("drop schema public cascade; create schema public");
    });
  }
  sql::Migrator(*db, messaging::migrations()).up(ctx);
  return db;
}

messaging::OutgoingMessage message(int n) {
  return {.topic = "orders",
          .key = "key" + std::to_string(n),
          .type = "order.placed",
          .payload = std::to_string(n)};
}

/// Messages a second, of so many that are there before the handlers are.
double drain(Kind kind, std::size_t batch, int messages) {
  sql::TemporaryFolder folder;
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({}, clock, random);
  double rate = 0;
  runtime.run([&](const Context& ctx) {
    observe::Metrics metrics;
    auto db = fresh(ctx, runtime, folder);
    messaging::Outbox outbox(clock, random, metrics);
    for (int begin = 0; begin < messages; begin += 500) {
      db->transact(ctx, "publish", [&](sql::Transaction& tx) {
        for (int n = begin; n < std::min(messages, begin + 500); ++n) outbox.publish(ctx, tx, message(n));
      });
    }
    messaging::EmbeddedBroker broker(runtime, *db, outbox, metrics, observe::Logger());
    std::atomic<int> handled = 0;
    const messaging::SubscriptionOptions options{.group = "bench", .topics = {"orders"}, .batch = batch};
    if (kind == Kind::external) {
      broker.subscribe(options,
                       messaging::external([&](const Context&, const messaging::Message&) { ++handled; }));
    } else {
      broker.subscribe(options, messaging::transactional([&](const Context&, sql::Transaction&,
                                                             const messaging::Message&) { ++handled; }));
    }
    const Instant begun = ctx.now();
    broker.start(ctx);
    const auto recorded = [&] {
      return db->query_value(ctx,
                             "select count(*) from outbox o join outbox_leases l on l.bucket = o.bucket "
                             "and l.group_name = 'bench' and l.position >= o.position");
    };
    while (handled < messages) runtime::sleep_for(ctx, 1ms);
    while (recorded() < messages) runtime::sleep_for(ctx, 1ms);
    rate = messages / std::chrono::duration<double>(ctx.now() - begun).count();
    broker.stop(ctx.with_timeout(5s));
  });
  return rate;
}

/// One run on a fresh database; `rate` in messages a second, 0: as fast as 64 publishers can.
Figures measure(Kind kind, int messages, double rate) {
  sql::TemporaryFolder folder;
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({}, clock, random);
  Figures figures;
  runtime.run([&](const Context& ctx) {
    observe::Metrics metrics;
    auto db = fresh(ctx, runtime, folder);
    messaging::Outbox outbox(clock, random, metrics);
    messaging::EmbeddedBroker broker(runtime, *db, outbox, metrics, observe::Logger());
    std::vector<std::atomic<std::int64_t>> committed(static_cast<std::size_t>(messages));
    std::vector<std::atomic<std::int64_t>> started(static_cast<std::size_t>(messages));
    std::atomic<int> handled = 0;
    const auto note = [&](const messaging::Message& message) {
      started[static_cast<std::size_t>(std::atoi(message.payload.c_str()))] =
          clock.now().time_since_epoch().count();
      ++handled;
    };
    const messaging::SubscriptionOptions options{.group = "bench", .topics = {"orders"}};
    if (kind == Kind::external)
      broker.subscribe(options,
                       messaging::external([&](const Context&, const messaging::Message& m) { note(m); }));
    if (kind == Kind::transactional)
      broker.subscribe(options, messaging::transactional([&](const Context&, sql::Transaction&,
                                                             const messaging::Message& m) { note(m); }));
    if (kind != Kind::none) broker.start(ctx);

    const Instant begun = ctx.now();
    std::atomic<int> next = 0;
    runtime::FiberGroup publishers(ctx);
    for (int p = 0; p < kPublishers; ++p) {
      publishers.spawn("publisher", [&](const Context& inner) {
        for (int n = next++; n < messages; n = next++) {
          if (rate > 0) {
            const Duration due =
                std::chrono::duration_cast<Duration>(std::chrono::duration<double>(n / rate)) -
                (inner.now() - begun);
            if (due > Duration(0)) runtime::sleep_for(inner, due);
          }
          db->transact(inner, "publish", sql::Isolation::read_committed, [&](sql::Transaction& tx) {
            outbox.publish(inner, tx, message(n));
            tx.on_commit([&committed, &clock, n] {
              committed[static_cast<std::size_t>(n)] = clock.now().time_since_epoch().count();
            });
          });
        }
      });
    }
    publishers.wait();
    figures.published_per_second = messages / std::chrono::duration<double>(ctx.now() - begun).count();
    if (kind == Kind::none) return;
    while (handled < messages) runtime::sleep_for(ctx, 100us);
    figures.handled_per_second = messages / std::chrono::duration<double>(ctx.now() - begun).count();
    broker.stop(ctx.with_timeout(5s));
    std::vector<Duration> delays;
    for (std::size_t n = 0; n < committed.size(); ++n) delays.emplace_back(started[n] - committed[n]);
    std::ranges::sort(delays);
    figures.p50 = delays[delays.size() / 2];
    figures.p99 = delays[delays.size() * 99 / 100];
  });
  return figures;
}

double milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

}  // namespace

int main(int argc, char** argv) {
  const int messages = argc > 1 ? std::atoi(argv[1]) : 20'000;
  if (argc > 2) postgres_uri = argv[2];
  for (const Kind kind : {Kind::external, Kind::transactional}) {
    const char* name = kind == Kind::external ? "external" : "transactional";
    std::printf("%-13s a backlog: %.0f/s in batches, %.0f/s one by one\n", name, drain(kind, 64, messages),
                drain(kind, 1, messages));
  }
  const Figures alone = measure(Kind::none, messages, 0);
  std::printf("publishing alone: %.0f/s\n", alone.published_per_second);
  for (const Kind kind : {Kind::transactional, Kind::external}) {
    const char* name = kind == Kind::external ? "external" : "transactional";
    const Figures full = measure(kind, messages, 0);
    std::printf("%-13s full speed: published %.0f/s, handled %.0f/s, %.2f x publishing alone\n", name,
                full.published_per_second, full.handled_per_second,
                full.handled_per_second / alone.published_per_second);
    for (const double share : {0.5, 0.25, 0.05}) {
      const double rate = share * full.handled_per_second;
      const Figures paced = measure(kind, static_cast<int>(std::min<double>(messages, 2 * rate)), rate);
      std::printf("%-13s at %6.0f/s: commit to handler p50 %.3f ms, p99 %.3f ms\n", name, rate,
                  milliseconds(paced.p50), milliseconds(paced.p99));
    }
  }
  return 0;
}
