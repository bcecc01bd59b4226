#include "holdfast/messaging/redis/internal/reader.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/redis/internal/entries.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::redis_streams {
namespace {

using holdfast::redis::Commands;
using holdfast::redis::Reply;

constexpr std::size_t kMostEntries = 2048;            ///< of one answer
constexpr Duration kBlock = std::chrono::seconds(2);  ///< the server waits for so long
constexpr Duration kIdle = std::chrono::seconds(1);   ///< with no bucket to ask for
constexpr Duration kAskAgain =
    std::chrono::milliseconds(2);  ///< an UNBLOCK may come before what it is to end

}  // namespace

StreamReader::StreamReader(Log& log, const SubscriptionOptions& options)
    : log_(log), options_(options), entries_(kMostEntries) {
  log_.add_reader(this);
}

StreamReader::~StreamReader() {
  log_.remove_reader(this);
  stop();
}

void StreamReader::start() {
  if (std::exchange(started_, true)) return;
  log_.runtime().spawn_on(log_.options().loop, "redis stream reader", [this] { run(); });
}

void StreamReader::stop() noexcept {
  if (!started_) return;
  cancellation_.cancel();
  wake_.notify();
  ended_.wait(log_.runtime().context(), "ending a reader of Redis");
}

void StreamReader::open(int number, std::int64_t position, const std::string& /*cursor*/) {
  buckets_[static_cast<std::size_t>(number)] =
      std::make_unique<Bucket>(Bucket{.number = number,
                                      .opening = ++openings_,
                                      .passed = position,
                                      .after = std::to_string(position) + "-0",
                                      .told = 0});
  wake_.notify();
}

void StreamReader::close(int number) noexcept { buckets_[static_cast<std::size_t>(number)].reset(); }

bool StreamReader::wanted(const std::string& topic) const noexcept {
  return options_.topics.front() == kEveryTopic ||
         std::ranges::find(options_.topics, topic) != options_.topics.end();
}

// ---- asking

std::vector<StreamReader::Asked> StreamReader::choose() {
  std::vector<Asked> asked;
  const std::string& identity = log_.identity();
  for (int i = 0; i < kBuckets; ++i) {
    const auto& bucket = buckets_[static_cast<std::size_t>((turn_ + i) % kBuckets)];
    if (!bucket) continue;
    if (!identity.empty() &&
        bucket->identity != identity) {  // ids of foreign entries mean nothing in this one
      bucket->identity = identity;
      bucket->after = std::to_string(bucket->passed) + "-0";
    }
    bucket->left_out = bucket->waiting.size() * 2 > options_.read_ahead || asked.size() >= entries_;
    if (bucket->left_out) continue;
    asked.push_back({.number = bucket->number, .opening = bucket->opening, .after = bucket->after});
  }
  if (asked.size() >= entries_) turn_ = asked.back().number + 1;
  return asked;
}

std::vector<Reply> StreamReader::ask(const Context& ctx, holdfast::redis::Client& client,
                                     const std::vector<Asked>& asked, Duration block) {
  const std::size_t room = std::max<std::size_t>(1, options_.read_ahead / 2);
  const std::string count = std::to_string(std::clamp<std::size_t>(entries_ / asked.size(), 1, room));
  const std::string wait =
      std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(block).count());
  std::vector<std::string_view> words{"XREAD", "COUNT", count};
  if (block > Duration(0)) words.insert(words.end(), {"BLOCK", wait});
  words.emplace_back("STREAMS");
  for (const Asked& one : asked) words.emplace_back(log_.stream(one.number));
  for (const Asked& one : asked) words.emplace_back(one.after);
  Commands commands;
  commands.add(words);
  try {
    return client.commands(ctx, commands, {.idempotent = true});
  } catch (const Error& error) {
    if (error.reason() == "redis_reply_too_large") entries_ = std::max<std::size_t>(1, entries_ / 4);
    throw;
  }
}

/// False where no bucket wants anything. `seen`: wake_'s version before the buckets were looked at.
bool StreamReader::read_some(const Context& ctx, holdfast::redis::Client& client, std::uint64_t seen) {
  const std::vector<Asked> asked = choose();
  if (asked.empty()) return false;
  if (take(ask(ctx, client, asked, Duration(0)).front(), asked)) return true;
  blocked_as_ = client.command(ctx, {"CLIENT", "ID"}).as_integer();
  blocked_seen_ = seen;
  if (wake_.version() != seen) {
    blocked_as_ = 0;
    return true;
  }
  try {
    const std::vector<Reply> replies = ask(ctx, client, asked, kBlock);
    blocked_as_ = 0;
    take(replies.front(), asked);
  } catch (...) {
    blocked_as_ = 0;
    throw;
  }
  return true;
}

