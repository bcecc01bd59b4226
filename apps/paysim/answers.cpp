#include "paysim/answers.hpp"

#include "paysim/api_error.hpp"

namespace holdfast::paysim {

std::optional<Answer> remembered_answer(sql::Transaction& tx, std::string_view key,
                                        std::string_view fingerprint) {
  auto found = tx.query_one<std::tuple<std::string, int, std::string>>(
      "select fingerprint, status, body from remembered_answers where key = $1", key);
  if (!found) return std::nullopt;
  auto& [known, status, body] = *found;
  if (known != fingerprint) {
    throw ApiError(400, {.type = "idempotency_error",
                         .message = "Keys for idempotent requests can only be used with the same parameters "
                                    "they were first used with. Try using a key other than '" +
                                    std::string(key) + "' if you meant to execute a different request."});
  }
  return Answer{status, std::move(body)};
}

void remember_answer(sql::Transaction& tx, std::string_view key, std::string_view fingerprint,
                     const Answer& answer, WallTime now) {
  tx.execute(
      "insert into remembered_answers (key, fingerprint, status, body, created_at) values ($1, $2, $3, $4, "
      "$5)",
      key, fingerprint, answer.status, answer.body, now);
}

std::int64_t forget_answers(sql::Transaction& tx, WallTime time) {
  return tx.execute("delete from remembered_answers where created_at < $1", time);
}

InFlight::Claim::Claim(InFlight& owner, const std::string& key) : owner_(owner), key_(key) {
  const std::lock_guard lock(owner_.mutex_);
  if (owner_.keys_.insert(key_).second) return;
  throw ApiError(409, {.code = "idempotency_key_in_use",
                       .message = "There is currently another in-progress request using this Idempotent Key "
                                  "(that probably means you submitted twice, and the other request is still "
                                  "going through): " +
                                  key_});
}

InFlight::Claim::~Claim() {
  const std::lock_guard lock(owner_.mutex_);
  owner_.keys_.erase(key_);
}

}  // namespace holdfast::paysim
