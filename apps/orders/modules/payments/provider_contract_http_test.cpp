// The port's contract, over every adapter.
#include "orders/modules/payments/testing/fake_stripe.hpp"
#include "orders/modules/payments/testing/provider_contract.hpp"

namespace holdfast::orders::payments::testing {
namespace {

class MemoryUnderTest final : public ProviderUnderTest {
 public:
  PaymentProvider& provider() override { return memory_; }
  void fail_next(MemoryProvider::Failure failure, std::size_t calls) override {
    memory_.fail_next(failure, calls);
  }
  std::size_t effects() const override { return memory_.effects(); }

 private:
  MemoryProvider memory_;
};

TEST_P(ProviderContract, HoldsAnAmountAndTakesIt) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    const ProviderPayment held = provider.authorize(ctx, wanted);
    EXPECT_EQ(held.status, ProviderStatus::authorized);
    EXPECT_EQ(held.amount, wanted.amount);
    EXPECT_EQ(held.captured.minor, 0);
    EXPECT_EQ(held.payment_id, wanted.payment_id);
    EXPECT_EQ(held.key, wanted.key);
    const ProviderPayment taken = provider.capture(ctx, held.ref, "saga/capture", wanted.amount);
    EXPECT_EQ(taken.status, ProviderStatus::captured);
    EXPECT_EQ(taken.captured, wanted.amount);
    EXPECT_EQ(provider.fetch(ctx, held.ref).captured, wanted.amount);
    EXPECT_EQ(effects(), 2U);
  });
}

TEST_P(ProviderContract, TheSameKeyChangesNothingMore) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    const std::string ref = provider.authorize(ctx, wanted).ref;
    EXPECT_EQ(provider.authorize(ctx, wanted).ref, ref);
    for (int i = 0; i < 2; ++i) provider.capture(ctx, ref, "saga/capture", wanted.amount);
    for (int i = 0; i < 2; ++i) {
      const ProviderPayment back = provider.refund(ctx, ref, "saga/refund", {1000, wanted.amount.currency});
      EXPECT_EQ(back.refunded.minor, 1000);
      EXPECT_EQ(back.captured, wanted.amount);
    }
    EXPECT_EQ(effects(), 3U);
  });
}

TEST_P(ProviderContract, AnAuthorizationSentAgainTellsHowItStandsNow) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    const std::string ref = provider.authorize(ctx, wanted).ref;
    provider.cancel(ctx, ref, "saga/release");
    EXPECT_EQ(provider.authorize(ctx, wanted).status, ProviderStatus::cancelled);
  });
}

TEST_P(ProviderContract, ReleasesWhatIsHeldAndThenTakesNothing) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    const std::string ref = provider.authorize(ctx, wanted).ref;
    EXPECT_EQ(provider.cancel(ctx, ref, "saga/release").status, ProviderStatus::cancelled);
    EXPECT_EQ(fault_in([&] { provider.capture(ctx, ref, "saga/capture", wanted.amount); }),
              ProviderFault::rejected);
    EXPECT_EQ(provider.fetch(ctx, ref).status, ProviderStatus::cancelled);
    EXPECT_EQ(effects(), 2U);
  });
}

TEST_P(ProviderContract, DoesNotReleaseWhatWasTaken) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    const std::string ref = provider.authorize(ctx, wanted).ref;
    provider.capture(ctx, ref, "saga/capture", wanted.amount);
    EXPECT_EQ(fault_in([&] { provider.cancel(ctx, ref, "saga/release"); }), ProviderFault::rejected);
  });
}

TEST_P(ProviderContract, GivesNoMoreBackThanWasTaken) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    const std::string ref = provider.authorize(ctx, wanted).ref;
    provider.capture(ctx, ref, "saga/capture", wanted.amount);
    EXPECT_EQ(provider.refund(ctx, ref, "saga/refund", wanted.amount).refunded, wanted.amount);
    EXPECT_EQ(fault_in([&] {
                provider.refund(ctx, ref, "saga/refund2", {1, wanted.amount.currency});
              }),
              ProviderFault::rejected);
  });
}

TEST_P(ProviderContract, ARefusedCardIsAnAnswerWithItsReason) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const std::pair<const char*, DeclineReason> cards[] = {
        {"pm_card_chargeDeclined", DeclineReason::card_declined},
        {"pm_card_visa_chargeDeclinedInsufficientFunds", DeclineReason::insufficient_funds},
        {"pm_card_chargeDeclinedExpiredCard", DeclineReason::expired_card}};
    for (const auto& [method, reason] : cards) {
      const Authorization wanted = authorization(method);
      for (int i = 0; i < 2; ++i) {
        const ProviderPayment refused = provider.authorize(ctx, wanted);
        EXPECT_EQ(refused.status, ProviderStatus::declined);
        EXPECT_EQ(refused.decline, reason) << method;
        EXPECT_EQ(refused.captured.minor, 0);
      }
    }
  });
}

