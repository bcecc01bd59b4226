#include "paysim/cards.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace holdfast::paysim {
namespace {

constexpr std::int64_t kProcessingMs = 1000;
constexpr std::int64_t kMaxDelayMs = 60'000;

enum class Kind : std::uint8_t { pays, declines, asks };

struct TestCard {
  std::string_view number;
  std::string_view payment_method;
  std::string_view brand;
  Kind kind = Kind::pays;
  std::string_view decline_code = {};
};

// https://docs.stripe.com/testing
constexpr std::array kCards = {
    TestCard{"4242424242424242", "pm_card_visa", "visa"},
    TestCard{"4000056655665556", "pm_card_visa_debit", "visa"},
    TestCard{"5555555555554444", "pm_card_mastercard", "mastercard"},
    TestCard{"378282246310005", "pm_card_amex", "amex"},
    TestCard{"4000000000000002", "pm_card_chargeDeclined", "visa", Kind::declines, "generic_decline"},
    TestCard{"4000000000000002", "pm_card_visa_chargeDeclined", "visa", Kind::declines, "generic_decline"},
    TestCard{"4000000000009995", "pm_card_visa_chargeDeclinedInsufficientFunds", "visa", Kind::declines,
             "insufficient_funds"},
    TestCard{"4000000000009995", "pm_card_chargeDeclinedInsufficientFunds", "visa", Kind::declines,
             "insufficient_funds"},
    TestCard{"4000000000009987", "pm_card_visa_chargeDeclinedLostCard", "visa", Kind::declines, "lost_card"},
    TestCard{"4000000000009979", "pm_card_visa_chargeDeclinedStolenCard", "visa", Kind::declines,
             "stolen_card"},
    TestCard{"4000000000000069", "pm_card_chargeDeclinedExpiredCard", "visa", Kind::declines, "expired_card"},
    TestCard{"4000000000000127", "pm_card_chargeDeclinedIncorrectCvc", "visa", Kind::declines,
             "incorrect_cvc"},
    TestCard{"4000000000000119", "pm_card_chargeDeclinedProcessingError", "visa", Kind::declines,
             "processing_error"},
    TestCard{"4000002500003155", "pm_card_authenticationRequired", "visa", Kind::asks},
    TestCard{"4000000000003220", "pm_card_threeDSecure2Required", "visa", Kind::asks},
};

Card as_card(const TestCard& known) {
  Card card{.payment_method = std::string(known.payment_method),
            .brand = std::string(known.brand),
            .last4 = std::string(known.number.substr(known.number.size() - 4)),
            .fault = {}};
  if (known.kind == Kind::declines)
    card.fault = Rule{.action = Action::decline,
                      .operation = Operation::authorize,
                      .decline_code = std::string(known.decline_code)};
  if (known.kind == Kind::asks)
    card.fault = Rule{.action = Action::requires_action, .operation = Operation::authorize};
  return card;
}

/// The number between `before` and `after`, where the text is made so.
std::optional<std::int64_t> number_in(std::string_view text, std::string_view before,
                                      std::string_view after) {
  if (!text.starts_with(before) || !text.ends_with(after) || text.size() <= before.size() + after.size())
    return std::nullopt;
  text = text.substr(before.size(), text.size() - before.size() - after.size());
  std::int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<Rule> own_fault(std::string_view name) {
  Rule rule{.operation = Operation::authorize};
  const auto plain = [&](std::string_view wanted, Action action) {
    if (name != wanted) return false;
    rule.action = action;
    return true;
  };
  if (plain("pm_hang", Action::hang) || plain("pm_hang_after_charge", Action::hang_after) ||
      plain("pm_drop_before_charge", Action::drop_before) ||
      plain("pm_drop_after_charge", Action::drop_after) ||
      plain("pm_requires_action", Action::requires_action)) {
    return rule;
  }
  if (plain("pm_processing", Action::async)) {
    rule.ms = kProcessingMs;
    return rule;
  }
  if (const auto ms = number_in(name, "pm_delay_", "ms"); ms && *ms <= kMaxDelayMs) {
    rule.action = Action::delay;
    rule.ms = *ms;
    return rule;
  }
  if (const auto status = number_in(name, "pm_error_", ""); status && *status >= 400 && *status <= 599) {
    rule.action = Action::error;
    rule.status = static_cast<int>(*status);
    return rule;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Card> find_card(std::string_view name_or_number) {
  std::string wanted(name_or_number);
  const bool number = !wanted.empty() && wanted.front() >= '0' && wanted.front() <= '9';
  if (number) std::erase(wanted, ' ');
  for (const TestCard& known : kCards) {
    if (wanted == (number ? known.number : known.payment_method)) return as_card(known);
  }
  if (const auto fault = own_fault(wanted))
    return Card{.payment_method = wanted, .brand = "visa", .last4 = "4242", .fault = fault};
  return std::nullopt;
}

}  // namespace holdfast::paysim
