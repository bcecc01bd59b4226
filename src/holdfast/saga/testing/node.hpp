// For tests of sagas: a process's worth of them on a database, and an outside world that counts effects.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/saga/sagas.hpp"
#include "holdfast/saga/schema.hpp"

namespace holdfast::saga {

/// Waits until `holds`; false after two minutes of the test's time.
inline bool eventually(const Context& ctx, const std::function<bool()>& holds) {
  const Instant until = ctx.now() + std::chrono::minutes(2);
  while (!holds()) {
    if (ctx.now() >= until) return false;
    runtime::sleep_for(ctx, std::chrono::milliseconds(1));
  }
  return true;
}

/// The other side of outside calls: remembers each key, as one that takes idempotency keys does.
class OtherSide {
 public:
  /// Counts a call; true where the key is new.
  bool call(const std::string& key) {
    const std::lock_guard lock(mutex_);
    ++calls_;
    return ++effects_[key] == 1;
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    effects_.clear();
    calls_ = 0;
  }
  bool has(const std::string& key) const {
    const std::lock_guard lock(mutex_);
    return effects_.contains(key);
  }
  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::size_t keys() const {
    const std::lock_guard lock(mutex_);
    return effects_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int> effects_;
  int calls_ = 0;
};

inline std::optional<SagaDetails> details_of(const Context& ctx, sql::Database& db, const SagaId& id) {
  return Records(db).find(ctx, id.text());
}

inline Status status_of(const Context& ctx, sql::Database& db, const SagaId& id) {
  return db.query_value<Status>(ctx, "select status from sagas where id = $1", id);
}

/// Waits for a status; on failure the saga's timeline says what happened instead.
inline bool reaches(const Context& ctx, sql::Database& db, const SagaId& id, Status status) {
  return eventually(ctx, [&] { return status_of(ctx, db, id) == status; });
}

inline std::string timeline(const Context& ctx, sql::Database& db, const SagaId& id) {
  std::string text;
  const auto details = details_of(ctx, db, id);
  if (!details) return "no such saga";
  for (const HistoryLine& line : details->history) {
    if (!text.empty()) text += ", ";
    text += line.what;
    if (!line.step.empty()) text += " " + line.step;
  }
  return text;
}

}  // namespace holdfast::saga
