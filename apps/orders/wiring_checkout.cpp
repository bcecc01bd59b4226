#include "orders/wiring_checkout.hpp"

#include <functional>
#include <optional>

#include "holdfast/http/client.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "orders/modules/ordering/checkout.hpp"
#include "orders/modules/payments/http_routes.hpp"
#include "orders/modules/payments/stripe_http_adapter.hpp"
#include "orders/modules/shipping/http_routes.hpp"
#include "orders/modules/shipping/legacy_http_adapter.hpp"
#include "orders/saga_routes.hpp"

namespace holdfast::orders {
namespace {

constexpr Duration kMeasureInterval = std::chrono::seconds(5);
/// A refund is on its way for hours or days; nobody waits for it, and the provider's word of its end may be
/// lost.
constexpr Duration kRefundInterval = std::chrono::minutes(10);

saga::SagaOptions saga_options(const SagaSettings& settings) {
  saga::SagaOptions options;
  options.lease = settings.lease;
  options.heartbeat = std::min<Duration>(settings.lease / 5, std::chrono::seconds(1));
  options.concurrency = settings.concurrency;
  options.retention = settings.retention;
  return options;
}

std::unique_ptr<payments::PaymentProvider> make_provider(const payments::Settings& settings,
                                                         http::Client& client,
                                                         resilience::Dependencies& dependencies) {
  switch (settings.provider) {
    case payments::ProviderKind::none: return nullptr;
    case payments::ProviderKind::memory: return std::make_unique<payments::MemoryProvider>();
    case payments::ProviderKind::stripe: break;
  }
  return std::make_unique<payments::StripeProvider>(settings.stripe, client, dependencies.add("payments"));
}

std::unique_ptr<shipping::Carrier> make_carrier(const shipping::Settings& settings, http::Client& client,
                                                resilience::Dependencies& dependencies) {
  switch (settings.carrier) {
    case shipping::CarrierKind::none: return nullptr;
    case shipping::CarrierKind::memory: return std::make_unique<shipping::MemoryCarrier>();
    case shipping::CarrierKind::legacy: break;
  }
  return std::make_unique<shipping::LegacyCarrier>(client, settings.legacy, dependencies.add("carrier"));
}

}  // namespace

// In the order they are made in; what is destroyed first uses what stands above it.
struct CheckoutWiring::State {
  State(const Settings& the_settings, const Parts& given)
      : settings(the_settings),
        parts(given),
        logger(given.log.logger("checkout")),
        client(given.runtime, {.user_agent = "holdfast-orders"}),
        sagas(given.runtime, given.database, given.metrics, given.log.logger("sagas"),
              saga_options(the_settings.saga)),
        provider(make_provider(the_settings.payments, client, given.dependencies)),
        carrier(make_carrier(the_settings.shipping, client, given.dependencies)) {
    if (provider) {
      payments = std::make_unique<payments::Payments>(
          parts.database, parts.ids, *provider, parts.metrics,
          payments::Payments::Options{.event_retention = settings.payments.event_retention});
    }
    if (carrier) {
      shipping = std::make_unique<shipping::Shipping>(
          parts.database, parts.ids, *carrier, parts.metrics,
          shipping::Shipping::Options{.settle_time = settings.shipping.settle_time});
    }
    checkout = std::make_unique<ordering::CheckoutSaga>(
        ordering::CheckoutSaga::Parts{parts.database, sagas, payments.get(), shipping.get()}, parts.ids,
        parts.outbox,
        ordering::CheckoutSaga::Options{.settings = settings.checkout,
                                        .default_method = settings.payments.default_method});
    if (settings.payments.provider == payments::ProviderKind::memory)
      logger.warn("payments are only pretended: payments.provider is memory");
    if (settings.shipping.carrier == shipping::CarrierKind::memory)
      logger.warn("shipments are only pretended: shipping.carrier is memory");
  }

  void measure(const Context& ctx) const {
    if (payments) payments->measure(ctx);
    if (shipping) shipping->measure(ctx);
  }

  /// Does `work` again and again, and outlives its failures.
  void repeat(const Context& ctx, Duration interval, const char* what,
              const std::function<void(const Context&)>& work) const {
    while (!ctx.cancelled()) {
      try {
        runtime::sleep_for(ctx, interval);
        work(ctx.with_timeout(interval));
      } catch (const Error& error) {
        if (ctx.cancelled()) return;
        logger.warn(ctx, what, {{"error", error.what()}});
      }
    }
  }

  const Settings& settings;
  const Parts parts;
  const observe::Logger logger;
  http::Client client;
  saga::Sagas sagas;
  std::unique_ptr<payments::PaymentProvider> provider;
  std::unique_ptr<shipping::Carrier> carrier;
  std::unique_ptr<payments::Payments> payments;
  std::unique_ptr<shipping::Shipping> shipping;
  std::unique_ptr<ordering::CheckoutSaga> checkout;
  std::optional<runtime::FiberGroup> background;
};

CheckoutWiring::CheckoutWiring(const Settings& settings, const Parts& parts)
    : state_(std::make_unique<State>(settings, parts)) {}

CheckoutWiring::~CheckoutWiring() = default;

ordering::Checkout* CheckoutWiring::checkout() noexcept {
  return state_->payments || state_->shipping ? state_->checkout.get() : nullptr;
}

saga::Sagas& CheckoutWiring::sagas() noexcept { return state_->sagas; }

void CheckoutWiring::start_worker(const Context& ctx) {
  state_->sagas.run(ctx);
  State& state = *state_;
  state.background.emplace(ctx.detached());
  state.background->spawn("checkout gauges", [&state](const Context& own) {
    state.repeat(own, kMeasureInterval, "what is unknown could not be counted",
                 [&](const Context& each) { state.measure(each); });
  });
  if (!state.payments) return;
  state.background->spawn("refunds", [&state](const Context& own) {
    state.repeat(own, kRefundInterval, "refunds could not be asked for",
                 [&](const Context& each) { state.payments->follow_refunds(each, kRefundInterval); });
  });
  state.background->spawn("payment webhooks", [&state](const Context& own) {
    state.payments->incoming().run_sweeper(own, state.parts.database);
  });
}

void CheckoutWiring::stop_worker(const Context& ctx) {
  if (state_->background) {
    state_->background->cancel();
    state_->background.reset();  // waits
  }
  state_->sagas.stop(ctx);
}

void CheckoutWiring::add_routes(http::Router& router) {
  add_saga_routes(router, state_->sagas.records());
  shipping::add_routes(router, state_->parts.database);
  if (!state_->payments) return;
  payments::add_routes(router, state_->parts.database, *state_->payments);
  if (state_->settings.payments.provider != payments::ProviderKind::stripe) return;
  payments::add_webhook_route(router, {.payments = *state_->payments,
                                       .logger = state_->parts.log.logger("payments"),
                                       .stripe = state_->settings.payments.stripe,
                                       .told = state_->checkout->on_payment_event()});
}

}  // namespace holdfast::orders
