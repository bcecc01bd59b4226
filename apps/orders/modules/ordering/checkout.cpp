#include "orders/modules/ordering/checkout.hpp"

#include <algorithm>
#include <utility>

namespace holdfast::orders::ordering {
namespace {

/// What a checkout has to know that is not in its order, its payment or its shipment.
struct CheckoutState {
  OrderId order_id;
  bool pays = false;       ///< a payment was opened with the order
  bool ships = false;      ///< a shipment was
  bool undecided = false;  ///< the customer or the bank has yet to agree to the payment
};
HOLDFAST_DESCRIBE(CheckoutState, (order_id, pays, ships, undecided))

struct GiveBackState {
  OrderId order_id;
};
HOLDFAST_DESCRIBE(GiveBackState, (order_id))

/// What a signal carries. What counts is what the payment says when it is looked at; this is for history.
struct PaymentNews {
  payments::PaymentState state = payments::PaymentState::unknown;
};
HOLDFAST_DESCRIBE(PaymentNews, (state))

constexpr std::string_view kPaymentEvent = "payment";
/// After an outage of minutes, those who wait come back at random times between half of this and all of it.
/// After one of seconds their waits are shorter: what bounds that rush is the limit of the dependency.
constexpr Duration kBackoffCap = std::chrono::seconds(60);

/// As many attempts as make up about `patience`: a wait is between half of it and all of it.
saga::RetryOptions patient(Duration patience) {
  saga::RetryOptions retry{
      .attempts = 1,
      .backoff = {
          .base = std::chrono::milliseconds(200), .cap = kBackoffCap, .jitter = resilience::Jitter::equal}};
  Duration wait = retry.backoff.base;
  for (Duration waited{}; waited < patience; ++retry.attempts) {
    waited += wait * 3 / 4;
    wait = std::min(wait * 2, kBackoffCap);
  }
  return retry;
}

shipping::Destination destination_of(const Address& address) {
  return {.name = address.name,
          .line1 = address.line1,
          .line2 = address.line2,
          .city = address.city,
          .region = address.region,
          .postal_code = address.postal_code,
          .country = address.country};
}

std::vector<shipping::Parcel> parcels_of(const Order& order) {
  std::vector<shipping::Parcel> parcels;
  parcels.reserve(order.items.size());
  for (const OrderLine& line : order.items) parcels.push_back({line.sku, line.name, line.quantity});
  return parcels;
}

[[noreturn]] void fail_declined(const std::optional<payments::DeclineReason>& reason) {
  const auto code = reason.value_or(payments::DeclineReason::card_declined);
  throw saga::Failure(std::string(enum_name(code)), "The payment was declined.");
}

}  // namespace

struct CheckoutSaga::State {
  State(const Parts& given, IdGenerator& ids, messaging::Publisher& publisher, Options the_options)
      : parts(given), options(std::move(the_options)), ordering(ids, publisher) {}

  payments::Payments& payments() const {
    if (parts.payments == nullptr) {
      throw Error(ErrorCode::unavailable,
                  "This order has a payment, but there is no payment provider: set payments.provider.")
          .reason("payments_not_configured");
    }
    return *parts.payments;
  }
  shipping::Shipping& shipping() const {
    if (parts.shipping == nullptr) {
      throw Error(ErrorCode::unavailable,
                  "This order has a shipment, but there is no carrier: set shipping.carrier.")
          .reason("shipping_not_configured");
    }
    return *parts.shipping;
  }

  using Step = saga::Step<CheckoutState>;

  /// Records what came of it with the step's result.
  template <class AnyStep>
  void record_payment(const Context& ctx, AnyStep& step, payments::Outcome outcome) const {
    step.record([this, ctx, outcome = std::move(outcome)](sql::Transaction& tx) {
      payments().record(ctx, tx, outcome);
    });
  }
  /// The same for an outcome after which the step fails: it is known all the same.
  void record_now(const Context& ctx, const payments::Outcome& outcome) const {
    parts.database.transact(ctx, "record payment",
                            [&](sql::Transaction& tx) { payments().record(ctx, tx, outcome); });
  }

  void authorize(const Context& ctx, Step& step) const {
    auto outcome = payments().settle(ctx, payments().authorize(ctx, step.state().order_id));
    if (outcome.declined()) {
      record_now(ctx, outcome);
      fail_declined(outcome.decline());
    }
    step.state().undecided = outcome.waiting();
    record_payment(ctx, step, std::move(outcome));
  }

  /// A hint came, or the time is over: what counts is how the payment stands in our book, which is what the
  /// provider's own words have made of it.
  saga::Heard look_at_payment(sql::Transaction& tx, Step& step) const {
    const auto payment = payments::find(tx, step.state().order_id);
    if (!payment) return saga::Heard::done;
    switch (payment->state) {
      case payments::PaymentState::authorized:
      case payments::PaymentState::captured: step.state().undecided = false; return saga::Heard::done;
      case payments::PaymentState::declined:
      case payments::PaymentState::cancelled: fail_declined(payment->decline_reason);
      default: return saga::Heard::keep_waiting;
    }
  }

