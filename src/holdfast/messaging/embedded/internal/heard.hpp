// What was heard of the outbox, of late: its messages from some position on, without a gap.
//
// Positions become visible in their order, so once one was heard all that are committed above it will be, and
// nothing below it is missing that was committed after it. Thread-safety: one loop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/messaging/message.hpp"
#include "holdfast/messaging/source.hpp"
#include "holdfast/sql/postgres/pgoutput.hpp"

namespace holdfast::messaging::embedded {

class Heard {
 public:
  /// The oldest are forgotten over either bound.
  Heard(std::size_t max_messages, std::size_t max_bytes)
      : max_messages_(max_messages), max_bytes_(max_bytes) {}

  /// All that is committed after `position` will be added. Else it begins with the first that is.
  void begin(std::int64_t position) noexcept;
  bool begun() const noexcept { return heard_any_; }
  /// In the order of their positions; what comes again is left out.
  void add(Message&& message);
  /// All up to `position` has been added.
  void advance(std::int64_t position) noexcept { last_ = std::max(last_, position); }
  void forget() noexcept;

  /// Whether all that is committed after `position` is here, or will be.
  bool covers(std::int64_t position) const noexcept { return heard_any_ && position >= from_; }
  /// The highest position heard; 0 where there was none.
  std::int64_t last() const noexcept { return last_; }
  /// At most `most` messages; covers(cohort.read_to).
  ReadResult read(const Cohort& cohort, const std::vector<std::string>& topics, std::size_t most) const;

 private:
  const std::size_t max_messages_;
  const std::size_t max_bytes_;
  std::deque<Message> messages_;
  std::size_t bytes_ = 0;
  bool heard_any_ = false;
  std::int64_t from_ = 0;  // all after it is here
  std::int64_t last_ = 0;
};

/// A result a cohort: from `recent` (a Heard, a Tail) where that covers it, of the others as `table` reads
/// them.
template <class Recent, class ReadTable>
std::vector<ReadResult> read_recent(const Recent& recent, const std::vector<Cohort>& cohorts,
                                    const std::vector<std::string>& topics, std::size_t most,
                                    const ReadTable& table) {
  std::vector<ReadResult> results(cohorts.size());
  std::vector<Cohort> behind;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < cohorts.size(); ++i) {
    if (recent.covers(cohorts[i].read_to)) {
      results[i] = recent.read(cohorts[i], topics, most);
    } else {
      behind.push_back(cohorts[i]);
      places.push_back(i);
    }
  }
  if (behind.empty()) return results;
  std::vector<ReadResult> read = table(behind);
  for (std::size_t i = 0; i < places.size(); ++i) results[places[i]] = std::move(read[i]);
  return results;
}

/// A row of the outbox. Throws Error(internal) where it is none.
Message message_of(const sql::postgres::Pgoutput::Change& change);

}  // namespace holdfast::messaging::embedded
