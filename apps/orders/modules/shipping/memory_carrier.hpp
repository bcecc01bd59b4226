// MemoryCarrier: a Carrier within the process, for tests and for trying things out. It forgets at its end.
// (Part of shipping.hpp.)
//
// Thread-safety: everything from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "orders/modules/shipping/carrier.hpp"

namespace holdfast::orders::shipping {

class MemoryCarrier final : public Carrier {
 public:
  MemoryCarrier() = default;

  std::vector<FieldViolation> faults_of(const Destination& destination) const override;
  Booking book(const Context& ctx, const BookingRequest& request) override;
  Booking cancel(const Context& ctx, const std::string& carrier_ref) override;
  std::vector<Booking> find(const Context& ctx, const std::string& reference) override;
  std::string_view name() const noexcept override { return "memory"; }

  /// What the next call of book() or cancel() does.
  enum class Mishap : std::uint8_t {
    none,
    refuse,       ///< nothing is done, and never will be
    unavailable,  ///< nothing is done
    lose_answer,  ///< it is done, and the caller can't know
    lose_call,    ///< nothing is done, and the caller can't know
  };
  void misbehave(Mishap next) noexcept;
  /// find() is unavailable as long as it is on.
  void forbid_asking(bool on) noexcept;
  /// The goods have arrived: too late to cancel.
  void deliver(const std::string& carrier_ref);
  std::vector<Booking> book_of_bookings() const;
  std::int64_t calls() const noexcept;  ///< of any kind, so far

 private:
  Mishap next_mishap();

  mutable std::mutex mutex_;
  Mishap mishap_ = Mishap::none;
  bool can_be_asked_ = true;
  std::int64_t calls_ = 0;
  std::map<std::string, Booking> by_ref_;  // refs ascend
};

}  // namespace holdfast::orders::shipping
