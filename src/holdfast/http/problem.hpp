// Turns failures into answers, in one place: RFC 9457 `application/problem+json` with a stable `code`,
// the request's id and trace, and every fault of the input. What an Error keeps for the log (`cause`) and
// what other exceptions say never leaves.
//
//   router.use(problem_details({.on_failure = [&](const Context& ctx, const Request& request,
//                                                 int status, std::string_view what) { log … }}));
//   throw HttpError(415, "unsupported_media_type", "The body must be application/json.");
//
// Thread-safety: pure functions; the middleware is immutable.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/http/route.hpp"

namespace holdfast::http {

/// A refusal that only HTTP has a status for: 405, 406, 408, 411, 413, 414, 415, 417, 428, 431, 505.
class HttpError final : public Error {
 public:
  HttpError(int status, std::string_view code, std::string detail);
  int status() const noexcept { return status_; }

 private:
  int status_;
};

/// One fault, as it is answered.
struct ProblemFault {
  std::string pointer;
  std::string code;
  std::string message;

  static constexpr auto rules() {
    return holdfast::rules(field<&ProblemFault::pointer>()
                               .doc("JSON Pointer into the body, or the parameter: `?limit`, `path id`.")
                               .example(R"("/items/0/quantity")"),
                           field<&ProblemFault::code>().doc("Stable.").example(R"("out_of_range")"),
                           field<&ProblemFault::message>()
                               .doc("Completes a sentence about the field.")
                               .example(R"("must be at least 1")"));
  }
};
HOLDFAST_DESCRIBE(ProblemFault, (pointer, code, message))

/// The body of a problem; also what the API's document says of it.
struct Problem {
  std::string type = "about:blank";
  std::string title;
  std::int32_t status = 500;
  std::string code;
  std::string detail;
  std::optional<std::string> instance;
  std::optional<std::string> trace_id;
  std::optional<std::string> request_id;
  std::optional<std::vector<ProblemFault>> errors;
  std::optional<std::int64_t> retry_after;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&Problem::title>().doc("The status in words.").example(R"("Bad Request")"),
        field<&Problem::status>().example("400"),
        field<&Problem::code>()
            .doc("Stable and machine-readable; what a client should decide by.")
            .example(R"("validation_failed")"),
        field<&Problem::detail>().doc("A sentence for a person: what was refused and what to do next."),
        field<&Problem::instance>().doc("The path that was asked for.").example(R"("/v1/orders")"),
        field<&Problem::trace_id>().doc("W3C trace id; find it in the logs."),
        field<&Problem::request_id>().doc("As in the X-Request-Id header."),
        field<&Problem::errors>().doc("Every fault of the input."),
        field<&Problem::retry_after>().doc("Seconds after which it is worth trying again."));
  }
};
HOLDFAST_DESCRIBE(Problem,
                  (type, title, status, code, detail, instance, trace_id, request_id, errors, retry_after))

/// 400 for invalid_argument, 409 for conflict …; as error.hpp states them.
int status_of(ErrorCode code) noexcept;
/// status_of its code, or an HttpError's own.
int status_of(const Error& error) noexcept;

/// The answer to a failure of `request`. Sets Retry-After (whole seconds, rounded up) and, for 401,
/// WWW-Authenticate. Internal errors get a detail that says nothing but the request's id.
Response problem_response(const Context& ctx, const Request& request, const Error& error);

/// Adds instance, traceId and requestId to a problem that was made without a Context (by the router, the
/// parser); leaves every other response as it is.
void complete_problem(const Context& ctx, const Request& request, Response& response);

struct ProblemOptions {
  /// Told of every answer of 500 and above before it goes out, with what was thrown, the cause included:
  /// for the log. May be empty.
  std::function<void(const Context&, const Request&, int status, std::string_view what)> on_failure;
};

/// Catches what the handler and the middlewares within it throw. Should stand just inside whatever
/// records answers (access log, metrics), so that those see the status.
Middleware problem_details(ProblemOptions options = {});

}  // namespace holdfast::http
