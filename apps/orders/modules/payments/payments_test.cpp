#include "orders/modules/payments/payments.hpp"

#include <gmock/gmock.h>

#include "holdfast/config/config.hpp"
#include "orders/modules/payments/payment_states.hpp"
#include "orders/modules/payments/testing/shop.hpp"

namespace holdfast::orders::payments {
namespace {

using testing::Shop;
using testing::with_shop;
using Failure = MemoryProvider::Failure;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Currency kGbp = Currency::of("GBP");

// ---- the way of a payment -------------------------------------------------------------------------

TEST(Payments, AreAuthorizedAndCaptured) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    EXPECT_EQ(shop.get(order).state, PaymentState::requested);
    EXPECT_EQ(shop.authorize(order).state, PaymentState::authorized);
    const Payment paid = shop.capture(order);
    EXPECT_EQ(paid.state, PaymentState::captured);
    EXPECT_EQ(paid.captured.minor, 1250);
    const OrderBalance sums = shop.balance(order);
    EXPECT_EQ(sums.charged, (Money{1250, kGbp}));
    EXPECT_EQ(sums.refunded.minor, 0);
    EXPECT_EQ(sums.owed.minor, 0);
    EXPECT_EQ(shop.provider.effects(), 2U);
  });
}

TEST(Payments, AreOpenedOnceAnOrder) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    const Payment first = shop.get(order);
    const Payment again = shop.write([&](sql::Transaction& tx) {
      return shop.payments.open(shop.ctx, tx, {order, {1250, kGbp}, "pm_card_visa", "other"});
    });
    EXPECT_EQ(again.id, first.id);
    EXPECT_EQ(shop.entries(order).size(), 2U);
    EXPECT_EQ(testing::reason_of([&] { shop.open(0); }), "payment_amount");
  });
}

TEST(Payments, DoNothingASecondTime) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    for (int i = 0; i < 3; ++i) shop.authorize(order);
    for (int i = 0; i < 3; ++i) shop.capture(order);
    EXPECT_EQ(shop.authorize(order).state, PaymentState::captured) << "a step that is run again late";
    for (int i = 0; i < 3; ++i) shop.undo(order);
    EXPECT_EQ(shop.get(order).state, PaymentState::refunded);
    EXPECT_EQ(shop.provider.effects(), 3U);
    EXPECT_EQ(shop.entries(order).size(), 6U);
  });
}

TEST(Payments, AnOutcomeRecordedTwiceOrLateChangesNothing) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    const Outcome held = shop.payments.authorize(shop.ctx, order);
    shop.record(held);
    const Outcome taken = shop.payments.capture(shop.ctx, order, "saga/capture");
    shop.record(taken);
    shop.record(taken);
    const Payment late = shop.record(held);
    EXPECT_EQ(late.state, PaymentState::captured);
    EXPECT_EQ(shop.entries(order).size(), 4U);
  });
}

TEST(Payments, ARefusedCardIsFinalAndTheOrderOwesNothing) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250, "pm_card_visa_chargeDeclinedInsufficientFunds");
    const Outcome outcome = shop.payments.authorize(shop.ctx, order);
    EXPECT_TRUE(outcome.declined());
    const Payment payment = shop.record(outcome);
    EXPECT_EQ(payment.state, PaymentState::declined);
    EXPECT_EQ(payment.decline_reason, DeclineReason::insufficient_funds);
    EXPECT_EQ(shop.balance(order).owed.minor, 0);
    EXPECT_TRUE(shop.payments.authorize(shop.ctx, order).declined()) << "not asked for again";
    EXPECT_EQ(testing::reason_of([&] { shop.payments.capture(shop.ctx, order, "k"); }), "payment_state");
    EXPECT_EQ(shop.provider.effects(), 1U);
  });
}

TEST(Payments, ACustomerWhoHasToConfirmIsWaitedFor) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250, "pm_card_authenticationRequired");
    const Outcome outcome = shop.payments.authorize(shop.ctx, order);
    EXPECT_TRUE(outcome.waiting());
    const Payment waiting = shop.record(outcome);
    EXPECT_EQ(waiting.state, PaymentState::action_required);
    EXPECT_TRUE(waiting.action_url.has_value());
    EXPECT_EQ(shop.authorize(order).state, PaymentState::action_required);
    shop.provider.set_status(*waiting.provider_ref, ProviderStatus::authorized);
    const Payment held = shop.authorize(order);
    EXPECT_EQ(held.state, PaymentState::authorized);
    EXPECT_FALSE(held.action_url.has_value());
  });
}

