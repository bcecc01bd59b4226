#include "holdfast/sql/sqlite/classify.hpp"

#include <sqlite3.h>

#include <string>

namespace holdfast::sql::sqlite {
namespace {

constexpr std::size_t kShownOfStatement = 400;

FailureKind classify_constraint(int code, std::string_view message) noexcept {
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID: return FailureKind::unique;
    case SQLITE_CONSTRAINT_FOREIGNKEY: return FailureKind::foreign_key;
    case SQLITE_CONSTRAINT_NOTNULL: return FailureKind::not_null;
    default: break;
  }
  // ON DELETE RESTRICT is reported as a trigger's failure.
  if (message.starts_with("FOREIGN KEY")) return FailureKind::foreign_key;
  return FailureKind::check;
}

std::string_view detail_of(FailureKind kind) noexcept {
  switch (kind) {
    case FailureKind::unique: return "It exists already.";
    case FailureKind::foreign_key: return "It refers to something that is not there, or is referred to.";
    case FailureKind::check:
    case FailureKind::not_null: return "A value is outside of what the database accepts.";
    case FailureKind::serialization:
    case FailureKind::deadlock: return "It lost against a concurrent change; try again.";
    case FailureKind::unavailable: return "The database can't take this now; try again.";
    case FailureKind::closed: return "The database is being closed.";
    case FailureKind::commit_unknown:
    case FailureKind::other: break;
  }
  return "A statement failed.";
}

// "UNIQUE constraint failed: orders.id" -> "orders.id"; "index 'x'" -> "x".
std::string constraint_in(std::string_view message) {
  const auto colon = message.find(": ");
  if (colon == std::string_view::npos) return {};
  std::string_view named = message.substr(colon + 2);
  if (named.starts_with("index '") && named.ends_with("'")) named = named.substr(7, named.size() - 8);
  return std::string(named);
}

}  // namespace

FailureKind classify(int code, std::string_view message) noexcept {
  if (code == SQLITE_BUSY_SNAPSHOT) return FailureKind::serialization;
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT: return classify_constraint(code, message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_NOMEM:
    case SQLITE_NOLFS: return FailureKind::unavailable;
    default: return FailureKind::other;
  }
}

DatabaseError failure_of(sqlite3* db, int code, std::string_view doing, std::string_view statement) {
  const std::string message = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  const FailureKind kind = classify(code, message);
  std::string cause(doing);
  cause.append(": ").append(message);
  cause.append(" [SQLite ").append(std::to_string(code)).append("]");
  if (!statement.empty()) cause.append(" in: ").append(statement.substr(0, kShownOfStatement));
  const bool constraint = (code & 0xff) == SQLITE_CONSTRAINT;
  return DatabaseError(kind, std::string(detail_of(kind)), std::move(cause),
                       constraint ? constraint_in(message) : std::string());
}

bool needs_reopening(int code) noexcept {
  const int primary = code & 0xff;
  return primary == SQLITE_IOERR || primary == SQLITE_READONLY || primary == SQLITE_CANTOPEN ||
         primary == SQLITE_NOTADB || primary == SQLITE_CORRUPT;
}

}  // namespace holdfast::sql::sqlite
