#include "orders/modules/payments/http_routes.hpp"

#include <memory>
#include <utility>

#include "holdfast/http/typed.hpp"
#include "holdfast/webhooks/signature.hpp"
#include "orders/modules/payments/stripe_translation_adapter.hpp"

namespace holdfast::orders::payments {
namespace {

/// The largest events are some 20 KiB.
constexpr std::size_t kMaxEventBytes = 256 * 1024;
/// Pages of the provider's book that one reconciliation reads.
constexpr int kMaxBookPages = 20;

struct OrderPath {
  OrderId id;
};
HOLDFAST_DESCRIBE(OrderPath, (id))

struct PaymentView {
  PaymentId id;
  OrderId order_id;
  PaymentState state = PaymentState::requested;
  Money amount;
  Money charged;
  Money refunded;
  Money owed;
  std::string provider;
  std::optional<std::string> provider_ref;
  std::optional<Operation> open_operation;
  std::optional<WallTime> unknown_since;
  std::optional<DeclineReason> decline_reason;
  std::optional<std::string> action_url;
  std::vector<LedgerEntry> ledger;
  WallTime created_at;
  WallTime updated_at;
};
HOLDFAST_DESCRIBE(PaymentView,
                  (id, order_id, state, amount, charged, refunded, owed, provider, provider_ref,
                   open_operation, unknown_since, decline_reason, action_url, ledger, created_at, updated_at))

PaymentView view_of(sql::Queries& db, const OrderId& order_id) {
  auto payment = find(db, order_id);
  if (!payment) {
    throw Error(ErrorCode::not_found, "There is no payment of " + order_id.text() + ".")
        .reason("unknown_payment");
  }
  const OrderBalance sums = balance(db, order_id);
  PaymentView view;
  view.id = payment->id;
  view.order_id = order_id;
  view.state = payment->state;
  view.amount = payment->amount;
  view.charged = sums.charged;
  view.refunded = sums.refunded;
  view.owed = sums.owed;
  view.provider = std::move(payment->provider);
  view.provider_ref = std::move(payment->provider_ref);
  view.open_operation = payment->open_operation;
  view.unknown_since = payment->unknown_since;
  view.decline_reason = payment->decline_reason;
  view.action_url = std::move(payment->action_url);
  view.ledger = ledger_entries(db, order_id);
  view.created_at = payment->created_at;
  view.updated_at = payment->updated_at;
  return view;
}

struct ReconciliationQuery {
  bool provider = false;
  std::optional<WallTime> since;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&ReconciliationQuery::provider>().defaulted().doc("Whether to read the provider's book, too."),
        field<&ReconciliationQuery::since>().doc("How far back in its book; a day unless given."));
  }
};
HOLDFAST_DESCRIBE(ReconciliationQuery, (provider, since))

struct OpenView {
  OpenPayment payment;
  std::int64_t age_seconds = 0;
};
HOLDFAST_DESCRIBE(OpenView, (payment, age_seconds))

struct ReconciliationView {
  bool balanced = false;  ///< the ledger with itself and with the payments
  std::vector<LedgerImbalance> imbalances;
  std::vector<LedgerMismatch> mismatches;
  std::vector<StateCount> payments;
  std::int64_t unknown = 0;
  std::int64_t oldest_unknown_seconds = 0;
  std::vector<OpenView> open;
  std::optional<std::int64_t> provider_payments;          ///< read from the provider's book
  std::optional<bool> provider_complete;                  ///< whether that was all of it
  std::optional<std::vector<Discrepancy>> discrepancies;  ///< between its book and ours
};
HOLDFAST_DESCRIBE(ReconciliationView,
                  (balanced, imbalances, mismatches, payments, unknown, oldest_unknown_seconds, open,
                   provider_payments, provider_complete, discrepancies))

std::int64_t seconds_between(WallTime from, WallTime to) {
  return std::chrono::duration_cast<std::chrono::seconds>(to - from).count();
}

void read_provider(const Context& ctx, sql::Database& database, PaymentProvider& provider, WallTime since,
                   ReconciliationView& view) {
  view.provider_payments = 0;
  view.discrepancies.emplace();
  std::optional<std::string> cursor = "";
  for (int page = 0; cursor && page < kMaxBookPages; ++page) {
    PaymentProvider::BookPage read = provider.book(ctx, since, *cursor);
    const WallTime now = ctx.clock().wall_now();
    auto found = database.read(ctx, [&](sql::Snapshot& db) { return compare(db, read.payments, now); });
    *view.provider_payments += static_cast<std::int64_t>(read.payments.size());
    view.discrepancies->insert(view.discrepancies->end(), found.begin(), found.end());
    cursor = std::move(read.next);
  }
  view.provider_complete = !cursor;
}

