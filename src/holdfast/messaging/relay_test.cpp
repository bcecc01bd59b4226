#include "holdfast/messaging/relay.hpp"

#include <gtest/gtest.h>

#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/sql/testing/test_database.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;

/// A broker in memory that may be away.
struct SinkInMemory final : Sink {
  void send(const Context&, const std::string&, const Message&) override {
    if (away) throw Error(ErrorCode::unavailable, "It is away.");
    ++sent;
  }
  std::string log_identity(const Context&) override { return "log"; }
  std::int64_t last_position(const Context&) override { return 0; }
  bool away = true;
  int sent = 0;
};

// The one that has failed waits for its next try when its bucket is lost; who sends instead has not failed.
TEST(Relay, IsWellAgainThoughWhoTriedInVainLostItsBucket) {
  SystemClock clock;
  SystemRandom random;
  sql::TestDatabase database;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  runtime.run([&](const Context& ctx) {
    const auto db = database.open(runtime);
    sql::Migrator(*db, migrations()).up(ctx);
    observe::Metrics metrics;
    Outbox outbox(clock, random, metrics);
    SinkInMemory sink;
    Relay relay(runtime, *db, outbox, sink, metrics, observe::Logger(),
                {.broker = {.lease = 900ms, .heartbeat = 50ms, .poll = 50ms},
                 .backoff = {.base = 1h, .cap = 1h, .jitter = resilience::Jitter::none}});
    relay.start(ctx);
    db->transact(ctx, "publish", [&](sql::Transaction& tx) {
      outbox.publish(ctx, tx, {.topic = "orders", .key = "a", .type = "t", .payload = "1"});
    });
    EXPECT_TRUE(eventually(ctx, [&] { return !relay.state().error.empty(); }));
    sink.away = false;
    db->transact(ctx, "take its leases away", [](sql::Transaction& tx) {
      tx.execute("update outbox_leases set owner = null, fence = fence + 1");
    });
    EXPECT_TRUE(eventually(ctx, [&] { return sink.sent > 0; }));
    EXPECT_TRUE(eventually(ctx, [&] { return relay.state().error.empty(); })) << relay.state().error;
    relay.stop(ctx.with_timeout(5s));
  });
}

}  // namespace
}  // namespace holdfast::messaging
