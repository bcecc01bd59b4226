// Idempotency-Key (IETF draft-ietf-httpapi-idempotency-key-header): a request sent again under the same
// key has its effect once, and the first answer is given again byte for byte.
//
//   Idempotency idempotency(db, metrics);
//   router.post("/v1/orders", idempotency.transactional("place order",
//       [&](const Context& ctx, http::Request& request) -> Effect {
//         auto command = from_json<PlaceOrder>(request.body);       // not stored when refused
//         return [&, command](const Context& ctx, sql::Transaction& tx) { return place(ctx, tx, command); };
//       }), {.idempotency = http::Idempotency::required});          // typed.hpp says it shorter
//
// The record is written in the transaction of the effect, so a crash leaves both or neither.
// Thread-safety: everything from any fiber.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/http/request.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/http/route.hpp"
#include "holdfast/idempotency/answers.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::idempotency {

/// What a request does, inside the transaction: it must not wait and may be run again. Its Response has
/// no stream. An Error that is a refusal (of status 4xx, but 401, 403, 408, 429 and 499) undoes the effect
/// and its problem is stored as the answer. After any other Error or Response of 4xx and 5xx nothing is
/// stored and everything is undone.
using Effect = std::function<http::Response(const Context&, sql::Transaction&)>;

/// Runs before the transaction, may wait: reads and validates the request. What it throws is not stored.
using Prepare = std::function<Effect(const Context&, http::Request&)>;

struct Options {
  Duration retention = std::chrono::hours(48);       ///< a key is known for so long
  Duration longest_wait = std::chrono::seconds(10);  ///< for the same key in flight; the deadline if nearer
  std::size_t max_in_flight = 65'536;                ///< keys remembered while they run
  std::size_t max_stored_body_bytes = 1024 * 1024;   ///< a larger answer is Error(internal), undone
  std::vector<std::string> stored_headers = {
      "Content-Type", "Location", "ETag", "Link", "Retry-After", "Content-Language", "Content-Location"};
  Duration sweep_interval = std::chrono::minutes(1);
  std::size_t sweep_batch = 500;  ///< expired records deleted in one transaction
};

class Idempotency {
 public:
  /// All are borrowed and must outlive every handler made. `answers`, where there is one, is asked first:
  /// what it knows costs no transaction.
  Idempotency(sql::Database& database, observe::Metrics& metrics, Options options = {},
              Answers* answers = nullptr);
  ~Idempotency();
  Idempotency(const Idempotency&) = delete;
  Idempotency& operator=(const Idempotency&) = delete;

  /// A handler that runs `prepare`, then its effect in one transaction called `name` (a literal), as the
  /// route's RouteInfo::idempotency says: `required` refuses requests without a key (400), `optional`
  /// runs them without a record, `none` does so always.
  /// An effect of Isolation::read_committed relies on nothing that it has read.
  http::Handler transactional(const char* name, Prepare prepare,
                              sql::Isolation isolation = sql::Isolation::serial);

  /// The same for an effect that needs nothing read beforehand.
  http::Handler transactional(
      const char* name,
      std::function<http::Response(const Context&, sql::Transaction&, http::Request&)> effect);

  /// Deletes expired records, a batch a transaction; returns how many.
  std::int64_t sweep(const Context& ctx);

  /// Sweeps every sweep_interval until `ctx` is cancelled: the body of a background fiber.
  void run_sweeper(const Context& ctx);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The key within an Idempotency-Key header's value: 1–255 printable ASCII characters, bare or as a
/// quoted string of RFC 8941 (both forms name the same key).
/// Throws Error(invalid_argument, "idempotency_key_invalid").
std::string parse_key(std::string_view header_value);

}  // namespace holdfast::idempotency
