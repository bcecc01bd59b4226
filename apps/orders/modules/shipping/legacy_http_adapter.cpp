#include "orders/modules/shipping/legacy_http_adapter.hpp"

#include <optional>
#include <utility>

namespace holdfast::orders::shipping {
namespace {

using legacy::Verdict;

/// A failure of which nobody knows whether something was done before it. Asking does nothing.
CarrierFault uncertain(bool changes) {
  return changes ? CarrierFault::outcome_unknown : CarrierFault::unavailable;
}

CarrierFault fault_of(Verdict verdict, bool changes) {
  switch (verdict) {
    case Verdict::not_served:
    case Verdict::too_late: return CarrierFault::refused;
    case Verdict::not_ours:
    case Verdict::not_a_form:
    case Verdict::no_such_thing: return CarrierFault::rejected;
    case Verdict::busy: return CarrierFault::unavailable;
    case Verdict::broken:
    case Verdict::done: break;
  }
  return uncertain(changes);
}

std::string_view words_for(Verdict verdict) {
  switch (verdict) {
    case Verdict::not_served: return "the address is not served";
    case Verdict::too_late: return "it is delivered";
    case Verdict::not_ours: return "our customer number or password is wrong";
    case Verdict::not_a_form: return "our form could not be read";
    case Verdict::no_such_thing: return "there is no such shipment";
    case Verdict::busy: return "the carrier is busy";
    case Verdict::broken: return "something went wrong at the carrier";
    case Verdict::done: break;
  }
  return "done";
}

/// Whether the request can't have reached them.
bool never_arrived(const Error& error) {
  return error.reason() == "connection_failed" || error.reason() == "host_not_found" ||
         error.reason() == "tls_failed";
}

/// What is no carrier_error() yet, as one.
Error translated(const Error& error, bool changes) {
  if (error.reason().starts_with("carrier_")) return error;
  if (!changes && error.code() != ErrorCode::unavailable) return error;  // the caller's time is over
  return carrier_error(never_arrived(error) ? CarrierFault::unavailable : uncertain(changes), error.what());
}

}  // namespace

LegacyCarrier::LegacyCarrier(http::Client& client, LegacySettings settings, resilience::Pipeline& pipeline)
    : client_(client), settings_(std::move(settings)), pipeline_(pipeline) {}

std::vector<FieldViolation> LegacyCarrier::faults_of(const Destination& destination) const {
  return legacy::faults_of(destination);
}

/// 200 with a form; anything else is not the carrier, or not well.
legacy::Answer LegacyCarrier::understand(Kind kind, const http::ClientResponse& response) const {
  const bool changes = kind == Kind::changes;
  const std::string status = "HTTP " + std::to_string(response.status);
  if (response.status == 429) throw carrier_error(CarrierFault::unavailable, status);
  if (response.status >= 400 && response.status < 500) throw carrier_error(CarrierFault::rejected, status);
  if (response.status != 200) throw carrier_error(uncertain(changes), status);
  auto answer = legacy::read_answer(response.body, settings_.customer_number);
  if (!answer) {
    throw carrier_error(changes ? CarrierFault::outcome_unknown : CarrierFault::malformed,
                        answer.fault().text());
  }
  if (answer->verdict != Verdict::done) {
    throw carrier_error(fault_of(answer->verdict, changes), std::string(words_for(answer->verdict)));
  }
  return std::move(*answer);
}

legacy::Answer LegacyCarrier::attempt(const Context& ctx, Kind kind, std::string_view path,
                                      const std::string& form) {
  http::ClientRequest request{.method = http::Method::post,
                              .url = settings_.url + std::string(path),
                              .headers = {{"Content-Type", "text/plain; charset=utf-8"}},
                              .body = form,
                              .timeout = settings_.timeout,
                              .max_response_bytes = legacy::kMaxFormBytes};
  if (!settings_.secret.empty()) request.headers.push_back({"X-Kennwort", settings_.secret.reveal()});
  try {
    return understand(kind, client_.send(ctx, request));
  } catch (const Error& error) {
    throw translated(error, kind == Kind::changes);
  }
}

legacy::Answer LegacyCarrier::exchange(const Context& ctx, Kind kind, std::string_view path,
                                       const legacy::Translated<std::string>& form) {
  if (!form) throw carrier_error(CarrierFault::refused, form.fault().text());
  bool tried = false;
  try {
    return pipeline_.call(ctx,
                          [&](const Context& own) {
                            tried = true;
                            return attempt(own, kind, path, *form);
                          },
                          {.idempotent = kind == Kind::asks});
  } catch (const Error& error) {
    if (tried) throw translated(error, kind == Kind::changes);
    if (error.code() != ErrorCode::unavailable) throw;
    throw carrier_error(CarrierFault::unavailable, error.what(), error.retry_after());  // nothing was sent
  }
}

Booking LegacyCarrier::book(const Context& ctx, const BookingRequest& request) {
  const legacy::Answer answer = exchange(ctx, Kind::changes, "/cgi-bin/sendung",
                                         legacy::write_booking(request, settings_.customer_number));
  if (answer.bookings.size() != 1 || answer.bookings[0].reference != request.reference ||
      answer.bookings[0].status == BookingStatus::cancelled) {
    throw carrier_error(CarrierFault::outcome_unknown, "the answer is about something else");
  }
  return answer.bookings[0];
}

Booking LegacyCarrier::cancel(const Context& ctx, const std::string& carrier_ref) {
  const legacy::Answer answer = exchange(ctx, Kind::changes, "/cgi-bin/storno",
                                         legacy::write_cancellation(carrier_ref, settings_.customer_number));
  if (answer.bookings.size() != 1 || answer.bookings[0].carrier_ref != carrier_ref ||
      answer.bookings[0].status != BookingStatus::cancelled) {
    throw carrier_error(CarrierFault::outcome_unknown, "the answer is about something else");
  }
  return answer.bookings[0];
}

std::vector<Booking> LegacyCarrier::find(const Context& ctx, const std::string& reference) {
  legacy::Answer answer = exchange(ctx, Kind::asks, "/cgi-bin/auskunft",
                                   legacy::write_question(reference, settings_.customer_number));
  for (const Booking& booking : answer.bookings) {
    if (booking.reference != reference) {
      throw carrier_error(CarrierFault::malformed, "the answer is about something else");
    }
  }
  return std::move(answer.bookings);
}

}  // namespace holdfast::orders::shipping
