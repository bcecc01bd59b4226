#include "orders/order_system_ops.hpp"

#include <algorithm>

#include "holdfast/messaging/dead_letters.hpp"
#include "holdfast/messaging/outbox_status.hpp"
#include "orders/dependencies_ops.hpp"
#include "orders/settings.hpp"
#include "orders/shared/http.hpp"
#include "orders/shared/paging.hpp"

namespace holdfast::orders {
namespace {

struct InFlight {
  std::string name;
  std::optional<std::string> waiting_at;
  double age_seconds = 0;
};
HOLDFAST_DESCRIBE(InFlight, (name, waiting_at, age_seconds))

struct InFlightList {
  std::vector<InFlight> items;
  std::int64_t total = 0;
};
HOLDFAST_DESCRIBE(InFlightList, (items, total))

struct LogLevelChange {
  std::string logger;
  std::optional<LogSeverity> level;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&LogLevelChange::logger>().length(0, 100).defaulted().doc("Dotted name; empty: the root."),
        field<&LogLevelChange::level>().doc("Absent: the level above it counts again."));
  }
};
HOLDFAST_DESCRIBE(LogLevelChange, (logger, level))

struct LogLevels {
  std::map<std::string, std::string> levels;
};
HOLDFAST_DESCRIBE(LogLevels, (levels))

struct DeadLetterQuery {
  std::optional<std::string> group;
  std::optional<std::string> topic;
  std::optional<std::string> type;
  std::optional<std::string> key;
  std::optional<std::string> error_contains;
  bool redriven_too = false;
  std::optional<std::string> cursor;
  std::int64_t limit = kDefaultLimit;
  static constexpr auto rules() {
    return holdfast::rules(field<&DeadLetterQuery::redriven_too>().defaulted(),
                           field<&DeadLetterQuery::cursor>().length(1, 2048),
                           field<&DeadLetterQuery::limit>().range(1, kMaxLimit).defaulted());
  }
};
HOLDFAST_DESCRIBE(DeadLetterQuery, (group, topic, type, key, error_contains, redriven_too, cursor, limit))

struct DeadLetterPath {
  std::string id;
};
HOLDFAST_DESCRIBE(DeadLetterPath, (id))

struct Redrive {
  std::optional<std::string> id;
  std::optional<std::string> group;
  std::optional<std::string> topic;
  std::optional<std::string> type;
  std::optional<std::string> key;
  std::optional<std::string> error_contains;
  bool dry_run = false;
  double rate_per_second = 0;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&Redrive::dry_run>().defaulted().doc("Only count."),
        field<&Redrive::rate_per_second>().range(0, 1'000'000).defaulted().doc("0: as fast as it goes."));
  }
};
HOLDFAST_DESCRIBE(Redrive, (id, group, topic, type, key, error_contains, dry_run, rate_per_second))

struct Redriven {
  std::uint64_t matched = 0;
  std::uint64_t redriven = 0;
};
HOLDFAST_DESCRIBE(Redriven, (matched, redriven))

constexpr std::size_t kMaxFibersListed = 1000;

InFlightList in_flight(const runtime::Runtime& runtime) {
  std::vector<runtime::FiberReport> fibers = runtime.fibers();
  std::sort(fibers.begin(), fibers.end(), [](const auto& a, const auto& b) { return a.age > b.age; });
  InFlightList list;
  list.total = static_cast<std::int64_t>(fibers.size());
  fibers.resize(std::min(fibers.size(), kMaxFibersListed));
  for (const auto& fiber : fibers) {
    InFlight& item = list.items.emplace_back();
    item.name = fiber.name;
    if (fiber.waiting_at != nullptr) item.waiting_at = fiber.waiting_at;
    item.age_seconds = std::chrono::duration<double>(fiber.age).count();
  }
  return list;
}

LogLevels levels_of(const observe::Log& log) {
  LogLevels levels;
  for (const auto& [name, level] : log.levels()) levels.levels[name] = to_string(level);
  return levels;
}

}  // namespace

void add_health_routes(http::Router& router, observe::Health& health, observe::Metrics& metrics) {
  router.get(
      "/health/live",
      [](const Context&, http::Request&) { return http::Response::json(200, R"({"status":"alive"})"); },
      {.name = "live",
       .summary = "Whether this process answers; looks at nothing else",
       .tags = {"health"},
       .priority = Priority::critical});
  router.get("/health/ready",
             [&health](const Context&, http::Request&) {
               const observe::HealthReport report = health.report();
               return http::Response::json(report.http_status(), report.to_json());
             },
             {.name = "ready",
              .summary = "Whether work should be sent here",
              .tags = {"health"},
              .priority = Priority::critical});
  router.get(
      "/metrics",
      [&metrics](const Context&, http::Request& request) {
        if (request.header("Accept").find("application/openmetrics-text") != std::string_view::npos) {
          return http::Response::of(200, "application/openmetrics-text; version=1.0.0; charset=utf-8",
                                    metrics.expose_openmetrics());
        }
        return http::Response::of(200, "text/plain; version=0.0.4; charset=utf-8", metrics.expose());
      },
      {.name = "metrics", .summary = "For Prometheus", .tags = {"health"}, .priority = Priority::critical});
}

