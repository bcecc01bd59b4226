#include "holdfast/messaging/engine/internal/parking.hpp"

#include <algorithm>
#include <tuple>

#include "holdfast/base/fault.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/messaging/dead_letters.hpp"
#include "holdfast/messaging/internal/headers.hpp"

namespace holdfast::messaging::engine {

std::string with_attempt(const std::string& history, WallTime at, std::string_view error) {
  std::string text = history;
  text.pop_back();  // the closing bracket
  if (text.size() > 1) text += ',';
  JsonWriter json(text);
  json.begin_object().member("at", format_rfc3339(at)).member("error", error).end_object();
  text += ']';
  return text;
}

void bury(sql::Transaction& tx, const Lease& lease, const Message& message, std::string_view error,
          const std::string& history, const RecordSettings& settings, WallTime now) {
  tx.execute(
      "insert into dead_letters(id, group_name, topic, key, bucket, type, version, message_id, position, "
      "occurred_at, headers, payload, error, attempts, dead_at, redriven_at) "
      "values($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, null)",
      settings.ids->make<DeadLetterId>().text(), lease.group, message.topic, message.key, lease.bucket,
      message.type, message.version, message.id, message.position, message.occurred_at,
      headers_json(message.headers), message.payload, error, history, now);
  HOLDFAST_FAULT("messaging.after_bury");
}

namespace {

void park(sql::Transaction& tx, const Lease& lease, const Message& message, int attempts,
          const std::string& history, WallTime due, std::int64_t crashes) {
  tx.execute(
      "insert into parked_messages(group_name, bucket, key, position, id, topic, type, version, headers, "
      "payload, "
      "occurred_at, attempts, history, next_attempt_at, adopted, crashes) "
      "values($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, $15)",
      lease.group, lease.bucket, message.key, message.position, message.id, message.topic, message.type,
      message.version, headers_json(message.headers), message.payload, message.occurred_at, attempts, history,
      due, crashes);
}

void unpark(sql::Transaction& tx, const Lease& lease, const Message& message) {
  tx.execute(
      "delete from parked_messages where group_name = $1 and bucket = $2 and key = $3 and position = $4",
      lease.group, lease.bucket, message.key, message.position);
}

void record_failure(sql::Transaction& tx, const Lease& lease, const Item& item, const std::string& error,
                    const RecordSettings& settings, WallTime now, Recorded& recorded) {
  const Message& message = item.message;
  const std::string history = with_attempt(item.history, now, error);
  if (message.attempt >= settings.max_attempts) {
    bury(tx, lease, message, error, history, settings, now);
    if (item.parked) unpark(tx, lease, message);
    recorded.parked -= item.parked ? 1 : 0;
    ++recorded.dead;
    return;
  }
  ++recorded.retried;
  const Duration wait = resilience::backoff_delay(
      settings.backoff, static_cast<std::uint32_t>(message.attempt - 1), *settings.random);
  const WallTime due = now + std::chrono::ceil<std::chrono::microseconds>(wait);
  if (!item.parked) {
    park(tx, lease, message, message.attempt, history, due, settings.crashes);
    ++recorded.parked;
    return;
  }
  tx.execute(
      "update parked_messages set attempts = $5, history = $6, next_attempt_at = $7, adopted = 1, "
      "crashes = $8 where group_name = $1 and bucket = $2 and key = $3 and position = $4",
      lease.group, lease.bucket, message.key, message.position, message.attempt, history, due,
      settings.crashes);
}

}  // namespace

std::optional<Item> first_parked(sql::Queries& queries, const Lease& lease, std::string_view key,
                                 WallTime& due) {
  using Row = std::tuple<std::int64_t, std::string, std::string, std::string, std::int32_t, std::string,
                         std::string, WallTime, int, std::string, WallTime, std::int64_t>;
  auto row = queries.query_one<Row>(
      "select position, id, topic, type, version, headers, payload, occurred_at, attempts, history, "
      "next_attempt_at, crashes from parked_messages where group_name = $1 and bucket = $2 and key = $3 "
      "order by position limit 1",
      lease.group, lease.bucket, key);
  if (!row) return std::nullopt;
  auto& [position, id, topic, type, version, headers, payload, occurred_at, attempts, history,
         next_attempt_at, crashes] = *row;
  due = next_attempt_at;
  return Item{.message = {.id = std::move(id),
                          .topic = std::move(topic),
                          .key = std::string(key),
                          .type = std::move(type),
                          .version = version,
                          .headers = parse_headers(headers),
                          .payload = std::move(payload),
                          .occurred_at = occurred_at,
                          .position = position,
                          .attempt = attempts + 1,
                          .group = std::string(lease.group)},
              .parked = true,
              .history = std::move(history),
              .crashes = crashes};
}

std::vector<ParkedKey> parked_keys(sql::Queries& queries, std::string_view group, BucketMask mask) {
  std::vector<ParkedKey> keys;
  using Row = std::tuple<int, std::string, WallTime>;
  queries.for_each<Row>(
      "select bucket, key, next_attempt_at from parked_messages where group_name = $1 and (($2 >> "
      "cast(bucket "
      "as integer)) & 1) = 1 "
      "order by bucket, key, position",
      [&](Row&& row) {
        auto& [bucket, key, due] = row;
        const bool follower = !keys.empty() && keys.back().bucket == bucket && keys.back().key == key;
        if (!follower) keys.push_back({.bucket = bucket, .key = std::move(key), .due = due});
      },
      group, static_cast<std::int64_t>(mask));
  return keys;
}

std::vector<std::int64_t> parked_counts(sql::Queries& queries, std::string_view group) {
  std::vector<std::int64_t> counts(kBuckets, 0);
  using Row = std::tuple<int, std::int64_t>;
  queries.for_each<Row>(
      "select bucket, count(*) from parked_messages where group_name = $1 group by bucket",
      [&](Row&& row) { counts.at(static_cast<std::size_t>(std::get<0>(row))) = std::get<1>(row); }, group);
  return counts;
}

std::vector<ParkedKey> redriven_keys(sql::Queries& queries, std::string_view group) {
  std::vector<ParkedKey> keys;
  using Row = std::tuple<int, std::string, WallTime>;
  queries.for_each<Row>(
      "select bucket, key, next_attempt_at from parked_messages where group_name = $1 and adopted = 0 limit "
      "1000",
      [&](Row&& row) {
        keys.push_back(
            {.bucket = std::get<0>(row), .key = std::move(std::get<1>(row)), .due = std::get<2>(row)});
      },
      group);
  return keys;
}

Recorded record(sql::Transaction& tx, const Lease& lease, const std::vector<Item>& items,
                const std::vector<Result>& results, const RecordSettings& settings, WallTime now) {
  Recorded recorded;
  std::vector<std::string_view> touched;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    switch (results[i].outcome) {
      case Outcome::untouched: continue;
      case Outcome::handled:
      case Outcome::duplicate:
        if (!item.parked) continue;
        unpark(tx, lease, item.message);
        --recorded.parked;
        break;
      case Outcome::behind:
        park(tx, lease, item.message, 0, "[]", WallTime(), 0);
        ++recorded.parked;
        break;
      case Outcome::failed: record_failure(tx, lease, item, results[i].error, settings, now, recorded); break;
    }
    if (std::ranges::find(touched, item.message.key) == touched.end()) touched.push_back(item.message.key);
  }
  for (const std::string_view key : touched) {
    recorded.keys.push_back({.key = std::string(key),
                             .due = tx.query_one<WallTime>(
                                 "select next_attempt_at from parked_messages where group_name = $1 and "
                                 "bucket = $2 and key = $3 order by position limit 1",
                                 lease.group, lease.bucket, key)});
  }
  return recorded;
}

}  // namespace holdfast::messaging::engine
