// When it is worth connecting again: after a failure, not before a jittered pause that doubles with each
// further one. Meanwhile who asks is refused at once, with the last failure and when to come back.
//
// Thread-safety: any thread.
#pragma once

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/sql/failure.hpp"
#include "holdfast/sql/postgres/database.hpp"

namespace holdfast::sql::postgres {

class Reconnect {
 public:
  Reconnect(const Options& options, const Clock& clock, Random& random)
      : options_(options), clock_(clock), random_(random) {}

  /// Throws the last failure to connect while its pause lasts.
  void require_due() {
    const std::lock_guard lock(mutex_);
    if (failure_ && clock_.now() < due_) throw DatabaseError(*failure_);
  }
  void connected() noexcept {
    const std::lock_guard lock(mutex_);
    failure_.reset();
    pause_ = {};
  }
  void failed(const DatabaseError& failure) {
    const std::lock_guard lock(mutex_);
    failure_.emplace(failure);
    pause_ = pause_ == Duration{} ? options_.reconnect_min : std::min(pause_ * 2, options_.reconnect_max);
    const auto half = static_cast<std::uint64_t>(std::max<std::int64_t>(pause_.count() / 2, 1));
    due_ = clock_.now() + pause_ / 2 + Duration(static_cast<std::int64_t>(random_.below(half)));
  }

 private:
  const Options& options_;
  const Clock& clock_;
  Random& random_;
  std::mutex mutex_;
  std::optional<DatabaseError> failure_;
  Duration pause_{};
  Instant due_{};
};

}  // namespace holdfast::sql::postgres
