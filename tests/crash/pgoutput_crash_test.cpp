// The relay that PostgreSQL tells of the outbox (`messaging.relay: pgoutput`), in the real programs, before a
// real broker: who follows the slot is killed, another follows it, and each order has one receipt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "drills/frame/journal.hpp"
#include "drills/frame/shop_data.hpp"
#include "support/fleet.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = 60s;

template <class Holds>
bool within(std::chrono::milliseconds at_most, const Holds& holds) {
  for (const auto until = Clock::now() + at_most; Clock::now() < until; std::this_thread::sleep_for(20ms)) {
    if (holds()) return true;
  }
  return holds();
}

class PgoutputCrash : public ::testing::TestWithParam<FleetBrokerKind> {
 protected:
  void SetUp() override {
    if (sql::PostgresServer::not_wanted()) GTEST_SKIP() << sql::PostgresServer::kNotWanted;
    if (!GetParam().installed()) FAIL() << GetParam().missing;
    fleet_ = std::make_unique<Fleet>(
        FleetOptions{.broker = GetParam().make(),
                     .servers = 2,
                     .workers = 1,
                     .environment = {{"HOLDFAST_MESSAGING_RELAY", "pgoutput"},
                                     {"HOLDFAST_MESSAGING_SLOT_WARN", "4MiB"},
                                     {"HOLDFAST_WORKER_ENABLED", "true"}},  // servers relay too
                     .postgres = {.settings = {"wal_level=logical", "max_slot_wal_keep_size=256MB"}}});
  }

  /// The process that PostgreSQL tells, by its connection's name: "holdfast-serve[123] replication"; 0: none.
  pid_t follower() const {
    const auto rows = open_postgres(fleet_->database_url())
                          ->rows(
                              "select a.application_name from pg_replication_slots s join pg_stat_activity a "
                              "on a.pid = s.active_pid where s.slot_name = 'holdfast_outbox'");
    if (rows.empty()) return 0;
    const std::string& name = rows[0][0];
    return static_cast<pid_t>(std::stol(name.substr(name.find('[') + 1)));
  }
  pid_t wait_for_follower(pid_t other_than = 0) const {
    pid_t found = 0;
    EXPECT_TRUE(within(kPatience, [&] { return (found = follower()) != 0 && found != other_than; }));
    return found;
  }
  /// Kills whoever follows, and starts it again.
  void kill_follower() {
    const pid_t doomed = wait_for_follower();
    bool found = false;
    for (std::size_t i = 0; i < 2; ++i) {
      if (fleet_->server(i).process().pid() != doomed) continue;
      found = true;
      fleet_->kill_server(i);
      EXPECT_NE(wait_for_follower(doomed), 0);
      fleet_->start_server(i);
    }
    if (fleet_->worker(0).pid() == doomed) {
      found = true;
      fleet_->kill_worker(0);
      EXPECT_NE(wait_for_follower(doomed), 0);
      fleet_->start_worker(0);
    }
    EXPECT_TRUE(found) << doomed << " is none of ours";
  }

  static double metric(const std::string& metrics, const std::string& name) {
    const std::size_t at = metrics.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(metrics.substr(at + name.size() + 2));
  }

  std::unique_ptr<Fleet> fleet_;
};

TEST_P(PgoutputCrash, WhoFollowsTheSlotMayDieAndNothingIsLostOrSentTwice) {
  wait_for_follower();
  std::set<std::string> orders;
  std::atomic<bool> stop{false};
  std::thread customer([&] {
    HttpConnection http = fleet_->connect();
    for (int n = 0; !stop; ++n) {
      const std::string key = "pg-" + std::to_string(n);
      for (bool placed = false; !placed; std::this_thread::sleep_for(5ms)) {
        try {
          const HttpAnswer answer = http.post(
              "/v1/orders", R"({"customerId":")" + key + R"(","items":[{"sku":"PROBE","quantity":1}]})",
              {{"Idempotency-Key", key}});
          if (answer.status == 201) placed = orders.insert(order_id(answer.body)).second;
        } catch (const NoAnswer&) {
          http.close();
        }
      }
    }
  });
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(300ms);  // of orders under way
    kill_follower();
  }
  stop = true;
  customer.join();
  EXPECT_GT(orders.size(), 20u);
  EXPECT_TRUE(within(kPatience, [&] { return fleet_->receipts() >= orders.size(); }))
      << fleet_->receipts() << " receipts of " << orders.size() << " orders";
  EXPECT_THAT(fleet_->receipts_amiss(), IsEmpty());
  EXPECT_EQ(fleet_->receipts(), orders.size());

  // What the broker has acknowledged, the slot lets go.
  const auto data = open_postgres(fleet_->database_url());
  data->change("create table noise(n bigint); insert into noise select generate_series(1, 100000)");
  EXPECT_TRUE(within(kPatience, [&] {
    return data->number(
               "select coalesce(max(pg_current_wal_lsn() - confirmed_flush_lsn), -1)::bigint from "
               "pg_replication_slots where slot_name = 'holdfast_outbox'") < 1'000'000;
  }));
  EXPECT_THAT(fleet_->stop(), IsEmpty());
}

TEST_P(PgoutputCrash, TheSlotIsInMetricsAndWhatItKeepsDegradesReadiness) {
  // Of the server that follows: the others' would be none of its business.
  fleet_->kill_worker(0);
  fleet_->kill_server(1);
  const pid_t left = fleet_->server(0).process().pid();  // PostgreSQL may know the dead a moment longer
  ASSERT_TRUE(within(kPatience, [&] { return follower() == left; })) << follower();
  HttpConnection own(fleet_->server(0).port(), 10s, fleet_->api_key());
  EXPECT_TRUE(within(
      kPatience, [&] { return metric(own.get("/metrics").body, "holdfast_messaging_slot_following") == 1; }));
  EXPECT_GE(metric(own.get("/metrics").body, "holdfast_messaging_slot_retained_bytes"), 0);
  EXPECT_THAT(own.get("/health/ready").body, Not(HasSubstr("replication slot")));

  fleet_->broker().kill();
  const HttpAnswer placed =
      own.post("/v1/orders", R"({"customerId":"ada","items":[{"sku":"PROBE","quantity":1}]})",
               {{"Idempotency-Key", "kept"}});
  EXPECT_EQ(placed.status, 201) << placed.body;
  const auto data = open_postgres(fleet_->database_url());
  data->change("create table noise(n bigint); insert into noise select generate_series(1, 300000)");
  std::string ready;
  EXPECT_TRUE(within(kPatience, [&] {
    ready = own.get("/health/ready").body;
    return ready.find("replication slot holdfast_outbox") != std::string::npos;
  })) << ready;
  EXPECT_THAT(ready, HasSubstr("degraded"));
  EXPECT_GT(metric(own.get("/metrics").body, "holdfast_messaging_slot_retained_bytes"), 1 << 20);

  fleet_->broker().start();
  EXPECT_TRUE(within(kPatience, [&] {
    ready = own.get("/health/ready").body;
    return ready.find("replication slot") == std::string::npos;
  })) << ready;
  EXPECT_TRUE(within(kPatience, [&] { return fleet_->receipts() == 1; }));
}

std::vector<FleetBrokerKind> brokers() {
  std::vector<FleetBrokerKind> some = fleet_brokers();
  std::erase_if(some,
                [](const FleetBrokerKind& kind) { return kind.name != "nats" && kind.name != "redis"; });
  return some;
}

INSTANTIATE_TEST_SUITE_P(Over, PgoutputCrash, ::testing::ValuesIn(brokers()),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace holdfast::drills
