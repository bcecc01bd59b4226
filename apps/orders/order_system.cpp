#include "orders/order_system.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "holdfast/base/id.hpp"
#include "holdfast/http/admission.hpp"
#include "holdfast/http/compression.hpp"
#include "holdfast/http/conditional.hpp"
#include "holdfast/http/cors.hpp"
#include "holdfast/http/identity.hpp"
#include "holdfast/http/observed.hpp"
#include "holdfast/http/openapi.hpp"
#include "holdfast/http/problem.hpp"
#include "holdfast/http/rate_limit.hpp"
#include "holdfast/http/security_headers.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/http/tarpit.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/idempotency/schema.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/observe/health.hpp"
#include "holdfast/resilience/admission.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/lifecycle.hpp"
#include "holdfast/webhooks/deliveries.hpp"
#include "holdfast/webhooks/sender.hpp"
#include "holdfast/webhooks/subscribers.hpp"
#include "orders/dependencies_ops.hpp"
#include "orders/modules/access/http_routes.hpp"
#include "orders/modules/catalog/changes.hpp"
#include "orders/modules/catalog/http_routes.hpp"
#include "orders/modules/inventory/http_routes.hpp"
#include "orders/modules/notifications/guarded_transport.hpp"
#include "orders/modules/notifications/http_routes.hpp"
#include "orders/modules/notifications/notifications.hpp"
#include "orders/modules/ordering/http_routes.hpp"
#include "orders/open_database.hpp"
#include "orders/order_system_ops.hpp"
#include "orders/shared/http.hpp"
#include "orders/webhook_routes.hpp"
#include "orders/wiring_blob.hpp"
#include "orders/wiring_broker.hpp"
#include "orders/wiring_checkout.hpp"
#include "orders/wiring_database.hpp"
#include "orders/wiring_redis.hpp"

