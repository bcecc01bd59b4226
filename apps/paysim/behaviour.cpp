#include "paysim/behaviour.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/base/reflect.hpp"

namespace holdfast::paysim {
namespace {

/// As sent and shown. What is left out is as before anyone asked for anything.
struct Orders {
  std::optional<std::int64_t> seed;
  std::optional<std::vector<Rule>> rules;
  std::optional<WebhookBehaviour> webhooks;
};
HOLDFAST_DESCRIBE(Orders, (seed, rules, webhooks))

bool touches(const Rule& rule, Operation operation) noexcept {
  return rule.operation == Operation::any || rule.operation == operation;
}

/// What changes the outcome of a charge has no meaning elsewhere.
bool only_authorizes(Action action) noexcept {
  return action == Action::decline || action == Action::requires_action || action == Action::async;
}

}  // namespace

Behaviour::Behaviour(const Clock& clock) : clock_(clock), since_(clock.now()) {}

void Behaviour::set(std::string_view json) {
  Orders orders = from_json<Orders>(json);
  const std::vector<Rule> rules = std::move(orders.rules).value_or(std::vector<Rule>());
  if (rules.size() > kMaxRules) {
    throw Error(ErrorCode::invalid_argument,
                "There are more than " + std::to_string(kMaxRules) + " rules; leave some out.");
  }
  const std::lock_guard lock(mutex_);
  seed_ = orders.seed.value_or(1);
  rules_.clear();
  for (const Rule& rule : rules) rules_.push_back({rule, 0});
  webhooks_ = orders.webhooks.value_or(WebhookBehaviour{});
  since_ = clock_.now();
  random_.emplace(static_cast<std::uint64_t>(seed_));
}

std::string Behaviour::json() const {
  const std::lock_guard lock(mutex_);
  std::vector<Rule> rules;
  for (const Counted& counted : rules_) rules.push_back(counted.rule);
  return to_json(Orders{seed_, std::move(rules), webhooks_});
}

bool Behaviour::fires(Counted& counted, Operation operation, std::string_view card) {
  const Rule& rule = counted.rule;
  if (!touches(rule, operation)) return false;
  if (only_authorizes(rule.action) && operation != Operation::authorize) return false;
  if (!rule.card.empty() && rule.card != card) return false;
  if (rule.times > 0 && counted.fired >= rule.times) return false;
  if (rule.action == Action::flap) {
    const auto up = std::chrono::milliseconds(rule.up_ms);
    const auto period = up + std::chrono::milliseconds(rule.down_ms);
    if ((clock_.now() - since_) % period < up) return false;
  }
  if (rule.rate < 1.0 && random_->unit() >= rule.rate) return false;
  ++counted.fired;
  return true;
}

Plan Behaviour::plan(Operation operation, std::string_view card, const std::optional<Rule>& own) {
  Plan plan;
  const auto take = [&](const Rule& rule) {
    if (rule.action == Action::delay) {
      plan.delay += std::chrono::milliseconds(rule.ms);
    } else if (!plan.deed) {
      plan.deed = rule;
    }
  };
  const std::lock_guard lock(mutex_);
  for (Counted& counted : rules_) {
    const bool decided = plan.deed && counted.rule.action != Action::delay;
    if (!decided && fires(counted, operation, card)) take(counted.rule);
  }
  if (own && touches(*own, operation)) take(*own);
  return plan;
}

bool Behaviour::names_cards() const {
  const std::lock_guard lock(mutex_);
  for (const Counted& counted : rules_) {
    if (!counted.rule.card.empty()) return true;
  }
  return false;
}

std::vector<Duration> Behaviour::webhook_times() {
  const std::lock_guard lock(mutex_);
  const auto by_chance = [&](double rate) { return rate > 0 && random_->unit() < rate; };
  if (by_chance(webhooks_.drop)) return {};
  Duration late = std::chrono::milliseconds(webhooks_.delay_ms);
  if (by_chance(webhooks_.reorder)) late += std::chrono::milliseconds(webhooks_.reorder_ms);
  if (by_chance(webhooks_.duplicates)) return {late, late};
  return {late};
}

}  // namespace holdfast::paysim
