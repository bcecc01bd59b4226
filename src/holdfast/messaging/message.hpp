// Message: something that happened, told to whoever subscribes. A publisher fills an OutgoingMessage; a
// handler is given the Message it became.
//
//   {.topic = "orders", .key = order.id, .type = "order.placed", .payload = to_json(event)}
//
// Messages of one key are handled in the order of their commits; choose as key the thing whose order
// matters (the order's id). Payloads are JSON, in a shape named by type and version: a change that old
// handlers can't read gets a new version. Thread-safety: values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::messaging {

using MessageId = Id<"msg">;

/// Names in camelCase or as in HTTP: "traceparent", "requestId".
using Headers = std::map<std::string, std::string, std::less<>>;

inline constexpr std::string_view kTraceparentHeader = "traceparent";
inline constexpr std::string_view kRequestIdHeader = "requestId";

inline constexpr std::size_t kMaxPayloadBytes = 1024 * 1024;
inline constexpr std::size_t kMaxHeadersBytes = 16 * 1024;  ///< as JSON
inline constexpr std::size_t kMaxNameBytes = 255;           ///< of a topic, key, type, group

/// Work is shared among workers by these: a key belongs to one of them for ever.
inline constexpr int kBuckets = 64;

/// Stable across processes, machines and versions (FNV-1a, 64 bit, folded).
int bucket_of(std::string_view key) noexcept;

struct OutgoingMessage {
  std::string topic;  ///< letters, digits, '.', '_', '-'; at most kMaxNameBytes
  std::string key;    ///< messages of one key stay in order; at most kMaxNameBytes
  std::string type;   ///< what happened: "order.placed"
  std::int32_t version = 1;
  std::string payload = "null";  ///< JSON, at most kMaxPayloadBytes; not checked again
  Headers headers = {};          ///< traceparent and requestId are added from the Context
};

struct Message {
  std::string id;  ///< "msg_…"; the same at each redelivery
  std::string topic;
  std::string key;
  std::string type;
  std::int32_t version = 1;
  Headers headers;
  std::string payload;
  WallTime occurred_at{};
  std::int64_t position = 0;  ///< in the log; grows with commit order
  int attempt = 1;            ///< of this group, counting this one
  std::string group;          ///< the subscription it is handled for

  /// Empty where there is no such header.
  std::string_view header(std::string_view name) const noexcept;
};

/// The Context of a handler: continues the message's trace with a span of its own, carries its request
/// id, and is cancelled when `cancellation` or `ctx` is.
Context context_for(const Context& ctx, const Message& message, Random& random,
                    runtime::CancellationToken cancellation = {});

}  // namespace holdfast::messaging
