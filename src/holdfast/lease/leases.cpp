#include "holdfast/lease/leases.hpp"

#include <string>

#include "holdfast/base/error.hpp"

namespace holdfast::lease {

void Leases::require_sound(std::string_view name, std::string_view holder, Duration time) {
  const auto fits = [](std::string_view text) { return !text.empty() && text.size() <= kMaxNameBytes; };
  if (fits(name) && fits(holder) && time >= std::chrono::milliseconds(1)) return;
  throw Error(ErrorCode::invalid_argument, "A lease needs a name and a holder of 1 to 200 bytes, and a time.")
      .reason("bad_lease");
}

}  // namespace holdfast::lease
