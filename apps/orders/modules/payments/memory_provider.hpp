// A PaymentProvider within the process, for tests and for `payments.provider: memory`. It knows Stripe's
// test tokens (pm_card_visa is good, pm_card_chargeDeclined is not, …). It remembers nothing over a restart:
// its refs carry what is needed, so that a capture of what an earlier process authorized works.
//
//   MemoryProvider provider;
//   provider.fail_next(MemoryProvider::Failure::after);   // the next call happens, and its answer is lost
//
// Thread-safety: all calls from any thread.
#pragma once

#include <functional>
#include <memory>

#include "orders/modules/payments/provider.hpp"

namespace holdfast::orders::payments {

class MemoryProvider final : public PaymentProvider {
 public:
  /// Payments remembered; the oldest is forgotten for one more, as by a restart.
  static constexpr std::size_t kMaxRemembered = 100'000;

  enum class Failure : std::uint8_t {
    none,
    before,        ///< nothing happens, and the caller is told: unavailable
    lost_request,  ///< nothing happens, and the caller is not told: outcome unknown
    after,         ///< it happens, and the caller is not told: outcome unknown
    rate_limited,
    rejected,
  };

  MemoryProvider();
  ~MemoryProvider() override;

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
  std::string_view name() const noexcept override { return "memory"; }

  // For tests.

  /// What the next `calls` calls (of any kind) do, then they work again.
  void fail_next(Failure failure, std::size_t calls = 1);
  /// Does to a payment what happens outside of us: the customer confirms, the bank answers.
  void set_status(const std::string& ref, ProviderStatus status);
  /// Calls so far that did something to money.
  std::size_t effects() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders::payments