  /// No word came in time, which may be the word's fault: the payment is asked for, and then given up.
  void ask_once_more(const Context& ctx, Step& step) const {
    auto outcome = payments().settle(ctx, payments().resolve(ctx, step.state().order_id));
    record_now(ctx, outcome);
    if (outcome.declined()) fail_declined(outcome.decline());
    if (outcome.waiting())
      throw saga::Failure("payment_not_confirmed", "Nobody confirmed the payment in time.");
    if (!outcome.authorized() && !outcome.captured())
      throw saga::Failure("payment_withdrawn", "The payment was withdrawn.");
    step.state().undecided = false;
  }

  void give_money_back(const Context& ctx, auto& step, const OrderId& order_id) const {
    auto outcome = payments().settle(ctx, payments().undo(ctx, order_id, step.key()));
    record_payment(ctx, step, std::move(outcome));
  }

  void capture(const Context& ctx, Step& step) const {
    auto outcome = payments().settle(ctx, payments().capture(ctx, step.state().order_id, step.key()));
    if (!outcome.captured()) {
      record_now(ctx, outcome);
      throw saga::Failure("payment_not_captured", "What was authorized could not be taken.");
    }
    record_payment(ctx, step, std::move(outcome));
  }

  void book(const Context& ctx, Step& step) const {
    using shipping::Tried;
    const Tried tried = step.first_try()     ? Tried::never
                        : step.interrupted() ? Tried::under_way
                                             : Tried::perhaps;
    auto outcome = shipping().settle(ctx, shipping().book(ctx, step.state().order_id, tried));
    step.record([this, ctx, outcome = std::move(outcome)](sql::Transaction& tx) {
      shipping().record(ctx, tx, outcome);
    });
  }

  /// Only where booking it may have begun: so whoever was at it may have one under way.
  void cancel_shipment(const Context& ctx, auto& step, const OrderId& order_id) const {
    using shipping::Tried;
    const Tried tried = step.attempt() == 1 || step.interrupted() ? Tried::under_way : Tried::perhaps;
    auto outcome = shipping().settle(ctx, shipping().cancel(ctx, order_id, tried));
    step.record([this, ctx, outcome = std::move(outcome)](sql::Transaction& tx) {
      shipping().record(ctx, tx, outcome);
    });
  }

  saga::Definition<CheckoutState> checkout_definition();
  saga::Definition<GiveBackState> give_back_definition();