namespace {

void add_dead_letters(http::Router& router, sql::Database& database) {
  http::route(router, http::Method::get, "/v1/dead-letters",
              {.name = "listDeadLetters",
               .summary = "Messages that were given up on, oldest first",
               .tags = {"operations"},
               .scope = "read"},
              [&database](const Context& ctx, http::Query<DeadLetterQuery> query) {
                messaging::DeadLetters dead(database);
                const messaging::DeadLetterFilter filter{.group = query->group,
                                                         .topic = query->topic,
                                                         .type = query->type,
                                                         .key = query->key,
                                                         .error_contains = query->error_contains,
                                                         .redriven_too = query->redriven_too};
                std::string after;
                if (query->cursor) after = read_cursor(*query->cursor, "dead", 1).keys[0];
                const auto limit = static_cast<std::size_t>(query->limit);
                Page<messaging::DeadLetter> page;
                page.items = dead.list(ctx, filter, after, limit + 1);
                if (page.items.size() > limit) {
                  page.items.pop_back();
                  page.next_cursor = write_cursor({"dead", {page.items.back().id}});
                }
                return page;
              });
  http::route(
      router, http::Method::get, "/v1/dead-letters/{id}",
      {.name = "getDeadLetter",
       .summary = "A message that was given up on, with its attempts",
       .tags = {"operations"},
       .scope = "read"},
      [&database](const Context& ctx, http::Path<DeadLetterPath> path) {
        auto found = messaging::DeadLetters(database).find(ctx, path->id);
        if (!found)
          throw Error(ErrorCode::not_found, "There is no such dead letter.").reason("unknown_dead_letter");
        return std::move(*found);
      });
  http::route(router, http::Method::post, "/v1/dead-letters/redrive",
              {.name = "redriveDeadLetters",
               .summary = "Gives messages back to their group",
               .tags = {"operations"},
               .scope = "admin"},
              [&database](const Context& ctx, http::Body<Redrive> body) -> Redriven {
                const messaging::DeadLetterFilter filter{.id = body->id,
                                                         .group = body->group,
                                                         .topic = body->topic,
                                                         .type = body->type,
                                                         .key = body->key,
                                                         .error_contains = body->error_contains};
                const auto report = messaging::DeadLetters(database).redrive(
                    ctx, filter, {.dry_run = body->dry_run, .rate_per_second = body->rate_per_second});
                return {report.matched, report.redriven};
              });
}

std::vector<ChargedButUndone> charged_but_undone(sql::Queries& db) {
  constexpr std::size_t kMost = 100;
  std::vector<ChargedButUndone> found;
  for (const ordering::OrderId& id : ordering::undone(db)) {
    if (found.size() == kMost) break;
    const auto payment = payments::find(db, id);
    if (payment && payment->captured.minor > payment->refunded.minor)
      found.push_back({id.text(), payment->captured, payment->refunded});
  }
  return found;
}

}  // namespace

Reconciliation reconcile(const Context& ctx, sql::Database& database) {
  Reconciliation result;
  database.read(ctx, {.offload = true}, [&](sql::Snapshot& db) {
    result.imbalances = inventory::imbalances(db);
    result.sales_mismatches = ordering::sales_mismatches(db);
    result.orders = ordering::count(db);
    result.mails = notifications::count(db);
    result.charged_but_undone = charged_but_undone(db);
  });
  for (const auto& group : messaging::outbox_status(ctx, database).groups) {
    if (group.group == notifications::kGroup) result.mails_waiting = group.lag + group.parked;
    result.dead_letters += group.dead;
  }
  result.balanced = result.imbalances.empty() && result.sales_mismatches.empty();
  result.complete = result.orders.pending == 0 && result.charged_but_undone.empty() &&
                    result.mails.receipts == result.orders.confirmed &&
                    result.mails.cancellations == result.orders.cancelled &&
                    result.mails.rejections == result.orders.rejected &&
                    result.mails.shipments == result.orders.shipped;
  return result;
}

