// Any bytes as a blob store's answer: read or refused, within the limits; what is escaped reads back.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "holdfast/base/error.hpp"
#include "holdfast/base/utf8.hpp"
#include "holdfast/blob/internal/xml.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast::blob;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    parse_xml(text);
  } catch (const holdfast::Error&) {
    // refused
  }
  if (holdfast::is_valid_utf8(text) && parse_xml("<a>" + escape_xml(text) + "</a>").text != text)
    std::abort();
  return 0;
}
