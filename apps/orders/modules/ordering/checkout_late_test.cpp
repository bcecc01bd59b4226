// Requests that arrive late, at a provider and a carrier that take their time: from a worker that was killed,
// or stood still, or does not know that another has its sagas, or could not write down what it had begun. Of
// an order that is cancelled meanwhile nothing is held, taken or booked, whenever they arrive.
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <mutex>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/saga/schema.hpp"
#include "holdfast/saga/testing/node.hpp"
#include "holdfast/webhooks/schema.hpp"
#include "orders/modules/ordering/checkout.hpp"
#include "orders/testing/domain.hpp"

namespace holdfast::orders::ordering {
namespace {

using namespace std::chrono_literals;
using payments::MemoryProvider;
using payments::PaymentState;
using saga::eventually;
using testing::product;

/// What is sent while the way is slow is under way until arrive(), whatever becomes of who sent it.
class SlowWay {
 public:
  void slow_down() { slow_ = true; }
  std::size_t under_way() const { return count_; }
  int given_up() const { return given_up_; }

  /// Sends `request`: done at once, or, where the way is slow, when everything arrives. Throws what says that
  /// nobody knows, where its sender is ended before.
  void send(const Context& ctx, std::function<void()> request) {
    if (!slow_) return request();
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(std::move(request));
      ++count_;
    }
    try {
      arrived_.wait(ctx, "an answer");
    } catch (const Error&) {
      ++given_up_;
      throw;
    }
  }

  /// In their order.
  void arrive() {
    slow_ = false;
    std::vector<std::function<void()>> requests;
    {
      const std::lock_guard lock(mutex_);
      requests.swap(requests_);
    }
    for (const auto& request : requests) {
      try {
        request();
      } catch (const Error&) {  // nobody hears of it
      }
    }
    arrived_.open();
  }

 private:
  std::atomic<bool> slow_ = false;
  std::atomic<std::size_t> count_ = 0;
  std::atomic<int> given_up_ = 0;
  std::mutex mutex_;
  std::vector<std::function<void()>> requests_;
  runtime::Latch arrived_;
};

class SlowProvider final : public payments::PaymentProvider {
 public:
  using Payment = payments::ProviderPayment;

  Payment authorize(const Context& ctx, const payments::Authorization& wanted) override {
    way.send(ctx, [=, this, plain = ctx.detached()] { memory.authorize(plain, wanted); });
    return memory.authorize(ctx, wanted);  // its answer
  }
  std::optional<Payment> withdraw(const Context& ctx, const payments::Authorization& wanted) override {
    return memory.withdraw(ctx, wanted);
  }
  Payment capture(const Context& ctx, const std::string& ref, const std::string& key,
                  const Money& amount) override {
    capturing.send(ctx, [=, this, plain = ctx.detached()] { memory.capture(plain, ref, key, amount); });
    return memory.capture(ctx, ref, key, amount);
  }
  Payment cancel(const Context& ctx, const std::string& ref, const std::string& key) override {
    return memory.cancel(ctx, ref, key);
  }
  Payment refund(const Context& ctx, const std::string& ref, const std::string& key,
                 const Money& amount) override {
    refunding.send(ctx, [=, this, plain = ctx.detached()] { memory.refund(plain, ref, key, amount); });
    return memory.refund(ctx, ref, key, amount);
  }
  Payment fetch(const Context& ctx, const std::string& ref) override { return memory.fetch(ctx, ref); }
  std::optional<Payment> find(const Context& ctx, const payments::Authorization& wanted) override {
    return memory.find(ctx, wanted);
  }
  BookPage book(const Context& ctx, WallTime since, const std::string& cursor) override {
    return memory.book(ctx, since, cursor);
  }
  std::string_view name() const noexcept override { return "memory"; }

  MemoryProvider memory;
  SlowWay way;
  SlowWay capturing;
  SlowWay refunding;
};

class SlowCarrier final : public shipping::Carrier {
 public:
  std::vector<FieldViolation> faults_of(const shipping::Destination&) const override { return {}; }
  shipping::Booking book(const Context& ctx, const shipping::BookingRequest& request) override {
    way.send(ctx, [=, this, plain = ctx.detached()] { memory.book(plain, request); });
    return memory.find(ctx, request.reference).front();
  }
  shipping::Booking cancel(const Context& ctx, const std::string& ref) override {
    return memory.cancel(ctx, ref);
  }
  std::vector<shipping::Booking> find(const Context& ctx, const std::string& reference) override {
    return memory.find(ctx, reference);
  }
  std::string_view name() const noexcept override { return "memory"; }

