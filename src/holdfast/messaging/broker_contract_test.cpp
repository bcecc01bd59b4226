// What every broker promises, asked of the embedded one and of real servers.
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
using ::testing::SizeIs;

constexpr const char* kNotOurs = "The server that was given is not stopped by tests.";

TEST_P(BrokerContract, HandsAMessageToEachGroupOnceWithAllThatWasPublished) {
  run([&](const Context& plain) {
    auto node = process(plain);
    std::vector<Message> first;
    std::vector<std::string> traces;
    std::atomic<int> second = 0;
    node->broker->subscribe({.group = "first.group", .topics = {"orders"}},
                            external([&](const Context& ctx, const Message& message) {
                              first.push_back(message);
                              traces.push_back(ctx.trace().trace_id_hex());
                            }));
    node->broker->subscribe(
        {.group = "second", .topics = {"orders", "stock.levels"}},
        transactional([&](const Context&, sql::Transaction&, const Message&) { ++second; }));
    node->start(plain);
    const auto trace = observe::TraceContext::start(runtime_->random());
    const Context ctx = plain.with_trace(trace).with_request_id("req-1");
    const std::string id = node->publish(ctx, "ord_1 \"ä\"", R"({"total":5})");
    node->publish(ctx, "sku", "2", "stock.levels");
    node->publish(ctx, "x", "3", "elsewhere");
    ASSERT_TRUE(eventually(ctx, [&] { return first.size() == 1 && second == 2; }));
    EXPECT_EQ(first[0].id, id);
    EXPECT_EQ(first[0].topic, "orders");
    EXPECT_EQ(first[0].key, "ord_1 \"ä\"");
    EXPECT_EQ(first[0].type, "t");
    EXPECT_EQ(first[0].version, 1);
    EXPECT_EQ(first[0].payload, R"({"total":5})");
    EXPECT_EQ(first[0].attempt, 1);
    EXPECT_EQ(first[0].group, "first.group");
    EXPECT_GT(first[0].position, 0);
    EXPECT_EQ(first[0].header("requestId"), "req-1");
    EXPECT_THAT(traces, Each(trace.trace_id_hex()));
    const auto status = [&] { return outbox_status(ctx, *node->db).groups; };
    EXPECT_TRUE(eventually(ctx, [&] {
      const auto groups = status();
      return std::ranges::all_of(groups, [](const GroupStatus& group) { return group.lag == 0; });
    })) << "status knows that all is done";
    node->stop(ctx);
  });
}

TEST_P(BrokerContract, KeepsEachKeysOrderAmongCompetingProcessesWhileHandlersFail) {
  run([&](const Context& ctx) {
    auto one = process(ctx);
    auto two = process(ctx);
    std::atomic<int> tries = 0;
    for (Process* node : {one.get(), two.get()}) {
      node->broker->subscribe({.group = "g",
                               .topics = {"orders"},
                               .max_attempts = 50,
                               .backoff = kQuick,
                               .batch = 7,
                               .read_ahead = 10},
                              effect([&](const Message&) {
                                if (++tries % 5 == 0) throw Error(ErrorCode::unavailable, "Not now.");
                              }));
      node->start(ctx);
    }
    publish_all(ctx, *one, 20, 8);
    publish_all(ctx, *two, 20, 8, 8);
    expect_once_in_order(ctx, *one, 20 * 16);
    EXPECT_GT(one->count("holdfast_messaging_handled_total", "g"), 0u);
    two->stop(ctx);
    one->stop(ctx);
  });
}

TEST_P(BrokerContract, TriesAgainAfterABackoffWhileOtherKeysGoOn) {
  run([&](const Context& ctx) {
    auto node = process(ctx);
    Seen seen;
    std::vector<Instant> tries;
    bool others_are_through = false;
    node->broker->subscribe({.group = "g",
                             .topics = {"orders"},
                             .max_attempts = 1000,
                             .backoff = {.base = 300ms, .cap = 300ms, .jitter = resilience::Jitter::none}},
                            external([&](const Context& own, const Message& message) {
                              if (message.key == "slow" && message.payload == "0") {
                                tries.push_back(own.now());
                                if (tries.size() < 3 || !others_are_through)
                                  throw Error(ErrorCode::unavailable, "Not now.");
                              }
                              seen.add(message);
                            }));
    node->start(ctx);
    node->publish(ctx, "slow", "0");
    node->publish(ctx, "slow", "1");
    for (int n = 0; n < 20; ++n) node->publish(ctx, "other" + std::to_string(n), "0");
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 20; })) << "the others do not wait for it";
    EXPECT_FALSE(seen.by_key.contains("slow"));
    others_are_through = true;
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 22; }));
    ASSERT_GE(tries.size(), 3u);
    for (std::size_t n = 1; n < tries.size(); ++n) EXPECT_GE(tries[n] - tries[n - 1], 295ms);
    EXPECT_THAT(seen.by_key["slow"], ElementsAre("0", "1"));
    node->stop(ctx);
  });
}

