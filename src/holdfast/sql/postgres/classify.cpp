#include "holdfast/sql/postgres/classify.hpp"

#include <libpq-fe.h>

#include <array>
#include <utility>

namespace holdfast::sql::postgres {
namespace {

constexpr std::size_t kShownOfStatement = 400;

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
    case FailureKind::commit_unknown: return "Whether this was done is not known; look before trying again.";
    case FailureKind::other: break;
  }
  return "A statement failed.";
}

std::string_view field(const PGresult* result, int which) noexcept {
  const char* text = PQresultErrorField(result, which);
  return text != nullptr ? std::string_view(text) : std::string_view();
}

// 'Key (a, b)=(1, 2) already exists.', in whatever language -> "table.a, table.b"; for an index on an
// expression, and whatever else, the constraint's own name.
std::string constraint_of(const PGresult* result, FailureKind kind) {
  const std::string name(field(result, PG_DIAG_CONSTRAINT_NAME));
  const std::string table(field(result, PG_DIAG_TABLE_NAME));
  if (kind == FailureKind::not_null) return table + "." + std::string(field(result, PG_DIAG_COLUMN_NAME));
  if (kind != FailureKind::unique) return name;
  std::string_view keys = field(result, PG_DIAG_MESSAGE_DETAIL);
  const std::size_t begin = keys.find('(');
  const std::size_t end = keys.find(")=(");
  if (begin == std::string_view::npos || end == std::string_view::npos) return name;
  keys = keys.substr(begin + 1, end - begin - 1);
  if (keys.find('(') != std::string_view::npos) return name;
  std::string made;
  while (!keys.empty()) {
    const std::size_t comma = keys.find(", ");
    if (!made.empty()) made += ", ";
    made.append(table).append(".").append(keys.substr(0, comma));
    keys.remove_prefix(comma == std::string_view::npos ? keys.size() : comma + 2);
  }
  return made;
}

struct Remedy {
  std::string_view sign;  // in libpq's or the server's message
  std::string_view advice;
};

constexpr std::array<Remedy, 14> kRemedies = {{
    {"password authentication failed", "check `user` and `password`"},
    {"no password supplied", "set `password`"},
    {"could not translate host name", "`host` is not known to the name service; check its spelling"},
    {"Connection refused", "nothing listens there: check `host` and `port`, and that the server runs"},
    {"No such file or directory", "no such Unix socket: check `host` and `port`, and that the server runs"},
    {"does not support SSL",
     "the server has no TLS: set `sslmode` to prefer or disable, or give it a certificate"},
    {"root certificate", "check `sslmode` and `sslrootcert`"},
    {"certificate verify failed", "the server's certificate is not signed by `sslrootcert`"},
    {"does not match host name",
     "the server's certificate is for another name: check `host`, or use verify-ca"},
    {"no pg_hba.conf entry",
     "the server refuses this address or user: check `user` and `sslmode`, or its pg_hba.conf"},
    {"too many c", "the server's max_connections is reached: lower the pools, or raise it"},
    {"remaining connection slots", "the server's max_connections is reached: lower the pools, or raise it"},
    {"the database system is", "the server starts, stops or recovers; it is tried again"},
    {"timeout", "no answer: check `host`, `port` and what lies between, or raise `connect_timeout`"},
}};

std::string advice_for(std::string_view message) {
  // These have a name between their words.
  const bool missing = message.find("does not exist") != std::string_view::npos;
  if (missing && message.find("database \"") != std::string_view::npos)
    return "check `dbname`, or create it: createdb";
  if (missing && message.find("role \"") != std::string_view::npos)
    return "check `user`, or create it: createuser";
  for (const Remedy& remedy : kRemedies) {
    if (message.find(remedy.sign) != std::string_view::npos) return std::string(remedy.advice);
  }
  return "check `uri`, `host`, `port`, `dbname` and `user`";
}

}  // namespace

FailureKind classify(std::string_view sqlstate) noexcept {
  if (sqlstate == "23505") return FailureKind::unique;
  if (sqlstate == "23503" || sqlstate == "23001") return FailureKind::foreign_key;
  if (sqlstate == "23502") return FailureKind::not_null;
  if (sqlstate == "40P01") return FailureKind::deadlock;
  if (sqlstate == "25006" || sqlstate == "57014" || sqlstate == "55P03" || sqlstate == "58030") {
    return FailureKind::unavailable;  // read-only, cancelled or too slow, locked for too long, I/O
  }
  const std::string_view group = sqlstate.substr(0, 2);
  if (group == "23") return FailureKind::check;
  if (group == "40") return FailureKind::serialization;
  if (group == "08" || group == "53" || group == "57") return FailureKind::unavailable;
  return FailureKind::other;
}

DatabaseError failure_of(const pg_result* result, std::string_view statement) {
  const std::string_view state = field(result, PG_DIAG_SQLSTATE);
  const FailureKind kind = classify(state);
  std::string cause(field(result, PG_DIAG_MESSAGE_PRIMARY));
  const std::string_view detail = field(result, PG_DIAG_MESSAGE_DETAIL);
  if (!detail.empty()) cause.append(" (").append(detail).append(")");
  cause.append(" [PostgreSQL ").append(state).append("]");
  if (!statement.empty()) cause.append(" in: ").append(statement.substr(0, kShownOfStatement));
  const bool constraint = state.starts_with("23");
  return DatabaseError(kind, std::string(detail_of(kind)), std::move(cause),
                       constraint ? constraint_of(result, kind) : std::string());
}

bool waited_for_lock(const Error& failure) noexcept {
  return failure.cause().find("[PostgreSQL 55P03]") != std::string::npos;
}

DatabaseError lost(std::string_view doing, std::string_view why) {
  return DatabaseError(FailureKind::unavailable, std::string(detail_of(FailureKind::unavailable)),
                       std::string(doing) + ": " + std::string(why));
}

DatabaseError not_connected(std::string_view address, std::string_view message) {
  while (!message.empty() && message.back() == '\n') message.remove_suffix(1);
  std::string cause = "PostgreSQL at " + std::string(address) + " can't be used: " + advice_for(message);
  cause.append(". (").append(message).append(")");
  return DatabaseError(FailureKind::unavailable, "The database can't be reached; try again.",
                       std::move(cause));
}

}  // namespace holdfast::sql::postgres
