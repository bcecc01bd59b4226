// Whatever a server sends, in whatever pieces: replies, or an Error; nothing grows past its limit.
#include "holdfast/redis/internal/reply_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  if (size == 0) return 0;
  const std::size_t piece = data[0] == 0 ? size : data[0];
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  redis::internal::ReplyReader reader(4096);
  try {
    while (!rest.empty()) {
      reader.feed(rest.substr(0, piece));
      rest.remove_prefix(std::min(piece, rest.size()));
      while (const auto reply = reader.next()) (void)reply->error_word();
    }
  } catch (const Error&) {
  }
  return 0;
}
