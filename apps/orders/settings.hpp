// The Order System's settings: every one with its default, its unit, its bounds and a sentence. Filled by
// config::load from file, environment (HOLDFAST_HTTP_ADDRESS for http.address) and flags.
//
//   const auto settings = config::load<orders::Settings>({.file = "holdfast.yaml", …});
//
// Thread-safety: values; not changed after loading.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/config/secret.hpp"
#include "holdfast/config/units.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/resilience/rate_limiter.hpp"
#include "orders/blob_settings.hpp"
#include "orders/broker_settings.hpp"
#include "orders/modules/catalog/catalog.hpp"
#include "orders/modules/ordering/checkout_settings.hpp"
#include "orders/modules/payments/settings.hpp"
#include "orders/modules/shipping/settings.hpp"
#include "orders/redis_settings.hpp"

namespace holdfast::orders {

struct AdmissionSettings {
  bool adaptive = true;
  std::uint32_t min_running = 256;
  std::uint32_t initial_running = 512;
  std::uint32_t normal_share = 25;
  std::uint32_t background_share = 12;
  std::chrono::milliseconds queue_target = std::chrono::milliseconds(200);
  std::uint32_t max_reports_running = 4;
  std::uint32_t max_reports_waiting = 32;
  std::chrono::milliseconds max_reports_wait = std::chrono::seconds(10);

