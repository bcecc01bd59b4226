#include "holdfast/saga/definition.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"

namespace holdfast::saga::detail {
namespace {

constexpr std::size_t kMaxNameBytes = 100;
constexpr std::size_t kMaxSteps = 64;

bool is_name(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kMaxNameBytes && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == ' ';
  });
}

[[noreturn]] void refuse(const Plan& plan, const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "Saga " + plan.name + ": " + what)
      .reason("saga_definition_invalid");
}

void require_valid(const Plan& plan, const PlannedStep& step, const RetryOptions& retry) {
  if (retry.attempts < 1) refuse(plan, "step " + step.name + " needs at least one attempt.");
  if (retry.backoff.base <= Duration(0) || retry.backoff.cap < retry.backoff.base)
    refuse(plan, "step " + step.name + " needs a backoff above zero, with its cap not below its base.");
}

}  // namespace

void require_valid_name(const Plan& plan) {
  if (!is_name(plan.name) || plan.name.find(' ') != std::string::npos)
    refuse(plan, "its name may have letters, digits, '.', '_' and '-', up to 100.");
  if (plan.version < 1) refuse(plan, "versions begin with 1.");
}

void add_step(Plan& plan, PlannedStep step) {
  if (!is_name(step.name))
    refuse(plan, "a step's name may have letters, digits, '.', '_', '-' and spaces, up to 100.");
  if (plan.steps.size() >= kMaxSteps) refuse(plan, "it has more than 64 steps.");
  for (const PlannedStep& other : plan.steps) {
    if (other.name == step.name) refuse(plan, "two steps are called " + step.name + ".");
  }
  if (step.kind == StepKind::given && !plan.steps.empty())
    refuse(plan, "started() comes first, since it tells what is done when the saga begins.");
  require_valid(plan, step, step.options.retry);
  require_valid(plan, step, step.options.compensation_retry);
  if (step.options.timeout <= Duration(0)) refuse(plan, "step " + step.name + " needs a timeout above zero.");
  if (step.kind == StepKind::wait && !is_name(step.event))
    refuse(plan, "step " + step.name + " waits for an event without a proper name.");
  if (step.kind == StepKind::wait && step.deadline && *step.deadline <= Duration(0))
    refuse(plan, "step " + step.name + " needs a deadline above zero, or none.");
  plan.steps.push_back(std::move(step));
}

void add_condition(Plan& plan, std::function<bool(const void*)> only_if) {
  if (plan.steps.empty() || plan.steps.back().kind == StepKind::given)
    refuse(plan, "only_if() belongs to a step that may be gone past.");
  PlannedStep& step = plan.steps.back();
  if (step.options.pivot)
    refuse(plan, "step " + step.name + " is the point of no return: it can't be gone past.");
  step.only_if = std::move(only_if);
}

}  // namespace holdfast::saga::detail
