// For tests of payments: a database, an in-memory provider that can be told things, and the verbs of a saga.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/testing/test_database.hpp"
#include "holdfast/webhooks/schema.hpp"
#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders::payments::testing {

/// A MemoryProvider that can also be restarted, forget its keys, and answer nonsense.
class TestProvider final : public PaymentProvider {
 public:
  using Failure = MemoryProvider::Failure;

  ProviderPayment authorize(const Context& ctx, const Authorization& wanted) override {
    if (forgetful_) {  // a key that was forgotten makes a second payment
      Authorization again = wanted;
      again.key += "/again";
      return memory_->authorize(ctx, again);
    }
    ProviderPayment made = memory_->authorize(ctx, wanted);
    if (amount_) made.amount = *amount_;
    return made;
  }
  std::optional<ProviderPayment> withdraw(const Context& ctx, const Authorization& wanted) override {
    if (forgetful_) return std::nullopt;
    return memory_->withdraw(ctx, wanted);
  }
  ProviderPayment capture(const Context& ctx, const std::string& ref, const std::string& key,
                          const Money& amount) override {
    return memory_->capture(ctx, ref, key, amount);
  }
  ProviderPayment cancel(const Context& ctx, const std::string& ref, const std::string& key) override {
    return memory_->cancel(ctx, ref, key);
  }
  ProviderPayment refund(const Context& ctx, const std::string& ref, const std::string& key,
                         const Money& amount) override {
    return shown(memory_->refund(ctx, ref, key, amount));
  }
  ProviderPayment fetch(const Context& ctx, const std::string& ref) override {
    if (auto meanwhile = std::exchange(during_fetch, nullptr)) meanwhile();
    return shown(memory_->fetch(ctx, ref));
  }
  std::optional<ProviderPayment> find(const Context& ctx, const Authorization& wanted) override {
    return memory_->find(ctx, wanted);
  }
  BookPage book(const Context& ctx, WallTime since, const std::string& cursor) override {
    return memory_->book(ctx, since, cursor);
  }
  std::string_view name() const noexcept override { return "memory"; }

  void fail_next(Failure failure, std::size_t calls = 1) { memory_->fail_next(failure, calls); }
  void set_status(const std::string& ref, ProviderStatus status) { memory_->set_status(ref, status); }
  std::size_t effects() const { return memory_->effects(); }
  void restart() { memory_ = std::make_unique<MemoryProvider>(); }
  void forget_keys() { forgetful_ = true; }
  void answer_amount(Money amount) { amount_ = amount; }
  std::function<void()> during_fetch;  ///< once
  bool slow_refunds = false;           ///< they are on their way

 private:
  ProviderPayment shown(ProviderPayment payment) const {
    if (slow_refunds) std::swap(payment.refunded, payment.refunding);
    return payment;
  }

  std::unique_ptr<MemoryProvider> memory_ = std::make_unique<MemoryProvider>();
  bool forgetful_ = false;
  std::optional<Money> amount_;
};

struct Shop {
  Context ctx;
  ManualClock& clock;
  IdGenerator& ids;
  sql::Database& db;
  TestProvider& provider;
  observe::Metrics& metrics;
  Payments& payments;

  template <class Body>
  auto write(Body&& body) {
    return db.transact(ctx, "test", std::forward<Body>(body));
  }
  template <class Body>
  auto read(Body&& body) {
    return db.read(ctx, std::forward<Body>(body));
  }

  OrderId open(std::int64_t minor, std::string method = "pm_card_visa") {
    const auto order = ids.make<OrderId>();
    write([&](sql::Transaction& tx) {
      payments.open(ctx, tx, {order, {minor, Currency::of("GBP")}, method, order.text() + "/authorize"});
    });
    return order;
  }
  Payment record(const Outcome& outcome) {
    return write([&](sql::Transaction& tx) { return payments.record(ctx, tx, outcome).value(); });
  }
  Payment authorize(const OrderId& order) { return record(payments.authorize(ctx, order)); }
  Payment capture(const OrderId& order) {
    return record(payments.capture(ctx, order, order.text() + "/capture"));
  }
  Payment undo(const OrderId& order) { return record(payments.undo(ctx, order, order.text() + "/undo")); }
  OrderId paid(std::int64_t minor) {
    const OrderId order = open(minor);
    authorize(order);
    capture(order);
    return order;
  }

  Payment get(const OrderId& order) {
    return read([&](sql::Snapshot& snapshot) { return find(snapshot, order).value(); });
  }
  OrderBalance balance(const OrderId& order) {
    return read([&](sql::Snapshot& snapshot) { return payments::balance(snapshot, order); });
  }
  std::vector<LedgerEntry> entries(const OrderId& order) {
    return read([&](sql::Snapshot& snapshot) { return ledger_entries(snapshot, order); });
  }
  Authorization authorization(const OrderId& order) {
    const Payment payment = get(order);
    return {payment.authorize_key, payment.id, order, payment.amount, payment.method, payment.created_at};
  }
};

inline void with_shop(const std::function<void(Shop&)>& body) {
  ManualClock clock;
  SeededRandom random(7);
  const sql::TestDatabase database;
  runtime::Runtime runtime(sql::by_hand(clock), clock, random);
  IdGenerator ids(clock, random);
  TestProvider provider;
  observe::Metrics metrics;
  runtime.run([&](const Context& ctx) {
    const auto db = database.open_alone(runtime);
    Payments payments(*db, ids, provider, metrics);
    auto schema = migrations();
    for (auto& step : webhooks::migrations()) schema.push_back(std::move(step));
    sql::Migrator(*db, schema).up(ctx);
    Shop shop{ctx, clock, ids, *db, provider, metrics, payments};
    body(shop);
  });
}

/// The reason of the Error that `body` throws; "nothing_thrown" where it doesn't.
inline std::string reason_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return std::string(error.reason());
  }
  return "nothing_thrown";
}

}  // namespace holdfast::orders::payments::testing
