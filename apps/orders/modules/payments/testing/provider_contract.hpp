// What every PaymentProvider must do, whatever it speaks: the suite, and the fixture an adapter's test makes.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "holdfast/runtime/runtime.hpp"
#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders::payments::testing {

/// A provider under test, and the strings that make what is behind it misbehave.
class ProviderUnderTest {
 public:
  virtual ~ProviderUnderTest() = default;
  virtual PaymentProvider& provider() = 0;
  virtual void fail_next(MemoryProvider::Failure failure, std::size_t calls = 1) = 0;
  /// Times that money was held, taken, released or given back.
  virtual std::size_t effects() const = 0;
};

using MakeProvider = std::function<std::unique_ptr<ProviderUnderTest>()>;

struct NamedProvider {
  std::string name;
  MakeProvider make;
};

class ProviderContract : public ::testing::TestWithParam<NamedProvider> {
 protected:
  using Failure = MemoryProvider::Failure;

  void run(const std::function<void(const Context&, PaymentProvider&)>& body) {
    runtime_.run([&](const Context& ctx) { body(ctx, under_test_->provider()); });
  }
  void fail_next(Failure failure, std::size_t calls = 1) { under_test_->fail_next(failure, calls); }
  std::size_t effects() const { return under_test_->effects(); }

  Authorization authorization(std::string method = "pm_card_visa") {
    Authorization made;
    made.payment_id = ids_.make<PaymentId>();
    made.order_id = ids_.make<OrderId>();
    made.key = made.order_id.text() + "/authorize";
    made.amount = {1250, Currency::of("GBP")};
    made.method = std::move(method);
    made.first_asked_at = clock_.wall_now();
    return made;
  }

  /// The fault that `call` ends with; nothing where it ends well.
  template <class Call>
  std::optional<ProviderFault> fault_in(Call&& call) {
    try {
      call();
    } catch (const Error& error) {
      return fault_of(error);
    }
    return std::nullopt;
  }

  ManualClock clock_;
  SeededRandom random_{11};
  IdGenerator ids_{clock_, random_};
  runtime::Runtime runtime_{{.simulated = true, .manual_clock = &clock_}, clock_, random_};
  std::unique_ptr<ProviderUnderTest> under_test_ = GetParam().make();
};

}  // namespace holdfast::orders::payments::testing
