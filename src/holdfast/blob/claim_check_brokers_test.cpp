// The claim check over every broker: payloads that no message may carry arrive whole whoever carries the
// message.
#include <gmock/gmock.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "holdfast/base/reflect.hpp"
#include "holdfast/blob/claim_check.hpp"
#include "holdfast/blob/memory_store.hpp"
#include "holdfast/blob/schema.hpp"
#include "holdfast/messaging/testing/broker_contract.hpp"
#include "holdfast/messaging/testing/kafka_kind.hpp"
#include "holdfast/messaging/testing/nats_kind.hpp"
#include "holdfast/messaging/testing/rabbit_kind.hpp"
#include "holdfast/messaging/testing/redis_kind.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::size_t kFourMebibytes = 4 * 1024 * 1024;

std::string large(std::size_t bytes, char filler) { return '"' + std::string(bytes - 2, filler) + '"'; }

/// A Process whose relay goes through the claim check.
struct Claiming {
  Claiming(runtime::Runtime& runtime, Process& the_process, blob::Store& store)
      : process(the_process),
        claims(runtime, *process.db, store, process.outbox, process.metrics, observe::Logger()) {
    if (!process.link) return;
    sink.emplace(claims, process.link->sink());
    process.relay = std::make_unique<Relay>(runtime, *process.db, process.outbox, *sink, process.metrics,
                                            observe::Logger());
  }
  void publish(const Context& ctx, const OutgoingMessage& message) {
    const OutgoingMessage stored = claims.store(ctx, message);
    process.db->transact(ctx, [&](sql::Transaction& tx) { claims.publish(ctx, tx, stored); });
  }
  Process& process;
  blob::ClaimCheck claims;
  std::optional<blob::ClaimedSink> sink;
};

class ClaimsOverBrokers : public BrokerContract {
 protected:
  void run_claiming(const std::function<void(const Context&, Process&, Claiming&)>& test) {
    run([&](const Context& ctx) {
      auto node = process(ctx);
      node->db->transact(ctx, [](sql::Transaction& tx) {
        for (const sql::Migration& step : blob::migrations()) tx.execute_script(step.up_sql);
      });
      Claiming claiming(*runtime_, *node, blobs);
      test(ctx, *node, claiming);
      node->stop(ctx);
      node->relay.reset();
    });
  }
  std::size_t blobs_there(const Context& ctx) { return blobs.list(ctx, "claims/").blobs.size(); }

  blob::MemoryStore blobs{clock_};
};

/// What handlers were given. Those in a transaction run on the database's thread; all until the node stops,
/// so it is made before run_claiming().
class Given {
 public:
  void add(const Message& message) {
    const std::lock_guard lock(mutex_);
    payloads_.push_back(message.payload);
    claimed_ = claimed_ || !message.header(blob::kClaimHeader).empty();
  }
  std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return payloads_.size();
  }
  std::vector<std::size_t> sizes() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::size_t> sizes;
    for (const std::string& payload : payloads_) sizes.push_back(payload.size());
    return sizes;
  }
  /// Whether all that are no shorter than `payload` are equal to it, and none came with its claim.
  bool whole(const std::string& payload) const {
    const std::lock_guard lock(mutex_);
    return !claimed_ && std::ranges::all_of(payloads_, [&](const std::string& one) {
      return one.size() < payload.size() || one == payload;
    });
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> payloads_;
  bool claimed_ = false;
};

OutgoingMessage to_key(std::string key, std::string payload) {
  return {.topic = "orders", .key = std::move(key), .type = "t", .payload = std::move(payload)};
}

