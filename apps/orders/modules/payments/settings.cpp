#include "orders/modules/payments/settings.hpp"

#include <string_view>

namespace holdfast::orders::payments {
namespace {

/// The host of "http://host:port"; of IPv6, with its brackets.
std::string_view host_of(std::string_view url, std::string_view scheme) {
  std::string_view host = url.substr(scheme.size());
  host = host.substr(0, host.find_first_of("/?#"));
  if (const std::size_t user = host.rfind('@'); user != std::string_view::npos) host.remove_prefix(user + 1);
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

/// Only names and addresses that never leave the machine; "127." is not enough: 127.evil.example is a name.
bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "[::1]") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

void check_url(const StripeSettings& stripe, Violations& faults) {
  constexpr std::string_view kHttps = "https://";
  constexpr std::string_view kHttp = "http://";
  const std::string_view url = stripe.url;
  if (url.starts_with(kHttps) && !host_of(url, kHttps).empty()) return;
  if (!url.starts_with(kHttp) || host_of(url, kHttp).empty()) {
    faults.add_at("/stripe/url", "bad_url", "must be an https URL such as https://api.stripe.com");
    return;
  }
  if (stripe.allow_http || is_loopback(host_of(url, kHttp))) return;
  faults.add_at("/stripe/url", "insecure_url",
                "would send the secret key unencrypted to another machine: use https, or set "
                "payments.stripe.allow_http on a test network");
}

void check_return_url(const std::string& url, Violations& faults) {
  for (const std::string_view scheme : {std::string_view("https://"), std::string_view("http://")}) {
    if (url.starts_with(scheme) && !host_of(url, scheme).empty()) return;
  }
  faults.add_at("/stripe/return_url", "bad_url", "must be a page's URL such as https://shop.example/paid");
}

}  // namespace

void Settings::validate(Violations& faults) const {
  if (provider != ProviderKind::stripe) return;
  if (stripe.secret_key.empty()) {
    faults.add_at("/stripe/secret_key", "secret_required",
                  "must be set where payments.provider is stripe: the API's secret key (sk_…), best as "
                  "`file: /run/secrets/stripe`");
  }
  check_url(stripe, faults);
  if (!stripe.return_url.empty()) check_return_url(stripe.return_url, faults);
}

}  // namespace holdfast::orders::payments
