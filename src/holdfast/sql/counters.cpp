#include "holdfast/sql/counters.hpp"

namespace holdfast::sql {

Statistics Counters::snapshot() const {
  Statistics made;
  made.transactions = transactions.get();
  made.rolled_back = rolled_back.get();
  made.expired_in_queue = expired_in_queue.get();
  made.refused = refused.get();
  made.groups = groups.get();
  made.largest_group = largest_group.get();
  made.group_reruns = group_reruns.get();
  made.failed_commits = failed_commits.get();
  made.queue_depth = queue_depth.get();
  made.busy_waits = busy_waits.get();
  made.checkpoints = checkpoints.get();
  made.wal_pages = wal_pages.get();
  made.external_changes = external_changes.get();
  made.queries = queries.get();
  made.commit_time = Duration(static_cast<std::int64_t>(commit_nanoseconds.get()));
  made.longest_commit = Duration(static_cast<std::int64_t>(longest_commit_nanoseconds.get()));
  for (std::size_t kind = 0; kind < kFailureKinds; ++kind) made.failures[kind] = failures[kind].get();
  made.write_failure = write_failure.get();
  return made;
}

}  // namespace holdfast::sql
