#include "holdfast/idempotency/internal/records.hpp"

#include <cstddef>
#include <span>
#include <tuple>

#include "holdfast/base/fault.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::idempotency {

std::string headers_json(const http::Response& response, const std::vector<std::string>& stored) {
  std::string text;
  JsonWriter json(text);
  json.begin_array();
  for (const http::ResponseHeader& header : response.headers) {
    for (const std::string& name : stored) {
      if (!http::equal_ignoring_case(header.name, name)) continue;
      json.begin_array().value(header.name).value(header.value).end_array();
      break;
    }
  }
  json.end_array();
  return text;
}

void read_headers(const std::string& json, http::Response& response) {
  const JsonDocument document = JsonDocument::parse(json);
  for (const JsonValue& header : document.root().items())
    response.add(header.items()[0].as_string(), header.items()[1].as_string());
}

http::Response as_stored(const http::Response& response, const std::vector<std::string>& stored_headers) {
  http::Response kept(response.status);
  read_headers(headers_json(response, stored_headers), kept);
  kept.body = response.body;
  return kept;
}

std::optional<Record> find_record(sql::Transaction& tx, const Scope& scope, WallTime now) {
  using Row = std::tuple<Sha256Digest, int, std::string, std::vector<std::byte>, WallTime>;
  const auto row = tx.query_one<Row>(
      "select fingerprint, status, headers, body, expires_at from idempotency_records where scope = $1",
      scope);
  if (!row) return std::nullopt;
  const auto& [fingerprint, status, headers, body, expires_at] = *row;
  if (expires_at <= now) {
    tx.execute("delete from idempotency_records where scope = $1", scope);
    return std::nullopt;
  }
  Record record{.fingerprint = fingerprint, .response = http::Response(status), .expires_at = expires_at};
  read_headers(headers, record.response);
  record.response.body.assign(reinterpret_cast<const char*>(body.data()), body.size());
  return record;
}

void insert_record(sql::Transaction& tx, const Scope& scope, const Sha256Digest& fingerprint,
                   const http::Response& response, const std::vector<std::string>& stored_headers,
                   WallTime now, WallTime expires_at) {
  tx.execute(
      "insert into idempotency_records(scope, fingerprint, status, headers, body, created_at, expires_at) "
      "values($1, $2, $3, $4, $5, $6, $7)",
      scope, fingerprint, response.status, headers_json(response, stored_headers),
      std::as_bytes(std::span(response.body)), now, expires_at);
  HOLDFAST_FAULT("idempotency.after_insert");
}

std::int64_t sweep_records(sql::Transaction& tx, WallTime now, std::size_t most) {
  return tx.execute(
      "delete from idempotency_records where number in (select number from (select number, expires_at from "
      "idempotency_records order by number limit $1) as oldest where expires_at <= $2)",
      most, now);
}

}  // namespace holdfast::idempotency