TEST(Payments, GiveAPartBackAndThenTheRest) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.paid(1250);
    const auto refund = [&](std::string key, std::optional<Money> amount) {
      return shop.record(shop.payments.refund(shop.ctx, order, key, amount));
    };
    EXPECT_EQ(refund("saga/part", Money{250, kGbp}).state, PaymentState::captured);
    EXPECT_EQ(shop.balance(order).refunded.minor, 250);
    EXPECT_EQ(testing::reason_of([&] { refund("saga/much", Money{1001, kGbp}); }), "refund_amount");
    EXPECT_EQ(testing::reason_of([&] {
                refund("saga/other", Money{1, Currency::of("EUR")});
              }),
              "refund_amount");
    EXPECT_EQ(refund("saga/rest", {}).state, PaymentState::refunded);
    EXPECT_EQ(shop.balance(order).refunded.minor, 1250);
    EXPECT_EQ(refund("saga/again", {}).state, PaymentState::refunded);
  });
}

TEST(Payments, AreNotThereForAnUnknownOrder) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.ids.make<OrderId>();
    EXPECT_EQ(testing::reason_of([&] { shop.payments.authorize(shop.ctx, order); }), "unknown_payment");
    const Outcome nothing = shop.payments.undo(shop.ctx, order, "saga/undo");
    EXPECT_TRUE(nothing.known());
    shop.write(
        [&](sql::Transaction& tx) { EXPECT_FALSE(shop.payments.record(shop.ctx, tx, nothing).has_value()); });
  });
}

// ---- outcomes that are not known ------------------------------------------------------------------

TEST(Payments, ATimeoutAfterTheChargeIsAStateOfItsOwnAndResolvedByAsking) {
  for (const Failure failure : {Failure::after, Failure::lost_request}) {
    with_shop([&](Shop& shop) {
      const OrderId order = shop.open(1250);
      shop.provider.fail_next(failure);
      EXPECT_EQ(testing::reason_of(
                    [&] { shop.payments.settle(shop.ctx, shop.payments.authorize(shop.ctx, order)); }),
                "payment_outcome_unknown");
      Payment payment = shop.get(order);
      EXPECT_EQ(payment.state, PaymentState::unknown);
      EXPECT_EQ(payment.settled_state, PaymentState::requested);
      EXPECT_EQ(payment.open_operation, Operation::authorize);
      EXPECT_EQ(payment.unknown_since, shop.clock.wall_now());
      EXPECT_EQ(shop.authorize(order).state, PaymentState::authorized);

      shop.provider.fail_next(failure);
      EXPECT_EQ(shop.record(shop.payments.capture(shop.ctx, order, "saga/capture")).state,
                PaymentState::unknown);
      EXPECT_EQ(shop.get(order).settled_state, PaymentState::authorized);
      EXPECT_EQ(shop.balance(order).charged.minor, 0) << "nothing is written down on a guess";
      EXPECT_EQ(shop.capture(order).state, PaymentState::captured);

      shop.provider.fail_next(failure);
      EXPECT_EQ(shop.undo(order).state, PaymentState::refund_unknown);
      EXPECT_EQ(shop.balance(order).refunded.minor, 0);
      payment = shop.undo(order);
      EXPECT_EQ(payment.state, PaymentState::refunded);
      EXPECT_FALSE(payment.unknown_since.has_value());
      EXPECT_FALSE(payment.open_operation.has_value());
      EXPECT_EQ(shop.provider.effects(), 3U);
    });
  }
}

