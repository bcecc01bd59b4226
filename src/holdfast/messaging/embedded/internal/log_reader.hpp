// Reads the outbox as a log: the messages of some buckets after a position, in order.
//
// There is one writer at a time, so whoever sees position n sees every committed one below it: what is
// not there now never comes, and a reader may go on from the highest position it saw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "holdfast/messaging/message.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::embedded {

/// A set of buckets: bit b is bucket b.
using BucketMask = std::uint64_t;
static_assert(kBuckets == 64, "a BucketMask has a bit a bucket");

constexpr BucketMask mask_of(int bucket) noexcept { return BucketMask{1} << bucket; }

/// Buckets that have been read equally far.
struct Cohort {
  std::int64_t read_to = 0;
  BucketMask buckets = 0;
};

struct ReadResult {
  std::vector<Message> messages;  ///< in order of position; `group` and `attempt` are not set
  std::int64_t read_to = 0;       ///< everything of the cohort up to here is in `messages`
  bool more = false;              ///< a limit ended it, not the end of the log
};

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

/// `json` is what headers_json wrote.
Headers parse_headers(const std::string& json);

}  // namespace holdfast::messaging::embedded
