#include "holdfast/base/error.hpp"

#include <utility>

namespace holdfast {

struct Error::Contents {
  ErrorCode code;
  std::string reason;
  std::string detail;
  std::string cause;
  std::vector<FieldViolation> violations;
  std::optional<Duration> retry_after;
  std::string what;

  void describe() {
    what = reason.empty() ? std::string(to_string(code)) : reason;
    what.append(": ").append(detail);
    for (const auto& violation : violations) {
      what.append(" [").append(violation.pointer).append(": ");
      what.append(violation.message).append("]");
    }
    if (!cause.empty()) what.append(" (").append(cause).append(")");
  }
};

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::unauthenticated: return "unauthenticated";
    case ErrorCode::permission_denied: return "permission_denied";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::conflict: return "conflict";
    case ErrorCode::failed_precondition: return "failed_precondition";
    case ErrorCode::too_large: return "too_large";
    case ErrorCode::unprocessable: return "unprocessable";
    case ErrorCode::rate_limited: return "rate_limited";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::internal: return "internal";
    case ErrorCode::unimplemented: return "unimplemented";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::deadline_exceeded: return "deadline_exceeded";
  }
  return "internal";
}

Error::Error(ErrorCode code, std::string detail) {
  auto contents = std::make_shared<Contents>();
  contents->code = code;
  contents->detail = std::move(detail);
  contents->describe();
  contents_ = std::move(contents);
}

// Builders run on a temporary that nobody else has a copy of yet; a shared one is cloned first.
Error::Contents& Error::own() {
  if (contents_.use_count() != 1) contents_ = std::make_shared<Contents>(*contents_);
  return const_cast<Contents&>(*contents_);
}

Error&& Error::reason(std::string value) && {
  own().reason = std::move(value);
  own().describe();
  return std::move(*this);
}

Error&& Error::cause(std::string value) && {
  own().cause = std::move(value);
  own().describe();
  return std::move(*this);
}

Error&& Error::violations(std::vector<FieldViolation> value) && {
  own().violations = std::move(value);
  own().describe();
  return std::move(*this);
}

Error&& Error::retry_after(Duration value) && {
  own().retry_after = value;
  return std::move(*this);
}

ErrorCode Error::code() const noexcept { return contents_->code; }

std::string_view Error::reason() const noexcept {
  return contents_->reason.empty() ? to_string(contents_->code) : std::string_view(contents_->reason);
}

const std::string& Error::detail() const noexcept { return contents_->detail; }
const std::string& Error::cause() const noexcept { return contents_->cause; }
const std::vector<FieldViolation>& Error::violations() const noexcept { return contents_->violations; }
std::optional<Duration> Error::retry_after() const noexcept { return contents_->retry_after; }
const char* Error::what() const noexcept { return contents_->what.c_str(); }

}  // namespace holdfast