TEST(Payments, AnUnknownPaymentKeepsTheTimeItBecameSo) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.provider.fail_next(Failure::after, 2);
    shop.authorize(order);
    const WallTime since = shop.clock.wall_now();
    shop.clock.advance(std::chrono::minutes(3));
    shop.authorize(order);
    EXPECT_EQ(shop.get(order).unknown_since, since);
    shop.payments.measure(shop.ctx);
    EXPECT_THAT(shop.metrics.expose(), HasSubstr("holdfast_payments_unknown 1\n"));
    EXPECT_THAT(shop.metrics.expose(), HasSubstr("holdfast_payments_oldest_unknown_seconds 180\n"));
    const UnknownPayments unknown = shop.read([](sql::Snapshot& db) { return unknown_payments(db); });
    EXPECT_EQ(unknown.count, 1);
    EXPECT_EQ(unknown.oldest, since);
    shop.authorize(order);
    shop.payments.measure(shop.ctx);
    EXPECT_THAT(shop.metrics.expose(), HasSubstr("holdfast_payments_unknown 0\n"));
  });
}

TEST(Payments, WhatWasHeardMeanwhileCountsMoreThanATimeout) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.authorize(order);
    shop.provider.fail_next(Failure::after);
    const Outcome timed_out = shop.payments.capture(shop.ctx, order, "saga/capture");
    const ProviderPayment taken = shop.provider.find(shop.ctx, shop.authorization(order)).value();
    shop.payments.receive(shop.ctx, {"evt_1", taken, taken.ref, std::nullopt}, {});
    EXPECT_EQ(shop.record(timed_out).state, PaymentState::captured);
    EXPECT_TRUE(shop.payments.capture(shop.ctx, order, "saga/capture").captured());
  });
}

TEST(Payments, ResolvingAsksAndChangesNothingOutside) {
  with_shop([](Shop& shop) {
    const OrderId lost = shop.open(1250);
    shop.provider.fail_next(Failure::lost_request);
    shop.authorize(lost);
    EXPECT_EQ(shop.record(shop.payments.resolve(shop.ctx, lost)).state, PaymentState::unknown)
        << "the request may still be on its way";
    const OrderId held = shop.open(1250);
    shop.provider.fail_next(Failure::after);
    shop.authorize(held);
    EXPECT_EQ(shop.record(shop.payments.resolve(shop.ctx, held)).state, PaymentState::authorized);
    EXPECT_EQ(shop.provider.effects(), 1U);
  });
}

TEST(Payments, WhatSurelyDidNotHappenIsThrownAndNotRecorded) {
  const std::pair<Failure, ProviderFault> faults[] = {{Failure::before, ProviderFault::unavailable},
                                                      {Failure::rate_limited, ProviderFault::rate_limited},
                                                      {Failure::rejected, ProviderFault::rejected}};
  for (const auto& [failure, fault] : faults) {
    with_shop([&](Shop& shop) {
      const OrderId order = shop.open(1250);
      shop.provider.fail_next(failure);
      try {
        shop.payments.authorize(shop.ctx, order);
        ADD_FAILURE();
      } catch (const Error& error) {
        EXPECT_EQ(fault_of(error), fault);
      }
      EXPECT_EQ(shop.get(order).state, PaymentState::requested);
    });
  }
}

TEST(Payments, AnyOtherErrorLeavesTheOutcomeUnknown) {
  EXPECT_EQ(fault_of(Error(ErrorCode::deadline_exceeded, "late")), ProviderFault::outcome_unknown);
  EXPECT_EQ(fault_of(Error(ErrorCode::cancelled, "gone")), ProviderFault::outcome_unknown);
}

TEST(Payments, AKeyThatIsForgottenIsNotTrusted) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.provider.fail_next(Failure::after);
    shop.authorize(order);
    shop.clock.advance(std::chrono::hours(30));
    shop.provider.forget_keys();
    EXPECT_EQ(shop.authorize(order).state, PaymentState::authorized);
    EXPECT_EQ(shop.provider.effects(), 1U) << "found in its book, not sent again";
  });
}

TEST(Payments, ACaptureThatWasDoneByAnotherWorkerIsAccepted) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    const Payment held = shop.authorize(order);
    shop.provider.set_status(*held.provider_ref, ProviderStatus::cancelled);  // the bank let go of it
    const Outcome outcome = shop.payments.capture(shop.ctx, order, "saga/capture");
    EXPECT_FALSE(outcome.captured());
    EXPECT_EQ(shop.record(outcome).state, PaymentState::cancelled);
    EXPECT_EQ(shop.balance(order).owed.minor, 0);
  });
}