TEST_P(ProviderContract, SaysWhatIsKnownOfTheMoneyWhenACallFails) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const std::pair<Failure, ProviderFault> faults[] = {
        {Failure::before, ProviderFault::unavailable},
        {Failure::lost_request, ProviderFault::outcome_unknown},
        {Failure::after, ProviderFault::outcome_unknown},
        {Failure::rate_limited, ProviderFault::rate_limited},
        {Failure::rejected, ProviderFault::rejected}};
    for (const auto& [failure, fault] : faults) {
      fail_next(failure);
      EXPECT_EQ(fault_in([&] { provider.authorize(ctx, authorization()); }), fault);
    }
    EXPECT_EQ(effects(), 1U) << "only `after` did something";
  });
}

TEST_P(ProviderContract, TellsWhenToComeAgain) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    fail_next(Failure::rate_limited);
    try {
      provider.authorize(ctx, authorization());
      FAIL();
    } catch (const Error& error) {
      EXPECT_GE(error.retry_after().value_or(Duration(0)), std::chrono::seconds(1));
    }
  });
}

TEST_P(ProviderContract, TheSameKeyResolvesAnAnswerThatWasLost) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    for (const Failure failure : {Failure::after, Failure::lost_request}) {
      const std::size_t before = effects();
      const Authorization wanted = authorization();
      fail_next(failure);
      EXPECT_TRUE(fault_in([&] { provider.authorize(ctx, wanted); }).has_value());
      const std::string ref = provider.authorize(ctx, wanted).ref;
      fail_next(failure);
      EXPECT_TRUE(
          fault_in([&] { provider.capture(ctx, ref, wanted.key + "/c", wanted.amount); }).has_value());
      EXPECT_EQ(provider.capture(ctx, ref, wanted.key + "/c", wanted.amount).captured, wanted.amount);
      fail_next(failure);
      EXPECT_TRUE(fault_in([&] { provider.refund(ctx, ref, wanted.key + "/r", wanted.amount); }).has_value());
      EXPECT_EQ(provider.refund(ctx, ref, wanted.key + "/r", wanted.amount).refunded, wanted.amount);
      EXPECT_EQ(effects() - before, 3U);
    }
  });
}

TEST_P(ProviderContract, AWithdrawnAuthorizationCanNotHappenAnyMore) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    for (int i = 0; i < 2; ++i) EXPECT_FALSE(provider.withdraw(ctx, wanted).has_value());
    EXPECT_EQ(fault_in([&] { provider.authorize(ctx, wanted); }), ProviderFault::rejected)
        << "a request that was on its way all the time";
    EXPECT_EQ(effects(), 0U);
  });
}

TEST_P(ProviderContract, WithdrawingTellsWhatHadHappened) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    fail_next(Failure::after);
    EXPECT_TRUE(fault_in([&] { provider.authorize(ctx, wanted); }).has_value());
    const auto was = provider.withdraw(ctx, wanted);
    ASSERT_TRUE(was.has_value());
    EXPECT_EQ(was->status, ProviderStatus::authorized);
    const Authorization refused = authorization("pm_card_chargeDeclined");
    provider.authorize(ctx, refused);
    EXPECT_EQ(provider.withdraw(ctx, refused)->status, ProviderStatus::declined);
    EXPECT_EQ(effects(), 2U);
  });
}

TEST_P(ProviderContract, FindsAPaymentByItsKey) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization wanted = authorization();
    EXPECT_FALSE(provider.find(ctx, wanted).has_value());
    const std::string ref = provider.authorize(ctx, wanted).ref;
    provider.capture(ctx, ref, "c", wanted.amount);
    EXPECT_EQ(provider.find(ctx, wanted)->captured, wanted.amount);
    clock_.advance(std::chrono::hours(30));
    EXPECT_EQ(provider.find(ctx, wanted)->ref, ref);
    EXPECT_FALSE(provider.find(ctx, authorization()).has_value());
  });
}

TEST_P(ProviderContract, ItsBookHasAllOfThem) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    const Authorization first = authorization();
    const std::string ref = provider.authorize(ctx, first).ref;
    provider.capture(ctx, ref, "c", first.amount);
    provider.refund(ctx, ref, "r", {250, first.amount.currency});
    provider.authorize(ctx, authorization());
    const auto page = provider.book(ctx, clock_.wall_now() - std::chrono::hours(1), "");
    ASSERT_EQ(page.payments.size(), 2U);
    EXPECT_FALSE(page.next.has_value());
    EXPECT_EQ(page.payments[1].ref, ref);
    EXPECT_EQ(page.payments[1].captured.minor, 1250);
    EXPECT_EQ(page.payments[1].refunded.minor, 250);
  });
}

TEST_P(ProviderContract, AnUnknownPaymentIsRejected) {
  run([&](const Context& ctx, PaymentProvider& provider) {
    EXPECT_EQ(fault_in([&] { provider.fetch(ctx, "pi_none"); }), ProviderFault::rejected);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Payments, ProviderContract,
    ::testing::Values(NamedProvider{"memory", [] { return std::make_unique<MemoryUnderTest>(); }},
                      NamedProvider{"stripe", [] { return std::make_unique<StripeUnderTest>(); }}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace holdfast::orders::payments::testing
