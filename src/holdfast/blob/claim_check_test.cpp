#include "holdfast/blob/claim_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "holdfast/base/reflect.hpp"
#include "holdfast/blob/files_store.hpp"
#include "holdfast/blob/memory_store.hpp"
#include "holdfast/blob/schema.hpp"
#include "holdfast/messaging/dead_letters.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::blob {
namespace {

using namespace std::chrono_literals;
using messaging::eventually;
using messaging::Message;
using messaging::OutgoingMessage;

std::vector<sql::Migration> all_migrations() {
  auto all = messaging::migrations();
  for (sql::Migration& one : migrations()) all.push_back(std::move(one));
  return all;
}

std::string large(std::size_t bytes, char filler = 'x') { return '"' + std::string(bytes - 2, filler) + '"'; }

OutgoingMessage report_of(std::string payload) {
  return {.topic = "reports", .key = "r1", .type = "report.made", .payload = std::move(payload)};
}

struct Shop {
  Shop(runtime::Runtime& runtime, std::unique_ptr<sql::Database> database, Store& blobs,
       ClaimCheckOptions options = {})
      : node(runtime, std::move(database), {.log_retention = 1h, .inbox_retention = 24h}),
        checked(runtime, *node.db, blobs, node.outbox, node.metrics, observe::Logger(), std::move(options)) {}

  std::string publish(const Context& ctx, const OutgoingMessage& message) {
    return node.db->transact(ctx, [&](sql::Transaction& tx) { return checked.publish(ctx, tx, message); });
  }

  messaging::Node node;
  ClaimCheck checked;
};

/// Virtual time, one thread, everything in memory.
class ClaimCheckTest : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, Shop&)>& test, ClaimCheckOptions options = {}) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run([&](const Context& ctx) {
      {
        Shop shop(runtime, sql::sqlite::open_memory(runtime), blobs, options);
        sql::Migrator(*shop.node.db, all_migrations()).up(ctx);
        test(ctx, shop);
        shop.node.broker->stop(ctx.with_timeout(10s));
      }
      runtime::sleep_for(ctx, 1ms);  // the database's own fibers see that it is closed
    });
  }
  std::size_t blobs_there(const Context& ctx) { return blobs.list(ctx, "claims/").blobs.size(); }
  static std::string reason_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return std::string(error.reason());
    }
    return "";
  }

  ManualClock clock;
  SeededRandom random{3};
  MemoryStore blobs{clock};
};

TEST_F(ClaimCheckTest, FiftyMegabytesGoThroughABrokerOfAQuarter) {
  run([&](const Context& ctx, Shop& shop) {
    const std::string payload = large(50'000'000);
    std::string got;
    std::string in_transaction;
    std::string header = "?";
    shop.node.broker->subscribe({.group = "mail", .topics = {"reports"}},
                                shop.checked.wrap(messaging::external([&](const Context&, const Message& m) {
                                  got = m.payload;
                                  header = m.header(kClaimHeader);
                                })));
    shop.node.broker->subscribe({.group = "model", .topics = {"reports"}},
                                shop.checked.wrap(messaging::transactional(
                                    [&](const Context&, sql::Transaction& tx, const Message& m) {
                                      in_transaction = m.payload;
                                      tx.execute("create table handled(id text)");
                                    })));
    shop.node.broker->start(ctx);
    EXPECT_EQ(reason_of([&] { shop.publish(ctx, report_of(payload)); }), "payload_not_stored");
    shop.publish(ctx, shop.checked.store(ctx, report_of(payload)));
    ASSERT_TRUE(eventually(ctx, [&] { return !got.empty() && !in_transaction.empty(); }));
    EXPECT_TRUE(got == payload);
    EXPECT_TRUE(in_transaction == payload);
    EXPECT_EQ(header, "") << "the handler sees a message like any other";
    const auto carried = shop.node.db->query_one<std::string>(ctx, "select payload from outbox");
    EXPECT_LT(carried->size(), 300U);
    const auto claim = from_json<Claim>(*carried);
    EXPECT_EQ(claim.size, payload.size());
    EXPECT_THAT(claim.blob,
                ::testing::StartsWith("claims/" + claim.sha256.substr(0, 2) + "/" + claim.sha256));
  });
}