TEST(Payments, AnAnswerAboutAnotherAmountIsRejected) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.provider.answer_amount(Money{1, kGbp});
    EXPECT_EQ(testing::reason_of([&] { shop.payments.authorize(shop.ctx, order); }), "payment_rejected");
  });
}

// ---- undoing --------------------------------------------------------------------------------------

TEST(Undo, WithdrawsWhatWasNeverAskedForSoThatItCanNotHappen) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    EXPECT_EQ(shop.undo(order).state, PaymentState::cancelled);
    EXPECT_EQ(shop.provider.effects(), 0U);
    EXPECT_EQ(shop.balance(order).owed.minor, 0);
    EXPECT_EQ(testing::reason_of([&] { shop.provider.authorize(shop.ctx, shop.authorization(order)); }),
              "payment_rejected")
        << "a request that was on its way all the time";
  });
}

// Whatever state a payment is in, whatever the row says of it, and wherever the call to undo it fails:
// afterwards nothing is held, nothing is kept, and a repetition changes nothing.
TEST(Undo, IsRightInEveryState) {
  enum class Before {
    requested,
    lost,
    unknown,
    action,
    authorized,
    authorized_unrecorded,
    captured,
    captured_unrecorded,
    capture_unknown,
    refunded_unrecorded,
    declined
  };
  for (const Before before :
       {Before::requested, Before::lost, Before::unknown, Before::action, Before::authorized,
        Before::authorized_unrecorded, Before::captured, Before::captured_unrecorded, Before::capture_unknown,
        Before::refunded_unrecorded, Before::declined}) {
    for (const Failure failure : {Failure::none, Failure::before, Failure::lost_request, Failure::after}) {
      with_shop([&](Shop& shop) {
        const char* method = before == Before::action     ? "pm_card_authenticationRequired"
                             : before == Before::declined ? "pm_card_chargeDeclined"
                                                          : "pm_card_visa";
        const OrderId order = shop.open(1250, method);
        if (before == Before::lost) shop.provider.fail_next(Failure::lost_request);
        if (before == Before::unknown) shop.provider.fail_next(Failure::after);
        if (before == Before::authorized_unrecorded) {
          shop.payments.authorize(shop.ctx, order);
        } else if (before != Before::requested) {
          shop.authorize(order);
        }
        if (before == Before::capture_unknown) shop.provider.fail_next(Failure::after);
        if (before == Before::captured_unrecorded) {
          shop.payments.capture(shop.ctx, order, "saga/capture");
        } else if (before >= Before::captured && before != Before::declined) {
          shop.capture(order);
        }
        if (before == Before::refunded_unrecorded) shop.payments.undo(shop.ctx, order, "saga/undo");

        shop.provider.fail_next(failure, failure == Failure::none ? 0 : 1);
        for (int attempt = 0; attempt < 4; ++attempt) {
          try {
            shop.undo(order);
          } catch (const Error& error) {
            EXPECT_EQ(fault_of(error), ProviderFault::unavailable);
          }
        }
        const Payment payment = shop.get(order);
        const std::string what = "before " + std::to_string(static_cast<int>(before)) + ", failure " +
                                 std::to_string(static_cast<int>(failure)) + ", state " +
                                 std::string(enum_name(payment.state));
        EXPECT_TRUE(is_final(payment.state)) << what;
        EXPECT_EQ(payment.captured, payment.refunded) << what;
        const OrderBalance sums = shop.balance(order);
        EXPECT_EQ(sums.owed.minor, 0) << what;
        EXPECT_EQ(sums.charged, sums.refunded) << what;
        const auto book = shop.provider.book(shop.ctx, {}, "").payments;
        for (const ProviderPayment& each : book) {
          EXPECT_NE(each.status, ProviderStatus::authorized) << what;
          EXPECT_EQ(each.captured, each.refunded) << what;
        }
        EXPECT_THAT(shop.read([&](sql::Snapshot& db) { return compare(db, book, shop.clock.wall_now()); }),
                    IsEmpty())
            << what;
        const std::size_t effects = shop.provider.effects();
        shop.undo(order);
        EXPECT_EQ(shop.provider.effects(), effects) << what;
      });
    }
  }
}

