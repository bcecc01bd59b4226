// Whatever a server sends, in whatever pieces: frames, or an Error.
#include <algorithm>
#include <cstdint>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/rabbitmq/internal/frames.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast::messaging::rabbitmq;
  if (size == 0) return 0;
  const std::size_t piece = data[0] == 0 ? size : data[0];
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  FrameReader reader;
  try {
    while (!rest.empty()) {
      reader.feed(rest.substr(0, piece));
      rest.remove_prefix(std::min(piece, rest.size()));
      while (reader.next()) {
      }
    }
  } catch (const holdfast::Error&) {
    // refused
  }
  return 0;
}