TEST_F(ClaimCheckTest, SmallPayloadsStayInTheirMessages) {
  run([&](const Context& ctx, Shop& shop) {
    const std::string payload = large(256 * 1024);
    std::string got;
    shop.node.broker->subscribe(
        {.group = "mail", .topics = {"reports"}},
        shop.checked.wrap(messaging::external([&](const Context&, const Message& m) { got = m.payload; })));
    shop.node.broker->start(ctx);
    shop.publish(ctx, shop.checked.store(ctx, report_of(payload)));
    ASSERT_TRUE(eventually(ctx, [&] { return !got.empty(); }));
    EXPECT_TRUE(got == payload);
    EXPECT_EQ(blobs_there(ctx), 0U);
    shop.checked.store(ctx, report_of(large(256 * 1024 + 1)));
    EXPECT_EQ(blobs_there(ctx), 1U);
    EXPECT_EQ(reason_of([&] { shop.checked.store(ctx, report_of(large(64 * 1024 * 1024 + 1))); }),
              "payload_too_large");
  });
}

TEST_F(ClaimCheckTest, ATamperedOrMissingPayloadBecomesADeadLetterAndIsRedrivenOnceRepaired) {
  run(
      [&](const Context& ctx, Shop& shop) {
        std::vector<std::string> handled;
        shop.node.broker->subscribe(
            {.group = "model", .topics = {"reports"}, .max_attempts = 3},
            shop.checked.wrap(messaging::transactional(
                [&](const Context&, sql::Transaction&, const Message& m) { handled.push_back(m.payload); })));
        const OutgoingMessage tampered = shop.checked.store(ctx, report_of(large(300'000, 'a')));
        const auto claim = from_json<Claim>(tampered.payload);
        shop.publish(ctx, tampered);
        blobs.tamper(claim.blob);
        shop.node.broker->start(ctx);
        messaging::DeadLetters dead(*shop.node.db);
        ASSERT_TRUE(eventually(ctx, [&] { return dead.count(ctx, {}) == 1; }));
        EXPECT_TRUE(handled.empty());
        EXPECT_THAT(dead.list(ctx, {})[0].error, ::testing::HasSubstr("blob_checksum_mismatch"));
        EXPECT_EQ(shop.node.metrics.counter("holdfast_claim_check_mismatches_total", "").value(), 3U);

        // Another blob, whole in itself, is not the one that was published, either.
        put_text(ctx, blobs, claim.blob, large(300'000, 'b'));
        EXPECT_EQ(dead.redrive(ctx, {}).redriven, 1U);
        ASSERT_TRUE(eventually(ctx, [&] { return dead.count(ctx, {}) == 1; }));
        EXPECT_THAT(dead.list(ctx, {})[0].error, ::testing::HasSubstr("claim_mismatch"));

        // It is kept for the dead letter, however old it is.
        runtime::sleep_for(ctx, 3h);
        EXPECT_EQ(shop.checked.sweep(ctx).deleted, 0U);
        put_text(ctx, blobs, claim.blob, large(300'000, 'a'));
        EXPECT_EQ(dead.redrive(ctx, {}).redriven, 1U);
        ASSERT_TRUE(eventually(ctx, [&] { return !handled.empty(); }));
        EXPECT_TRUE(handled[0] == large(300'000, 'a'));
        EXPECT_EQ(handled.size(), 1U);
        runtime::sleep_for(ctx, 1h);
        EXPECT_EQ(shop.checked.sweep(ctx).deleted, 1U);
      },
      {.orphan_after = 1h, .retention = 1h});
}

TEST_F(ClaimCheckTest, WhatIsRolledBackIsSweptAndWhatIsCommittedStays) {
  run([&](const Context& ctx, Shop& shop) {
    const OutgoingMessage orphan = shop.checked.store(ctx, report_of(large(300'000)));
    const OutgoingMessage kept = shop.checked.store(ctx, report_of(large(300'000)));
    EXPECT_EQ(blobs_there(ctx), 2U) << "equal payloads don't share a blob";
    EXPECT_THROW(shop.node.db->transact(ctx,
                                        [&](sql::Transaction& tx) {
                                          shop.checked.publish(ctx, tx, orphan);
                                          throw Error(ErrorCode::conflict, "Sold out.");
                                        }),
                 Error);
    shop.publish(ctx, kept);
    runtime::sleep_for(ctx, 23h);
    EXPECT_EQ(shop.checked.sweep(ctx).deleted, 0U) << "its transaction may still be under way";
    EXPECT_EQ(reason_of([&] { shop.publish(ctx, orphan); }), "claim_expired") << "too near to being swept";
    runtime::sleep_for(ctx, 2h);
    EXPECT_EQ(shop.checked.sweep(ctx).deleted, 1U);
    EXPECT_TRUE(blobs.head(ctx, from_json<Claim>(kept.payload).blob));
    put_text(ctx, blobs, "claims/a-file-of-somebody", "text");
    runtime::sleep_for(ctx, 24h * 40);  // nobody has read it: the log keeps it, and so do we
    EXPECT_EQ(shop.checked.sweep(ctx).deleted, 0U);

    std::string got;
    shop.node.broker->subscribe(
        {.group = "mail", .topics = {"reports"}},
        shop.checked.wrap(messaging::external([&](const Context&, const Message& m) { got = m.payload; })));
    shop.node.broker->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return !got.empty(); }));
    runtime::sleep_for(ctx, 2h);  // the broker trims what is read and older than its retention
    const SweepReport report = shop.checked.sweep(ctx);
    EXPECT_EQ(report.forgotten, 1U);
    EXPECT_EQ(report.deleted, 1U);
    EXPECT_EQ(blobs_there(ctx), 1U) << "what is none of ours stays";
  });
}

TEST_F(ClaimCheckTest, ItsOwnFiberSweeps) {
  run([&](const Context& ctx, Shop& shop) {
    shop.checked.store(ctx, report_of(large(300'000)));
    runtime::FiberGroup group(ctx);
    group.spawn("sweeping", [&](const Context& inner) { shop.checked.run(inner); });
    runtime::sleep_for(ctx, 23h);
    EXPECT_EQ(blobs_there(ctx), 1U);
    runtime::sleep_for(ctx, 3h);
    EXPECT_EQ(blobs_there(ctx), 0U);
    group.cancel();
  });
}

TEST_F(ClaimCheckTest, AMessageCantClaimWhatIsNotAPayload) {
  run([&](const Context& ctx, Shop& shop) {
    put_text(ctx, blobs, "secrets/key", "text");
    OutgoingMessage message =
        report_of(to_json(Claim{.blob = "secrets/key", .size = 4, .sha256 = std::string(64, '0')}));
    message.headers.emplace(kClaimHeader, "1");
    EXPECT_EQ(reason_of([&] { shop.publish(ctx, message); }), "claim_invalid");
    bool called = false;
    shop.node.broker->subscribe(
        {.group = "mail", .topics = {"reports"}, .max_attempts = 1},
        shop.checked.wrap(messaging::external([&](const Context&, const Message&) { called = true; })));
    shop.node.broker->start(ctx);
    shop.node.db->transact(ctx, [&](sql::Transaction& tx) { shop.node.outbox.publish(ctx, tx, message); });
    messaging::DeadLetters dead(*shop.node.db);
    ASSERT_TRUE(eventually(ctx, [&] { return dead.count(ctx, {.error_contains = "claim_mismatch"}) == 1; }));
    EXPECT_FALSE(called);
  });
}

/// Real processes, a real file, real blobs: a child is ended as kill -9 ends one, and another goes on.
class ClaimCheckCrash : public ::testing::Test {
 protected:
  void live(const std::function<void(const Context&, Shop&)>& life) {
    SystemClock clock;
    SystemRandom random;
    runtime::Runtime runtime({.loops = 1}, clock, random);
    runtime.run([&](const Context& ctx) {
      FilesStore blobs(runtime, {.folder = folder_.path() / "blobs"});
      Shop shop(runtime, sql::sqlite::open_file(runtime, {.path = folder_.path() / "test.db"}), blobs,
                {.orphan_after = orphan_after});
      sql::Migrator(*shop.node.db, all_migrations()).up(ctx);
      life(ctx.with_timeout(30s), shop);
      shop.node.broker->stop(ctx.with_timeout(10s));
    });
  }
  void live_and_die(const std::function<void(const Context&, Shop&)>& life) {
    const pid_t child = ::fork();
    if (child == 0) {
      live([&](const Context& ctx, Shop& shop) {
        life(ctx, shop);
        ::_exit(9);  // no destructor, no flush
      });
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(WEXITSTATUS(status), 9);
  }

  sql::TemporaryFolder folder_;
  Duration orphan_after = 1h;
};

TEST_F(ClaimCheckCrash, BetweenPutAndCommitLeavesAnOrphanThatIsSwept) {
  live_and_die([](const Context& ctx, Shop& shop) { shop.checked.store(ctx, report_of(large(300'000))); });
  live([](const Context& ctx, Shop& shop) { EXPECT_EQ(shop.checked.sweep(ctx).deleted, 0U); });
  orphan_after = 1ns;
  live([](const Context& ctx, Shop& shop) { EXPECT_EQ(shop.checked.sweep(ctx).deleted, 1U); });
}

TEST_F(ClaimCheckCrash, BetweenCommitAndHandlingLosesNothing) {
  live_and_die([](const Context& ctx, Shop& shop) {
    shop.publish(ctx, shop.checked.store(ctx, report_of(large(300'000))));
  });
  orphan_after = 1ns;
  live([](const Context& ctx, Shop& shop) {
    EXPECT_EQ(shop.checked.sweep(ctx).deleted, 0U);
    std::string got;
    shop.node.broker->subscribe(
        {.group = "mail", .topics = {"reports"}},
        shop.checked.wrap(messaging::external([&](const Context&, const Message& m) { got = m.payload; })));
    shop.node.broker->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return !got.empty(); }));
    EXPECT_TRUE(got == large(300'000));
  });
}

TEST_F(ClaimCheckCrash, BetweenHandlingAndRecordingHandlesOnce) {
  live_and_die([](const Context& ctx, Shop& shop) {
    shop.node.db->transact(ctx, [](sql::Transaction& tx) { tx.execute("create table handled(id text)"); });
    runtime::Latch done;
    auto wrapped = std::get<messaging::ExternalHandler>(shop.checked.wrap(
        messaging::transactional([](const Context&, sql::Transaction& tx, const Message& m) {
          tx.execute("insert into handled(id) values($1)", m.id);
        })));
    shop.node.broker->subscribe({.group = "model", .topics = {"reports"}},
                                messaging::external([&](const Context& inner, const Message& m) {
                                  wrapped.handle(inner, m);
                                  done.open();
                                  runtime::sleep_for(inner, 20s);  // its progress is never recorded
                                }));
    shop.node.broker->start(ctx);
    shop.publish(ctx, shop.checked.store(ctx, report_of(large(300'000))));
    done.wait(ctx, "test");
  });
  live([](const Context& ctx, Shop& shop) {
    std::size_t calls = 0;
    auto wrapped = std::get<messaging::ExternalHandler>(shop.checked.wrap(
        messaging::transactional([](const Context&, sql::Transaction& tx, const Message& m) {
          tx.execute("insert into handled(id) values($1)", m.id);
        })));
    shop.node.broker->subscribe({.group = "model", .topics = {"reports"}},
                                messaging::external([&](const Context& inner, const Message& m) {
                                  wrapped.handle(inner, m);
                                  ++calls;
                                }));
    shop.node.broker->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return calls == 1; }));
    EXPECT_EQ(shop.node.db->query_value<std::int64_t>(ctx, "select count(*) from handled"), 1);
  });
}

}  // namespace
}  // namespace holdfast::blob