TEST_P(BrokerContract, APoisonBecomesADeadLetterThatIsRedriven) {
  run([&](const Context& ctx) {
    auto node = process(ctx);
    std::atomic<bool> broken = true;
    node->broker->subscribe({.group = "g", .topics = {"orders"}, .max_attempts = 3, .backoff = kQuick},
                            effect([&](const Message& message) {
                              if (broken && message.payload == R"("poison")")
                                throw Error(ErrorCode::internal, "Can't read it.");
                            }));
    node->start(ctx);
    node->publish(ctx, "a", R"("poison")");
    node->publish(ctx, "a", "1");
    ASSERT_TRUE(eventually(ctx, [&] { return effects(ctx, *node) == 1; }));
    DeadLetters dead(*node->db);
    ASSERT_TRUE(eventually(ctx, [&] { return dead.count(ctx, {.group = "g"}) == 1; }));
    const DeadLetter letter = dead.list(ctx, {.group = "g"}).front();
    EXPECT_EQ(letter.payload.text(), R"("poison")");
    EXPECT_THAT(letter.error, HasSubstr("Can't read it."));
    EXPECT_THAT(JsonDocument::parse(letter.attempts.text()).root().items(), SizeIs(3));
    broken = false;
    EXPECT_EQ(dead.redrive(ctx, {.group = "g"}).redriven, 1u);
    EXPECT_TRUE(eventually(ctx, [&] { return effects(ctx, *node) == 2; }));
    node->stop(ctx);
  });
}

TEST_P(BrokerContract, AProcessKilledMidBatchIsReplacedWithinItsLease) {
  run([&](const Context& ctx) {
    auto killed = process(ctx);
    auto survivor = process(ctx);
    Seen seen;
    std::atomic<int> begun = 0;
    const SubscriptionOptions external_group{.group = "outside", .topics = {"orders"}};
    const SubscriptionOptions inside_group{.group = "inside", .topics = {"orders"}};
    killed->broker->subscribe(external_group, external([&](const Context& own, const Message& message) {
                                if (++begun > 20) runtime::sleep_for(own, 20s);  // never gets there
                                seen.add(message);
                              }));
    killed->broker->subscribe(inside_group, effect());
    survivor->broker->subscribe(external_group,
                                external([&](const Context&, const Message& message) { seen.add(message); }));
    survivor->broker->subscribe(inside_group, effect());
    killed->start(ctx);
    publish_all(ctx, *killed, 10, 10);
    ASSERT_TRUE(eventually(ctx, [&] { return begun > 20; }));
    killed->abandon(ctx);
    const Instant died = ctx.now();
    survivor->start(ctx);
    publish_all(ctx, *survivor, 10, 2, 10);
    ASSERT_TRUE(eventually(ctx, [&] {
      return seen.by_key.size() == 10 &&
             std::ranges::all_of(seen.by_key, [](const auto& key) { return key.second.back() == "11"; });
    }));
    EXPECT_LT(ctx.now() - died, 15s) << "before what it was at would have ended by itself, by far";
    expect_once_in_order(ctx, *survivor, 120);
    for (const auto& [key, payloads] : seen.by_key) {
      // At least once: what the killed one had done and not recorded comes again, from there on in order.
      int next = 0;
      for (const std::string& payload : payloads) {
        EXPECT_LE(std::stoi(payload), next) << key;
        next = std::max(next, std::stoi(payload) + 1);
      }
      EXPECT_EQ(next, 12) << key;
    }
    survivor->stop(ctx);
  });
}

