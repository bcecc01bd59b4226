// RedisAnswers: committed answers in a Redis that is allowed to forget. Killed, flushed or hanging it costs
// the time of a question (`patience`, and nothing while its breaker is open).
//
// What it can't know is that the database itself has lost commits: restored from a backup, or failed over to
// a replica that lacked them. So answers are kept for minutes, which is when requests are sent again; after a
// restore flush them, or change the prefix. Thread-safety: as Answers; destroyed on a fiber.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "holdfast/idempotency/answers.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/redis/client.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::idempotency {

struct RedisAnswersOptions {
  std::string prefix = "holdfast:";
  std::string of;  ///< names the database whose answers they are: two never share any
  Duration keep_for = std::chrono::minutes(10);
  Duration patience = std::chrono::milliseconds(50);  ///< then the database is asked
  std::size_t max_bytes = 64 * 1024;                  ///< larger answers are left to the database
  std::size_t max_keeping = 256;                      ///< on their way to Redis at once; more are left
};

class RedisAnswers final : public Answers {
 public:
  /// `runtime` and `client` are borrowed.
  RedisAnswers(runtime::Runtime& runtime, redis::Client& client, observe::Metrics& metrics,
               RedisAnswersOptions options = {});
  ~RedisAnswers() override;  ///< waits for what is on its way

  std::optional<http::Response> find(const Context& ctx, const Scope& scope,
                                     const Sha256Digest& fingerprint) noexcept override;
  void keep(const Scope& scope, const Sha256Digest& fingerprint, const http::Response& response,
            Duration time) noexcept override;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with what is on its way
};

}  // namespace holdfast::idempotency
