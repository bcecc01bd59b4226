// What a database could not do, told apart by kind, so that a caller can act on it:
//
//   try { tx.execute("insert into coupons(code) values($1)", code); }
//   catch (const sql::DatabaseError& failure) {
//     if (failure.kind() == sql::FailureKind::unique) ...   // failure.constraint() == "coupons.code"
//     else throw;
//   }
//
// As an Error: unique and foreign_key are `conflict`; serialization, deadlock, unavailable and closed
// are `unavailable` with retry_after, and so is commit_unknown,
// with that as its reason; the rest is `internal`, a defect of the statement or its input.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "holdfast/base/error.hpp"

namespace holdfast::sql {

enum class FailureKind : std::uint8_t {
  unique,          ///< a row with this key exists
  foreign_key,     ///< it refers to a row that is not there, or is referred to
  check,           ///< a CHECK or type constraint of the table
  not_null,        ///< a column that must have a value got none
  serialization,   ///< lost against a concurrent transaction; transact() runs the body again
  deadlock,        ///< likewise
  unavailable,     ///< disk full, read-only, I/O error, or busy for too long
  closed,          ///< the Database is being closed
  commit_unknown,  ///< the connection was lost while it committed: it may have been kept or not. Never run
                   ///< again by the database; whoever may (an idempotency key, a read first) can
  other,           ///< anything else: wrong SQL, a corrupt file, …
};

/// Its snake_case name, as in metrics: "foreign_key".
std::string_view to_string(FailureKind kind) noexcept;

inline constexpr std::size_t kFailureKinds = 10;

class DatabaseError : public Error {
 public:
  /// `constraint` names what was violated as "table.column[, table.column]" or an index; may be empty.
  /// `cause` is the database's own message: for the log only.
  DatabaseError(FailureKind kind, std::string detail, std::string cause, std::string constraint = {});

  FailureKind kind() const noexcept { return kind_; }
  const std::string& constraint() const noexcept { return *constraint_; }

 private:
  FailureKind kind_;
  std::shared_ptr<const std::string> constraint_;  // shared: copying an exception must not throw
};

}  // namespace holdfast::sql
