#include "orders/modules/payments/memory_provider.hpp"

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace holdfast::orders::payments {
namespace {

constexpr std::string_view kRefPrefix = "mem_";
constexpr std::size_t kBookPage = 100;

std::string ref_of(const Authorization& authorization) {
  return std::string(kRefPrefix) + authorization.payment_id.text() + "_" +
         std::to_string(authorization.amount.minor) + "_" + std::string(authorization.amount.currency.text());
}

/// What the ref of an earlier process tells: that so much was authorized.
std::optional<ProviderPayment> read_ref(const std::string& ref) {
  std::string_view rest = ref;
  if (!rest.starts_with(kRefPrefix)) return std::nullopt;
  rest.remove_prefix(kRefPrefix.size());
  if (rest.size() <= PaymentId::kTextLength + 1) return std::nullopt;
  const auto id = PaymentId::parse(rest.substr(0, PaymentId::kTextLength));
  rest.remove_prefix(PaymentId::kTextLength + 1);
  const std::size_t gap = rest.find('_');
  if (!id || gap == std::string_view::npos) return std::nullopt;
  const auto currency = Currency::parse(rest.substr(gap + 1));
  std::int64_t minor = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + gap, minor);
  if (!currency || error != std::errc{} || end != rest.data() + gap) return std::nullopt;
  ProviderPayment payment;
  payment.ref = ref;
  payment.status = ProviderStatus::authorized;
  payment.amount = {minor, *currency};
  payment.captured = payment.refunded = payment.refunding = {0, *currency};
  payment.payment_id = *id;
  return payment;
}

/// Why Stripe's test card of that name is refused; nothing for one that is good.
std::optional<DeclineReason> decline_of(std::string_view method) {
  constexpr std::string_view kDeclined = "chargeDeclined";
  const std::size_t at = method.find(kDeclined);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view why = method.substr(at + kDeclined.size());
  if (why == "InsufficientFunds") return DeclineReason::insufficient_funds;
  if (why == "ExpiredCard") return DeclineReason::expired_card;
  if (why == "IncorrectCvc") return DeclineReason::incorrect_cvc;
  if (why == "ProcessingError") return DeclineReason::processing_error;
  return DeclineReason::card_declined;
}

ProviderPayment make(const Authorization& authorization) {
  ProviderPayment payment = read_ref(ref_of(authorization)).value();
  payment.key = authorization.key;
  payment.decline = decline_of(authorization.method);
  if (payment.decline) {
    payment.status = ProviderStatus::declined;
  } else if (authorization.method.starts_with("pm_card_authenticationRequired")) {
    payment.status = ProviderStatus::action_required;
    payment.action_url = "https://pay.invalid/confirm/" + payment.ref;
  }
  return payment;
}

[[noreturn]] void refuse(const ProviderPayment& payment, std::string_view what) {
  throw provider_error(
      ProviderFault::rejected,
      payment.ref + " is " + std::string(enum_name(payment.status)) + " and can't be " + std::string(what));
}

}  // namespace

struct MemoryProvider::State {
  std::mutex mutex;
  std::map<std::string, ProviderPayment> payments;    // by ref
  std::deque<std::string> order;                      // refs, the oldest first
  std::map<std::string, std::string> authorizations;  // ref by key; empty: withdrawn before it was used
  std::set<std::string> refunds;                      // keys used
  Failure failure = Failure::none;
  std::size_t failures_left = 0;
  std::size_t effects = 0;

  /// The failure of this call. Throws where it happens before anything else.
  Failure begin() {
    if (failures_left == 0) return Failure::none;
    --failures_left;
    switch (failure) {
      case Failure::before: throw provider_error(ProviderFault::unavailable, "told to fail before");
      case Failure::lost_request:
        throw provider_error(ProviderFault::outcome_unknown, "told to lose the request");
      case Failure::rate_limited:
        throw provider_error(ProviderFault::rate_limited, "told to limit", std::chrono::seconds(1));
      case Failure::rejected: throw provider_error(ProviderFault::rejected, "told to reject");
      case Failure::none:
      case Failure::after: break;
    }
    return failure;
  }

  static ProviderPayment end(Failure failing, const ProviderPayment& payment) {
    if (failing == Failure::after)
      throw provider_error(ProviderFault::outcome_unknown, "told to lose the answer");
    return payment;
  }

  void remember(const ProviderPayment& payment) {
    payments[payment.ref] = payment;
    order.push_back(payment.ref);
    if (order.size() <= kMaxRemembered) return;
    const auto oldest = payments.find(order.front());
    authorizations.erase(oldest->second.key);
    payments.erase(oldest);
    order.pop_front();
  }

  ProviderPayment& require(const std::string& ref) {
    const auto found = payments.find(ref);
    if (found != payments.end()) return found->second;
    const auto earlier = read_ref(ref);
    if (!earlier) throw provider_error(ProviderFault::rejected, "there is no payment " + ref);
    remember(*earlier);
    return payments.at(ref);
  }
};

