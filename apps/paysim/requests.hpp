// The edge of the API: forms become commands, rows become Stripe's lists and objects. What is wrong with
// a request is an ApiError that names the parameter.
//
// Thread-safety: pure functions, and reads of the database from any fiber.
#pragma once

#include <string>

#include "holdfast/http/request.hpp"
#include "holdfast/sql/database.hpp"
#include "paysim/payments.hpp"

namespace holdfast::paysim {

inline constexpr std::int64_t kMaxAmount = 99'999'999;  ///< minor units, as Stripe's eight digits
inline constexpr std::size_t kMaxMetadata = 50;
inline constexpr std::size_t kMaxMetadataNameBytes = 40;
inline constexpr std::size_t kMaxMetadataValueBytes = 500;

NewIntent read_new_intent(const Form& form);
NewRefund read_new_refund(const Form& form);
/// `payment_method`, or that of `payment_method_data[card][number]`; empty where neither is given.
/// Throws ApiError(400, resource_missing) for one that paysim does not know.
std::string read_payment_method(const Form& form);
std::string read_cancellation_reason(const Form& form);
/// Marks what Stripe's clients send with a confirmation and paysim has no use for.
void ignore_common(const Form& form);

std::string list_intents(const Context& ctx, sql::Database& database, const http::Request& request);
std::string search_intents(const Context& ctx, sql::Database& database, const http::Request& request);
std::string show_intent(const Context& ctx, sql::Database& database, const http::Request& request);
std::string show_charge(const Context& ctx, sql::Database& database, const http::Request& request);
std::string list_refunds(const Context& ctx, sql::Database& database, const http::Request& request);
std::string list_events(const Context& ctx, sql::Database& database, const http::Request& request);
std::string show_event(const Context& ctx, sql::Database& database, const http::Request& request);

}  // namespace holdfast::paysim