namespace holdfast::orders {
namespace {

constexpr std::size_t kMaxStoredAnswerBytes = 16 * 1024 * 1024;  // of a batch of orders
constexpr Duration kWebhookDrain = std::chrono::seconds(3);      // attempts cut off are made again
constexpr Duration kLogFlush = std::chrono::milliseconds(100);
constexpr std::uint32_t kWorkerConnections = 64;  // a loop, of those who look at a worker

bool is_for_operators(std::string_view path) { return path.starts_with("/health/") || path == "/metrics"; }

http::ServerOptions server_options(const HttpSettings& settings, observe::Metrics& metrics) {
  http::ServerOptions options;
  options.address = settings.address;
  options.limits.max_body_bytes = settings.max_body.bytes;
  options.limits.max_connections_per_loop = settings.max_connections;
  options.limits.idle_timeout = settings.idle_timeout;
  options.limits.head_timeout = settings.head_timeout;
  options.limits.write_timeout = settings.write_timeout;
  options.limits.request_timeout = settings.request_timeout;
  options.limits.max_start_wait = settings.max_wait;
  options.on_refused = [&metrics](std::string_view reason, int) {
    metrics
        .counter("holdfast_http_refused_total", "Requests refused before there was one to route.",
                 {{"reason", std::string(reason)}})
        .add();
  };
  return options;
}

std::vector<resilience::RatePolicy> rate_policies(const RateLimitSettings& settings) {
  const bool bursts = settings.algorithm == resilience::RateAlgorithm::token_bucket;
  resilience::RatePolicy keys{.name = "default"};
  keys.rate.requests = settings.requests;
  keys.rate.window = settings.window;
  if (bursts) keys.rate.burst = settings.burst;
  resilience::RatePolicy anonymous{.name = "anonymous"};
  anonymous.rate.requests = settings.anonymous_requests;
  anonymous.rate.window = settings.window;
  if (bursts) anonymous.rate.burst = settings.anonymous_burst;
  keys.algorithm = anonymous.algorithm = settings.algorithm;
  return {keys, anonymous};
}

resilience::AdmissionOptions admission_options(const HttpSettings& settings) {
  const AdmissionSettings& admission = settings.admission;
  resilience::AdmissionOptions options{.max_running = settings.max_running,
                                       .max_waiting = settings.max_waiting,
                                       .max_wait = settings.max_wait};
  options.shedding.normal_share = admission.normal_share / 100.0;
  options.shedding.background_share = std::min(admission.background_share, admission.normal_share) / 100.0;
  options.shedding.queue_target = admission.queue_target;
  if (admission.adaptive) {
    options.adaptive = resilience::AdaptiveLimitOptions{
        .initial = admission.initial_running, .min = admission.min_running, .max = settings.max_running};
  }
  return options;
}

idempotency::Options idempotency_options(const IdempotencySettings& settings) {
  idempotency::Options options;
  options.retention = settings.retention;
  options.longest_wait = settings.longest_wait;
  options.max_stored_body_bytes = kMaxStoredAnswerBytes;
  return options;
}

webhooks::SenderOptions sender_options(const WebhookSettings& settings) {
  webhooks::SenderOptions options;
  options.attempt_timeout = settings.attempt_timeout;
  options.lease = settings.attempt_timeout + std::chrono::seconds(20);
  options.max_attempts = static_cast<int>(settings.max_attempts);
  options.max_in_flight = settings.max_in_flight;
  options.per_subscriber = settings.per_subscriber;
  options.disable_after = settings.disable_after;
  options.secrets = webhooks::SecretBox::parse(settings.secret_keys.reveal());
  return options;
}

/// A mail takes longer than a call of an API, and is tried again by its subscription.
resilience::PipelineOptions smtp_defaults() {
  resilience::PipelineOptions options;
  options.timeout = {.total = std::chrono::seconds(30), .attempt = std::chrono::seconds(20)};
  options.breaker.slow_call = std::chrono::seconds(15);
  options.retry.enabled = false;
  return options;
}

std::unique_ptr<notifications::MailTransport> make_transport(const Settings& settings,
                                                             runtime::Runtime& runtime,
                                                             observe::Metrics& metrics,
                                                             resilience::Dependencies& dependencies) {
  const NotificationSettings& mail = settings.notifications;
  if (mail.mode == MailMode::maildir) {
    return std::make_unique<notifications::Maildir>(
        runtime, notifications::Maildir::Options{.path = data_path(settings, mail.maildir)}, metrics);
  }
  notifications::Smtp::Options options;
  options.host = mail.smtp.host;
  options.port = mail.smtp.port;
  options.user = mail.smtp.user;
  options.password = mail.smtp.password;
  options.require_tls = mail.smtp.require_tls;
  return std::make_unique<notifications::GuardedTransport>(
      std::make_unique<notifications::Smtp>(runtime, std::move(options), metrics),
      dependencies.add("smtp", smtp_defaults()));
}

}  // namespace

std::string data_path(const Settings& settings, const std::string& path) {
  return (std::filesystem::path(settings.data) / path).string();
}

observe::LogOptions log_options(const LogSettings& settings) {
  const auto level_of = [](LogSeverity level) { return observe::parse_log_level(enum_name(level)).value(); };
  observe::LogOptions options;
  options.format = settings.format == LogStyle::json   ? observe::LogFormat::json
                   : settings.format == LogStyle::text ? observe::LogFormat::text
                                                       : observe::LogFormat::automatic;
  options.level = level_of(settings.level);
  for (const auto& [name, level] : settings.levels) options.levels.emplace(name, level_of(level));
  return options;
}

// Members stand in the order they are made in; what is destroyed first uses what stands above it.
struct OrderSystem::State {
  State(const Settings& given, runtime::Runtime& the_runtime, observe::Log& the_log,
        observe::Metrics& the_metrics, Role the_role)
      : settings(given),
        runtime(the_runtime),
        log(the_log),
        metrics(the_metrics),
        role(the_role),
        logger(log.logger("orders")),
        ids(runtime.clock(), runtime.random()),
        health(runtime.clock()),
        dependencies(settings.dependencies,
                     {runtime.clock(), runtime.random(), metrics, log.logger("dependency")}),
        parts([this](const std::string& line) { logger.warn(line); }) {}

