#include "holdfast/messaging/embedded/internal/heard.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/internal/headers.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging::embedded {
namespace {

std::size_t size_of(const Message& message) {
  return sizeof(Message) + message.payload.size() + message.id.size() + message.key.size() +
         message.type.size() + message.topic.size();
}

[[noreturn]] void no_row(const std::string& what) {
  throw Error(ErrorCode::internal, "A row of the outbox can't be read.").cause(what);
}

}  // namespace

void Heard::begin(std::int64_t position) noexcept {
  heard_any_ = true;
  from_ = last_ = position;
}

void Heard::add(Message&& message) {
  if (message.position <= last_) return;
  if (!heard_any_) from_ = message.position - 1;
  heard_any_ = true;
  last_ = message.position;
  bytes_ += size_of(message);
  messages_.push_back(std::move(message));
  while (messages_.size() > max_messages_ || bytes_ > max_bytes_) {
    from_ = messages_.front().position;
    bytes_ -= size_of(messages_.front());
    messages_.pop_front();
  }
}

void Heard::forget() noexcept {
  messages_.clear();
  bytes_ = 0;
  heard_any_ = false;
  from_ = last_ = 0;
}

ReadResult Heard::read(const Cohort& cohort, const std::vector<std::string>& topics, std::size_t most) const {
  const bool every = topics.size() == 1 && topics.front() == kEveryTopic;
  ReadResult result;
  result.read_to = std::max(cohort.read_to, last_);
  auto next = std::upper_bound(messages_.begin(), messages_.end(), cohort.read_to,
                               [](std::int64_t position, const Message& m) { return position < m.position; });
  for (; next != messages_.end(); ++next) {
    if ((cohort.buckets & mask_of(bucket_of(next->key))) == 0) continue;
    if (!every && std::find(topics.begin(), topics.end(), next->topic) == topics.end()) continue;
    if (result.messages.size() == most) {
      result.read_to = result.messages.back().position;
      result.more = true;
      break;
    }
    result.messages.push_back(*next);
  }
  return result;
}

Message message_of(const sql::postgres::Pgoutput::Change& change) {
  const auto value = [&](std::string_view column) -> std::string_view {
    for (std::size_t i = 0; i < change.relation->columns.size(); ++i) {
      if (change.relation->columns[i] == column && change.values[i]) return *change.values[i];
    }
    no_row("it has no " + std::string(column));
  };
  const auto number = [&](std::string_view column) {
    const std::string_view text = value(column);
    std::int64_t parsed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (error != std::errc{} || end != text.data() + text.size())
      no_row(std::string(column) + " is no number");
    return parsed;
  };
  Message message;
  message.id = value("id");
  message.topic = value("topic");
  message.key = value("key");
  message.type = value("type");
  message.version = static_cast<std::int32_t>(number("version"));
  message.headers = parse_headers(std::string(value("headers")));
  message.payload = value("payload");
  message.occurred_at = WallTime(std::chrono::microseconds(number("occurred_at")));
  message.position = number("position");
  message.attempt = 1;
  return message;
}

}  // namespace holdfast::messaging::embedded
