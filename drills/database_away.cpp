// The database dies, and stands still, under load: both times it comes back.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "drills/frame/drill.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;
using sql::PostgresServer;

constexpr auto kDeadline = 1500ms;    // of a request, as the server is told
constexpr auto kSlack = 3s;           // of a machine that does other things
constexpr auto kNoticedWithin = 20s;  // by readiness
constexpr auto kBackWithin = 20s;
constexpr int kCustomers = 8;
constexpr auto kPause = 20ms;  // of each, after each answer

struct Refusals {
  std::size_t good = 0;  // 503 with Retry-After
  std::size_t bad = 0;   // anything else but an order
  std::string example;   // of the latter
  std::chrono::milliseconds slowest{};
};

/// Customers that ask again, with the same key, until they have their order.
class Customers {
 public:
  Customers(Shop& shop, Journal& journal) : shop_(shop), journal_(journal) {
    for (int i = 0; i < kCustomers; ++i) threads_.emplace_back([this, i] { run(i); });
  }
  ~Customers() { finish(); }

  /// Nothing new; returns when each has its answer.
  void finish() {
    finishing_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  Refusals refusals() {
    const std::lock_guard lock(mutex_);
    return refusals_;
  }

 private:
  void run(int number) {
    HttpConnection http(shop_.server().port(), 30s, shop_.api_key());
    for (int n = 0; !finishing_; ++n) {
      const OrderRequest order{.customer = "c" + std::to_string(number) + "-" + std::to_string(n),
                               .lines = {{shop_.skus()[static_cast<std::size_t>(n) % 4], 1}},
                               .delivered = n % 2 == 0};
      journal_.asked(order);
      while (!place(http, order)) std::this_thread::sleep_for(kPause);
      std::this_thread::sleep_for(kPause);
    }
  }
  bool place(HttpConnection& http, const OrderRequest& order) {
    const auto asked = Steady::now();
    try {
      const HttpAnswer answer = http.post("/v1/orders", order.body(), {{"Idempotency-Key", order.customer}});
      const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now() - asked);
      if (answer.status == 201) {
        journal_.told(order.customer, answer.status, answer.body);
        return true;
      }
      const bool good = answer.status == 503 && !answer.header("retry-after").empty();
      refused(good, std::to_string(answer.status) + " " + answer.body, took);
    } catch (const NoAnswer& silence) {
      refused(false, silence.what(), {});
      http.close();
    }
    return false;
  }
  void refused(bool good, const std::string& what, std::chrono::milliseconds took) {
    const std::lock_guard lock(mutex_);
    ++(good ? refusals_.good : refusals_.bad);
    if (!good) refusals_.example = what;
    refusals_.slowest = std::max(refusals_.slowest, took);
  }

  Shop& shop_;
  Journal& journal_;
  std::atomic<bool> finishing_{false};
  std::mutex mutex_;
  Refusals refusals_;
  std::vector<std::thread> threads_;
};

/// Takes the database away for a while, and gives it back.
class Absence {
 public:
  Absence(Stage& stage, Customers& customers)
      : stage_(stage), customers_(customers), http_(stage.shop().connect(10s)) {}

  template <class Begin, class End>
  void run(const std::string& name, const Begin& begin, const End& end) {
    stage_.say("the database is " + name);
    const std::size_t refused = customers_.refusals().good;
    begin();
    const bool seen = stage_.wait_until(kNoticedWithin, [&] { return asked("/health/ready") == 503; });
    const bool alive = asked("/health/live") == 200;
    stage_.wait(std::max<std::chrono::milliseconds>(stage_.duration() / 3, 1s));
    const std::size_t told = customers_.refusals().good - refused;
    stage_.check(name + ": not ready, and alive", seen && alive);
    stage_.check(name + ": who orders is told to come back", told > 0, std::to_string(told) + " times");

    stage_.say("it is back");
    end();
    const auto returned = Steady::now();
    const std::size_t placed = stage_.journal().placed();
    const bool back = stage_.wait_until(kBackWithin, [&] {
      return asked("/health/ready") == 200 && stage_.journal().placed() >= placed + kCustomers;
    });
    const std::chrono::duration<double> took = Steady::now() - returned;
    stage_.check(name + ": back without a restart", back && stage_.shop().server().running(),
                 "ready, and orders are placed, after " + with_unit(took.count(), "s"));
    stage_.figure("orders placed again after it was " + name, took.count(), "s");
  }

 private:
  int asked(const std::string& target) {
    try {
      return http_.get(target).status;
    } catch (const NoAnswer&) {
      return 0;
    }
  }

  Stage& stage_;
  Customers& customers_;
  HttpConnection http_;
};

void run(Stage& stage) {
  PostgresServer& postgres = stage.need_own_postgres();
  Shop& shop = stage.open_paid_shop_where_possible(
      {{"HOLDFAST_HTTP_REQUEST_TIMEOUT", std::to_string(kDeadline / 1ms) + "ms"}});
  Customers customers(shop, stage.journal());
  stage.wait(std::max<std::chrono::milliseconds>(stage.duration() / 3, 1s));
  const std::size_t before = stage.journal().placed();
  Absence absence(stage, customers);
  absence.run(
      "killed", [&] { postgres.kill_hard(); }, [&] { postgres.start(); });
  absence.run(
      "frozen", [&] { postgres.freeze(); }, [&] { postgres.thaw(); });
  customers.finish();
  const Refusals refusals = customers.refusals();
  stage.figure("orders", static_cast<double>(stage.journal().placed()));
  stage.figure("times told to come back", static_cast<double>(refusals.good));
  stage.figure("slowest refusal", static_cast<double>(refusals.slowest.count()), "ms");
  stage.check("orders are placed in good times", before > 0, std::to_string(before) + " orders");
  stage.check("each refusal is 503 and says when to come back", refusals.bad == 0,
              refusals.bad == 0 ? std::to_string(refusals.good) + " refusals"
                                : std::to_string(refusals.bad) + " others, one of them: " + refusals.example);
  stage.check("within the request's deadline", refusals.slowest <= kDeadline + kSlack,
              std::to_string(refusals.slowest.count()) + " ms; the deadline is " +
                  std::to_string(kDeadline.count()) + " ms");
}

}  // namespace

Drill database_away() {
  return {
      .name = "database-away",
      .breaks = "PostgreSQL is killed (kill -9) under load and started again; then it stands still (SIGSTOP)",
      .proves = "who orders is told in time to come back; then all goes on without a restart, books right",
      .duration = 15s,
      .quick = true,
      .run = run};
}

}  // namespace holdfast::drills
