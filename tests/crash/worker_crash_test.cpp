// Worker processes that die, or are only thought dead: another one takes over within seconds, and each
// order has one receipt all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <iostream>
#include <thread>

#include "drills/frame/shop.hpp"
#include "drills/frame/shoppers.hpp"
#include "drills/frame/sqlite_file.hpp"
#include "support/disk_fault.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Clock = std::chrono::steady_clock;

constexpr auto kTakeoverLimit = 10s;

ShopOptions without_worker(std::string lease) {
  return {.environment = {{"HOLDFAST_WORKER_ENABLED", "false"}}, .lease = std::move(lease)};
}

void wait_until(const std::string& what, std::chrono::milliseconds at_most,
                const std::function<bool()>& holds) {
  const auto until = Clock::now() + at_most;
  while (!holds()) {
    if (Clock::now() > until) throw std::runtime_error("not in time: " + what);
    std::this_thread::sleep_for(5ms);
  }
}

std::chrono::milliseconds since(Clock::time_point begun) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun);
}

class WorkerCrash : public ::testing::Test {
 protected:
  explicit WorkerCrash(const std::string& lease = "5s") : shop_(without_worker(lease)) {}

  std::unique_ptr<Process> start_worker(const std::map<std::string, std::string>& environment = {}) {
    auto& all = shop_.server().options().environment;
    const auto kept = all;
    all.insert(environment.begin(), environment.end());
    auto worker = shop_.server().spawn({"worker"});
    all = kept;
    return worker;
  }

  /// The workers that hold buckets, as the database knows them.
  std::vector<std::string> owners() {
    std::vector<std::string> names;
    const SqliteFile file(shop_.database_file());
    for (const auto& row : file.rows("select distinct owner from outbox_leases where owner is not null and "
                                     "group_name = 'notifications'")) {
      names.push_back(row[0]);
    }
    return names;
  }

  std::int64_t buckets_of(const std::string& owner) {
    return SqliteFile(shop_.database_file())
        .number("select count(*) from outbox_leases where group_name = 'notifications' and owner = '" +
                owner + "'");
  }

  std::int64_t last_position() {
    return SqliteFile(shop_.database_file()).number("select coalesce(max(position), 0) from outbox");
  }

  /// Messages up to `position` that nobody has recorded as handled.
  std::int64_t unhandled_to(std::int64_t position) {
    return SqliteFile(shop_.database_file())
        .number(
            "select count(*) from outbox o join outbox_leases l on l.bucket = o.bucket where o.position > "
            "l.position and o.position <= " +
            std::to_string(position));
  }

  std::vector<std::string> place_orders(int count) {
    HttpConnection http = shop_.connect();
    std::vector<std::string> orders;
    for (int i = 0; i < count; ++i) {
      const OrderRequest request{.customer = "single-" + std::to_string(++placed_),
                                 .lines = {{shop_.skus()[0], 1}}};
      journal_.asked(request);
      const HttpAnswer answer =
          http.post("/v1/orders", request.body(), {{"Idempotency-Key", request.customer}});
      journal_.told(request.customer, answer.status, answer.body);
      orders.push_back(order_id(answer.body));
    }
    return orders;
  }

  Shop shop_;
  Journal journal_;
  int placed_ = 0;
};

