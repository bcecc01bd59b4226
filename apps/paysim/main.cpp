// `paysim`: a payment provider to develop against and to break. What it does is in paysim.hpp.
#include "simulator/main.hpp"
#include "paysim/paysim.hpp"

namespace {

using namespace holdfast;

constexpr simulator::About kAbout{
    .name = "paysim",
    .what = "A payment provider to develop against and to break.",
    .footer =
        "Speaks a part of Stripe's API: payment intents, refunds, events, webhooks. Everything is kept in\n"
        "the data folder. The page at / shows what it has charged and how it misbehaves.\n"
        "\n"
        "Examples:\n"
        "  paysim\n"
        "  paysim --behaviour "
        "'{\"rules\":[{\"action\":\"drop_after\",\"operation\":\"authorize\",\"rate\":0.1}]}'\n"
        "  curl -u sk_test_paysim: http://127.0.0.1:4242/v1/payment_intents -d amount=1999 -d currency=gbp "
        "\\\n"
        "       -d confirm=true -d payment_method=pm_card_visa",
    .is_ready_at = " (its page, and Stripe's API under /v1)",
    .free_address = "127.0.0.1:4243"};

void add_options(CLI::App& app, paysim::Settings& settings) {
  app.add_option("--secret-key", settings.secret_key, "the key callers must show")->capture_default_str();
  app.add_option("--webhook-url", settings.webhook_url,
                 "where to send events; without it, where it was last");
  app.add_option("--webhook-secret", settings.webhook_secret, "signs webhooks")->capture_default_str();
  app.add_option("--webhook-events", settings.webhook_events,
                 "types of events to send to --webhook-url, separated by commas; * is any")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->capture_default_str();
  app.add_option("--behaviour", settings.behaviour,
                 "how to misbehave: JSON as PUT /paysim/behaviour takes it");
}

}  // namespace

int main(int argc, char** argv) {
  return simulator::run<paysim::Paysim>(kAbout, paysim::Settings{}, add_options, argc, argv);
}
