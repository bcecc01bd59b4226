// The one exception type of Holdfast. A layer that can't do what it was asked throws an Error; one
// place (http/problem.hpp) turns it into an answer. An Error keeps apart what the caller may read
// (`detail`, `violations`) from what only the log may (`cause`).
//
//   throw Error(ErrorCode::conflict, "Only 3 of MUG-1 are left; 5 were asked for.")
//       .reason("insufficient_stock");
//
// Refusals on a hot path (limits, open breakers) are returned by value instead; see resilience/.
// Thread-safety: immutable once thrown; copying shares the contents and never throws.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/clock.hpp"

namespace holdfast {

/// What kind of failure, as far as a caller can act on it. After gRPC's canonical codes.
enum class ErrorCode : std::uint8_t {
  invalid_argument,     ///< the request is wrong whatever the state of the system is (HTTP 400)
  unauthenticated,      ///< who is asking is not known (401)
  permission_denied,    ///< known, and not allowed (403)
  not_found,            ///< (404)
  conflict,             ///< the state of the system refuses it; a changed request may pass (409)
  failed_precondition,  ///< a condition the caller set does not hold, e.g. If-Match (412)
  too_large,            ///< over a stated limit (413)
  unprocessable,        ///< well formed, but contradicts an earlier request (422)
  rate_limited,         ///< too many requests of this caller; see retry_after (429)
  cancelled,            ///< the caller has gone, or asked to stop (499)
  internal,             ///< a defect here; details are in the log only (500)
  unimplemented,        ///< (501)
  unavailable,          ///< can't now, may later; see retry_after (503)
  deadline_exceeded,    ///< the caller's time ran out (504)
};

/// Its snake_case name, as in APIs, logs and metrics: "invalid_argument".
std::string_view to_string(ErrorCode code) noexcept;

/// One fault of an input. `pointer` is a JSON Pointer (RFC 6901) into the body ("/items/0/quantity"),
/// or names the parameter ("?limit", "header Idempotency-Key"). `code` is stable and snake_case.
struct FieldViolation {
  std::string pointer;
  std::string code;
  std::string message;
};

class Error : public std::exception {
 public:
  /// `detail` is a sentence for the caller: what was refused, with which identifiers, what to do next.
  Error(ErrorCode code, std::string detail);

  /// Stable machine-readable reason, snake_case; the code's own name unless set.
  Error&& reason(std::string value) &&;
  /// For the log only; never leaves the process.
  Error&& cause(std::string value) &&;
  Error&& violations(std::vector<FieldViolation> value) &&;
  /// When it is worth trying again.
  Error&& retry_after(Duration value) &&;

  ErrorCode code() const noexcept;
  std::string_view reason() const noexcept;
  const std::string& detail() const noexcept;
  const std::string& cause() const noexcept;
  const std::vector<FieldViolation>& violations() const noexcept;
  std::optional<Duration> retry_after() const noexcept;

  /// "<reason>: <detail> (<cause>)", for logs.
  const char* what() const noexcept override;

 private:
  struct Contents;
  Contents& own();
  std::shared_ptr<const Contents> contents_;  // shared: exceptions are copied, and copies must not throw
};

}  // namespace holdfast
