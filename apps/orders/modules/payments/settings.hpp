// How payments are made: the settings below `payments`. (Part of payments.hpp.)
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "holdfast/base/rules.hpp"
#include "holdfast/config/secret.hpp"

namespace holdfast::orders::payments {

enum class ProviderKind : std::uint8_t {
  none,    ///< orders on account: confirmed at once, nothing is charged
  memory,  ///< a provider within the process, for tests and for trying things out
  stripe,  ///< the Stripe API, or what speaks it
};
HOLDFAST_DESCRIBE_ENUM(ProviderKind, none, memory, stripe)

struct StripeSettings {
  std::string url = "https://api.stripe.com";
  config::Secret secret_key;
  config::Secret webhook_secret;
  std::chrono::seconds webhook_tolerance = std::chrono::minutes(5);
  std::string api_version = "2024-06-20";
  std::string return_url;
  bool allow_http = false;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&StripeSettings::url>().length(8, 2048).printable().doc(
            "Of the API, without a path; https, unless it is this machine."),
        field<&StripeSettings::secret_key>().doc("sk_…; best as `file:/run/secrets/stripe`."),
        field<&StripeSettings::webhook_secret>().doc(
            "whsec_… of the endpoint /v1/webhooks/payments; empty: webhooks are refused."),
        field<&StripeSettings::webhook_tolerance>().range(1, 86'400).doc(
            "How old a webhook's signature may be."),
        field<&StripeSettings::api_version>().length(10, 64).printable().doc(
            "The API version this speaks; change it only with the adapter."),
        field<&StripeSettings::return_url>().length(0, 2048).printable().doc(
            "Where customers come back to after confirming (3-D Secure); empty: cards that ask for it are "
            "declined."),
        field<&StripeSettings::allow_http>().doc(
            "Whether the key may be sent unencrypted to another machine. For test networks only."));
  }
};
HOLDFAST_DESCRIBE(StripeSettings,
                  (url, secret_key, webhook_secret, webhook_tolerance, api_version, return_url, allow_http))

struct Settings {
  ProviderKind provider = ProviderKind::none;
  std::string default_method;
  std::chrono::hours event_retention = std::chrono::hours(24 * 31);
  StripeSettings stripe;

  /// A provider without its key, or a key over an unencrypted connection, is refused.
  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&Settings::provider>().doc("none: orders on account, confirmed at once."),
        field<&Settings::default_method>().length(0, 255).printable().doc(
            "Means of payment of an order that names none; empty: such orders are refused."),
        field<&Settings::event_retention>()
            .range(24, 24 * 366)
            .doc("How long a webhook's id is known, so that its repetition is told."));
  }
};
HOLDFAST_DESCRIBE(Settings, (provider, default_method, event_retention, stripe))

}  // namespace holdfast::orders::payments
