// Whatever the text is, it is an address or an Error; what an address shows can be read again.
#include "holdfast/redis/address.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/base/invariant.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  try {
    const redis::Address address = redis::parse_address({reinterpret_cast<const char*>(data), size});
    if (address.path.find('?') != std::string::npos ||
        address.host.find_first_of("@[]?/:") != std::string::npos)
      return 0;
    const redis::Address again = redis::parse_address(address.shown());
    require_invariant(again.host == address.host && again.port == address.port &&
                          again.path == address.path && again.database == address.database,
                      "what is shown is read as the same");
  } catch (const Error&) {
  }
  return 0;
}
