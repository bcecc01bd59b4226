// Any bytes: an answer within its bounds, or a Fault that names a field. And what is written is read back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "orders/modules/shipping/legacy_translation.hpp"

namespace {

using namespace holdfast::orders::shipping;

void check(bool holds) {
  if (!holds) std::abort();
}

void read_any_answer(std::string_view text) {
  const auto answer = legacy::read_answer(text, "4711");
  if (!answer) return check(!answer.fault().field.empty());
  check(answer->bookings.size() <= legacy::kMaxBookings);
  for (const Booking& booking : answer->bookings) {
    check(!booking.carrier_ref.empty() && !booking.reference.empty());
    const auto written = legacy::write_address(booking.delivers_to);
    check(written && *legacy::read_address(*written, "ADRESSE") == booking.delivers_to);
    const auto date = legacy::read_date(legacy::write_date(booking.expected_delivery), "LFDAT");
    check(date && *date == booking.expected_delivery);
  }
}

/// The parts of `text` between NULs as an order's address: refused by name, or a form of one line a field.
void write_any_booking(std::string_view text) {
  BookingRequest request;
  request.reference = "r";
  for (std::string* part :
       {&request.destination.name, &request.destination.line1, &request.destination.line2,
        &request.destination.city, &request.destination.region, &request.destination.postal_code}) {
    const std::size_t end = text.find('\0');
    part->assign(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  request.destination.country = "GB";
  const bool fits = legacy::faults_of(request.destination).empty();
  const auto form = legacy::write_booking(request, "4711");
  check(static_cast<bool>(form) == fits);
  if (!form) return;
  std::size_t lines = 0;
  for (const char c : *form) lines += c == '\n' ? 1U : 0U;
  check(lines == 11);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_any_answer(text);
  write_any_booking(text);
  const auto address = legacy::read_address(text, "ADRESSE");
  if (address) {
    const auto written = legacy::write_address(*address);
    check(written && *written == text);
  }
  const auto amount = legacy::read_amount(text, holdfast::Currency::of("GBP"));
  if (amount) check(*legacy::write_amount(*amount) == text);
  return 0;
}
