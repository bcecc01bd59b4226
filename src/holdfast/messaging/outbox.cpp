#include "holdfast/messaging/outbox.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/base/fault.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/messaging/internal/names.hpp"

namespace holdfast::messaging {
namespace {

std::string headers_json(const Context& ctx, const Headers& headers) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  for (const auto& [name, value] : headers) {
    if (name != kTraceparentHeader && name != kRequestIdHeader) json.member(name, value);
  }
  if (ctx.trace().valid()) json.member(kTraceparentHeader, ctx.trace().traceparent());
  if (!ctx.request_id().empty()) json.member(kRequestIdHeader, ctx.request_id());
  json.end_object();
  return text;
}

void require_fits(std::string_view what, std::size_t size, std::size_t most) {
  if (size <= most) return;
  throw Error(ErrorCode::invalid_argument, "A message's " + std::string(what) + " has " +
                                               std::to_string(size) + " bytes; at most " +
                                               std::to_string(most) + " are taken.")
      .reason("message_invalid");
}

}  // namespace

Outbox::Outbox(const Clock& clock, Random& random, observe::Metrics& metrics)
    : ids_(clock, random),
      published_(
          metrics.counter("holdfast_messaging_published_total",
                          "Messages written to the outbox, those of transactions undone later included.")) {}

std::string Outbox::publish(const Context& ctx, sql::Transaction& tx, const OutgoingMessage& message) {
  require_name("topic", message.topic);
  require_short("key", message.key);
  require_name("type", message.type);
  require_fits("payload", message.payload.size(), kMaxPayloadBytes);
  const std::string headers = headers_json(ctx, message.headers);
  require_fits("headers", headers.size(), kMaxHeadersBytes);

  std::string id = ids_.make<MessageId>().text();
  tx.execute(
      "insert into outbox(id, topic, key, bucket, type, version, headers, payload, occurred_at) "
      "values($1, $2, $3, $4, $5, $6, $7, $8, $9)",
      id, message.topic, message.key, bucket_of(message.key), message.type, message.version, headers,
      message.payload, ctx.clock().wall_now());
  HOLDFAST_FAULT("outbox.after_insert");
  tx.after_commit(committed_);
  published_.add();
  return id;
}

}  // namespace holdfast::messaging
