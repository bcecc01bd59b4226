#include "orders/modules/shipping/legacy_translation.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "holdfast/base/utf8.hpp"

namespace holdfast::orders::shipping::legacy {
namespace {

/// How long their fields are, in characters, and what we call them.
struct Width {
  std::string_view pointer;
  std::string Destination::*member;
  std::string_view field;
  std::size_t least;
  std::size_t most;
};
constexpr std::array<Width, 7> kWidths = {{
    {"/name", &Destination::name, "NAME1", 1, 60},
    {"/line1", &Destination::line1, "ADRESSE", 1, 60},
    {"/line2", &Destination::line2, "NAME2", 0, 60},
    {"/city", &Destination::city, "ADRESSE", 1, 40},
    {"/region", &Destination::region, "ADRESSE", 0, 40},
    {"/postalCode", &Destination::postal_code, "ADRESSE", 1, 10},
    {"/country", &Destination::country, "LAND1", 2, 2},
}};
constexpr std::size_t kMaxReferenceChars = 64;
constexpr std::size_t kMaxCarrierRefChars = 20;
constexpr std::size_t kMaxTrackingChars = 40;
constexpr std::size_t kMaxTextChars = 400;  // of an answer's address, escapes included

std::optional<FaultKind> fault_of_text(std::string_view text, std::size_t least, std::size_t most) {
  if (!is_valid_utf8(text)) return FaultKind::not_text;
  if (has_control_characters(text)) return FaultKind::control_character;
  const std::size_t length = code_points(text);
  if (length < least) return FaultKind::empty_field;
  if (length > most) return FaultKind::too_long;
  return std::nullopt;
}

/// Writes a form line by line; remembers the first fault.
class FormWriter {
 public:
  explicit FormWriter(std::string_view form) { line("FORM", form); }

  FormWriter& text(std::string_view field, std::string_view value, std::size_t least, std::size_t most) {
    if (const auto kind = fault_of_text(value, least, most)) fail({*kind, std::string(field)});
    return line(field, value);
  }
  FormWriter& translated(std::string_view field, const Translated<std::string>& value) {
    if (value) return line(field, *value);
    fail(value.fault());
    return *this;
  }
  FormWriter& line(std::string_view field, std::string_view value) {
    out_.append(field).append("=").append(value).append("\n");
    return *this;
  }
  void fail(Fault fault) {
    if (!fault_) fault_ = std::move(fault);
  }
  Translated<std::string> finish() && {
    if (fault_) return *std::move(fault_);
    if (out_.size() > kMaxFormBytes) return Fault{FaultKind::too_long, "FORM"};
    return std::move(out_);
  }

 private:
  std::string out_;
  std::optional<Fault> fault_;
};

/// Reads a form's lines in their order. After the first fault everything is empty, and fault() says why.
class FormReader {
 public:
  explicit FormReader(std::string_view form) : rest_(form) {
    if (form.size() > kMaxFormBytes || !is_valid_utf8(form)) fail({FaultKind::not_text, "FORM"});
  }

  std::string_view text(std::string_view field, std::size_t least, std::size_t most) {
    const std::string_view value = next(field);
    if (fault_) return {};
    if (const auto kind = fault_of_text(value, least, most)) {
      fail({*kind, std::string(field)});
      return {};
    }
    return value;
  }

  std::size_t count(std::string_view field, std::size_t most) {
    const std::string_view value = text(field, 1, 10);
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (fault_) return 0;
    if (error != std::errc{} || end != value.data() + value.size() || number > most) {
      fail({FaultKind::bad_number, std::string(field)});
      return 0;
    }
    return number;
  }

  template <class T>
  T take(Translated<T> value) {
    if (fault_) return T{};
    if (value) return std::move(*value);
    fail(value.fault());
    return T{};
  }

  void fail(Fault fault) {
    if (!fault_) fault_ = std::move(fault);
  }
  bool failed() const noexcept { return fault_.has_value(); }
  void end() {
    if (!fault_ && !rest_.empty()) fail({FaultKind::left_over, "FORM"});
  }
  const std::optional<Fault>& fault() const noexcept { return fault_; }

 private:
  /// The value of the next line, which must be that field's.
  std::string_view next(std::string_view field) {
    if (fault_) return {};
    const std::size_t end = rest_.find('\n');
    std::string_view line = rest_.substr(0, end);
    if (end == std::string_view::npos || line.empty()) {
      fail({FaultKind::missing_field, std::string(field)});
      return {};
    }
    rest_.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      fail({FaultKind::not_a_field, std::string(field)});
      return {};
    }
    if (line.substr(0, equals) != field) {
      fail({FaultKind::missing_field, std::string(field)});
      return {};
    }
    return line.substr(equals + 1);
  }