  bool has_worker() const { return role == Role::worker || settings.worker.enabled; }

  void start_database(const Context& ctx) {
    stored = std::make_unique<DatabaseWiring>(
        ctx, settings, DatabaseWiring::Parts{runtime, metrics, log, dependencies, health},
        role == Role::serve ? "serve" : "worker");
    database = &stored->database();
    outbox = std::make_unique<messaging::Outbox>(runtime.clock(), runtime.random(), metrics);
    checkout = std::make_unique<CheckoutWiring>(
        settings, CheckoutWiring::Parts{runtime, *database, ids, *outbox, metrics, log, dependencies});
    ordering = std::make_unique<ordering::Ordering>(ids, *outbox, checkout->checkout());
    transport = make_transport(settings, runtime, metrics, dependencies);
    dependencies_check = health.add_probe("dependencies", {.critical = false},
                                          [this](Duration) { return dependencies_health(dependencies); });
    notifications = std::make_unique<notifications::Notifications>(
        *database, *transport, notifications::Notifications::Options{.from = settings.notifications.from});
    make_webhooks();
  }

  void make_webhooks() {
    webhook_subscribers = std::make_unique<webhooks::Subscribers>(
        ids, runtime.random(),
        webhooks::SubscriberOptions{
            .allow_private_addresses = settings.webhooks.allow_private_addresses,
            .max_subscribers = settings.webhooks.max_subscribers,
            .secrets = webhooks::SecretBox::parse(settings.webhooks.secret_keys.reveal())});
    webhook_deliveries = std::make_unique<webhooks::Deliveries>(
        ids, webhooks::DeliveryOptions{.retention = settings.webhooks.retention});
  }

  void start_webhooks(const Context& ctx) {
    database->transact(ctx, "seal webhook secrets",
                       [&](sql::Transaction& tx) { webhook_subscribers->reseal(tx); });
    webhook_client = std::make_unique<http::Client>(
        runtime, webhooks::Sender::client_options(settings.webhooks.allow_private_addresses));
    webhook_sender = std::make_unique<webhooks::Sender>(
        runtime, *database, *webhook_deliveries, metrics, log.logger("webhooks"),
        webhooks::Sender::by(*webhook_client), sender_options(settings.webhooks));
    webhook_sender->start();
    background->spawn("webhook interest",
                      [this](const Context& own) { webhook_deliveries->follow_interest(own, *database); });
  }

  /// A file beside us is asked as quickly as a Redis: there would be nothing to gain.
  idempotency::Answers* committed_answers(const Context& ctx) {
    if (sqlite_file(settings)) return nullptr;
    return shared->answers(idempotency::store_id(ctx, *database, runtime.random()));
  }

  void start_background(const Context& ctx) {
    background.emplace(ctx.detached());
    background->spawn("log flush", [this](const Context& own) { flush_log(own); });
    background->spawn("database probe", [this](const Context& own) { stored->run_probes(own); });
    background->spawn("replicas", [this](const Context& own) { stored->run_replicas(own); });
    shared = std::make_unique<RedisWiring>(settings, RedisWiring::Parts{runtime, metrics, log, dependencies});
    if (role == Role::serve) {
      idempotency = std::make_unique<idempotency::Idempotency>(
          *database, metrics, idempotency_options(settings.idempotency), committed_answers(ctx));
      background->spawn("idempotency sweeper", [this](const Context& own) { idempotency->run_sweeper(own); });
    }
  }

  void flush_log(const Context& ctx) {
    try {
      for (;;) {
        runtime::sleep_for(ctx, kLogFlush);
        log.flush();
      }
    } catch (const Error&) {  // cancelled: the end of it
      log.flush();
    }
  }

  void stop_background() {
    if (!background) return;
    background->cancel();
    background.reset();  // waits
  }

