// Translation between our words and the old carrier's: fixed forms of `NAME=value` lines, KUNNR padded to
// ten digits, dates as 2023.12.31, street|city|state|zip, amounts as text, one-letter states. The only
// place that knows them, together with the adapter that sends the forms.
//
//   const auto form = legacy::write_booking(request, "4711");        // Translated<std::string>
//   const auto answer = legacy::read_answer(body, "4711");           // Translated<Answer>
//   if (!answer) log(answer.fault().text());
//
// Every function is total: whatever comes in, a value or a Fault comes out; nothing is thrown, nothing
// guessed. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "orders/modules/shipping/carrier.hpp"

namespace holdfast::orders::shipping::legacy {

enum class FaultKind : std::uint8_t {
  not_text,       ///< not UTF-8, or more than kMaxFormBytes
  not_a_field,    ///< a line without '='
  missing_field,  ///< the form has another field, or none, where this one belongs
  left_over,      ///< lines after the end of the form
  empty_field,
  too_long,
  control_character,
  bad_number,
  bad_date,
  bad_amount,
  bad_address,  ///< not four parts between pipes
  bad_escape,   ///< a backslash before something else than '|' or '\'
  bad_code,     ///< a state or return code that the form does not know
  foreign,      ///< somebody else's: another customer's number
};
HOLDFAST_DESCRIBE_ENUM(FaultKind, not_text, not_a_field, missing_field, left_over, empty_field, too_long,
                       control_character, bad_number, bad_date, bad_amount, bad_address, bad_escape, bad_code,
                       foreign)

/// What can't be translated: in which field of theirs. For the log, not for customers.
struct Fault {
  FaultKind kind = FaultKind::not_text;
  std::string field;
  std::string text() const;  ///< "bad_date in LFDAT"
  bool operator==(const Fault&) const = default;
};

/// A value, or why there is none.
template <class T>
class Translated {
 public:
  Translated(T value) : held_(std::in_place_index<0>, std::move(value)) {}
  Translated(Fault fault) : held_(std::in_place_index<1>, std::move(fault)) {}
  explicit operator bool() const noexcept { return held_.index() == 0; }
  const T& operator*() const { return std::get<0>(held_); }
  T& operator*() { return std::get<0>(held_); }
  const T* operator->() const { return &std::get<0>(held_); }
  const Fault& fault() const { return std::get<1>(held_); }

 private:
  std::variant<T, Fault> held_;
};

inline constexpr std::size_t kMaxFormBytes = 256 * 1024;
inline constexpr std::size_t kMaxBookings = 100;  // of one answer
inline constexpr std::size_t kMaxParcels = 500;

// The words themselves. `field` is what a Fault names.

/// "4711" → "0000004711". Ten digits at most, not all of them 0.
Translated<std::string> write_customer_number(std::string_view number);
/// The opposite: exactly ten digits.
Translated<std::string> read_customer_number(std::string_view text);

/// 2023.12.31; 0000.00.00 is "not known".
std::string write_date(const std::optional<DeliveryDate>& date);
Translated<std::optional<DeliveryDate>> read_date(std::string_view text, std::string_view field);

/// "12.50" of 1250 pence, "1250" of 1250 yen, "1.250" of 1250 fils: ISO 4217's decimals, two where the
/// currency is not in our table. Refuses what is negative.
Translated<std::string> write_amount(const Money& amount);
Translated<Money> read_amount(std::string_view text, Currency currency);

/// street|city|state|zip, a pipe or backslash within a part escaped by a backslash.
Translated<std::string> write_address(const Place& place);
Translated<Place> read_address(std::string_view text, std::string_view field);

/// A accepted, U under way, Z delivered, S cancelled.
Translated<BookingStatus> read_status(std::string_view letter);

// The forms.

/// What their return code means to us.
enum class Verdict : std::uint8_t {
  done,
  not_served,     ///< they don't deliver there
  not_ours,       ///< our customer number or password is wrong
  not_a_form,     ///< they could not read what we sent
  too_late,       ///< it is delivered, and can't be cancelled
  no_such_thing,  ///< they have no shipment of that number
  busy,           ///< nothing was done; later
  broken,         ///< something went wrong there; it may have been done
};

struct Answer {
  Verdict verdict = Verdict::broken;
  std::vector<Booking> bookings;
};

/// What of a destination does not fit into their forms, by our names ("/postalCode").
std::vector<FieldViolation> faults_of(const Destination& destination);

Translated<std::string> write_booking(const BookingRequest& request, std::string_view customer_number);
Translated<std::string> write_question(std::string_view reference, std::string_view customer_number);
Translated<std::string> write_cancellation(std::string_view carrier_ref, std::string_view customer_number);
Translated<Answer> read_answer(std::string_view form, std::string_view customer_number);

}  // namespace holdfast::orders::shipping::legacy
