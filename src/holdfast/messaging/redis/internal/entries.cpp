#include "holdfast/messaging/redis/internal/entries.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/internal/wire.hpp"

namespace holdfast::messaging::redis_streams {

Message message_of(int bucket, const holdfast::redis::Reply& entry) {
  const auto malformed = [](const char* what) {
    throw Error(ErrorCode::invalid_argument, what).reason("message_malformed");
  };
  if (entry.elements.size() != 2) malformed("It is no entry of a stream.");
  const std::vector<holdfast::redis::Reply>& fields = entry.elements[1].elements;
  WireHeaders headers;
  std::optional<std::string> payload;
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    if (fields[i].text == kBodyField) {
      payload = fields[i + 1].text;
    } else {
      headers.emplace_back(fields[i].text, fields[i + 1].text);
    }
  }
  if (!payload) malformed("It has no data.");
  Message message = from_wire(headers, std::move(*payload));
  if (bucket_of(message.key) != bucket) malformed("It is in the wrong bucket.");
  if (entry.elements[0].text != std::to_string(message.position) + "-0")
    malformed("Its id is not its position.");
  return message;
}

}  // namespace holdfast::messaging::redis_streams
