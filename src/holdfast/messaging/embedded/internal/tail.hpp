// Tail: the latest messages of the outbox, read once for all groups of a process that are that far. A commit
// wakes them all; without it each would ask the database for the same rows.
//
// Thread-safety: one loop; look() may wait, and may be called by several fibers at a time.
#pragma once

#include <cstdint>

#include "holdfast/messaging/embedded/internal/heard.hpp"
#include "holdfast/messaging/embedded/internal/log_reader.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::embedded {

class Tail {
 public:
  /// Both are borrowed. `scan`: most messages a look takes.
  Tail(sql::Database& database, Outbox& outbox, std::size_t scan);

  /// Takes what was committed since the last look; does not ask within 1 ms of one unless a commit was told
  /// of meanwhile. Throws what the database throws.
  void look(const Context& ctx);

  bool covers(std::int64_t position) const noexcept { return heard_.covers(position); }
  /// covers(cohort.read_to).
  ReadResult read(const Cohort& cohort, const std::vector<std::string>& topics, std::size_t most) const;
  /// The highest position known.
  std::int64_t head() const noexcept { return head_; }

 private:
  sql::Database& database_;
  Outbox& outbox_;
  const LogReader reader_;
  Heard heard_;
  std::int64_t head_ = 0;
  std::uint64_t seen_ = 0;  // the version of Outbox::committed() before the last look
  Instant looked_at_{};
  bool more_ = true;  // there was more than a look takes, or none was made yet
};

}  // namespace holdfast::messaging::embedded
