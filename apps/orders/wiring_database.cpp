#include "orders/wiring_database.hpp"

#include <string>
#include <utility>

#include "holdfast/sql/guarded_database.hpp"
#include "orders/open_database.hpp"
#include "orders/order_system_ops.hpp"
#include "orders/shared/http.hpp"

namespace holdfast::orders {
namespace {

constexpr std::string_view kReadAfter = "X-Read-After";

struct ReplicaList {
  std::vector<sql::postgres::ReplicaView> items;
};
HOLDFAST_DESCRIBE(ReplicaList, (items))

bool left_in_peace(const resilience::Pipeline& pipeline) {
  const resilience::BreakerState state = pipeline.view().breaker.state;
  return state != resilience::BreakerState::closed && state != resilience::BreakerState::forced_closed;
}

}  // namespace

DatabaseWiring::DatabaseWiring(const Context& ctx, const Settings& settings, const Parts& parts,
                               std::string_view role)
    : runtime_(parts.runtime),
      // A file that can't be written is this machine's own, and there is no other to send readers to.
      ready_when_read_only_(sqlite_file(settings).has_value() ||
                            settings.database.postgres.ready_when_read_only),
      database_(open_database(ctx, settings, parts.runtime, role)) {
  if (!sqlite_file(settings)) {
    reads_ = &parts.dependencies.add("database", sql::guard_defaults());
    writes_ = &parts.dependencies.add("database_writes", sql::guard_defaults());
    database_ = sql::guard(std::move(database_), *reads_, *writes_);
  }
  if (auto replicas = replicas_of(settings, role); role == "serve" && !replicas.empty()) {
    replicas_ = std::make_unique<sql::postgres::Replicas>(
        parts.runtime, *database_, std::move(replicas), parts.metrics, parts.log.logger("replicas"),
        sql::postgres::ReplicaOptions{.max_lag = settings.database.max_replica_lag});
  }
  parts.log.logger("orders").info("database", {{"at", shown_database(settings)}});
  observations_ = observe_database(parts.metrics, *database_);
  check_ = parts.health.add_probe("database", {.critical = true},
                                  [this](Duration timeout) { return health(timeout); });
}

DatabaseWiring::~DatabaseWiring() = default;

sql::Database& DatabaseWiring::reads_for(const http::Request& request) {
  if (replicas_ == nullptr) return *database_;
  const std::string_view wanted = request.header(kReadAfter);
  if (wanted.empty()) return replicas_->reads();
  const auto position = sql::postgres::parse_position(wanted);
  return position ? replicas_->reads(position) : *database_;  // it was somebody else's: the latest is right
}

std::optional<http::Middleware> DatabaseWiring::positions() {
  if (replicas_ == nullptr) return std::nullopt;
  return [this](const Context& ctx, http::Request& request, const http::Next& next) {
    http::Response response = next(ctx, request);
    const bool reads = request.method == http::Method::get || request.method == http::Method::head;
    if (reads || response.status >= 300) return response;
    try {
      response.add(std::string(kReadAfter), to_string(replicas_->position(ctx)));
    } catch (const Error&) {  // what was asked for is done; the client reads what it may
    }
    return response;
  };
}

void DatabaseWiring::add_routes(http::Router& router) {
  http::route(router, http::Method::get, "/v1/ops/replicas",
              {.name = "listReplicas",
               .summary = "The database's read replicas: which are used, and how late they are",
               .tags = {"operations"},
               .scope = "read"},
              [this](const Context&) {
                ReplicaList list;
                if (replicas_ != nullptr) list.items = replicas_->view();
                return list;
              });
}

void DatabaseWiring::run_replicas(const Context& ctx) {
  if (replicas_ != nullptr) replicas_->run(ctx);
}

observe::HealthState DatabaseWiring::health(Duration timeout) {
  database_->query_value<std::int64_t>(runtime_.context().with_timeout(timeout), "select 1");
  const std::string failure = database_->statistics().write_failure;
  const bool given_up = writes_ != nullptr && left_in_peace(*writes_);
  if (failure.empty() && !given_up) return {};
  const bool serves_readers = !given_up || ready_when_read_only_;
  return {serves_readers ? observe::Readiness::degraded : observe::Readiness::not_ready,
          "The database can't be written: " + failure};
}

void DatabaseWiring::run_probes(const Context& ctx) {
  if (writes_ == nullptr) return;
  // What fails where nothing can be written, and leaves nothing behind.
  sql::run_guard_probes(ctx, *database_, *reads_, *writes_, [](sql::Transaction& tx) {
    tx.execute("update holdfast_migrations set name = name where version = 1");
  });
}

}  // namespace holdfast::orders
