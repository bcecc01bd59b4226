#include "holdfast/http/problem.hpp"

#include <chrono>

#include "holdfast/base/reflect.hpp"

namespace holdfast::http {
namespace {

constexpr std::string_view kProblemType = "application/problem+json";
constexpr int kClientClosedRequest = 499;  // nginx's; no client reads it, logs and metrics do
constexpr std::size_t kMaxInstanceBytes = 256;

std::string title_of(int status) {
  if (status == kClientClosedRequest) return "Client Closed Request";
  return std::string(reason_phrase(status));
}

std::int64_t whole_seconds(Duration wait) {
  return std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(wait).count());
}

/// What identifies the request, in every problem.
void identify(Problem& problem, const Context& ctx, const Request& request) {
  problem.instance = std::string(request.raw_path.substr(0, kMaxInstanceBytes));
  if (ctx.trace().valid()) problem.trace_id = ctx.trace().trace_id_hex();
  if (!ctx.request_id().empty()) problem.request_id = ctx.request_id();
}

Response internal_response(const Context& ctx, const Request& request) {
  return problem_response(ctx, request, Error(ErrorCode::internal, ""));
}

}  // namespace

HttpError::HttpError(int status, std::string_view code, std::string detail)
    : Error(Error(ErrorCode::invalid_argument, std::move(detail)).reason(std::string(code))),
      status_(status) {}

int status_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::permission_denied: return 403;
    case ErrorCode::not_found: return 404;
    case ErrorCode::conflict: return 409;
    case ErrorCode::failed_precondition: return 412;
    case ErrorCode::too_large: return 413;
    case ErrorCode::unprocessable: return 422;
    case ErrorCode::rate_limited: return 429;
    case ErrorCode::cancelled: return kClientClosedRequest;
    case ErrorCode::internal: return 500;
    case ErrorCode::unimplemented: return 501;
    case ErrorCode::unavailable: return 503;
    case ErrorCode::deadline_exceeded: return 504;
  }
  return 500;
}

int status_of(const Error& error) noexcept {
  const auto* const http_error = dynamic_cast<const HttpError*>(&error);
  return http_error != nullptr ? http_error->status() : status_of(error.code());
}

Response problem_response(const Context& ctx, const Request& request, const Error& error) {
  Problem problem;
  problem.status = status_of(error);
  problem.title = title_of(problem.status);
  if (error.code() == ErrorCode::internal) {  // its detail may speak of our insides
    problem.code = to_string(ErrorCode::internal);
    problem.detail =
        "Something went wrong on our side. Nothing is known to be wrong with the request; "
        "when asking about it, quote the request id.";
  } else {
    problem.code = error.reason();
    problem.detail = error.detail();
  }
  identify(problem, ctx, request);
  if (!error.violations().empty()) {
    auto& faults = problem.errors.emplace();
    faults.reserve(error.violations().size());
    for (const FieldViolation& fault : error.violations()) {
      faults.push_back({fault.pointer, fault.code, fault.message});
    }
  }
  if (error.retry_after()) problem.retry_after = whole_seconds(*error.retry_after());

  Response response = Response::of(problem.status, kProblemType, to_json(problem));
  if (problem.retry_after) response.set("Retry-After", std::to_string(*problem.retry_after));
  if (problem.status == 401) response.set("WWW-Authenticate", "Bearer");
  return response;
}

void complete_problem(const Context& ctx, const Request& request, Response& response) {
  const bool is_problem = response.content_type() == kProblemType && response.body.ends_with('}');
  if (!is_problem || response.body.find("\"instance\":") != std::string::npos) return;
  Problem known;
  identify(known, ctx, request);
  std::string extra;
  JsonWriter writer(extra);
  writer.begin_object().member("instance", *known.instance);
  if (known.trace_id) writer.member("traceId", *known.trace_id);
  if (known.request_id) writer.member("requestId", *known.request_id);
  writer.end_object();
  response.body.back() = ',';
  response.body.append(extra, 1);
}

Middleware problem_details(ProblemOptions options) {
  return [options = std::move(options)](const Context& ctx, Request& request, const Next& next) {
    const auto tell = [&](int status, std::string_view what) {
      if (options.on_failure) options.on_failure(ctx, request, status, what);
    };
    try {
      Response response = next(ctx, request);
      if (response.status >= 400) complete_problem(ctx, request, response);
      return response;
    } catch (const Error& error) {
      const int status = status_of(error);
      if (status >= 500) tell(status, error.what());
      return problem_response(ctx, request, error);
    } catch (const std::exception& exception) {
      tell(500, exception.what());
      return internal_response(ctx, request);
    }
    // Anything else is not ours (a fiber being unwound); it goes on to whom it concerns.
  };
}

}  // namespace holdfast::http