TEST_P(ClaimsOverBrokers, FourMebibytesArriveWholeAndInOrder) {
  const std::string payload = large(kFourMebibytes, 'x');
  Given outside;
  Given inside;
  run_claiming([&](const Context& ctx, Process& node, Claiming& claiming) {
    node.broker->subscribe(
        {.group = "outside", .topics = {"orders"}, .completion = claiming.claims.completion()},
        external([&](const Context&, const Message& message) { outside.add(message); }));
    node.broker->subscribe(
        {.group = "inside", .topics = {"orders"}, .completion = claiming.claims.completion()},
        transactional(
            [&](const Context&, sql::Transaction&, const Message& message) { inside.add(message); }));
    for (int n = 0; n < 3; ++n) {
      claiming.publish(ctx, to_key("a", "1"));
      claiming.publish(ctx, to_key("a", payload));
    }
    node.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return outside.count() >= 6 && inside.count() >= 6; }));
    EXPECT_THAT(outside.sizes(), ElementsAre(1, kFourMebibytes, 1, kFourMebibytes, 1, kFourMebibytes));
    EXPECT_EQ(inside.sizes(), outside.sizes());
    EXPECT_TRUE(outside.whole(payload) && inside.whole(payload));
    EXPECT_EQ(blobs_there(ctx), 3U);
  });
}

TEST_P(ClaimsOverBrokers, WhatWasPublishedWholeLeavesItsMessageOnTheWayOut) {
  const std::string payload = large(kMaxPayloadBytes, 'y');  // more than NATS takes, with its headers
  Given got;
  run_claiming([&](const Context& ctx, Process& node, Claiming& claiming) {
    node.broker->subscribe(
        {.group = "g", .topics = {"orders"}, .completion = claiming.claims.completion()},
        transactional([&](const Context&, sql::Transaction&, const Message& message) { got.add(message); }));
    node.publish(ctx, "a", payload);
    node.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return got.count() > 0; }));
    EXPECT_THAT(got.sizes(), Each(payload.size()));
    EXPECT_TRUE(got.whole(payload));
    EXPECT_EQ(blobs_there(ctx), outside() ? 1U : 0U) << "the embedded broker is the database, which has it";
    EXPECT_EQ(claiming.claims.sweep(ctx).deleted, 0U);
    if (!outside()) return;
    // As after a relay that was killed before it could write down how far it was.
    const Message again{.id = node.db->query_value<std::string>(ctx, "select id from outbox"),
                        .topic = "orders",
                        .key = "a",
                        .type = "t",
                        .headers = {},
                        .payload = payload,
                        .occurred_at = {},
                        .group = {}};
    claiming.claims.to_send(ctx, again);
    EXPECT_EQ(blobs_there(ctx), 1U) << "a message has one blob, however often it is sent";
  });
}

TEST_P(ClaimsOverBrokers, AMissingPayloadIsADeadLetterThatIsRedrivenOnceItIsBack) {
  const std::string payload = large(kFourMebibytes, 'z');
  Given seen;
  run_claiming([&](const Context& ctx, Process& node, Claiming& claiming) {
    node.broker->subscribe(
        {.group = "g",
         .topics = {"orders"},
         .max_attempts = 2,
         .backoff = kQuick,
         .completion = claiming.claims.completion()},
        transactional([&](const Context&, sql::Transaction&, const Message& message) { seen.add(message); }));
    claiming.publish(ctx, to_key("a", payload));
    claiming.publish(ctx, to_key("a", "1"));
    const std::string name = blobs.list(ctx, "claims/").blobs.at(0).name;
    blobs.remove(ctx, name);
    node.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.count() == 1; })) << "its key goes on";
    EXPECT_THAT(seen.sizes(), ElementsAre(1));
    DeadLetters dead(*node.db);
    ASSERT_EQ(dead.count(ctx, {}), 1);
    const DeadLetter letter = dead.list(ctx, {}).front();
    EXPECT_THAT(letter.error, HasSubstr("blob_not_found"));
    EXPECT_THAT(letter.error, HasSubstr(name));
    blob::put_text(ctx, blobs, name, payload);
    EXPECT_EQ(dead.redrive(ctx, {}).redriven, 1U);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.count() == 2; }));
    EXPECT_THAT(seen.sizes(), ElementsAre(1, kFourMebibytes));
  });
}

const BrokerKind kEmbedded{.name = "embedded", .connect = nullptr};

INSTANTIATE_TEST_SUITE_P(Over, ClaimsOverBrokers,
                         ::testing::Values(&kEmbedded, &kNats, &kRabbit, &kKafka, &kRedisStreams),
                         [](const auto& kind) { return std::string(kind.param->name); });

}  // namespace
}  // namespace holdfast::messaging