  static constexpr auto rules() {
    return holdfast::rules(
        field<&AdmissionSettings::adaptive>().doc(
            "Find out how many requests may be at work, up to http.max_running; else it is that many."),
        field<&AdmissionSettings::min_running>()
            .range(1, 1'000'000)
            .doc("The adaptive limit stays at or above it: commits are done in groups, which take company."),
        field<&AdmissionSettings::initial_running>()
            .range(1, 1'000'000)
            .doc("Where the adaptive limit starts."),
        field<&AdmissionSettings::normal_share>().range(1, 100).doc(
            "Percent of the places that requests other than checkout may take. Reading gains nothing from "
            "company, and all that is at work has its turn before a checkout's."),
        field<&AdmissionSettings::background_share>().range(1, 100).doc(
            "Percent of the places for exports and imports; at most normalShare."),
        field<&AdmissionSettings::queue_target>()
            .range(1, 600'000)
            .doc("Where the oldest in line keeps waiting longer, exports, then browsing, may not wait."),
        field<&AdmissionSettings::max_reports_running>().range(1, 10'000).doc(
            "Reports, exports and imports at work at a time, whatever else is."),
        field<&AdmissionSettings::max_reports_waiting>().range(0, 10'000).doc(
            "Reports in line; one more gets 503."),
        field<&AdmissionSettings::max_reports_wait>()
            .range(0, 600'000)
            .doc("Of a report in line, then 503."));
  }
};
HOLDFAST_DESCRIBE(AdmissionSettings,
                  (adaptive, min_running, initial_running, normal_share, background_share, queue_target,
                   max_reports_running, max_reports_waiting, max_reports_wait))

struct HttpSettings {
  std::string address = "127.0.0.1:8080";
  config::ByteSize max_body = config::mebibytes(1);
  config::ByteSize max_batch_body = config::mebibytes(2);
  config::ByteSize max_import_body = config::mebibytes(256);
  std::chrono::milliseconds request_timeout = std::chrono::seconds(30);
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(75);
  std::chrono::milliseconds head_timeout = std::chrono::seconds(10);
  std::chrono::milliseconds write_timeout = std::chrono::seconds(30);
  std::uint32_t max_connections = 20'000;
  std::uint32_t max_running = 2'048;
  std::uint32_t max_waiting = 8'192;
  std::chrono::milliseconds max_wait = std::chrono::milliseconds(500);
  AdmissionSettings admission;
  std::vector<std::string> cors_origins;
  bool access_log = true;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&HttpSettings::address>().length(3, 255).doc(
            "host:port to listen at; port 0 takes a free one."),
        field<&HttpSettings::max_body>().doc("Of a request, unless its route says otherwise; 413."),
        field<&HttpSettings::max_batch_body>().doc("Of POST /v1/orders/batch."),
        field<&HttpSettings::max_import_body>().doc("Of POST /v1/products/import, which is streamed."),
        field<&HttpSettings::request_timeout>().range(1, 3'600'000).doc("Deadline of a request."),
        field<&HttpSettings::idle_timeout>().range(1, 3'600'000).doc("Between requests of a connection."),
        field<&HttpSettings::head_timeout>()
            .range(1, 600'000)
            .doc("From a head's first byte to its last; 408."),
        field<&HttpSettings::write_timeout>()
            .range(1, 600'000)
            .doc("A client that takes no byte for so long is cut off."),
        field<&HttpSettings::max_connections>().range(1, 1'000'000).doc("A loop; one more gets 503."),
        field<&HttpSettings::max_running>().range(1, 1'000'000).doc("Requests at work at a time."),
        field<&HttpSettings::max_waiting>().range(0, 1'000'000).doc("Requests in line; one more gets 503."),
        field<&HttpSettings::max_wait>()
            .range(0, 600'000)
            .doc("In line. Who waited longer gets 503; who would have to, at once."),
        field<&HttpSettings::cors_origins>().doc("Origins whose pages may use the API; \"*\" for any."),
        field<&HttpSettings::access_log>().doc("A log line for each request."));
  }
};
HOLDFAST_DESCRIBE(HttpSettings, (address, max_body, max_batch_body, max_import_body, request_timeout,
                                 idle_timeout, head_timeout, write_timeout, max_connections, max_running,
                                 max_waiting, max_wait, admission, cors_origins, access_log))

/// How the transactions of several processes meet; sql::postgres::Writers says more.
enum class PostgresWriters : std::uint8_t { one_at_a_time, side_by_side };
HOLDFAST_DESCRIBE_ENUM(PostgresWriters, one_at_a_time, side_by_side)

struct PostgresSettings {
  PostgresWriters writers = PostgresWriters::one_at_a_time;
  std::uint32_t lanes = 1;
  std::uint32_t readers_per_loop = 4;
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(3);
  std::chrono::milliseconds statement_timeout = std::chrono::seconds(30);
  bool ready_when_read_only = false;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&PostgresSettings::writers>().doc("one_at_a_time: groups of all processes take turns; "
                                                "side_by_side: SERIALIZABLE, losers run again."),
        field<&PostgresSettings::lanes>().range(1, 64).doc(
            "Writing connections a process; more than one only side_by_side."),
        field<&PostgresSettings::readers_per_loop>().range(1, 100).doc(
            "Most connections for reading, an event loop."),
        field<&PostgresSettings::connect_timeout>().range(1, 600'000).doc("To connect to it."),
        field<&PostgresSettings::statement_timeout>()
            .range(1, 3'600'000)
            .doc("Most time of one statement, whatever the deadline."),
        field<&PostgresSettings::ready_when_read_only>().doc(
            "Whether /health/ready stays 200 (degraded) while the database can be read and not written."));
  }
};
HOLDFAST_DESCRIBE(PostgresSettings, (writers, lanes, readers_per_loop, connect_timeout, statement_timeout,
                                     ready_when_read_only))

struct DatabaseSettings {
  config::Secret url;
  std::string file = "orders.db";
  bool migrate = true;
  std::uint32_t max_queue = 8'192;
  std::uint32_t max_group = 256;
  config::ByteSize writer_cache = config::mebibytes(16);
  config::ByteSize reader_cache = config::mebibytes(2);
  config::Secret replicas;
  std::chrono::milliseconds max_replica_lag = std::chrono::seconds(5);
  PostgresSettings postgres;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&DatabaseSettings::replicas>().doc(
            "URLs of the PostgreSQL's standbys, with spaces between them: reads that may be a little late go "
            "there."),
        field<&DatabaseSettings::max_replica_lag>()
            .range(10, 3'600'000)
            .doc("A replica that is later than this is left out until it has caught up."),
        field<&DatabaseSettings::url>().doc(
            "postgres://user:password@host:port/database?sslmode=…, or sqlite:FILE; empty: `file`."),
        field<&DatabaseSettings::file>().length(1, 4096).doc(
            "SQLite file; below the data folder unless absolute."),
        field<&DatabaseSettings::migrate>().doc("Whether `serve` and `worker` bring the schema up to date."),
        field<&DatabaseSettings::max_queue>()
            .range(1, 1'000'000)
            .doc("Transactions waiting for the writer; one more gets 503."),
        field<&DatabaseSettings::max_group>().range(1, 10'000).doc("Transactions a commit."),
        field<&DatabaseSettings::writer_cache>().doc("Most page cache of the writer; taken as needed."),
        field<&DatabaseSettings::reader_cache>().doc("Likewise of each reader."));
  }
};
HOLDFAST_DESCRIBE(DatabaseSettings, (url, file, migrate, max_queue, max_group, writer_cache, reader_cache,
                                     replicas, max_replica_lag, postgres))

struct RateLimitSettings {
  bool enabled = true;
  resilience::RateAlgorithm algorithm = resilience::RateAlgorithm::token_bucket;
  std::uint32_t requests = 600'000;
  std::chrono::seconds window = std::chrono::seconds(60);
  std::uint32_t burst = 100'000;
  std::uint32_t anonymous_requests = 6'000;
  std::uint32_t anonymous_burst = 2'000;
  std::uint32_t max_clients = 65'536;
  std::chrono::milliseconds slow_refusal = std::chrono::milliseconds(250);