void add_ops_routes(http::Router& router, const OpsParts& parts) {
  add_health_routes(router, parts.health, parts.metrics);
  const auto about = [](std::string name, std::string summary, std::string scope) -> http::RouteInfo {
    return {.name = std::move(name),
            .summary = std::move(summary),
            .tags = {"operations"},
            .scope = std::move(scope)};
  };
  http::route(router, http::Method::get, "/v1/ops/requests",
              about("listRequests", "What is in flight, oldest first, and where it waits", "read"),
              [&runtime = parts.runtime](const Context&) { return in_flight(runtime); });
  http::route(
      router, http::Method::get, "/v1/ops/subscriptions",
      about("getSubscriptions", "How far each group is in the log of messages", "read"),
      [&database = parts.database](const Context& ctx) { return messaging::outbox_status(ctx, database); });
  http::RouteInfo report = about("reconcile", "Whether stock, ledger, orders and receipts add up", "read");
  report.priority = Priority::background;
  report.bulkhead = kReportsBulkhead;
  http::route(
      router, http::Method::get, "/v1/ops/reconciliation", std::move(report),
      [&database = parts.database, reads_for = parts.reads_for](const Context& ctx, http::Request& request) {
        return reconcile(ctx, reads_for ? reads_for(request) : database);
      });
  http::route(router, http::Method::get, "/v1/ops/log-level",
              about("getLogLevels", "The loggers' levels", "read"),
              [&log = parts.log](const Context&) { return levels_of(log); });
  http::route(router, http::Method::put, "/v1/ops/log-level",
              about("setLogLevel", "Sets a logger's level", "admin"),
              [&log = parts.log](const Context&, http::Body<LogLevelChange> body) {
                if (body->level) {
                  log.set_level(body->logger, observe::parse_log_level(enum_name(*body->level)).value());
                } else {
                  log.reset_level(body->logger);
                }
                return levels_of(log);
              });
  add_dead_letters(router, parts.database);
  add_dependency_routes(router, parts.dependencies, parts.runtime.clock());
}

std::vector<observe::Observation> observe_database(observe::Metrics& metrics, sql::Database& database) {
  std::vector<observe::Observation> observations;
  const auto counter = [&](const char* name, const char* help, auto member) {
    observations.push_back(metrics.observe_counter(
        name, help, {}, [&database, member] { return static_cast<double>(database.statistics().*member); }));
  };
  const auto gauge = [&](const char* name, const char* help, auto member) {
    observations.push_back(metrics.observe_gauge(
        name, help, {}, [&database, member] { return static_cast<double>(database.statistics().*member); }));
  };
  using sql::Statistics;
  counter("holdfast_sql_transactions_total", "Transactions committed.", &Statistics::transactions);
  counter("holdfast_sql_rolled_back_total", "Transactions whose body threw.", &Statistics::rolled_back);
  counter("holdfast_sql_refused_total", "Transactions refused because the queue was full.",
          &Statistics::refused);
  counter("holdfast_sql_expired_total", "Transactions whose caller's time was over before they ran.",
          &Statistics::expired_in_queue);
  counter("holdfast_sql_groups_total", "Commits; transactions per group is the quotient.",
          &Statistics::groups);
  counter("holdfast_sql_failed_commits_total", "Commits that failed.", &Statistics::failed_commits);
  counter("holdfast_sql_busy_waits_total", "Waits for another process's transaction.",
          &Statistics::busy_waits);
  counter("holdfast_sql_checkpoints_total", "Copies of the write-ahead log into the database.",
          &Statistics::checkpoints);
  counter("holdfast_sql_queries_total", "Reads outside of transactions.", &Statistics::queries);
  gauge("holdfast_sql_queue_depth", "Transactions waiting for the writer.", &Statistics::queue_depth);
  gauge("holdfast_sql_wal_pages", "Pages in the write-ahead log.", &Statistics::wal_pages);
  observations.push_back(metrics.observe_counter(
      "holdfast_sql_commit_seconds_total", "Time spent in commits, fsync included.", {},
      [&database] { return std::chrono::duration<double>(database.statistics().commit_time).count(); }));
  return observations;
}

std::vector<observe::Observation> observe_server(observe::Metrics& metrics, const http::Server& server) {
  std::vector<observe::Observation> observations;
  const auto counter = [&](const char* name, const char* help, auto member) {
    observations.push_back(metrics.observe_counter(
        name, help, {}, [&server, member] { return static_cast<double>(server.statistics().*member); }));
  };
  const auto gauge = [&](const char* name, const char* help, auto member) {
    observations.push_back(metrics.observe_gauge(
        name, help, {}, [&server, member] { return static_cast<double>(server.statistics().*member); }));
  };
  using http::ServerStatistics;
  counter("holdfast_http_connections_total", "Connections accepted.",
          &ServerStatistics::connections_accepted);
  counter("holdfast_http_connections_refused_total", "Connections over the limit.",
          &ServerStatistics::connections_refused);
  counter("holdfast_http_shed_total", "Requests turned away at once, or after they had waited for too long.",
          &ServerStatistics::requests_shed);
  counter("holdfast_http_client_gone_total", "Requests whose client hung up before it was answered.",
          &ServerStatistics::clients_gone);
  counter("holdfast_http_ghost_work_total",
          "Of those, the ones that were worked on to their end all the same.", &ServerStatistics::ghost_work);
  counter("holdfast_http_received_bytes_total", "Bytes received.", &ServerStatistics::bytes_received);
  counter("holdfast_http_sent_bytes_total", "Bytes sent.", &ServerStatistics::bytes_sent);
  gauge("holdfast_http_connections", "Connections open.", &ServerStatistics::connections_open);
  gauge("holdfast_http_requests_in_flight", "Requests being served.", &ServerStatistics::requests_in_flight);
  gauge("holdfast_http_requests_waiting", "Of those in flight, the ones that wait for their loop's time.",
        &ServerStatistics::requests_waiting);
  return observations;
}

}  // namespace holdfast::orders
