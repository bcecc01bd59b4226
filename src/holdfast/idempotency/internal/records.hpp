// The stored answers, as SQL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/digest.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/idempotency/fingerprint.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::idempotency {

struct Record {
  Sha256Digest fingerprint{};
  http::Response response;
  WallTime expires_at{};
};

/// The status, the body, and those headers that `stored_headers` names.
http::Response as_stored(const http::Response& response, const std::vector<std::string>& stored_headers);

/// Headers as text, those that `stored` names, and back.
std::string headers_json(const http::Response& response, const std::vector<std::string>& stored);
/// Throws what JsonDocument::parse throws.
void read_headers(const std::string& json, http::Response& response);

/// The record of `scope`, unless it has expired; then it is deleted.
std::optional<Record> find_record(sql::Transaction& tx, const Scope& scope, WallTime now);

/// Stores status, body, and those headers of `response` that `stored_headers` names.
void insert_record(sql::Transaction& tx, const Scope& scope, const Sha256Digest& fingerprint,
                   const http::Response& response, const std::vector<std::string>& stored_headers,
                   WallTime now, WallTime expires_at);

/// Deletes up to `most` of the oldest records, those that expired by `now`.
std::int64_t sweep_records(sql::Transaction& tx, WallTime now, std::size_t most);

}  // namespace holdfast::idempotency