  std::size_t active() const {
    std::size_t count = 0;
    for (const shipping::Booking& each : memory.book_of_bookings())
      count += each.status == shipping::BookingStatus::booked ? 1 : 0;
    return count;
  }

  shipping::MemoryCarrier memory;
  SlowWay way;
};

struct World {
  SlowProvider provider;
  SlowCarrier carrier;
};

/// One process: its own connection, worker and modules.
struct Node {
  Node(const Context& context, runtime::Runtime& runtime, const sql::TestDatabase& database, World& world,
       IdGenerator& ids, saga::SagaOptions options)
      : ctx(context),
        db(database.open(runtime)),
        payments(*db, ids, world.provider, metrics),
        shipping(*db, ids, world.carrier, metrics, {.settle_time = 1s}),
        sagas(runtime, *db, metrics, {}, std::move(options)),
        checkout({*db, sagas, &payments, &shipping}, ids, publisher, {.settings = {}, .default_method = ""}),
        ordering(ids, publisher, &checkout) {}
  ~Node() { sagas.stop(ctx.with_timeout(5s)); }

  Order place() {
    PlaceOrder command;
    command.customer_id = "17850";
    command.items = {{"MUG", 4}};
    command.payment_method = "pm_card_visa";
    command.shipping_address = Address{
        .name = "Ada", .line1 = "1 St", .city = "London", .region = "", .postal_code = "N1", .country = "GB"};
    return db->transact(ctx, [&](sql::Transaction& tx) { return ordering.place(ctx, tx, command); }).order;
  }
  void cancel(const Order& order) {
    db->transact(ctx, [&](sql::Transaction& tx) { ordering.cancel(ctx, tx, order.id); });
  }
  std::int64_t count(const std::string& sql) const { return db->query_value<std::int64_t>(ctx, sql); }
  /// The others take it for dead, whatever it believes itself.
  void looks_dead() const {
    db->transact(ctx, [&](sql::Transaction& tx) {
      tx.execute("update saga_workers set expires_at = 1 where worker = $1", sagas.worker());
    });
  }
  /// Nothing of sagas can be written as long as it is on, but that they are cancelled.
  void keep_books_away(bool on) const {
    for (const std::string table : {"saga_leases", "saga_workers"}) {
      const std::string from = on ? table : table + "_away";
      const std::string to = on ? table + "_away" : table;
      // PostgreSQL refuses while somebody is at the table.
      ASSERT_TRUE(eventually(ctx, [&] {
        const Error error = testing::error_of([&] {
          db->transact(ctx, [&](sql::Transaction& tx) {
            tx.execute_script("alter table " + from + " rename to " + to);
          });
        });
        return error.reason() == "nothing_thrown";
      }));
    }
  }
  bool has_all_leases() const {
    return count("select count(*) from saga_leases where owner = '" + sagas.worker() + "'") == 64;
  }

  Context ctx;
  observe::Metrics metrics;
  std::unique_ptr<sql::Database> db;
  testing::RecordingPublisher publisher;
  payments::Payments payments;
  shipping::Shipping shipping;
  saga::Sagas sagas;
  CheckoutSaga checkout;
  Ordering ordering;
};

/// What becomes of the worker that has sent something.
enum class Fate { killed, stands_still, is_stale, forgets };
/// At which of its calls.
enum class Call { authorize, capture, book };

/// One that does not look at the clock for a while, and one that does.
const saga::SagaOptions kSlow{.lease = 3min, .heartbeat = 1min};
const saga::SagaOptions kQuick{.lease = 900ms, .heartbeat = 100ms, .poll = 50ms};

class LateRequests : public ::testing::TestWithParam<std::tuple<Fate, Call>> {
 protected:
  void run(const std::function<void(const Context&, runtime::Runtime&)>& body) {
    runtime_.run([&](const Context& ctx) {
      const auto db = database_.open(runtime_);
      auto steps = testing::domain_migrations();
      for (auto room :
           {saga::migrations(), webhooks::migrations(), payments::migrations(), shipping::migrations()})
        steps.insert(steps.end(), room.begin(), room.end());
      std::int64_t version = 0;
      for (auto& step : steps) step.version = ++version;
      sql::Migrator(*db, steps).up(ctx);
      db->transact(ctx, [&](sql::Transaction& tx) { catalog::create(ctx, tx, product("MUG", 187, 10)); });
      body(ctx, runtime_);
    });
  }

  SlowWay& way_of(Call call) {
    switch (call) {
      case Call::authorize: return world_.provider.way;
      case Call::capture: return world_.provider.capturing;
      case Call::book: break;
    }
    return world_.carrier.way;
  }

