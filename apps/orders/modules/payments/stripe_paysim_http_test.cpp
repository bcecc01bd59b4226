// The Stripe adapter against paysim: over HTTP, through a pipeline, and with a provider that is broken.
#include <gmock/gmock.h>

#include "orders/modules/payments/stripe_http_adapter.hpp"
#include "paysim/testing/running_paysim.hpp"

namespace holdfast::orders::payments {
namespace {

using paysim::testing::RunningPaysim;
using paysim::testing::with_paysim;

/// An adapter as the Order System makes it.
struct Connected {
  explicit Connected(RunningPaysim& the_paysim) : paysim(the_paysim) {
    StripeSettings settings;
    settings.url = paysim.paysim->url();
    settings.secret_key = config::Secret("sk_test_paysim");
    resilience::PipelineOptions options;
    options.retry.enabled = false;
    pipeline = std::make_unique<resilience::Pipeline>("payments", options,
                                                      resilience::PipelineParts{clock, random, metrics});
    provider = std::make_unique<StripeProvider>(settings, paysim.client, *pipeline);
  }
  Authorization authorization(std::string method = "pm_card_visa") {
    Authorization made;
    made.payment_id = ids.make<PaymentId>();
    made.order_id = ids.make<OrderId>();
    made.key = made.order_id.text() + "/authorize";
    made.amount = {1250, Currency::of("GBP")};
    made.method = std::move(method);
    made.first_asked_at = clock.wall_now();
    return made;
  }
  std::optional<ProviderFault> fault_in(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return fault_of(error);
    }
    return std::nullopt;
  }

  RunningPaysim& paysim;
  SystemClock clock;
  SystemRandom random;
  IdGenerator ids{clock, random};
  observe::Metrics metrics;
  std::unique_ptr<resilience::Pipeline> pipeline;
  std::unique_ptr<StripeProvider> provider;
};

TEST(StripeAgainstPaysim, PaysRefundsAndKnowsTheBook) {
  with_paysim([](RunningPaysim& paysim) {
    Connected c(paysim);
    const Authorization wanted = c.authorization();
    const ProviderPayment held = c.provider->authorize(paysim.ctx, wanted);
    EXPECT_EQ(held.status, ProviderStatus::authorized);
    EXPECT_EQ(held.payment_id, wanted.payment_id);
    EXPECT_EQ(c.provider->capture(paysim.ctx, held.ref, "k/capture", wanted.amount).captured, wanted.amount);
    const Money part{250, wanted.amount.currency};
    EXPECT_EQ(c.provider->refund(paysim.ctx, held.ref, "k/refund", part).refunded, part);
    EXPECT_EQ(c.provider->refund(paysim.ctx, held.ref, "k/refund", part).refunded, part);
    EXPECT_EQ(c.provider->find(paysim.ctx, wanted)->refunded, part);
    const auto book = c.provider->book(paysim.ctx, c.clock.wall_now() - std::chrono::hours(1), "").payments;
    ASSERT_EQ(book.size(), 1U);
    EXPECT_EQ(book[0].captured, wanted.amount);
    EXPECT_EQ(book[0].refunded, part);
    EXPECT_EQ(c.fault_in([&] { c.provider->cancel(paysim.ctx, held.ref, "k/release"); }),
              ProviderFault::rejected);
    const ProviderPayment refused =
        c.provider->authorize(paysim.ctx, c.authorization("pm_card_visa_chargeDeclinedInsufficientFunds"));
    EXPECT_EQ(refused.decline, DeclineReason::insufficient_funds);
  });
}

TEST(StripeAgainstPaysim, AskingResolvesADroppedAnswer) {
  with_paysim([](RunningPaysim& paysim) {
    Connected c(paysim);
    paysim.behave(R"({"rules":[{"action":"drop_after","times":1}]})");
    const Authorization wanted = c.authorization();
    EXPECT_EQ(c.fault_in([&] { c.provider->authorize(paysim.ctx, wanted); }), ProviderFault::outcome_unknown);
    EXPECT_EQ(c.provider->withdraw(paysim.ctx, wanted)->status, ProviderStatus::authorized);
    paysim.behave(R"({"rules":[{"action":"error","status":500,"remembered":true,"times":1}]})");
    const Authorization failed = c.authorization();
    EXPECT_EQ(c.fault_in([&] { c.provider->authorize(paysim.ctx, failed); }), ProviderFault::outcome_unknown);
    EXPECT_EQ(c.provider->authorize(paysim.ctx, failed).status, ProviderStatus::authorized);
    paysim.behave(R"({"rules":[{"action":"error","status":429,"retryAfter":3,"times":1}]})");
    EXPECT_EQ(c.fault_in([&] { c.provider->authorize(paysim.ctx, c.authorization()); }),
              ProviderFault::rate_limited);
  });
}

TEST(StripeAgainstPaysim, AWithdrawnAuthorizationCanNotHappenAnyMore) {
  with_paysim([](RunningPaysim& paysim) {
    Connected c(paysim);
    const Authorization wanted = c.authorization();
    EXPECT_FALSE(c.provider->withdraw(paysim.ctx, wanted).has_value());
    EXPECT_EQ(c.fault_in([&] { c.provider->authorize(paysim.ctx, wanted); }), ProviderFault::rejected);
    for (const ProviderPayment& each : c.provider->book(paysim.ctx, {}, "").payments)
      EXPECT_EQ(each.status, ProviderStatus::cancelled);
  });
}

}  // namespace
}  // namespace holdfast::orders::payments