TEST(Undo, AsksFirstWhereTheKeyIsForgotten) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.provider.fail_next(Failure::after);
    shop.authorize(order);
    shop.clock.advance(std::chrono::hours(30));
    shop.provider.forget_keys();
    EXPECT_EQ(shop.undo(order).state, PaymentState::cancelled);
    EXPECT_EQ(shop.provider.book(shop.ctx, {}, "").payments.at(0).status, ProviderStatus::cancelled);
  });
}

TEST(Refunds, ThatTakeTheirTimeAreAskedForWhereTheWordOfTheirEndIsLost) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.authorize(order);
    shop.capture(order);
    shop.provider.slow_refunds = true;
    EXPECT_EQ(shop.undo(order).state, PaymentState::refunding);
    EXPECT_EQ(shop.payments.follow_refunds(shop.ctx, std::chrono::minutes(10)), 0) << "it is too early";
    shop.clock.advance(std::chrono::minutes(11));
    EXPECT_EQ(shop.payments.follow_refunds(shop.ctx, std::chrono::minutes(10)), 0);
    EXPECT_EQ(shop.get(order).state, PaymentState::refunding);
    shop.provider.slow_refunds = false;
    EXPECT_EQ(shop.payments.follow_refunds(shop.ctx, std::chrono::minutes(10)), 1);
    EXPECT_EQ(shop.get(order).state, PaymentState::refunded);
    EXPECT_EQ(shop.balance(order).refunded.minor, 1250);
  });
}

// ---- states ---------------------------------------------------------------------------------------

TEST(PaymentStates, NeverGoBackwards) {
  using enum PaymentState;
  const PaymentState all[] = {requested, action_required, processing, authorized, captured,
                              declined,  cancelled,       refunding,  refunded};
  for (const PaymentState from : all) {
    for (const PaymentState to : all) {
      if (step_between(from, to) != Step::forward) continue;
      EXPECT_EQ(moves(from, to, false), true);
      EXPECT_NE(step_between(to, from), Step::forward) << enum_name(from) << " and " << enum_name(to);
      EXPECT_FALSE(moves(to, from, false)) << enum_name(to) << " back to " << enum_name(from);
    }
  }
  EXPECT_EQ(step_between(authorized, declined), Step::conflict);
  EXPECT_EQ(step_between(captured, cancelled), Step::conflict);
  EXPECT_EQ(step_between(captured, authorized), Step::stale);
  EXPECT_TRUE(moves(cancelled, captured, true)) << "money that moved is written down";
  EXPECT_FALSE(moves(captured, cancelled, true));
  EXPECT_TRUE(moves(refunding, captured, true)) << "a refund that failed";
  EXPECT_FALSE(moves(refunding, captured, false));
}

// ---- a provider's messages ------------------------------------------------------------------------

ProviderEvent event_of(std::string id, const ProviderPayment& seen) {
  return {std::move(id), seen, seen.ref, seen.payment_id};
}

TEST(PaymentEvents, MoveAPaymentOnAndTellOfItInTheSameTransaction) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.provider.fail_next(Failure::after);
    shop.authorize(order);
    const ProviderPayment held = shop.provider.find(shop.ctx, shop.authorization(order)).value();
    std::vector<PaymentEvent> told;
    const auto tell = [&](const Context&, sql::Transaction& tx, const PaymentEvent& event) {
      EXPECT_EQ(find(tx, order)->state, event.payment.state);
      told.push_back(event);
    };
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_1", held), tell), EventOutcome::applied);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].payment.state, PaymentState::authorized);
    EXPECT_TRUE(told[0].changed);
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_1", held), tell), EventOutcome::duplicate);
    EXPECT_EQ(told.size(), 1U);
  });
}

TEST(PaymentEvents, ThatArriveTwiceAtOnceAreHandledOnce) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    const std::string ref = *shop.authorize(order).provider_ref;
    const ProviderEvent event{"evt_1", std::nullopt, ref, std::nullopt};
    int told = 0;
    const auto tell = [&](const Context&, sql::Transaction&, const PaymentEvent&) { ++told; };
    shop.provider.during_fetch = [&] {  // another delivery overtakes the one that asks
      EXPECT_EQ(shop.payments.receive(shop.ctx, event, tell), EventOutcome::asked);
    };
    EXPECT_EQ(shop.payments.receive(shop.ctx, event, tell), EventOutcome::duplicate);
    EXPECT_EQ(told, 1);
  });
}