  void start_broker(const Context& ctx) {
    blobs = std::make_unique<BlobWiring>(
        settings, BlobWiring::Parts{runtime, *database, *outbox, metrics, log, dependencies});
    background->spawn("claim sweeper", [this](const Context& own) { blobs->sweep(own); });
    broker = std::make_unique<BrokerWiring>(
        settings, BrokerWiring::Parts{runtime, *database, *outbox, metrics, log, blobs->claims()});
    messaging::Subscriber& subscriber = broker->subscriber();
    subscriber.subscribe(notifications->subscription(), notifications->handler());
    subscriber.subscribe(catalog::bought_together_subscription(), catalog::bought_together_handler());
    subscriber.subscribe(catalog::page_cache_subscription(),
                         catalog::page_cache_handler(catalog::ProductPages::forgetting(
                             shared->cache(), runtime.clock(), runtime.random(), metrics)));
    if (settings.webhooks.enabled) {
      subscriber.subscribe(webhook_deliveries->subscription({std::string(ordering::kTopic)}),
                           webhook_deliveries->handler(*database));
    }
    broker->start(ctx);
    broker_check =
        health.add_probe("messaging", {.critical = false}, [this](Duration) { return broker->health(); });
  }

  void start_sagas(const Context& ctx) {
    checkout->start_worker(ctx);
    sagas_check = health.add_probe("sagas", {.critical = false},
                                   [this](Duration) { return checkout->sagas().health(); });
  }

  http::Router make_router() {
    http::Router router;
    add_middlewares(router);
    const auto reads_for = [this](const http::Request& request) -> sql::Database& {
      return stored->reads_for(request);
    };
    catalog::add_routes(router, *database, *idempotency, *outbox, settings.http.max_import_body.bytes,
                        reads_for);
    pages = std::make_unique<catalog::ProductPages>(
        catalog::sources_of(*database), settings.catalog.page,
        catalog::ProductPages::Parts{shared->cache(), !settings.redis.url.empty(), runtime.clock(),
                                     runtime.random(), metrics},
        log.logger("catalog"));
    catalog::add_page_routes(router, *database, *idempotency, ids, *pages);
    inventory::add_routes(router, *database, *idempotency);
    ordering::add_routes(router, *database, *idempotency, *ordering, outbox->committed(),
                         {.max_batch_bytes = settings.http.max_batch_body.bytes});
    checkout->add_routes(router);
    notifications::add_routes(router, *database, *transport);
    access::add_routes(router, *database, *authenticator, ids, runtime.random());
    add_webhook_routes(router, *database, *idempotency, *webhook_subscribers, *webhook_deliveries);
    add_ops_routes(router, {runtime, *database, log, metrics, health, dependencies, reads_for});
    stored->add_routes(router);
    http::add_api_pages(
        router, {.title = "Order System",
                 .version = "1.0.0",
                 .description = "Catalog, stock, orders and notifications. Reading the catalog is free; "
                                "the rest takes an API key: `Authorization: Bearer hf_…`."});
    return router;
  }

  /// What a worker shows: how it is.
  http::Router make_worker_router() {
    http::Router router;
    router.use(http::problem_details({}));
    router.use(http::security_headers());
    add_health_routes(router, health, metrics);
    return router;
  }

  http::ServerOptions worker_http_options() const {
    http::ServerOptions options = server_options(settings.http, metrics);
    options.address = settings.worker.address;
    options.limits.max_connections_per_loop = kWorkerConnections;
    return options;
  }

  void start_server(http::Router router, http::ServerOptions options) {
    server = std::make_unique<http::Server>(runtime, std::move(router), std::move(options));
    server->start();
    server_observations = observe_server(metrics, *server);
  }