MemoryProvider::MemoryProvider() : state_(std::make_unique<State>()) {}
MemoryProvider::~MemoryProvider() = default;

ProviderPayment MemoryProvider::authorize(const Context&, const Authorization& authorization) {
  const std::lock_guard lock(state_->mutex);
  const Failure failing = state_->begin();
  const auto [used, first] = state_->authorizations.try_emplace(authorization.key, ref_of(authorization));
  if (used->second.empty())
    throw provider_error(ProviderFault::rejected, authorization.key + " is withdrawn");
  if (first) {
    ++state_->effects;
    state_->remember(make(authorization));
  }
  return State::end(failing, state_->require(used->second));
}

std::optional<ProviderPayment> MemoryProvider::withdraw(const Context&, const Authorization& authorization) {
  const std::lock_guard lock(state_->mutex);
  const Failure failing = state_->begin();
  const auto [used, first] = state_->authorizations.try_emplace(authorization.key);
  if (used->second.empty()) {
    if (failing == Failure::after) State::end(failing, {});
    return std::nullopt;
  }
  return State::end(failing, state_->require(used->second));
}

ProviderPayment MemoryProvider::capture(const Context&, const std::string& ref, const std::string&,
                                        const Money& amount) {
  const std::lock_guard lock(state_->mutex);
  const Failure failing = state_->begin();
  ProviderPayment& payment = state_->require(ref);
  if (payment.status != ProviderStatus::captured) {
    if (payment.status != ProviderStatus::authorized || amount.minor > payment.amount.minor)
      refuse(payment, "captured");
    ++state_->effects;
    payment.status = ProviderStatus::captured;
    payment.captured = amount;
  }
  return State::end(failing, payment);
}

ProviderPayment MemoryProvider::cancel(const Context&, const std::string& ref, const std::string&) {
  const std::lock_guard lock(state_->mutex);
  const Failure failing = state_->begin();
  ProviderPayment& payment = state_->require(ref);
  if (payment.status != ProviderStatus::cancelled) {
    if (payment.status == ProviderStatus::captured) refuse(payment, "cancelled");
    ++state_->effects;
    payment.status = ProviderStatus::cancelled;
  }
  return State::end(failing, payment);
}

ProviderPayment MemoryProvider::refund(const Context&, const std::string& ref, const std::string& key,
                                       const Money& amount) {
  const std::lock_guard lock(state_->mutex);
  const Failure failing = state_->begin();
  ProviderPayment& payment = state_->require(ref);
  if (!state_->refunds.contains(key)) {
    const bool of_earlier_process = payment.key.empty() && payment.status == ProviderStatus::authorized;
    if (of_earlier_process) {  // then it was captured there
      payment.status = ProviderStatus::captured;
      payment.captured = payment.amount;
    }
    const Money left = payment.captured - payment.refunded;
    if (payment.status != ProviderStatus::captured || amount.minor > left.minor) refuse(payment, "refunded");
    ++state_->effects;
    payment.refunded += amount;
    state_->refunds.insert(key);
    if (state_->refunds.size() > kMaxRemembered) state_->refunds.erase(state_->refunds.begin());
  }
  return State::end(failing, payment);
}

ProviderPayment MemoryProvider::fetch(const Context&, const std::string& ref) {
  const std::lock_guard lock(state_->mutex);
  const Failure failing = state_->begin();
  return State::end(failing, state_->require(ref));
}

std::optional<ProviderPayment> MemoryProvider::find(const Context&, const Authorization& authorization) {
  const std::lock_guard lock(state_->mutex);
  const Failure failing = state_->begin();
  const auto used = state_->authorizations.find(authorization.key);
  if (used == state_->authorizations.end() || used->second.empty()) return std::nullopt;
  return State::end(failing, state_->require(used->second));
}

PaymentProvider::BookPage MemoryProvider::book(const Context&, WallTime, const std::string& cursor) {
  const std::lock_guard lock(state_->mutex);
  BookPage page;
  std::size_t skipped = 0;
  std::from_chars(cursor.data(), cursor.data() + cursor.size(), skipped);
  for (std::size_t i = skipped; i < state_->order.size() && page.payments.size() < kBookPage; ++i)
    page.payments.push_back(state_->payments.at(*(state_->order.rbegin() + static_cast<std::ptrdiff_t>(i))));
  if (skipped + page.payments.size() < state_->order.size())
    page.next = std::to_string(skipped + page.payments.size());
  return page;
}

void MemoryProvider::fail_next(Failure failure, std::size_t calls) {
  const std::lock_guard lock(state_->mutex);
  state_->failure = failure;
  state_->failures_left = calls;
}

void MemoryProvider::set_status(const std::string& ref, ProviderStatus status) {
  const std::lock_guard lock(state_->mutex);
  ProviderPayment& payment = state_->require(ref);
  payment.status = status;
  payment.action_url.reset();
  if (status == ProviderStatus::captured) payment.captured = payment.amount;
}

std::size_t MemoryProvider::effects() const {
  const std::lock_guard lock(state_->mutex);
  return state_->effects;
}

}  // namespace holdfast::orders::payments
