// Any bytes as the headers of a broker's message: refused, or a message that survives the way there and back.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/internal/wire.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast::messaging;
  WireHeaders headers;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {  // "name:value\n" …
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t colon = line.find(':');
    headers.emplace_back(line.substr(0, colon),
                         colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  try {
    const Message message = from_wire(headers, "{}");
    const Message again = from_wire(to_wire(message), "{}");
    if (again.id != message.id || again.key != message.key || again.position != message.position ||
        again.headers != message.headers || again.occurred_at != message.occurred_at)
      std::abort();
  } catch (const holdfast::Error&) {
    // refused
  }
  return 0;
}
