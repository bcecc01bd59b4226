#include "holdfast/messaging/message.hpp"

#include <utility>

#include "holdfast/observe/trace.hpp"

namespace holdfast::messaging {

int bucket_of(std::string_view key) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : key) {
    hash ^= static_cast<std::uint8_t>(c);
    hash *= 0x100000001b3ULL;
  }
  // FNV's low bits are its weakest; the high half is mixed in before they are cut off.
  hash ^= hash >> 32;
  hash ^= hash >> 16;
  return static_cast<int>(hash % kBuckets);
}

std::string_view Message::header(std::string_view name) const noexcept {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

Context context_for(const Context& ctx, const Message& message, Random& random,
                    runtime::CancellationToken cancellation) {
  const auto sender = observe::parse_traceparent(message.header(kTraceparentHeader));
  Context::Request request;
  request.deadline = ctx.deadline();
  request.cancellation = cancellation.can_be_cancelled() ? std::move(cancellation) : ctx.cancellation();
  request.trace = sender ? sender->child(random) : observe::TraceContext::start(random);
  request.request_id = std::string(message.header(kRequestIdHeader));
  request.priority = Priority::background;
  return ctx.for_request(std::move(request));
}

}  // namespace holdfast::messaging