TEST_F(WorkerCrash, AnotherWorkerTakesOverWithinSecondsAgainAndAgain) {
  constexpr int kRounds = 5;
  auto survivor = start_worker();
  wait_until("the first worker has the buckets", 20s, [&] { return !owners().empty(); });
  Shoppers shoppers(shop_, journal_, {.seed = test_seed(), .threads = 4, .pause = 5ms});
  std::vector<std::chrono::milliseconds> takeovers;
  std::vector<std::chrono::milliseconds> handled;
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<std::string> before = owners();
    ASSERT_EQ(before.size(), 1U);
    auto newcomer = start_worker();
    wait_until("the buckets are shared", 20s,
               [&] { return owners().size() == 2 && buckets_of(before[0]) <= 40; });

    survivor->kill();
    const auto died = Clock::now();
    const std::int64_t position = last_position();
    wait_until("the other worker has its buckets", kTakeoverLimit,
               [&] { return buckets_of(before[0]) == 0; });
    takeovers.push_back(since(died));
    wait_until("and has handled all", 2 * kTakeoverLimit, [&] { return unhandled_to(position) == 0; });
    handled.push_back(since(died));
    survivor = std::move(newcomer);
  }
  shoppers.finish();
  EXPECT_THAT(shop_.faults(journal_), IsEmpty());

  std::ranges::sort(takeovers);
  std::ranges::sort(handled);
  std::cout << "worker killed -> another has its buckets: p50 " << takeovers[takeovers.size() / 2] << ", max "
            << takeovers.back() << "; and has handled them: p50 " << handled[handled.size() / 2] << ", max "
            << handled.back() << "; " << journal_.placed() << " orders" << std::endl;
  EXPECT_LT(takeovers.back(), kTakeoverLimit);
}

class WorkerCrashMidMessage : public WorkerCrash {
 protected:
  WorkerCrashMidMessage() : WorkerCrash("1s"), disk_(shop_.server().folder() / "disk") {}

  /// A worker that has put a mail into the maildir and not come to recording it.
  std::unique_ptr<Process> start_and_hold_mid_message() {
    disk_.set(DiskState::hold_after_link);
    auto worker = start_worker(disk_.environment());
    wait_until("a mail is in the maildir", 20s, [&] { return disk_.held() > 0; });
    return worker;
  }

  /// One that is stopped while it holds a lock of the database's file stops everybody: that is another
  /// matter.
  void stop_between_transactions(Process& worker) {
    wait_until("the worker can be stopped without a lock", 20s, [&] {
      worker.signal(SIGSTOP);
      if (can_write()) return true;
      worker.signal(SIGCONT);
      return false;
    });
  }
  bool can_write() {
    sqlite3* file = nullptr;
    const bool opened = sqlite3_open(shop_.database_file().c_str(), &file) == SQLITE_OK;
    sqlite3_busy_timeout(file, 100);
    const bool can =
        opened && sqlite3_exec(file, "begin immediate; rollback", nullptr, nullptr, nullptr) == SQLITE_OK;
    sqlite3_close(file);
    return can;
  }

  DiskFault disk_;
};

TEST_F(WorkerCrashMidMessage, KilledBetweenMailAndRecordTheMailIsThereOnce) {
  place_orders(20);
  start_and_hold_mid_message()->kill();
  disk_.set(DiskState::works);
  EXPECT_GT(unhandled_to(last_position()), 0);
  const auto other = start_worker();
  EXPECT_THAT(shop_.faults(journal_), IsEmpty());
}

/// The fence's own test, in one process, is broker_processes_test.cpp: here the late worker's heartbeat
/// may find that its leases are gone before its handler comes to record anything.
TEST_F(WorkerCrashMidMessage, ALateWorkersCompletionChangesNothingAndTheMailIsThereOnce) {
  place_orders(20);
  const auto late = start_and_hold_mid_message();
  stop_between_transactions(*late);
  disk_.set(DiskState::works);

  const auto other = start_worker();
  wait_until("the other worker has handled all", kTakeoverLimit,
             [&] { return unhandled_to(last_position()) == 0; });
  const std::vector<std::string> owner = owners();
  ASSERT_EQ(owner.size(), 1U);
  place_orders(20);
  wait_until("and what came later", kTakeoverLimit, [&] { return unhandled_to(last_position()) == 0; });
  const auto sum_of_positions = [&] {
    return SqliteFile(shop_.database_file()).number("select sum(position) from outbox_leases");
  };
  const std::int64_t before = sum_of_positions();

  late->signal(SIGCONT);
  wait_until("the late worker serves again", 20s, [&] { return owners().size() == 2; });
  EXPECT_GE(sum_of_positions(), before) << "progress went back";
  late->terminate();
  EXPECT_EQ(late->wait(20s).code, 0) << late->err();
  place_orders(20);
  EXPECT_THAT(shop_.faults(journal_), IsEmpty());
}

}  // namespace
}  // namespace holdfast::drills
