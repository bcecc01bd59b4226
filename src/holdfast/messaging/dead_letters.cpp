#include "holdfast/messaging/dead_letters.hpp"

#include <algorithm>

#include "holdfast/base/fault.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging {
namespace {

constexpr std::size_t kRedriveBatch = 100;

#define HOLDFAST_DEAD_LETTER_FILTER                                                                         \
  " where ($1 is null or id = $1) and ($2 is null or group_name = $2) and ($3 is null or topic = $3) "      \
  "and ($4 is null or type = $4) and ($5 is null or key = $5) "                                             \
  "and ($6 is null or $6 = '' or replace(lower(error), lower($6), '') <> lower(error)) and ($7 is null or " \
  "dead_at >= $7) "                                                                                         \
  "and ($8 is null or dead_at < $8) and ($9 = 1 or redriven_at is null) "

constexpr const char* kSelect =
    "select id, group_name as \"group\", topic, key, type, version, message_id, position, occurred_at, "
    "headers, "
    "payload, error, attempts, dead_at, redriven_at from dead_letters" HOLDFAST_DEAD_LETTER_FILTER
    "and id > $10 order by id limit $11";
constexpr const char* kCount = "select count(*) from dead_letters" HOLDFAST_DEAD_LETTER_FILTER;
constexpr const char* kIds =
    "select id from dead_letters" HOLDFAST_DEAD_LETTER_FILTER "and id > $10 order by id limit $11";

#undef HOLDFAST_DEAD_LETTER_FILTER

/// Gives one letter back to its group; false where that has been done meanwhile.
bool redrive_one(sql::Transaction& tx, const std::string& id, WallTime now) {
  if (tx.execute("update dead_letters set redriven_at = $2 where id = $1 and redriven_at is null", id, now) ==
      0)
    return false;
  // Its group's worker finds it by adopted = 0. A message that is parked already is not parked twice.
  tx.execute(
      "insert into parked_messages(group_name, bucket, key, position, id, topic, type, version, headers, "
      "payload, "
      "occurred_at, attempts, history, next_attempt_at, adopted) "
      "select group_name, bucket, key, position, message_id, topic, type, version, headers, payload, "
      "occurred_at, "
      "0, '[]', $2, 0 from dead_letters where id = $1 "
      "on conflict(group_name, bucket, key, position) do nothing",
      id, now);
  return true;
}

}  // namespace

std::vector<DeadLetter> DeadLetters::list(const Context& ctx, const DeadLetterFilter& filter,
                                          std::string_view after, std::size_t limit) {
  return database_.query<DeadLetter>(ctx, kSelect, filter.id, filter.group, filter.topic, filter.type,
                                     filter.key, filter.error_contains, filter.dead_from, filter.dead_before,
                                     filter.redriven_too, after, std::min(limit, kMaxPage));
}

std::optional<DeadLetter> DeadLetters::find(const Context& ctx, std::string_view id) {
  auto found = list(ctx, {.id = std::string(id), .redriven_too = true}, {}, 1);
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

std::int64_t DeadLetters::count(const Context& ctx, const DeadLetterFilter& filter) {
  return database_.query_value<std::int64_t>(ctx, kCount, filter.id, filter.group, filter.topic, filter.type,
                                             filter.key, filter.error_contains, filter.dead_from,
                                             filter.dead_before, filter.redriven_too);
}

RedriveReport DeadLetters::redrive(const Context& ctx, const DeadLetterFilter& filter,
                                   const RedriveOptions& options) {
  DeadLetterFilter open = filter;
  open.redriven_too = false;
  RedriveReport report;
  if (options.dry_run) {
    report.matched = std::min(options.most, static_cast<std::size_t>(count(ctx, open)));
    return report;
  }
  // What dies again while we are at it is a new letter; it is left for the next time.
  if (!open.dead_before) open.dead_before = ctx.clock().wall_now() + std::chrono::microseconds(1);
  const bool limited = options.rate_per_second > 0;
  const std::size_t batch =
      limited
          ? std::clamp<std::size_t>(static_cast<std::size_t>(options.rate_per_second / 10), 1, kRedriveBatch)
          : kRedriveBatch;
  const Instant begun = ctx.now();
  std::string after;
  while (report.matched < options.most) {
    const auto ids = database_.query<std::string>(
        ctx, kIds, open.id, open.group, open.topic, open.type, open.key, open.error_contains, open.dead_from,
        open.dead_before, open.redriven_too, after, std::min(batch, options.most - report.matched));
    if (ids.empty()) break;
    if (limited) {
      const auto due = begun + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(
                                   static_cast<double>(report.matched) / options.rate_per_second));
      if (due > ctx.now()) runtime::sleep_for(ctx, due - ctx.now());
    }
    const WallTime now = ctx.clock().wall_now();
    report.redriven += database_.transact(ctx, "redrive dead letters", [&](sql::Transaction& tx) {
      std::size_t done = 0;
      for (const std::string& id : ids) done += redrive_one(tx, id, now) ? 1 : 0;
      HOLDFAST_FAULT("dead_letters.before_redrive_commit");
      return done;
    });
    report.matched += ids.size();
    after = ids.back();
    if (options.progress) options.progress(report.redriven);
  }
  return report;
}

}  // namespace holdfast::messaging