  /// In this order, the outermost first: tarpit, identity, record, problems, headers, cors, coding,
  /// conditions, admission, authentication, rate limit.
  void add_middlewares(http::Router& router) {
    if (settings.rate_limit.enabled && settings.rate_limit.slow_refusal > std::chrono::milliseconds(0))
      router.use(http::tarpit({.delay = settings.rate_limit.slow_refusal}, metrics));
    router.use(http::request_identity());
    router.use(
        http::observed([count = http::request_metrics(metrics), access_log = log.logger("http.access"),
                        wanted = settings.http.access_log](const Context& ctx, const http::RequestRecord& r) {
          count(ctx, r);
          if (!wanted || is_for_operators(r.path)) return;
          access_log.info(ctx, "request",
                          {{"method", r.method},
                           {"path", r.path},
                           {"route", r.route},
                           {"status", r.status},
                           {"took", r.took},
                           {"bytes", r.response_bytes},
                           {"from", r.remote_address}});
        }));
    router.use(http::problem_details(
        {.on_failure = [failures = log.logger("http")](const Context& ctx, const http::Request& request,
                                                       int status, std::string_view what) {
          const bool defect = status == 500;
          failures.log(defect ? observe::LogLevel::error : observe::LogLevel::warn, ctx, "request failed",
                       std::initializer_list<observe::LogField>{{"method", request.method_name},
                                                                {"route", request.route_pattern()},
                                                                {"status", status},
                                                                {"error", what}});
        }}));
    router.use(http::security_headers());
    if (!settings.http.cors_origins.empty()) router.use(http::cors({.origins = settings.http.cors_origins}));
    router.use(http::compression());
    router.use(http::conditional_get());
    if (auto positions = stored->positions()) router.use(*positions);
    authenticator = std::make_unique<access::Authenticator>(*database, metrics);
    add_admission(router);
    router.use(access::authentication(*authenticator));
    if (!settings.rate_limit.enabled) return;
    limiter = shared->rate_limits(rate_policies(settings.rate_limit), settings.rate_limit.max_clients);
    router.use(http::rate_limit(*limiter, metrics,
                                {.key =
                                     [](const Context& ctx, const http::Request& request) {
                                       return is_for_operators(request.path) ? std::string()
                                                                             : http::client_key(ctx, request);
                                     },
                                 .policy = [](const Context& ctx, const http::Request&) -> std::size_t {
                                   return ctx.principal().anonymous() ? 1 : 0;
                                 }}));
  }

  /// Before authentication, which may ask the database: so a caller may raise its priority only while its key
  /// is remembered.
  void add_admission(http::Router& router) {
    gate = std::make_unique<resilience::AdmissionGate>("http", admission_options(settings.http),
                                                       runtime.clock(), metrics);
    const AdmissionSettings& admission = settings.http.admission;
    reports_gate = std::make_unique<resilience::AdmissionGate>(
        kReportsBulkhead,
        resilience::AdmissionOptions{.max_running = admission.max_reports_running,
                                     .max_waiting = admission.max_reports_waiting,
                                     .max_wait = admission.max_reports_wait},
        runtime.clock(), metrics);
    http::AdmissionControlOptions options;
    options.exempt = [](const Context&, const http::Request& request) {
      return is_for_operators(request.path);
    };
    options.may_raise = [this](const Context& ctx, const http::Request& request) {
      return access::is_remembered_admin(ctx, *authenticator, request);
    };
    options.bulkheads.emplace(kReportsBulkhead, reports_gate.get());
    router.use(http::admission_control(*gate, std::move(options)));
  }

  /// Overload is told before anything is spent on a request, where that needs no more than its route.
  http::ServerOptions http_options() {
    http::ServerOptions options = server_options(settings.http, metrics);
    options.turns_away = [this](const http::Request& request) -> std::optional<Duration> {
      const http::RouteInfo& route = request.route->info;
      const bool plain = route.bulkhead.empty() && !request.has_header("X-Priority");
      if (!plain || is_for_operators(request.path)) return std::nullopt;
      return gate->turns_away(route.priority);
    };
    return options;
  }

  void stop_http(const Context& ctx) {
    health.start_draining();
    if (!server->drain(ctx)) {
      throw Error(ErrorCode::deadline_exceeded, "Some requests were still running and were cut off.");
    }
  }

