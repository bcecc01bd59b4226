// Reads the outbox as a log: the messages of some buckets after a position, in order.
//
// There is one writer at a time, so whoever sees position n sees every committed one below it: what is
// not there now never comes, and a reader may go on from the highest position it saw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "holdfast/messaging/message.hpp"
#include "holdfast/messaging/source.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::embedded {

class LogReader {
 public:
  /// Topics have been checked by require_name().
  LogReader(const std::vector<std::string>& topics, std::size_t max_messages, std::size_t max_scan);

  /// One result a cohort, all of one state of the database. `head` becomes the log's last position.
  std::vector<ReadResult> read(const Context& ctx, sql::Database& database,
                               const std::vector<Cohort>& cohorts, std::int64_t& head) const;

 private:
  ReadResult read_cohort(sql::Snapshot& snapshot, const Cohort& cohort, std::int64_t head) const;

  std::string select_;
  std::size_t max_messages_;
  std::size_t max_scan_;
};

}  // namespace holdfast::messaging::embedded
