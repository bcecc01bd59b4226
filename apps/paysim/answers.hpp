// Answers kept for Idempotency-Keys, as Stripe's API v1 keeps them: what was answered the first time,
// errors included, is answered again for a day; another request with the same key is refused; a second
// one while the first is under way gets 409.
//
//   const InFlight::Claim claim(in_flight, key);            // ApiError(409) where it is taken
//   db.transact(ctx, [&](sql::Transaction& tx) {
//     if (const auto known = remembered_answer(tx, key, fingerprint)) return *known;   // ApiError(400) …
//     … remember_answer(tx, key, fingerprint, answer, now);
//
// Thread-safety: InFlight from any thread; the functions inside a transaction.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "holdfast/base/clock.hpp"
#include "holdfast/sql/database.hpp"
#include "paysim/payments.hpp"

namespace holdfast::paysim {

inline constexpr std::size_t kMaxKeyBytes = 255;
inline constexpr Duration kAnswerRetention = std::chrono::hours(24);

/// Throws ApiError(400, idempotency_error) where the key was used for something else.
std::optional<Answer> remembered_answer(sql::Transaction& tx, std::string_view key,
                                        std::string_view fingerprint);
void remember_answer(sql::Transaction& tx, std::string_view key, std::string_view fingerprint,
                     const Answer& answer, WallTime now);
/// Forgets those made before `time`; returns how many.
std::int64_t forget_answers(sql::Transaction& tx, WallTime time);

class InFlight {
 public:
  class Claim {
   public:
    /// Throws ApiError(409, idempotency_key_in_use) where another request holds the key.
    Claim(InFlight& owner, const std::string& key);
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    InFlight& owner_;
    const std::string key_;
  };

 private:
  std::mutex mutex_;
  std::unordered_set<std::string> keys_;  // as many as requests in flight
};

}  // namespace holdfast::paysim
