// Answers: the port to a quicker memory of answers that are committed already, in front of the database's own
// records. It may forget and be away, and then costs a moment; what it gives must have been kept here before.
//
//   RedisAnswers answers(runtime, client, metrics, {.of = shown_database(settings)});
//   Idempotency idempotency(db, metrics, options, &answers);
//
// Only ever told of answers whose transaction has committed, and only asked for the same request under the
// same key: all else is the database's to say. Thread-safety: any fiber.
#pragma once

#include <optional>

#include "holdfast/base/digest.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/idempotency/fingerprint.hpp"

namespace holdfast::idempotency {

class Answers {
 public:
  virtual ~Answers() = default;
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  /// Nothing where it isn't known, is of another request, or can't be asked quickly. May wait.
  virtual std::optional<http::Response> find(const Context& ctx, const Scope& scope,
                                             const Sha256Digest& fingerprint) noexcept = 0;

  /// Does not wait; may leave it. `time`: how long the database's record lives at least.
  virtual void keep(const Scope& scope, const Sha256Digest& fingerprint, const http::Response& response,
                    Duration time) noexcept = 0;

 protected:
  Answers() = default;
};

}  // namespace holdfast::idempotency