TEST(PaymentEvents, AreForgottenTogetherWithWhatTheyDid) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.payments.authorize(shop.ctx, order);
    const ProviderPayment held = shop.provider.find(shop.ctx, shop.authorization(order)).value();
    const auto fail = [](const Context&, sql::Transaction&, const PaymentEvent&) {
      throw Error(ErrorCode::unavailable, "the saga can't be told");
    };
    EXPECT_THROW(shop.payments.receive(shop.ctx, event_of("evt_1", held), fail), Error);
    EXPECT_EQ(shop.get(order).state, PaymentState::requested);
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_1", held), {}), EventOutcome::applied)
        << "sent again, it is handled";
  });
}

TEST(PaymentEvents, OutOfOrderTheyChangeNothing) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.authorize(order);
    const ProviderPayment held = shop.provider.find(shop.ctx, shop.authorization(order)).value();
    shop.capture(order);
    const ProviderPayment taken = shop.provider.find(shop.ctx, shop.authorization(order)).value();
    shop.undo(order);
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_3", taken), {}), EventOutcome::stale);
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_2", held), {}), EventOutcome::stale);
    EXPECT_EQ(shop.get(order).state, PaymentState::refunded);
    EXPECT_EQ(shop.entries(order).size(), 6U);
  });
}

TEST(PaymentEvents, TellingOfAHoldOfAPaymentThatHasEndedHaveItReleased) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(748);
    EXPECT_EQ(shop.undo(order).state, PaymentState::cancelled);
    shop.provider.forget_keys();  // which the withdrawal relies on
    const ProviderPayment held = shop.provider.authorize(shop.ctx, shop.authorization(order));
    ASSERT_EQ(held.status, ProviderStatus::authorized);
    shop.provider.fail_next(Failure::before);
    EXPECT_THROW(shop.payments.receive(shop.ctx, event_of("evt_1", held), {}), Error);
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_1", held), {}), EventOutcome::released)
        << "sent again, it is handled";
    EXPECT_EQ(shop.provider.fetch(shop.ctx, held.ref).status, ProviderStatus::cancelled);
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_2", held), {}), EventOutcome::stale);
    EXPECT_EQ(shop.get(order).state, PaymentState::cancelled);
    EXPECT_EQ(shop.balance(order).owed.minor, 0);
  });
}

TEST(PaymentEvents, ContradictingWhatIsKnownTheyMakeUsAsk) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.paid(1250);
    ProviderPayment wrong = shop.provider.find(shop.ctx, shop.authorization(order)).value();
    wrong.status = ProviderStatus::cancelled;
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_1", wrong), {}), EventOutcome::asked);
    EXPECT_EQ(shop.get(order).state, PaymentState::captured);

    const OrderId held = shop.open(900);
    const std::string ref = *shop.authorize(held).provider_ref;
    shop.provider.set_status(ref, ProviderStatus::declined);
    ProviderEvent hint{"evt_2", std::nullopt, ref, std::nullopt};
    EXPECT_EQ(shop.payments.receive(shop.ctx, hint, {}), EventOutcome::asked);

    shop.provider.fail_next(Failure::before);
    hint.id = "evt_3";
    EXPECT_THROW(shop.payments.receive(shop.ctx, hint, {}), Error);
    EXPECT_EQ(shop.payments.receive(shop.ctx, hint, {}), EventOutcome::asked) << "not remembered as handled";
  });
}

TEST(PaymentEvents, OfStrangersAreCountedAndOldOnesForgotten) {
  with_shop([](Shop& shop) {
    ProviderPayment stranger;
    stranger.ref = "pi_stranger";
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_1", stranger), {}),
              EventOutcome::unknown_payment);
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_1", stranger), {}), EventOutcome::duplicate);
    shop.clock.advance(std::chrono::hours(24 * 32));
    shop.payments.receive(shop.ctx, event_of("evt_2", stranger), {});
    EXPECT_EQ(shop.payments.incoming().sweep(shop.ctx, shop.db), 1);
    EXPECT_EQ(shop.payments.receive(shop.ctx, event_of("evt_2", stranger), {}), EventOutcome::duplicate);
    EXPECT_THAT(shop.metrics.expose(),
                HasSubstr("holdfast_payments_events_total{outcome=\"unknown_payment\"} 2\n"));
  });
}

