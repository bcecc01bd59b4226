#include "holdfast/sql/failure.hpp"

#include <utility>

namespace holdfast::sql {
namespace {

// Long enough for a full disk to be noticed by somebody, short enough for a retry to be worth it.
constexpr auto kRetryAfter = std::chrono::seconds(1);

Error to_error(FailureKind kind, std::string detail, std::string cause) {
  switch (kind) {
    case FailureKind::unique:
    case FailureKind::foreign_key:
      return Error(ErrorCode::conflict, std::move(detail))
          .reason(kind == FailureKind::unique ? "already_exists" : "reference_violated")
          .cause(std::move(cause));
    case FailureKind::serialization:
    case FailureKind::deadlock:
    case FailureKind::unavailable:
    case FailureKind::closed:
      return Error(ErrorCode::unavailable, std::move(detail))
          .reason("database_unavailable")
          .cause(std::move(cause))
          .retry_after(kRetryAfter);
    case FailureKind::commit_unknown:
      return Error(ErrorCode::unavailable, std::move(detail))
          .reason("commit_unknown")
          .cause(std::move(cause))
          .retry_after(kRetryAfter);
    case FailureKind::check:
    case FailureKind::not_null:
    case FailureKind::other: break;
  }
  return Error(ErrorCode::internal, std::move(detail)).cause(std::move(cause));
}

}  // namespace

std::string_view to_string(FailureKind kind) noexcept {
  switch (kind) {
    case FailureKind::unique: return "unique";
    case FailureKind::foreign_key: return "foreign_key";
    case FailureKind::check: return "check";
    case FailureKind::not_null: return "not_null";
    case FailureKind::serialization: return "serialization";
    case FailureKind::deadlock: return "deadlock";
    case FailureKind::unavailable: return "unavailable";
    case FailureKind::closed: return "closed";
    case FailureKind::commit_unknown: return "commit_unknown";
    case FailureKind::other: return "other";
  }
  return "other";
}

DatabaseError::DatabaseError(FailureKind kind, std::string detail, std::string cause, std::string constraint)
    : Error(to_error(kind, std::move(detail), std::move(cause))),
      kind_(kind),
      constraint_(std::make_shared<const std::string>(std::move(constraint))) {}

}  // namespace holdfast::sql
