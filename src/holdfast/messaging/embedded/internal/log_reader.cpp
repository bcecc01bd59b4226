#include "holdfast/messaging/embedded/internal/log_reader.hpp"

#include <algorithm>
#include <tuple>

#include "holdfast/messaging/internal/headers.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging::embedded {
namespace {

using Row = std::tuple<std::int64_t, std::string, std::string, std::string, std::string, std::int32_t,
                       std::string, std::string, WallTime>;

Message message_of(Row&& row) {
  auto& [position, id, topic, key, type, version, headers, payload, occurred_at] = row;
  return {.id = std::move(id),
          .topic = std::move(topic),
          .key = std::move(key),
          .type = std::move(type),
          .version = version,
          .headers = parse_headers(headers),
          .payload = std::move(payload),
          .occurred_at = occurred_at,
          .position = position,
          .attempt = 1,
          .group = {}};
}

}  // namespace

LogReader::LogReader(const std::vector<std::string>& topics, std::size_t max_messages, std::size_t max_scan)
    : max_messages_(max_messages), max_scan_(max_scan) {
  // Names hold neither quotes nor backslashes, and as literals they need no list type of the database.
  std::string list;
  for (const std::string& topic : topics) list += (list.empty() ? "'" : ", '") + topic + "'";
  const bool every = topics.size() == 1 && topics.front() == kEveryTopic;
  const std::string of_topics = every ? "" : "and topic in (" + list + ") ";
  select_ =
      "select position, id, topic, key, type, version, headers, payload, occurred_at from outbox "
      "where position > $1 and position <= $2 and (($3 >> cast(bucket as integer)) & 1) = 1 " +
      of_topics + "order by position limit $4";
}

std::vector<ReadResult> LogReader::read(const Context& ctx, sql::Database& database,
                                        const std::vector<Cohort>& cohorts, std::int64_t& head) const {
  return database.read(ctx, [&](sql::Snapshot& snapshot) {
    // An emptied log says 0; what was seen before stays seen.
    head =
        std::max(head, snapshot.query_value<std::int64_t>("select coalesce(max(position), 0) from outbox"));
    std::vector<ReadResult> results;
    results.reserve(cohorts.size());
    for (const Cohort& cohort : cohorts) results.push_back(read_cohort(snapshot, cohort, head));
    return results;
  });
}

ReadResult LogReader::read_cohort(sql::Snapshot& snapshot, const Cohort& cohort, std::int64_t head) const {
  ReadResult result{.messages = {}, .read_to = cohort.read_to, .more = false};
  if (cohort.read_to >= head) return result;
  const std::int64_t until = std::min(head, cohort.read_to + static_cast<std::int64_t>(max_scan_));
  snapshot.for_each<Row>(
      select_, [&](Row&& row) { result.messages.push_back(message_of(std::move(row))); }, cohort.read_to,
      until, static_cast<std::int64_t>(cohort.buckets), max_messages_);
  const bool full = result.messages.size() >= max_messages_;
  result.read_to = full ? result.messages.back().position : until;
  result.more = result.read_to < head;
  return result;
}

}  // namespace holdfast::messaging::embedded
