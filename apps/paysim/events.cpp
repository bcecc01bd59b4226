#include "paysim/events.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/base/json.hpp"
#include "paysim/intent.hpp"

namespace holdfast::paysim {
namespace {

constexpr std::string_view kApiVersion = "2023-10-16";  // of Stripe's API that the shapes are taken from

void write_text_or_null(JsonWriter& writer, std::string_view name, const std::string& value) {
  writer.key(name);
  if (value.empty()) {
    writer.null();
  } else {
    writer.value(value);
  }
}

}  // namespace

void Events::send(std::vector<std::string> types) {
  const std::lock_guard lock(mutex_);
  sent_types_ = std::move(types);
}

bool Events::sends(std::string_view type) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(sent_types_.begin(), sent_types_.end(),
                     [&](const std::string& sent) { return sent == "*" || sent == type; });
}

void Events::record(sql::Transaction& tx, std::string_view type, std::string_view intent_id,
                    std::string_view object_json, const Origin& origin) {
  const std::string id = ids_.make<Id<"evt">>().text();
  const WallTime now = clock_.wall_now();
  const bool sent = sends(type);
  std::string body;
  body.reserve(object_json.size() + 400);
  JsonWriter writer(body);
  writer.begin_object().member("id", id).member("object", "event").member("api_version", kApiVersion);
  writer.member("created", unix_seconds(now)).key("data").begin_object();
  writer.key("object").raw(object_json).end_object().member("livemode", false);
  writer.member("pending_webhooks", sent ? 1 : 0).key("request").begin_object();
  write_text_or_null(writer, "id", origin.request_id);
  write_text_or_null(writer, "idempotency_key", origin.idempotency_key);
  writer.end_object().member("type", type).end_object();
  tx.execute("insert into events (id, type, object_id, body, created_at) values ($1, $2, $3, $4, $5)", id,
             type, intent_id, body, now);
  if (!sent) return;
  for (const Duration late : behaviour_.webhook_times()) {
    tx.execute(
        "insert into deliveries (id, event_id, intent_id, state, due_at, attempts, outcome) values ($1, $2, "
        "$3, "
        "'pending', $4, 0, '')",
        ids_.make<Id<"dlv">>().text(), id, intent_id,
        now + std::chrono::duration_cast<std::chrono::microseconds>(late));
  }
  tx.after_commit(due_);
}

}  // namespace holdfast::paysim