TEST_P(ServerContract, AServerKilledAndRestartedMidBatchLosesNothing) {
  if (!GetParam()->ours) GTEST_SKIP() << kNotOurs;
  run([&](const Context& ctx) {
    auto node = process(ctx);
    node->broker->subscribe({.group = "g", .topics = {"orders"}}, effect());
    node->start(ctx);
    publish_all(ctx, *node, 20, 10);
    ASSERT_TRUE(eventually(ctx, [&] { return effects(ctx, *node) > 20; }));
    GetParam()->kill_server();
    publish_all(ctx, *node, 20, 10, 10);  // goes on without it
    ASSERT_TRUE(eventually(ctx, [&] {
      const RelayState state = node->relay->state();
      return !state.error.empty() && state.unsent >= 200;
    })) << "what waits can be seen";
    GetParam()->start_server();
    publish_all(ctx, *node, 20, 5, 20);
    expect_once_in_order(ctx, *node, 20 * 25);
    EXPECT_TRUE(eventually(ctx, [&] {
      const RelayState state = node->relay->state();
      return state.error.empty() && state.unsent == 0;
    })) << "and it recovers by itself";
    node->stop(ctx);
  });
}

TEST_P(ServerContract, StartsWithoutItsServerAndSendsOnceItIsThere) {
  if (!GetParam()->ours) GTEST_SKIP() << kNotOurs;
  run([&](const Context& ctx) {
    GetParam()->kill_server();
    auto node = process(ctx);
    node->broker->subscribe({.group = "g", .topics = {"orders"}}, effect());
    node->start(ctx);
    publish_all(ctx, *node, 5, 3);
    EXPECT_TRUE(eventually(ctx, [&] { return !node->relay->state().error.empty(); })) << "it says why";
    GetParam()->start_server();
    expect_once_in_order(ctx, *node, 15);
    node->stop(ctx);
  });
}

TEST_P(ServerContract, AServerThatLostItsStoreIsSentAllThatIsNotHandled) {
  if (!GetParam()->ours) GTEST_SKIP() << kNotOurs;
  run([&](const Context& ctx) {
    auto node = process(ctx);
    runtime::Latch go;
    node->broker->subscribe({.group = "g", .topics = {"orders"}},
                            external([&](const Context& own, const Message& message) {
                              go.wait(own, "waiting for the test");
                              node->db->transact(own, [&](sql::Transaction& tx) {
                                tx.execute("insert into effects(id, key, payload) values($1, $2, $3)",
                                           message.id, message.key, message.payload);
                              });
                            }));
    node->start(ctx);
    publish_all(ctx, *node, 5, 4);
    ASSERT_TRUE(
        eventually(ctx, [&] { return node->relay->state().unsent == 0 && node->relay->state().running; }));
    // A second process never gets anything from the first server.
    node->abandon(ctx);
    GetParam()->kill_server();
    GetParam()->lose_store();
    GetParam()->start_server();
    go.open();
    auto next = process(ctx);
    next->broker->subscribe({.group = "g", .topics = {"orders"}}, effect());
    next->start(ctx);
    publish_all(ctx, *next, 5, 2, 4);
    expect_once_in_order(ctx, *next, 30);
    next->stop(ctx);
  });
}

TEST_P(ServerContract, AStoreLostUnderARunningProcessIsNoticed) {
  if (!GetParam()->ours) GTEST_SKIP() << kNotOurs;
  run([&](const Context& ctx) {
    auto node = process(ctx);
    node->broker->subscribe({.group = "g", .topics = {"orders"}}, effect());
    node->start(ctx);
    publish_all(ctx, *node, 5, 4);
    expect_once_in_order(ctx, *node, 20);
    GetParam()->kill_server();
    publish_all(ctx, *node, 5, 4, 4);
    GetParam()->lose_store();
    GetParam()->start_server();
    publish_all(ctx, *node, 5, 4, 8);
    expect_once_in_order(ctx, *node, 60);
    node->stop(ctx);
  });
}

TEST_P(BrokerContract, ASlowConsumerHoldsUpNobodyElse) {
  run([&](const Context& ctx) {
    auto node = process(ctx);
    Seen slow;
    runtime::Latch go;
    node->broker->subscribe({.group = "slow", .topics = {"orders"}, .concurrency = 2, .read_ahead = 4},
                            external([&](const Context& own, const Message& message) {
                              go.wait(own, "waiting for the test");
                              slow.add(message);
                            }));
    node->broker->subscribe({.group = "fast", .topics = {"orders"}}, effect());
    node->start(ctx);
    publish_all(ctx, *node, 4, 100);
    expect_once_in_order(ctx, *node, 400);  // far more than the slow one may read ahead
    EXPECT_EQ(slow.total, 0u);
    go.open();
    ASSERT_TRUE(eventually(ctx, [&] { return slow.total >= 400; }));
    EXPECT_EQ(slow.total, 400u);
    for (const auto& [key, payloads] : slow.by_key) {
      for (std::size_t n = 0; n < payloads.size(); ++n) EXPECT_EQ(payloads[n], std::to_string(n)) << key;
    }
    node->stop(ctx);
  });
}

