#include "carriersim/behaviour.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/base/reflect.hpp"

namespace holdfast::carriersim {
namespace {

/// As sent and shown. What is left out is as before anyone asked for anything.
struct Orders {
  std::optional<std::int64_t> seed;
  std::optional<std::vector<Rule>> rules;
};
HOLDFAST_DESCRIBE(Orders, (seed, rules))

}  // namespace

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
  random_.emplace(static_cast<std::uint64_t>(seed_));
}

std::string Behaviour::json() const {
  const std::lock_guard lock(mutex_);
  std::vector<Rule> rules;
  for (const Counted& counted : rules_) rules.push_back(counted.rule);
  return to_json(Orders{seed_, std::move(rules)});
}

bool Behaviour::fires(Counted& counted, Operation operation) {
  const Rule& rule = counted.rule;
  if (rule.operation != Operation::any && rule.operation != operation) return false;
  if (rule.action == Action::refuse && operation != Operation::book) return false;
  if (rule.times > 0 && counted.fired >= rule.times) return false;
  if (rule.rate < 1.0 && random_->unit() >= rule.rate) return false;
  ++counted.fired;
  return true;
}

Plan Behaviour::plan(Operation operation) {
  Plan plan;
  const std::lock_guard lock(mutex_);
  for (Counted& counted : rules_) {
    const bool delays = counted.rule.action == Action::delay;
    if ((plan.deed && !delays) || !fires(counted, operation)) continue;
    if (delays) {
      plan.delay += std::chrono::milliseconds(counted.rule.ms);
    } else {
      plan.deed = counted.rule;
    }
  }
  return plan;
}

}  // namespace holdfast::carriersim
