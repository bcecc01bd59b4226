// StripeProvider: payments through Stripe's HTTP API (docs.stripe.com/api), or what speaks it. A payment is
// a payment intent, created and confirmed in one call, captured by hand.
//
//   StripeProvider provider(settings.stripe, client, dependencies.at("payments"));
//
// A lost answer to a mutating call, a 5xx and an answer that can't be read all mean `outcome_unknown`: the
// same key sent again gets what came of it. Where the API repeats a failure for its key (it keeps those,
// too), the next key of the row is used: `<key>~2`, after asking whether anything came of the first.
// Thread-safety: calls from any fiber.
#pragma once

#include <functional>
#include <string>

#include "holdfast/http/client.hpp"
#include "holdfast/resilience/pipeline.hpp"
#include "orders/modules/payments/payments.hpp"
#include "orders/modules/payments/stripe_translation_adapter.hpp"

namespace holdfast::orders::payments {

class StripeProvider final : public PaymentProvider {
 public:
  /// Keys tried for one operation where the API repeats a failure.
  static constexpr int kMaxKeys = 4;
  /// Pages of its book looked through for one payment.
  static constexpr int kMaxPages = 50;

  /// Sends one request; throws as http::Client::send does, and what policies around it throw. Called from
  /// within `Calls`.
  using Send = std::function<http::ClientResponse(const Context&, const http::ClientRequest&)>;
  /// Policies around sending: calls `attempt` once or several times, or refuses by an Error. An attempt
  /// throws Error where it is worth repeating.
  using Attempt = std::function<http::ClientResponse(const Context&)>;
  using Around = std::function<http::ClientResponse(const Context&, const Attempt&)>;

  StripeProvider(StripeSettings settings, Send send, Around around = {});
  /// Both are borrowed. Every call carries a key or only reads: the pipeline may repeat it.
  StripeProvider(StripeSettings settings, http::Client& client, resilience::Pipeline& pipeline);

  ProviderPayment authorize(const Context& ctx, const Authorization& authorization) override;
  std::optional<ProviderPayment> withdraw(const Context& ctx, const Authorization& authorization) override;
  ProviderPayment capture(const Context& ctx, const std::string& ref, const std::string& key,
                          const Money& amount) override;
  ProviderPayment cancel(const Context& ctx, const std::string& ref, const std::string& key) override;
  ProviderPayment refund(const Context& ctx, const std::string& ref, const std::string& key,
                         const Money& amount) override;
  ProviderPayment fetch(const Context& ctx, const std::string& ref) override;
  std::optional<ProviderPayment> find(const Context& ctx, const Authorization& authorization) override;
  BookPage book(const Context& ctx, WallTime since, const std::string& cursor) override;
  std::string_view name() const noexcept override { return "stripe"; }

 private:
  http::ClientResponse send(const Context& ctx, const http::ClientRequest& request, bool changes);
  http::ClientResponse post(const Context& ctx, const std::string& path, const std::string& form,
                            const std::string& key);
  /// As post(), going on to the next key while the API repeats a failure; `undecided` is asked whether a
  /// failure that may hide an effect does, and returns what there is then.
  template <class Undecided>
  ProviderPayment post_for_payment(const Context& ctx, const std::string& path, const std::string& form,
                                   const std::string& key, Undecided&& undecided);
  std::string get(const Context& ctx, const std::string& path_and_query);
  ProviderPayment with_refunds(const Context& ctx, stripe::ReadIntent read);
  stripe::IntentList list(const Context& ctx, const std::string& path_and_query);

  StripeSettings settings_;
  Send send_;
  Around around_;
};

}  // namespace holdfast::orders::payments