  void expect_nothing_left(const Node& node, const Order& order) {
    const auto now = node.db->read(node.ctx, [&](sql::Snapshot& s) { return get(s, order.id); });
    EXPECT_EQ(now.status, OrderStatus::cancelled);
    const auto book = world_.provider.memory.book(node.ctx, {}, "");
    for (const auto& each : book.payments) {
      EXPECT_NE(each.status, payments::ProviderStatus::authorized) << each.amount.minor << " are held";
      EXPECT_EQ(each.captured, each.refunded);
    }
    const auto ours = node.db->read(node.ctx, [&](sql::Snapshot& s) { return payments::find(s, order.id); });
    EXPECT_TRUE(payments::is_final(ours->state)) << enum_name(ours->state);
    EXPECT_EQ(ours->captured, ours->refunded);
    node.db->read(node.ctx, [&](sql::Snapshot& s) {
      EXPECT_TRUE(payments::compare(s, book.payments, clock_.wall_now() + 1h * 24).empty());
      EXPECT_TRUE(payments::imbalances(s).empty());
    });
    EXPECT_EQ(world_.carrier.active(), 0U);
  }

  SystemClock clock_;
  SeededRandom random_{29};
  sql::TestDatabase database_;
  World world_;
  runtime::Runtime runtime_{{.loops = 2}, clock_, random_};
  IdGenerator ids_{clock_, random_};
};

TEST_P(LateRequests, LeaveNothingOfACancelledOrderBehind) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    const auto [fate, call] = GetParam();
    SlowWay& way = way_of(call);
    way.slow_down();
    Node first(ctx, runtime, database_, world_, ids_, fate == Fate::is_stale ? kSlow : kQuick);
    Node second(ctx, runtime, database_, world_, ids_, kQuick);
    first.sagas.run(ctx);
    if (fate == Fate::is_stale) {
      first.looks_dead();
      second.sagas.run(ctx);
      ASSERT_TRUE(eventually(ctx, [&] { return second.has_all_leases(); }));
      second.sagas.stall(true);
      runtime::sleep_for(ctx, 1ms);
    }
    const Order order = first.place();
    ASSERT_TRUE(eventually(ctx, [&] { return way.under_way() == 1; }));
    if (fate == Fate::killed) first.sagas.crash();
    if (fate == Fate::stands_still) first.sagas.stall(true);
    if (fate == Fate::forgets) {
      first.keep_books_away(true);
      ASSERT_TRUE(eventually(ctx, [&] { return way.given_up() == 1; }));
      runtime::sleep_for(ctx, 300ms);
    }
    first.cancel(order);
    if (fate == Fate::is_stale) second.sagas.stall(false);
    if (fate == Fate::forgets) first.keep_books_away(false);
    if (fate == Fate::killed || fate == Fate::stands_still) second.sagas.run(ctx);
    // What arrives at the carrier only after the time that is given to it, nobody can tell from never sent.
    if (call == Call::book) {
      runtime::sleep_for(ctx, 100ms);
      way.arrive();
    }
    EXPECT_TRUE(eventually(
        ctx, [&] { return second.count("select count(*) from sagas where due_at is not null") == 0; }));
    way.arrive();
    first.sagas.stall(false);
    runtime::sleep_for(ctx, 50ms);
    expect_nothing_left(second, order);
  });
}

using Case = std::tuple<Fate, Call>;

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  constexpr std::array kFates{"Killed", "StandsStill", "IsStale", "Forgets"};
  constexpr std::array kCalls{"Authorize", "Capture", "Book"};
  return std::string(kFates.at(static_cast<std::size_t>(std::get<0>(info.param)))) + "At" +
         kCalls.at(static_cast<std::size_t>(std::get<1>(info.param)));
}

// One that is stale gets no further than its first call: what comes of that is refused.
INSTANTIATE_TEST_SUITE_P(
    Workers, LateRequests,
    ::testing::Values(Case{Fate::killed, Call::authorize}, Case{Fate::killed, Call::capture},
                      Case{Fate::killed, Call::book}, Case{Fate::stands_still, Call::authorize},
                      Case{Fate::stands_still, Call::capture}, Case{Fate::stands_still, Call::book},
                      Case{Fate::is_stale, Call::authorize}, Case{Fate::forgets, Call::authorize},
                      Case{Fate::forgets, Call::capture}, Case{Fate::forgets, Call::book}),
    name_of);

}  // namespace
}  // namespace holdfast::orders::ordering