ReconciliationView reconcile(const Context& ctx, sql::Database& database, PaymentProvider& provider,
                             const ReconciliationQuery& query) {
  ReconciliationView view;
  const WallTime now = ctx.clock().wall_now();
  database.read(ctx, {.offload = true}, [&](sql::Snapshot& db) {
    view.imbalances = imbalances(db);
    view.mismatches = mismatches(db);
    view.payments = count_by_state(db);
    const UnknownPayments unknown = unknown_payments(db);
    view.unknown = unknown.count;
    view.oldest_unknown_seconds = unknown.oldest ? seconds_between(*unknown.oldest, now) : 0;
    view.open.clear();
    for (OpenPayment& each : open_payments(db)) {
      const std::int64_t age = seconds_between(each.unknown_since.value_or(each.updated_at), now);
      view.open.push_back({std::move(each), age});
    }
  });
  view.balanced = view.imbalances.empty() && view.mismatches.empty();
  if (query.provider)
    read_provider(ctx, database, provider, query.since.value_or(now - std::chrono::hours(24)), view);
  return view;
}

// ---- webhooks -------------------------------------------------------------------------------------

/// A webhook route's own parts, shared by the copies of its handler.
class Webhooks {
 public:
  explicit Webhooks(WebhookParts parts) : parts_(std::move(parts)) {
    if (!parts_.stripe.webhook_secret.empty()) secrets_ = {parts_.stripe.webhook_secret.reveal()};
  }

  http::Response receive(const Context& ctx, http::Request& request) {
    require_genuine(ctx, request);
    std::optional<ProviderEvent> event;
    try {
      event = stripe::read_event(request.body);
    } catch (const Error& error) {
      // Signed, and yet not what we can read: the API's version is another. Someone should look.
      parts_.payments.incoming().count("unreadable");
      parts_.logger.error(
          "a genuine webhook can't be read; payments.stripe.api_version and that of the "
          "endpoint may differ",
          {{"cause", error.what()}});
      throw;
    }
    if (!event) {
      parts_.payments.incoming().count("ignored");
      return answer("ignored");
    }
    const EventOutcome outcome = parts_.payments.receive(ctx, *event, parts_.told);
    return answer(enum_name(outcome));
  }

 private:
  void require_genuine(const Context& ctx, const http::Request& request) {
    if (secrets_.empty()) {
      parts_.payments.incoming().count("not_configured");
      throw Error(ErrorCode::unavailable, "Webhooks are not configured here.")
          .reason("webhooks_not_configured")
          .cause("set payments.stripe.webhook_secret");
    }
    parts_.payments.incoming().require(webhooks::verify_stripe(secrets_, request.header("Stripe-Signature"),
                                                               request.body, ctx.clock().wall_now(),
                                                               parts_.stripe.webhook_tolerance));
  }

  static http::Response answer(std::string_view outcome) {
    std::string body;
    JsonWriter(body).begin_object().member("received", true).member("outcome", outcome).end_object();
    return http::Response::json(200, std::move(body));
  }

  WebhookParts parts_;
  std::vector<std::string> secrets_;
};

}  // namespace

void add_routes(http::Router& router, sql::Database& database, Payments& payments) {
  http::route(router, http::Method::get, "/v1/orders/{id}/payment",
              {.name = "getPayment",
               .summary = "An order's payment: how it stands, what was charged, refunded and is owed",
               .tags = {"payments"},
               .scope = "read"},
              [&database](const Context& ctx, http::Path<OrderPath> path) {
                return database.read(ctx, [&](sql::Snapshot& db) { return view_of(db, path->id); });
              });
  http::route(router, http::Method::get, "/v1/ops/payments/reconciliation",
              {.name = "reconcilePayments",
               .summary = "Whether ledger, payments and the provider's book add up, and what is open",
               .tags = {"operations"},
               .scope = "read"},
              [&database, &payments](const Context& ctx, http::Query<ReconciliationQuery> query) {
                return reconcile(ctx, database, payments.provider(), query.value);
              });
}

void add_webhook_route(http::Router& router, WebhookParts parts) {
  const auto webhooks = std::make_shared<Webhooks>(std::move(parts));  // the handler is copied
  http::RouteInfo info{.name = "receivePaymentEvent",
                       .summary = "The payment provider's webhooks",
                       .description = "Signed as Stripe does (Stripe-Signature); takes no API key.",
                       .tags = {"payments"},
                       .priority = Priority::critical};
  info.max_body_bytes = kMaxEventBytes;
  router.post(
      "/v1/webhooks/payments",
      [webhooks](const Context& ctx, http::Request& request) { return webhooks->receive(ctx, request); },
      std::move(info));
}

}  // namespace holdfast::orders::payments