// ---- the provider's book --------------------------------------------------------------------------

TEST(ProvidersBook, IsComparedWithOurs) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.paid(1250);
    const OrderId cancelled = shop.open(700);
    shop.authorize(cancelled);
    shop.undo(cancelled);
    auto book = shop.provider.book(shop.ctx, {}, "").payments;
    const auto problems = [&] {
      std::vector<std::string> found;
      for (const auto& each :
           shop.read([&](sql::Snapshot& db) { return compare(db, book, shop.clock.wall_now()); }))
        found.push_back(each.problem);
      return found;
    };
    EXPECT_THAT(problems(), IsEmpty());
    ASSERT_EQ(book.size(), 2U);
    book[0].status = ProviderStatus::authorized;  // the newest first: the cancelled one
    book[1].refunded.minor = 50;
    ProviderPayment stranger = book[1];
    stranger.ref = "pi_stranger";
    stranger.payment_id.reset();
    book.push_back(stranger);
    EXPECT_THAT(problems(), ElementsAre("held_without_order", "refunded_differs", "not_here"));
    static_cast<void>(order);
  });
}

TEST(ProvidersBook, ShowsWhatIsHeldAndForgotten) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(748);
    const ProviderPayment held = shop.provider.authorize(shop.ctx, shop.authorization(order));
    const auto problems = [&] {
      return shop.read([&](sql::Snapshot& db) { return compare(db, {&held, 1}, shop.clock.wall_now()); });
    };
    EXPECT_THAT(problems(), IsEmpty()) << "it is in flight";
    shop.clock.advance(kInFlightAtMost);
    const auto found = problems();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].problem, "held_and_forgotten");
    EXPECT_EQ(found[0].there_minor, 748);
  });
}

// ---- the in-memory provider -----------------------------------------------------------------------

TEST(MemoryProviders, GoOnWithWhatAnEarlierProcessAuthorized) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.open(1250);
    shop.authorize(order);
    shop.provider.restart();
    EXPECT_EQ(shop.capture(order).state, PaymentState::captured);
    shop.provider.restart();
    EXPECT_EQ(shop.undo(order).state, PaymentState::refunded);
    EXPECT_EQ(shop.balance(order).refunded.minor, 1250);
    const OrderId other = shop.open(300);
    shop.authorize(other);
    shop.provider.restart();
    EXPECT_EQ(shop.undo(other).state, PaymentState::cancelled);
  });
}

// ---- settings -------------------------------------------------------------------------------------

std::string faults_of(const std::string& yaml) {
  config::Sources sources;
  sources.yaml = yaml;
  try {
    config::load<Settings>(sources);
  } catch (const Error& error) {
    return error.detail();
  }
  return {};
}

TEST(PaymentSettings, AreRefusedWhereTheyContradictEachOther) {
  EXPECT_EQ(faults_of(""), "");
  EXPECT_EQ(faults_of("provider: memory"), "");
  EXPECT_THAT(faults_of("provider: stripe"), HasSubstr("stripe.secret_key"));
  EXPECT_EQ(faults_of("provider: stripe\nstripe: {secret_key: sk_1}"), "");
  const auto url = [](const std::string& text, const std::string& more = "") {
    return faults_of("provider: stripe\nstripe: {secret_key: sk_1, url: \"" + text + "\"" + more + "}");
  };
  EXPECT_THAT(url("http://api.example"), HasSubstr("stripe.url"));
  EXPECT_THAT(url("http://127.evil.example"), HasSubstr("stripe.url"));
  EXPECT_THAT(url("http://localhost@evil.example"), HasSubstr("stripe.url"));
  EXPECT_THAT(url("ftp://localhost"), HasSubstr("stripe.url"));
  EXPECT_THAT(url("https://"), HasSubstr("stripe.url"));
  EXPECT_EQ(url("http://127.0.0.1:4242"), "");
  EXPECT_EQ(url("http://[::1]:4242"), "");
  EXPECT_EQ(url("http://localhost:4242"), "");
  EXPECT_EQ(url("http://paysim.test", ", allow_http: true"), "");
}

}  // namespace
}  // namespace holdfast::orders::payments