TEST_P(BrokerContract, LargeMessagesArriveWholeAndTooLargeOnesAreDeadLetters) {
  run([&](const Context& ctx) {
    auto node = process(ctx);
    std::map<std::string, std::string> sizes;
    node->broker->subscribe({.group = "g", .topics = {"orders"}},
                            external([&](const Context&, const Message& message) {
                              sizes[message.key] = std::to_string(message.payload.size());
                            }));
    node->start(ctx);
    const std::string fits = '"' + std::string(kMaxPayloadBytes - 4096, 'x') + '"';
    const std::string largest = '"' + std::string(kMaxPayloadBytes - 2, 'y') + '"';
    node->publish(ctx, "fits", fits);
    node->publish(ctx, "largest", largest);
    node->publish(ctx, "largest", "0");
    ASSERT_TRUE(eventually(ctx, [&] { return sizes["fits"] == std::to_string(fits.size()); }));
    ASSERT_TRUE(eventually(ctx, [&] { return sizes["largest"] == "1"; })) << "its key goes on";
    DeadLetters dead(*node->db);
    const std::int64_t letters = dead.count(ctx, {.group = std::string(kRelayGroup)});
    EXPECT_EQ(letters, outside() && !GetParam()->takes_the_largest ? 1 : 0);
    if (letters == 1) {
      const DeadLetter letter = dead.list(ctx, {}).front();
      EXPECT_EQ(letter.key, "largest");
      EXPECT_THAT(letter.error, HasSubstr("message_too_large"));
      EXPECT_EQ(dead.redrive(ctx, {}).redriven, 1u);
      EXPECT_TRUE(eventually(ctx, [&] { return dead.count(ctx, {}) == 1; })) << "and is refused again";
    }
    node->stop(ctx);
  });
}

TEST_P(BrokerContract, WhatIsSentTwiceHasOneEffect) {
  run([&](const Context& ctx) {
    Seen seen;
    auto node = process(ctx);
    const auto subscribe = [&](Process& to) {
      to.broker->subscribe({.group = "inside", .topics = {"orders"}}, effect());
      to.broker->subscribe({.group = "outside", .topics = {"orders"}},
                           external([&](const Context&, const Message& message) { seen.add(message); }));
    };
    subscribe(*node);
    node->start(ctx);
    publish_all(ctx, *node, 10, 4);
    expect_once_in_order(ctx, *node, 40);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 40; }));
    node->stop(ctx);
    // As after a relay that was killed before it could write down how far it was.
    runtime::sleep_for(ctx, 150ms);
    auto again = process(ctx);
    again->db->transact(ctx, [](sql::Transaction& tx) {
      tx.execute("update outbox_leases set position = 0 where group_name = $1", kRelayGroup);
    });
    subscribe(*again);
    again->start(ctx);
    publish_all(ctx, *again, 10, 1, 4);
    expect_once_in_order(ctx, *again, 50);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 50; }));
    runtime::sleep_for(ctx, 30ms);
    EXPECT_EQ(seen.total, 50u) << "positions tell, for handlers outside of the database too";
    // As from somebody who publishes one message twice, late enough for the broker's own memory of ids.
    runtime::sleep_for(ctx, 300ms);
    again->db->transact(ctx, [&](sql::Transaction& tx) {
      tx.execute(
          "insert into outbox(id, topic, key, bucket, type, version, headers, payload, occurred_at) "
          "select id, topic, key, bucket, type, version, headers, payload, occurred_at from outbox");
      tx.after_commit(again->outbox.committed());
    });
    EXPECT_TRUE(
        eventually(ctx, [&] { return again->count("holdfast_messaging_duplicates_total", "inside") >= 50; }));
    EXPECT_EQ(effects(ctx, *again), 50);
    again->stop(ctx);
  });
}