  const Parts parts;
  const Options options;
  Ordering ordering;  // for its verbs: without a checkout
  saga::Handle<CheckoutState> checkout;
  saga::Handle<GiveBackState> give_back;
};

saga::Definition<CheckoutState> CheckoutSaga::State::checkout_definition() {
  const CheckoutSettings& settings = options.settings;
  const saga::StepOptions outside{.retry = patient(settings.patience),
                                  .timeout = settings.provider_timeout,
                                  .compensation_retry = patient(settings.undo_patience)};
  const auto pays = [](const CheckoutState& state) { return state.pays; };
  const auto ships = [](const CheckoutState& state) { return state.ships; };
  const auto undecided = [](const CheckoutState& state) { return state.undecided; };
  saga::Definition<CheckoutState> definition(std::string(kCheckout), 1);
  definition
      .started("reserve stock",
               saga::compensate_local([this](const Context& ctx, sql::Transaction& tx, Step& step) {
                 ordering.withdraw(ctx, tx, step.state().order_id, step.reason());
               }))
      .step(
          "authorize", outside, [this](const Context& ctx, Step& step) { authorize(ctx, step); },
          saga::compensate([this](const Context& ctx, Step& step) {
            if (step.state().pays) give_money_back(ctx, step, step.state().order_id);
          }))
      .only_if(pays)
      .wait(
          "customer", {.event = std::string(kPaymentEvent), .deadline = settings.customer_patience},
          [this](const Context&, sql::Transaction& tx, Step& step, const JsonText&) {
            return look_at_payment(tx, step);
          },
          [](const Context&, sql::Transaction&, Step&) {},  // the next step asks
          saga::nothing_to_undo("Waiting changes nothing."))
      .only_if(undecided)
      .step(
          "ask once more", outside, [this](const Context& ctx, Step& step) { ask_once_more(ctx, step); },
          saga::nothing_to_undo("Asking changes nothing."))
      .only_if(undecided)
      .local(
          "confirm",
          [this](const Context& ctx, sql::Transaction& tx, Step& step) {
            ordering.confirm(ctx, tx, step.state().order_id);
          },
          saga::nothing_to_undo("The order is withdrawn with its stock."))
      .step(
          "capture", outside, [this](const Context& ctx, Step& step) { capture(ctx, step); },
          saga::nothing_to_undo("Undoing the authorization gives back what was taken."))
      .only_if(pays)
      .step(
          "book shipment", outside, [this](const Context& ctx, Step& step) { book(ctx, step); },
          saga::compensate([this](const Context& ctx, Step& step) {
            if (step.state().ships) cancel_shipment(ctx, step, step.state().order_id);
          }))
      .only_if(ships)
      .local(
          "ship",
          [this](const Context& ctx, sql::Transaction& tx, Step& step) {
            ordering.ship(ctx, tx, step.state().order_id);
          },
          saga::nothing_to_undo("What is on its way is on its way."))
      .only_if(ships);
  return definition;
}

/// For an order that is cancelled when its checkout is over, but was not shipped.
saga::Definition<GiveBackState> CheckoutSaga::State::give_back_definition() {
  using Back = saga::Step<GiveBackState>;
  const saga::StepOptions patiently{.retry = patient(options.settings.undo_patience),
                                    .timeout = options.settings.provider_timeout,
                                    .pivot = true};
  saga::Definition<GiveBackState> definition(std::string(kGiveBack), 1);
  definition
      .step(
          "cancel shipment", patiently,
          [this](const Context& ctx, Back& step) {
            const OrderId& id = step.state().order_id;
            const auto has = [&](sql::Snapshot& db) { return shipping::find(db, id).has_value(); };
            if (parts.database.read(ctx, has)) cancel_shipment(ctx, step, id);
          },
          saga::nothing_to_undo("The order stays cancelled."))
      .step(
          "give money back", patiently,
          [this](const Context& ctx, Back& step) {
            const OrderId& id = step.state().order_id;
            const auto has = [&](sql::Snapshot& db) { return payments::find(db, id).has_value(); };
            if (parts.database.read(ctx, has)) give_money_back(ctx, step, id);
          },
          saga::nothing_to_undo("The order stays cancelled."));
  return definition;
}

CheckoutSaga::CheckoutSaga(const Parts& parts, IdGenerator& ids, messaging::Publisher& publisher,
                           Options options)
    : state_(std::make_unique<State>(parts, ids, publisher, std::move(options))) {
  state_->checkout = parts.sagas.add(state_->checkout_definition());
  state_->give_back = parts.sagas.add(state_->give_back_definition());
}

CheckoutSaga::~CheckoutSaga() = default;

void CheckoutSaga::begin(const Context& ctx, sql::Transaction& tx, const Order& order,
                         const std::optional<std::string>& payment_method) {
  State& state = *state_;
  const bool pays = state.parts.payments != nullptr && order.total.minor > 0;
  const bool ships = state.parts.shipping != nullptr;
  const std::string method = payment_method.value_or(state.options.default_method);
  if (pays && method.empty()) {
    throw Error(ErrorCode::unprocessable, "An order needs a means of payment.")
        .reason("payment_method_required")
        .violations({{"/paymentMethod", "payment_method_required", "is needed: a token of the provider's"}});
  }
  std::optional<shipping::Destination> destination;
  if (ships && order.shipping_address) {
    destination = destination_of(*order.shipping_address);
    state.parts.shipping->require_deliverable(*destination, "/shippingAddress");
  }
  const saga::Started started = state.parts.sagas.start(
      ctx, tx, state.checkout, CheckoutState{.order_id = order.id, .pays = pays, .ships = ships},
      order.id.text());
  const std::string id = started.id.text();
  if (pays) {
    state.parts.payments->open(
        ctx, tx,
        {.order_id = order.id, .amount = order.total, .method = method, .authorize_key = id + "/authorize"});
  }
  if (ships) {
    state.parts.shipping->open(ctx, tx,
                               {.order_id = order.id,
                                .destination = std::move(destination),
                                .parcels = parcels_of(order),
                                .declared_value = order.total,
                                .reference = id + "/book shipment"});
  }
}

void CheckoutSaga::cancelled(const Context& ctx, sql::Transaction& tx, const OrderId& id,
                             std::string_view reason) {
  State& state = *state_;
  const auto checkout = saga::SagaRef::by_key(kCheckout, id.text());
  if (state.parts.sagas.request_cancel(ctx, tx, checkout, reason) == saga::CancelAnswer::accepted) return;
  // It is over, but the goods are still here: what it took is given back by a saga of its own.
  if (!payments::find(tx, id) && !shipping::find(tx, id)) return;
  state.parts.sagas.start(ctx, tx, state.give_back, GiveBackState{id}, id.text());
}

payments::OnPaymentEvent CheckoutSaga::on_payment_event() {
  return
      [state = state_.get()](const Context& ctx, sql::Transaction& tx, const payments::PaymentEvent& event) {
        const OrderId& id = event.payment.order_id;
        const bool heard =
            state->parts.sagas.signal(ctx, tx, saga::SagaRef::by_key(kCheckout, id.text()), kPaymentEvent,
                                      JsonText::parse(to_json(PaymentNews{event.payment.state})));
        if (heard || payments::is_final(event.payment.state)) return;
        // Nobody is at it any more: a payment that goes on for an order that is over is given back.
        const OrderStatus status = get(tx, id).status;
        if (status != OrderStatus::cancelled && status != OrderStatus::rejected) return;
        state->parts.sagas.start(ctx, tx, state->give_back, GiveBackState{id}, id.text());
      };
}

}  // namespace holdfast::orders::ordering