  std::string_view rest_;
  std::optional<Fault> fault_;
};

Translated<Verdict> read_code(std::string_view code) {
  struct Known {
    std::string_view code;
    Verdict verdict;
  };
  constexpr std::array<Known, 8> kKnown = {{{"00", Verdict::done},
                                            {"04", Verdict::not_served},
                                            {"05", Verdict::not_ours},
                                            {"06", Verdict::not_a_form},
                                            {"07", Verdict::too_late},
                                            {"08", Verdict::no_such_thing},
                                            {"12", Verdict::busy},
                                            {"16", Verdict::broken}}};
  for (const Known& known : kKnown) {
    if (known.code == code) return known.verdict;
  }
  return Fault{FaultKind::bad_code, "RC"};
}

Booking read_one(FormReader& form) {
  Booking booking;
  booking.carrier_ref = form.text("SNDNR", 1, kMaxCarrierRefChars);
  booking.reference = form.text("XREF", 1, kMaxReferenceChars);
  booking.tracking_number = form.text("BOLNR", 1, kMaxTrackingChars);
  booking.status = form.take(read_status(form.text("STATUS", 1, 1)));
  booking.expected_delivery = form.take(read_date(form.text("LFDAT", 1, 10), "LFDAT"));
  booking.delivers_to = form.take(read_address(form.text("ADRESSE", 1, kMaxTextChars), "ADRESSE"));
  return booking;
}

}  // namespace

std::vector<FieldViolation> faults_of(const Destination& destination) {
  std::vector<FieldViolation> faults;
  for (const Width& width : kWidths) {
    const auto kind = fault_of_text(destination.*width.member, width.least, width.most);
    if (!kind) continue;
    faults.push_back({std::string(width.pointer), std::string(enum_name(*kind)),
                      "must have " + std::to_string(width.least) + " to " + std::to_string(width.most) +
                          " characters, none of them a control character, for the carrier"});
  }
  return faults;
}

Translated<std::string> write_booking(const BookingRequest& request, std::string_view customer_number) {
  const Destination& to = request.destination;
  FormWriter form("SNDNEU");
  form.translated("KUNNR", write_customer_number(customer_number));
  form.text("XREF", request.reference, 1, kMaxReferenceChars);
  for (const Width& width : kWidths) {
    if (const auto kind = fault_of_text(to.*width.member, width.least, width.most)) {
      form.fail({*kind, std::string(width.field)});
    }
  }
  form.line("NAME1", to.name).line("NAME2", to.line2);
  form.translated("ADRESSE", write_address(place_of(to)));
  form.line("LAND1", to.country);
  form.translated("NETWR", write_amount(request.declared_value));
  form.line("WAERK", request.declared_value.currency.text());
  form.line("X_FLAG_2", request.declared_value.minor > 0 ? "X" : "");  // insured at that value
  if (request.parcels.size() > kMaxParcels) form.fail({FaultKind::bad_number, "ANZPOS"});
  form.line("ANZPOS", std::to_string(request.parcels.size()));
  for (const Parcel& parcel : request.parcels) {
    if (parcel.quantity < 1) form.fail({FaultKind::bad_number, "MENGE"});
    form.text("MATNR", parcel.sku, 1, 64).line("MENGE", std::to_string(parcel.quantity));
  }
  return std::move(form).finish();
}

Translated<std::string> write_question(std::string_view reference, std::string_view customer_number) {
  FormWriter form("SNDAUS");
  form.translated("KUNNR", write_customer_number(customer_number));
  form.text("XREF", reference, 1, kMaxReferenceChars);
  return std::move(form).finish();
}

Translated<std::string> write_cancellation(std::string_view carrier_ref, std::string_view customer_number) {
  FormWriter form("SNDSTO");
  form.translated("KUNNR", write_customer_number(customer_number));
  form.text("SNDNR", carrier_ref, 1, kMaxCarrierRefChars);
  return std::move(form).finish();
}

Translated<Answer> read_answer(std::string_view text, std::string_view customer_number) {
  FormReader form(text);
  if (form.text("FORM", 1, 10) != "SNDANT") form.fail({FaultKind::bad_code, "FORM"});
  Answer answer;
  answer.verdict = form.take(read_code(form.text("RC", 2, 2)));
  const std::string owner = form.take(read_customer_number(form.text("KUNNR", 1, 10)));
  const auto ours = write_customer_number(customer_number);
  if (!ours) form.fail(ours.fault());
  if (!form.failed() && *write_customer_number(owner) != *ours) {
    form.fail({FaultKind::foreign, "KUNNR"});
  }
  const std::size_t bookings = form.count("ANZSND", kMaxBookings);
  for (std::size_t i = 0; i < bookings && !form.failed(); ++i) answer.bookings.push_back(read_one(form));
  form.end();
  if (form.fault()) return *form.fault();
  return answer;
}

}  // namespace holdfast::orders::shipping::legacy