TEST_P(BrokerContract, AProcessPausedBeyondItsLeaseComesTooLate) {
  run([&](const Context& ctx) {
    auto late = process(ctx);
    auto next = process(ctx);
    runtime::Latch go;
    std::atomic<bool> begun = false;
    const SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    Seen seen;
    late->broker->subscribe(options, external([&](const Context& own, const Message&) {
                              begun = true;
                              go.wait(own.detached(), "waiting for the test");
                            }));
    next->broker->subscribe(options,
                            external([&](const Context&, const Message& message) { seen.add(message); }));
    late->start(ctx);
    late->publish(ctx, "a", "0");
    ASSERT_TRUE(eventually(ctx, [&] { return begun.load(); }));
    late->broker->stall(true);
    next->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 1; })) << "another has it once the lease is over";
    next->publish(ctx, "a", "1");
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 2; }));
    go.open();
    late->broker->stall(false);
    const auto lag = [&] {
      for (const GroupStatus& group : outbox_status(ctx, *next->db).groups) {
        if (group.group == "g") return group.lag;
      }
      return std::int64_t{-1};
    };
    EXPECT_TRUE(eventually(ctx, [&] { return lag() == 0; }));
    late->broker->stop(ctx.with_timeout(5s));  // what it would still record is refused
    EXPECT_EQ(lag(), 0);
    EXPECT_THAT(seen.by_key["a"], ElementsAre("0", "1"));
    late->stop(ctx);
    next->stop(ctx);
  });
}

TEST_P(BrokerContract, StopsGracefullyAndGoesOnWhereItWas) {
  run([&](const Context& ctx) {
    Seen seen;
    const auto subscribe = [&](Process& to) {
      to.broker->subscribe({.group = "g", .topics = {"orders"}, .concurrency = 2},
                           external([&](const Context& own, const Message& message) {
                             runtime::sleep_for(own, 1ms);
                             seen.add(message);
                           }));
    };
    auto node = process(ctx);
    subscribe(*node);
    node->start(ctx);
    publish_all(ctx, *node, 10, 10);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 5; }));
    node->stop(ctx);
    const std::size_t before = seen.total;
    runtime::sleep_for(ctx, 20ms);
    EXPECT_EQ(seen.total, before);
    auto next = process(ctx);
    subscribe(*next);
    next->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 100; }));
    next->stop(ctx);
    EXPECT_EQ(seen.total, 100u) << "nothing is handled twice where nothing was killed";
  });
}

TEST_P(BrokerContract, ANewGroupStartsAtTheBeginningUnlessItAsksForNow) {
  run([&](const Context& ctx) {
    auto node = process(ctx);
    node->broker->subscribe({.group = "early", .topics = {"orders"}}, effect());
    node->start(ctx);
    publish_all(ctx, *node, 3, 2);
    expect_once_in_order(ctx, *node, 6);
    node->stop(ctx);
    auto next = process(ctx);
    Seen all;
    Seen recent;
    next->broker->subscribe({.group = "all", .topics = {"orders"}},
                            external([&](const Context&, const Message& message) { all.add(message); }));
    next->broker->subscribe({.group = "recent", .topics = {"orders"}, .start_from = StartFrom::now},
                            external([&](const Context&, const Message& message) { recent.add(message); }));
    next->start(ctx);
    publish_all(ctx, *next, 3, 1, 2);
    ASSERT_TRUE(eventually(ctx, [&] { return all.total == 9 && recent.total == 3; }))
        << all.total << recent.total;
    EXPECT_THAT(recent.by_key["key0"], ElementsAre("2"));
    next->stop(ctx);
  });
}

TEST_P(ServerContract, AnotherKindOfBrokerGoesOnWhereTheFormerWas) {
  run([&](const Context& ctx) {
    Seen seen;
    const auto use = [&](std::unique_ptr<Process> node, int from) {
      node->broker->subscribe({.group = "inside", .topics = {"orders"}}, effect());
      node->broker->subscribe({.group = "outside", .topics = {"orders"}, .concurrency = 1},
                              external([&](const Context& own, const Message& message) {
                                runtime::sleep_for(own, 500us);
                                seen.add(message);
                              }));
      node->start(ctx);
      publish_all(ctx, *node, 10, 5, from);
      expect_once_in_order(ctx, *node, 10 * (from + 5));
      node->stop(ctx);  // "outside" is not through
      return node;
    };
    use(embedded_process(ctx), 0);
    auto last = use(process(ctx), 5);
    EXPECT_TRUE(Relay::retire(ctx, *last->db));
    use(embedded_process(ctx), 10);
    auto end = embedded_process(ctx);
    end->broker->subscribe({.group = "outside", .topics = {"orders"}},
                           external([&](const Context&, const Message& message) { seen.add(message); }));
    end->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 150; }));
    runtime::sleep_for(ctx, 20ms);
    EXPECT_EQ(seen.total, 150u);
    for (const auto& [key, payloads] : seen.by_key) {
      for (std::size_t n = 0; n < payloads.size(); ++n) EXPECT_EQ(payloads[n], std::to_string(n)) << key;
    }
    end->stop(ctx);
  });
}