  static constexpr auto rules() {
    return holdfast::rules(
        field<&RateLimitSettings::enabled>().doc("Whether clients are limited at all."),
        field<&RateLimitSettings::algorithm>().doc(
            "token_bucket: evenly, with bursts; fixed_window: a quota; sliding_counter: between them."),
        field<&RateLimitSettings::requests>().range(1, 1'000'000'000).doc("Of one API key, a window."),
        field<&RateLimitSettings::window>().range(1, 86'400).doc("What the numbers of requests are over."),
        field<&RateLimitSettings::burst>()
            .range(1, 1'000'000'000)
            .doc("Of one API key, at once; token_bucket only."),
        field<&RateLimitSettings::anonymous_requests>()
            .range(1, 1'000'000'000)
            .doc("Of one address without a key, a window."),
        field<&RateLimitSettings::anonymous_burst>()
            .range(1, 1'000'000'000)
            .doc("Of one address without a key, at once."),
        field<&RateLimitSettings::slow_refusal>().range(0, 10'000).doc(
            "A client that is told 429 more than 20 times a second is told so later; 0: at once."),
        field<&RateLimitSettings::max_clients>().range(64, 16'777'216).doc("Clients remembered."));
  }
};
HOLDFAST_DESCRIBE(RateLimitSettings, (enabled, algorithm, requests, window, burst, anonymous_requests,
                                      anonymous_burst, max_clients, slow_refusal))

struct IdempotencySettings {
  std::chrono::minutes retention = std::chrono::hours(48);
  std::chrono::milliseconds longest_wait = std::chrono::seconds(10);
  bool fast = true;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&IdempotencySettings::fast>().doc(
            "Whether committed answers are kept in Redis too, for minutes, where there are redis.url and a "
            "PostgreSQL: repeated requests don't ask the database."),
        field<&IdempotencySettings::retention>()
            .range(1, 527'040)
            .doc("How long a key and its answer are known."),
        field<&IdempotencySettings::longest_wait>()
            .range(0, 600'000)
            .doc("For the same key in flight, then 409."));
  }
};
HOLDFAST_DESCRIBE(IdempotencySettings, (retention, longest_wait, fast))

/// How the relay hears of the outbox's messages; for brokers other than the embedded one.
enum class RelayKind : std::uint8_t {
  poll,      ///< reads the table when it is woken
  pgoutput,  ///< PostgreSQL tells, by a replication slot
};
HOLDFAST_DESCRIBE_ENUM(RelayKind, poll, pgoutput)

struct MessagingSettings {
  std::chrono::milliseconds lease = std::chrono::seconds(5);
  std::chrono::hours retention = std::chrono::hours(24 * 7);
  RelayKind relay = RelayKind::poll;
  config::ByteSize slot_warn = config::mebibytes(1024);

  static constexpr auto rules() {
    return holdfast::rules(field<&MessagingSettings::relay>().doc(
                               "poll: the outbox's table is read; pgoutput: PostgreSQL tells of it, by a "
                               "replication slot."),
                           field<&MessagingSettings::slot_warn>().doc(
                               "Of PostgreSQL's log, kept for the slot; from there on not healthy."),
                           field<&MessagingSettings::lease>()
                               .range(300, 600'000)
                               .doc("A worker silent for so long is replaced."),
                           field<&MessagingSettings::retention>()
                               .range(1, 24 * 366)
                               .doc("Handled messages are kept for so long."));
  }
};
HOLDFAST_DESCRIBE(MessagingSettings, (lease, retention, relay, slot_warn))

struct SagaSettings {
  std::chrono::milliseconds lease = std::chrono::seconds(5);
  std::uint32_t concurrency = 1'024;
  std::chrono::hours retention = std::chrono::hours(24 * 30);

  static constexpr auto rules() {
    return holdfast::rules(
        field<&SagaSettings::lease>().range(300, 600'000).doc("A worker silent for so long is replaced."),
        field<&SagaSettings::concurrency>()
            .range(1, 100'000)
            .doc("Sagas whose steps run at a time, a process."),
        field<&SagaSettings::retention>().range(1, 24 * 3660).doc("Ended sagas are kept for so long."));
  }
};
HOLDFAST_DESCRIBE(SagaSettings, (lease, concurrency, retention))

enum class MailMode : std::uint8_t { maildir, smtp };
HOLDFAST_DESCRIBE_ENUM(MailMode, maildir, smtp)

struct SmtpSettings {
  std::string host = "localhost";
  std::uint16_t port = 587;
  std::string user;
  config::Secret password;
  bool require_tls = true;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&SmtpSettings::host>().length(1, 255).doc("Mail server."),
        field<&SmtpSettings::port>().range(1, 65'535).doc("465 speaks TLS from the start."),
        field<&SmtpSettings::user>().doc("Empty: no authentication."),
        field<&SmtpSettings::password>().doc("Best as `file:/run/secrets/smtp`."),
        field<&SmtpSettings::require_tls>().doc("Send nothing over a connection that is not encrypted."));
  }
};
HOLDFAST_DESCRIBE(SmtpSettings, (host, port, user, password, require_tls))

struct NotificationSettings {
  MailMode mode = MailMode::maildir;
  std::string maildir = "mail";
  std::string from = "Holdfast Orders <orders@holdfast.invalid>";
  SmtpSettings smtp;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&NotificationSettings::mode>().doc("Where mails go: a maildir or a mail server."),
        field<&NotificationSettings::maildir>().length(1, 4096).doc(
            "Folder; below the data folder unless absolute."),
        field<&NotificationSettings::from>().length(3, 320).printable().doc(
            "Sender, as in the From header."));
  }
};
HOLDFAST_DESCRIBE(NotificationSettings, (mode, maildir, from, smtp))

struct WebhookSettings {
  bool enabled = true;
  bool allow_private_addresses = false;
  std::chrono::milliseconds attempt_timeout = std::chrono::seconds(10);
  std::uint32_t max_attempts = 16;
  std::uint32_t max_in_flight = 64;
  std::uint32_t per_subscriber = 4;
  std::chrono::hours disable_after = std::chrono::hours(24 * 5);
  std::chrono::hours retention = std::chrono::hours(24 * 7);
  std::uint32_t max_subscribers = 1'000;
  config::Secret secret_keys;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&WebhookSettings::enabled>().doc("Whether subscribers are told of order events."),
        field<&WebhookSettings::allow_private_addresses>().doc(
            "Also sends into our own network, and by http: for development."),
        field<&WebhookSettings::attempt_timeout>().range(1, 600'000).doc("From connecting to the answer."),
        field<&WebhookSettings::max_attempts>().range(1, 1'000).doc(
            "Then a delivery has failed; 16 take about a day."),
        field<&WebhookSettings::max_in_flight>().range(2, 10'000).doc("Attempts at a time."),
        field<&WebhookSettings::per_subscriber>().range(1, 1'000).doc(
            "Of one subscriber at a time; of one that fails, one."),
        field<&WebhookSettings::disable_after>()
            .range(1, 24 * 366)
            .doc("Of nothing but failure; then a subscriber is disabled."),
        field<&WebhookSettings::retention>().range(1, 24 * 366).doc("Of deliveries that are finished."),
        field<&WebhookSettings::max_subscribers>().range(1, 10'000).doc("One more is refused."),
        field<&WebhookSettings::secret_keys>().doc(
            "What subscribers' secrets are encrypted with in the database: <id>:<base64 of 32 bytes>, the "
            "newest first, separated by commas; best as `file: …`. Empty: they stand there as they are."));
  }
};
HOLDFAST_DESCRIBE(WebhookSettings,
                  (enabled, allow_private_addresses, attempt_timeout, max_attempts, max_in_flight,
                   per_subscriber, disable_after, retention, max_subscribers, secret_keys))

struct WorkerSettings {
  bool enabled = true;
  std::string address;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&WorkerSettings::enabled>().doc(
            "Whether `serve` handles events too, or leaves that to `worker`."),
        field<&WorkerSettings::address>().length(0, 255).doc(
            "host:port where `worker` shows /health/live, /health/ready and /metrics, to whoever gets there; "
            "empty: nowhere. Port 0 takes a free one."));
  }
};
HOLDFAST_DESCRIBE(WorkerSettings, (enabled, address))

struct ShutdownSettings {
  std::chrono::milliseconds timeout = std::chrono::seconds(20);

  static constexpr auto rules() {
    return holdfast::rules(field<&ShutdownSettings::timeout>()
                               .range(0, 600'000)
                               .doc("For what is in flight; then it is cut off."));
  }
};
HOLDFAST_DESCRIBE(ShutdownSettings, (timeout))

enum class LogStyle : std::uint8_t { automatic, json, text };
HOLDFAST_DESCRIBE_ENUM(LogStyle, automatic, json, text)

enum class LogSeverity : std::uint8_t { trace, debug, info, warn, error, off };
HOLDFAST_DESCRIBE_ENUM(LogSeverity, trace, debug, info, warn, error, off)

struct LogSettings {
  LogStyle format = LogStyle::automatic;
  LogSeverity level = LogSeverity::info;
  std::map<std::string, LogSeverity> levels;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&LogSettings::format>().doc("automatic: text on a terminal, JSON elsewhere."),
        field<&LogSettings::level>().doc("Of loggers that `levels` does not name."),
        field<&LogSettings::levels>().doc("By logger: \"sql: debug\"."));
  }
};
HOLDFAST_DESCRIBE(LogSettings, (format, level, levels))

struct RuntimeSettings {
  std::uint32_t loops = 0;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&RuntimeSettings::loops>().range(0, 1024).doc("Event loops; 0: one a core."));
  }
};
HOLDFAST_DESCRIBE(RuntimeSettings, (loops))

struct Settings {
  std::string data = "data";
  HttpSettings http;
  DatabaseSettings database;
  RedisSettings redis;
  RateLimitSettings rate_limit;
  IdempotencySettings idempotency;
  MessagingSettings messaging;
  BrokerSettings broker;
  BlobSettings blob;
  SagaSettings saga;
  ordering::CheckoutSettings checkout;
  payments::Settings payments;
  shipping::Settings shipping;
  NotificationSettings notifications;
  WebhookSettings webhooks;
  catalog::Settings catalog;
  WorkerSettings worker;
  ShutdownSettings shutdown;
  LogSettings log;
  RuntimeSettings runtime;
  resilience::DependencyMap dependencies;

  /// What is kept in Redis must be of a kind that can be.
  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&Settings::data>().length(1, 4096).doc("Folder of the database and the mail."),
        field<&Settings::dependencies>().size(0, 100).doc(
            "By name, what is asked of other services, and how patiently; docs/resilience.md."));
  }
};
HOLDFAST_DESCRIBE(Settings, (data, http, database, redis, rate_limit, idempotency, messaging, broker, blob,
                             saga, checkout, payments, shipping, dependencies, notifications, webhooks,
                             catalog, worker, shutdown, log, runtime))

}  // namespace holdfast::orders
