// The book: every intent with what was authorized, captured and refunded, and the totals of them, for
// whoever reconciles. Streamed in pages of one query each, so that a hundred thousand intents take no memory.
//
//   GET /paysim/book                     {"intents":[{"id","orderId","status",…}],"totals":{…}}
//   GET /paysim/book?limit=1000&after=pi_…   one page, with "next" where there are more
//
// Thread-safety: from any fiber.
#pragma once

#include <cstdint>
#include <string>

#include "holdfast/http/response.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::paysim {

struct Totals {
  std::int64_t intents = 0;
  std::int64_t authorized = 0;
  std::int64_t capturable = 0;
  std::int64_t captured = 0;
  std::int64_t refunded = 0;
};
HOLDFAST_DESCRIBE(Totals, (intents, authorized, capturable, captured, refunded))

/// Of all currencies together; on a thread of its own.
Totals totals(const Context& ctx, sql::Database& database);

http::Response whole_book(sql::Database& database);
/// At most `limit` intents after `after` (empty: from the first).
std::string book_page(const Context& ctx, sql::Database& database, const std::string& after,
                      std::int64_t limit);

}  // namespace holdfast::paysim