TEST_P(ServerContract, ARelayThatStartsAgainGoesOnWhereItWas) {
  run([&](const Context& ctx) {
    auto node = process(ctx);
    node->broker->subscribe({.group = "never.there", .topics = {"orders"}},
                            external([](const Context& own, const Message&) {
                              runtime::sleep_for(own, 20s);  // so that all would be sent again for it
                            }));
    node->start(ctx);
    publish_all(ctx, *node, 10, 2);
    const auto sent = [](Process& process) {
      return process.metrics.counter("holdfast_messaging_relay_sent_total", "").value();
    };
    ASSERT_TRUE(eventually(ctx, [&] { return sent(*node) == 20; }));
    ASSERT_TRUE(eventually(ctx, [&] {  // what a heartbeat writes down is written
      return node->db->query_value<std::int64_t>(
                 ctx,
                 "select count(*) from outbox_leases where group_name = $1 and position < (select "
                 "max(position) from outbox)",
                 kRelayGroup) == 0;
    }));
    node->relay->stop(ctx.with_timeout(5s));
    node->abandon(ctx);
    auto next = process(ctx);
    next->start(ctx);
    publish_all(ctx, *next, 10, 1, 2);
    ASSERT_TRUE(eventually(ctx, [&] { return sent(*next) >= 10 && next->relay->state().unsent == 0; }));
    EXPECT_EQ(sent(*next), 10u) << "and nothing that the broker has";
    next->stop(ctx);
  });
}

TEST_P(ServerContract, ARelayThatComesUponLeasesOfAnotherLogBeginsAnew) {
  run([&](const Context& ctx) {
    auto node = process(ctx);
    node->broker->subscribe({.group = "g", .topics = {"orders"}}, effect());
    node->start(ctx);
    publish_all(ctx, *node, 10, 2);
    expect_once_in_order(ctx, *node, 20);
    node->db->transact(ctx, [](sql::Transaction& tx) {
      // As a process does that has seen another log before this one did: whatever is sent, all counts as
      // sent.
      tx.execute(
          "update outbox_leases set owner = null, fence = fence + 1, cursor = 'another', position = 1000000 "
          "where group_name = $1",
          kRelayGroup);
    });
    ASSERT_TRUE(eventually(ctx, [&] {  // they are taken again, whoever's they are
      return node->db->query_value<std::int64_t>(
                 ctx, "select count(*) from outbox_leases where group_name = $1 and owner is null",
                 kRelayGroup) == 0;
    }));
    publish_all(ctx, *node, 10, 2, 2);
    expect_once_in_order(ctx, *node, 40);
    node->stop(ctx);
  });
}

TEST_P(ServerContract, AnotherDatabasesLogIsRefused) {
  run([&](const Context& ctx) {
    auto node = process(ctx);
    node->broker->subscribe({.group = "g", .topics = {"orders"}}, effect());
    node->start(ctx);
    publish_all(ctx, *node, 3, 2);
    expect_once_in_order(ctx, *node, 6);
    node->stop(ctx);
    node->db->transact(ctx, [](sql::Transaction& tx) {  // as if an old copy had been put in its place
      tx.execute_script("delete from outbox; delete from outbox_leases;");
    });
    auto restored = process(ctx);
    restored->start(ctx);
    EXPECT_TRUE(eventually(ctx, [&] { return restored->relay->state().error.contains("foreign_log"); }))
        << restored->relay->state().error;
    restored->stop(ctx);
  });
}

const BrokerKind kEmbedded{.name = "embedded", .connect = nullptr};

INSTANTIATE_TEST_SUITE_P(Over, ServerContract, ::testing::Values(&kNats, &kRabbit, &kKafka, &kRedisStreams),
                         [](const auto& kind) { return std::string(kind.param->name); });
INSTANTIATE_TEST_SUITE_P(Over, BrokerContract,
                         ::testing::Values(&kEmbedded, &kNats, &kRabbit, &kKafka, &kRedisStreams),
                         [](const auto& kind) { return std::string(kind.param->name); });

}  // namespace
}  // namespace holdfast::messaging