  const Settings settings;
  runtime::Runtime& runtime;
  observe::Log& log;
  observe::Metrics& metrics;
  const Role role;
  const observe::Logger logger;
  IdGenerator ids;
  observe::Health health;
  resilience::Dependencies dependencies;
  std::unique_ptr<DatabaseWiring> stored;
  sql::Database* database = nullptr;  // stored's
  observe::Health::Check broker_check;
  observe::Health::Check sagas_check;
  observe::Health::Check dependencies_check;
  std::unique_ptr<messaging::Outbox> outbox;
  std::unique_ptr<CheckoutWiring> checkout;
  std::unique_ptr<ordering::Ordering> ordering;
  std::unique_ptr<notifications::MailTransport> transport;
  std::unique_ptr<notifications::Notifications> notifications;
  std::unique_ptr<webhooks::Subscribers> webhook_subscribers;
  std::unique_ptr<webhooks::Deliveries> webhook_deliveries;
  std::unique_ptr<http::Client> webhook_client;
  std::unique_ptr<webhooks::Sender> webhook_sender;
  std::unique_ptr<RedisWiring> shared;
  std::unique_ptr<idempotency::Idempotency> idempotency;
  std::unique_ptr<BlobWiring> blobs;
  std::optional<runtime::FiberGroup> background;
  std::unique_ptr<BrokerWiring> broker;
  std::unique_ptr<resilience::AdmissionGate> gate;
  std::unique_ptr<resilience::AdmissionGate> reports_gate;
  std::unique_ptr<resilience::RateLimits> limiter;
  std::unique_ptr<access::Authenticator> authenticator;
  std::unique_ptr<catalog::ProductPages> pages;
  std::unique_ptr<http::Server> server;
  std::vector<observe::Observation> server_observations;
  runtime::Lifecycle parts;
};

OrderSystem::OrderSystem(const Settings& settings, runtime::Runtime& runtime, observe::Log& log,
                         observe::Metrics& metrics, Role role)
    : state_(std::make_unique<State>(settings, runtime, log, metrics, role)) {}

OrderSystem::~OrderSystem() {
  state_.reset();
  // The database has told its watching fiber to end, but does not wait for it: its turn comes here.
  if (runtime::on_fiber()) runtime::yield();
}

void OrderSystem::start(const Context& ctx) {
  State& state = *state_;
  try {
    state.parts.start(
        "database", [&] { state.start_database(ctx); }, [](const Context&) {});
    state.parts.start(
        "background", [&] { state.start_background(ctx); },
        [&state](const Context&) { state.stop_background(); });
    if (state.has_worker() && state.settings.webhooks.enabled) {
      state.parts.start(
          "webhooks", [&] { state.start_webhooks(ctx); },
          [&state](const Context& stopping) {
            state.webhook_sender->stop(stopping.with_timeout(kWebhookDrain));
          });
    }
    if (state.has_worker()) {
      state.parts.start(
          "worker", [&] { state.start_broker(ctx); },
          [&state](const Context& stopping) { state.broker->stop(stopping); });
      state.parts.start(
          "sagas", [&] { state.start_sagas(ctx); },
          [&state](const Context& stopping) { state.checkout->stop_worker(stopping); });
    }
    if (state.role == Role::serve) {
      state.parts.start(
          "http", [&] { state.start_server(state.make_router(), state.http_options()); },
          [&state](const Context& stopping) { state.stop_http(stopping); });
    } else if (!state.settings.worker.address.empty()) {
      state.parts.start(
          "http", [&] { state.start_server(state.make_worker_router(), state.worker_http_options()); },
          [&state](const Context& stopping) { state.stop_http(stopping); });
    }
  } catch (...) {
    stop(ctx);
    throw;
  }
  state.dependencies.report_unknown();
  state.logger.info("started", {{"data", state.settings.data}, {"port", http_port()}});
}

bool OrderSystem::stop(const Context& ctx) {
  return state_->parts.stop(ctx, state_->settings.shutdown.timeout);
}

std::uint16_t OrderSystem::http_port() const noexcept { return state_->server ? state_->server->port() : 0; }

sql::Database& OrderSystem::database() noexcept { return *state_->database; }

const http::Router& OrderSystem::router() const noexcept { return state_->server->router(); }

resilience::Dependencies& OrderSystem::dependencies() noexcept { return state_->dependencies; }

bool OrderSystem::balanced(const Context& ctx) { return reconcile(ctx, *state_->database).balanced; }

}  // namespace holdfast::orders
