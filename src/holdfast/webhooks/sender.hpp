// Sender: attempts the deliveries that are due: a bounded pool, a few at a time for one subscriber, again
// after a growing wait until there is a 2xx. At least once: an attempt whose record is lost is made again.
//
//   http::Client client(runtime, Sender::client_options(false));
//   Sender sender(runtime, db, deliveries, metrics, log.logger("webhooks"), Sender::by(client));
//   sender.start();  …  sender.stop(ctx.with_timeout(10s));
//
// Deliveries start in the order of their events, but don't wait for each other: what is tried again comes
// later, and receivers sort by createdAt if it matters. Several processes may send: each takes its own.
// Thread-safety: start/stop/abandon from one fiber; its own fibers all run on one loop.
#pragma once

#include <functional>
#include <memory>

#include "holdfast/http/client.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/webhooks/deliveries.hpp"
#include "holdfast/webhooks/secret_box.hpp"

namespace holdfast::webhooks {

struct SenderOptions {
  Duration attempt_timeout = std::chrono::seconds(10);  ///< connecting, sending and the answer
  Duration lease = std::chrono::seconds(30);            ///< an attempt without a record for so long was lost
  Duration poll = std::chrono::seconds(1);              ///< looks for what other processes made due
  std::size_t max_in_flight = 64;                       ///< attempts at a time in this process …
  std::size_t per_subscriber = 4;  ///< … of one subscriber; of one whose last attempt failed, 1
  int max_attempts = 16;
  /// As it is, 16 attempts take 15 to 29 hours, 22 on average.
  resilience::BackoffOptions backoff = {
      .base = std::chrono::seconds(10), .cap = std::chrono::hours(6), .jitter = resilience::Jitter::equal};
  Duration max_retry_after = std::chrono::hours(6);     ///< a Retry-After that is longer counts as this
  Duration disable_after = std::chrono::hours(24 * 5);  ///< of nothing but failure, …
  std::int64_t disable_failures = 20;                   ///< … at least so many
  Duration sweep_interval = std::chrono::minutes(1);
  SecretBox secrets = {};  ///< what subscribers' secrets are sealed with; as SubscriberOptions::secrets
  std::size_t loop = 0;    ///< the event loop its fibers run on
};

class Sender {
 public:
  /// How a request goes out; throws as http::Client::send.
  using Send = std::function<http::ClientResponse(const Context&, const http::ClientRequest&)>;
  /// By a client made with client_options(). `client` is borrowed.
  static Send by(http::Client& client);
  /// A client for strangers' URLs: to public addresses only unless `allow_private_addresses`; redirects
  /// are never followed, answers of more than 1 MiB are failures.
  static http::ClientOptions client_options(bool allow_private_addresses);

  /// All are borrowed and must outlive it. Throws Error(invalid_argument) for options out of range.
  Sender(runtime::Runtime& runtime, sql::Database& database, Deliveries& deliveries,
         observe::Metrics& metrics, observe::Logger logger, Send send, SenderOptions options = {});
  /// Stop it first; one destroyed while running stops without recording what runs.
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  void start();

  /// Takes nothing new and lets attempts end, until ctx's deadline; then cancels them and gives their
  /// deliveries back. Idempotent.
  void stop(const Context& ctx);

  /// As kill -9 would: attempts are cut off and nothing is recorded. For tests and drills.
  void abandon() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::webhooks