void StreamReader::run() {
  const Context ctx = log_.runtime().context().with_cancellation(cancellation_.token());
  try {
    const auto client = log_.make_reading_client(kBlock);
    runtime::FiberGroup fibers(ctx);
    fibers.spawn("redis stream unblocker", [this](const Context& own) { run_unblocker(own); });
    for (std::uint32_t tries = 0; !ctx.cancelled();) {
      const std::uint64_t seen = wake_.version();
      Duration wait = kIdle;
      try {
        if (read_some(ctx, *client, seen)) {
          tries = 0;
          continue;
        }
      } catch (const std::exception& error) {
        if (ctx.cancelled()) break;
        log_.read_failures.add();
        if (tries == 0)
          log_.logger().warn(ctx, "the streams in Redis can't be read now; it is tried again until they can",
                             {{"group", options_.group}, {"error", error.what()}});
        wait = resilience::backoff_delay(log_.options().reconnect, tries++, log_.runtime().random());
      }
      wake_.wait_past(ctx.with_timeout(wait), seen, "waiting for buckets to read");
    }
    fibers.cancel();
  } catch (const std::exception& error) {
    log_.logger().error("a reader of Redis ended with an error", {{"error", error.what()}});
  }
  ended_.open();
}

void StreamReader::run_unblocker(const Context& ctx) {
  while (!ctx.cancelled()) {
    const std::uint64_t seen = wake_.version();
    while (blocked_as_ != 0 && blocked_seen_ != wake_.version() && !ctx.cancelled()) {
      static_cast<void>(log_.client().try_command(ctx, {"CLIENT", "UNBLOCK", std::to_string(blocked_as_)}));
      runtime::sleep_for(ctx, kAskAgain);
    }
    wake_.wait_past(ctx, seen, "waiting for other buckets to read");
  }
}

// ---- what comes

bool StreamReader::take_one(Bucket& bucket, const Reply& entry) {
  if (entry.kind != Reply::Kind::array || entry.elements.empty()) return false;
  bucket.after = entry.elements.front().text;
  try {
    Message message = message_of(bucket.number, entry);
    head_ = std::max(head_, message.position);
    if (message.position <= bucket.passed) return false;
    bucket.passed = message.position;
    if (wanted(message.topic)) bucket.waiting.push_back(std::move(message));
    return true;
  } catch (const Error& error) {
    log_.malformed.add();
    log_.logger().warn(
        "an entry of a stream in Redis is passed over",
        {{"stream", log_.stream(bucket.number)}, {"id", bucket.after}, {"error", error.what()}});
    return false;
  }
}

/// True where there was anything.
bool StreamReader::take(const Reply& reply, const std::vector<Asked>& asked) {
  if (reply.error()) throw holdfast::redis::to_error(reply);
  if (reply.nil()) return false;
  entries_ = std::min(kMostEntries, entries_ + entries_ / 8 + 1);
  bool news = false;
  for (const Reply& of_stream : reply.as_array()) {
    if (of_stream.elements.size() != 2) continue;
    const auto one = std::ranges::find_if(
        asked, [&](const Asked& a) { return log_.stream(a.number) == of_stream.elements[0].text; });
    if (one == asked.end()) continue;
    const auto& bucket = buckets_[static_cast<std::size_t>(one->number)];
    if (!bucket || bucket->opening != one->opening || bucket->after != one->after) continue;  // not any more
    for (const Reply& entry : of_stream.elements[1].elements) news = take_one(*bucket, entry) || news;
  }
  if (news) changed_.notify();
  return true;
}

// ---- the Reader

std::vector<ReadResult> StreamReader::read(const Context& /*ctx*/, const std::vector<Cohort>& cohorts,
                                           std::int64_t& head) {
  head = std::max(head, head_);
  const std::size_t most = std::max<std::size_t>(1, options_.read_ahead / 2);
  bool room = false;
  std::vector<ReadResult> results;
  for (const Cohort& cohort : cohorts) {
    ReadResult result;
    for (const auto& bucket : buckets_) {
      if (!bucket || (cohort.buckets & mask_of(bucket->number)) == 0) continue;
      for (std::size_t i = 0; i < most && !bucket->waiting.empty(); ++i) {
        result.messages.push_back(std::move(bucket->waiting.front()));
        bucket->waiting.pop_front();
      }
      if (bucket->waiting.empty()) result.passed.emplace_back(bucket->number, bucket->passed);
      room = room || (bucket->left_out && bucket->waiting.size() * 2 <= options_.read_ahead);
    }
    results.push_back(std::move(result));
  }
  if (room) wake_.notify();
  return results;
}

void StreamReader::recorded(int number, std::int64_t position) {
  const auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket || bucket->told >= position) return;
  bucket->told = position;
  log_.recorded(options_.group, number, position);
}

}  // namespace holdfast::messaging::redis_streams
