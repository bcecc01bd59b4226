// How paysim misbehaves: rules that match calls by operation, card and chance. A Behaviour is what is in
// force; plan() says what to do with one call.
//
//   PUT /paysim/behaviour
//   {"seed": 7, "rules": [{"action": "delay", "ms": 200},
//                         {"action": "drop_after", "operation": "authorize", "rate": 0.1},
//                         {"action": "decline", "card": "pm_card_visa", "declineCode": "lost_card", "times":
//                         3}],
//    "webhooks": {"duplicates": 0.2, "delayMs": 500, "reorder": 0.5, "drop": 0.01}}
//
// Rules are asked in order: delays add up, the first of the others that fires decides. The same seed and
// the same calls in the same order misbehave alike. Thread-safety: everything from any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/base/rules.hpp"

namespace holdfast::paysim {

enum class Operation : std::uint8_t {
  any,
  create,     ///< a payment intent without confirming it
  authorize,  ///< confirm, or create with confirm=true
  capture,
  cancel,
  refund,
  read,  ///< every GET of the API
};
HOLDFAST_DESCRIBE_ENUM(Operation, any, create, authorize, capture, cancel, refund, read)

enum class Action : std::uint8_t {
  decline,          ///< 402 with `declineCode`; authorize only
  requires_action,  ///< the payer must authenticate; authorize only
  async,            ///< `processing`, settled `ms` later; authorize only
  delay,            ///< answers `ms` later, and does it even if the caller has gone by then
  hang,             ///< does nothing and never answers
  hang_after,       ///< does it and never answers
  drop_before,      ///< closes the connection, does nothing
  drop_after,       ///< does it, closes the connection
  error,            ///< answers `status` (with Retry-After) and does nothing
  flap,             ///< `error` for `downMs` of every `upMs` + `downMs`, starting up
};
HOLDFAST_DESCRIBE_ENUM(Action, decline, requires_action, async, delay, hang, hang_after, drop_before,
                       drop_after, error, flap)

struct Rule {
  Action action = Action::error;
  Operation operation = Operation::any;
  std::string card;        ///< payment method or card number; empty: any
  double rate = 1.0;       ///< of the matching calls, 0 … 1
  std::int64_t times = 0;  ///< at most so often; 0: no limit
  std::int64_t ms = 0;     ///< of delay and async
  std::string decline_code = "generic_decline";
  int status = 500;
  std::int64_t retry_after = 0;  ///< seconds, of error and flap; 0: no header
  bool remembered = false;       ///< error: kept with the idempotency key, as Stripe does once it has begun
  std::int64_t up_ms = 1000;     ///< of flap
  std::int64_t down_ms = 1000;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&Rule::operation>().defaulted(), field<&Rule::card>().defaulted().length(0, 64),
        field<&Rule::rate>().defaulted().range(0, 1),
        field<&Rule::times>().defaulted().range(0, 1'000'000'000),
        field<&Rule::ms>().defaulted().range(0, 600'000),
        field<&Rule::decline_code>().defaulted().length(1, 64),
        field<&Rule::status>().defaulted().range(400, 599),
        field<&Rule::retry_after>().defaulted().range(0, 3600), field<&Rule::remembered>().defaulted(),
        field<&Rule::up_ms>().defaulted().range(0, 3'600'000),
        field<&Rule::down_ms>().defaulted().range(1, 3'600'000));
  }
};
HOLDFAST_DESCRIBE(Rule, (action, operation, card, rate, times, ms, decline_code, status, retry_after,
                         remembered, up_ms, down_ms))

/// What becomes of webhooks. Chances of each, 0 … 1.
struct WebhookBehaviour {
  std::int64_t delay_ms = 0;  ///< every one is sent so late
  double duplicates = 0;      ///< sent twice
  double reorder = 0;         ///< held back by reorderMs, so that later ones overtake
  std::int64_t reorder_ms = 1000;
  double drop = 0;  ///< never sent

  static constexpr auto rules() {
    return holdfast::rules(field<&WebhookBehaviour::delay_ms>().defaulted().range(0, 3'600'000),
                           field<&WebhookBehaviour::duplicates>().defaulted().range(0, 1),
                           field<&WebhookBehaviour::reorder>().defaulted().range(0, 1),
                           field<&WebhookBehaviour::reorder_ms>().defaulted().range(0, 3'600'000),
                           field<&WebhookBehaviour::drop>().defaulted().range(0, 1));
  }
};
HOLDFAST_DESCRIBE(WebhookBehaviour, (delay_ms, duplicates, reorder, reorder_ms, drop))

/// What to do with one call.
struct Plan {
  Duration delay{};
  std::optional<Rule> deed;  ///< the one rule that decided; never a delay
  bool is(Action action) const noexcept { return deed && deed->action == action; }
};

class Behaviour {
 public:
  static constexpr std::size_t kMaxRules = 100;

  /// `clock` is borrowed.
  explicit Behaviour(const Clock& clock);

  /// Takes new orders, from JSON; counts, chance and flapping begin anew. Throws Error(invalid_argument)
  /// listing every fault, and leaves the old ones in force.
  void set(std::string_view json);
  std::string json() const;

  /// `card` is the payment method charged or touched; empty where it is not known. `own` is what the card
  /// does of itself, asked after the rules.
  Plan plan(Operation operation, std::string_view card, const std::optional<Rule>& own = {});
  /// Whether a rule names a card, so that the caller must find out which it is.
  bool names_cards() const;

  /// When to send one event's webhook, from now: nothing, once or twice.
  std::vector<Duration> webhook_times();

 private:
  struct Counted {
    Rule rule;
    std::int64_t fired = 0;
  };
  bool fires(Counted& counted, Operation operation, std::string_view card);

  const Clock& clock_;
  mutable std::mutex mutex_;
  std::optional<SeededRandom> random_{std::in_place, 1};
  Instant since_;
  std::int64_t seed_ = 1;
  std::vector<Counted> rules_;
  WebhookBehaviour webhooks_;
};

}  // namespace holdfast::paysim
