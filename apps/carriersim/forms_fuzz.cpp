// Any bytes: a wish within its bounds, or BadForm.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "carriersim/book.hpp"
#include "carriersim/forms.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast::carriersim;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Wish wish = read_wish(text);
    if (wish.reference.empty() || wish.parcels < 0) std::abort();
    if (!fault_of_address(wish.address).empty()) std::abort();
  } catch (const BadForm& bad) {
    if (*bad.what() == '\0') std::abort();
  }
  return 0;
}
