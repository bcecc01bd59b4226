// Any text as a server's URL or an entry of the roll: refused, or what is read is written the same again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/rabbitmq/internal/roll.hpp"
#include "holdfast/messaging/rabbitmq/internal/server_address.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast::messaging::rabbitmq;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const ServerAddress server = parse_server(text);
    const ServerAddress again = parse_server(server.shown());
    if (again.host != server.host || again.port != server.port || again.tls != server.tls) std::abort();
  } catch (const holdfast::Error&) {
    // refused
  }
  Roll roll;
  if (roll.add(text) != (roll.size() == 1)) std::abort();
  return 0;
}
