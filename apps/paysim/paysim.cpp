#include "paysim/paysim.hpp"

#include <filesystem>
#include <optional>

#include "holdfast/http/security_headers.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/lifecycle.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "paysim/answers.hpp"
#include "paysim/api.hpp"
#include "paysim/api_error.hpp"
#include "paysim/control.hpp"
#include "paysim/deliveries.hpp"
#include "paysim/schema.hpp"

namespace holdfast::paysim {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxBodyBytes = 256 * 1024;
constexpr Duration kRequestTimeout = 24h;  // callers give up, we don't
constexpr Duration kStopLimit = 10s;
constexpr Duration kSettlePoll = 20ms;
constexpr Duration kTrimInterval = 60s;
constexpr std::int64_t kSettleBatch = 256;

int status_of(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::not_found: return 404;
    case ErrorCode::too_large: return 413;
    case ErrorCode::rate_limited: return 429;
    case ErrorCode::unavailable:
    case ErrorCode::cancelled: return 503;
    default: return 500;
  }
}

http::Response error_response(int status, const ErrorBody& body) {
  return http::Response::json(status, to_error_json(body));
}

http::Response error_response(const Context& ctx, const http::Request& request, const Error& error,
                              const observe::Logger& logger) {
  if (request.route == nullptr && error.code() == ErrorCode::not_found) {
    return error_response(404, {.message = "Unrecognized request URL (" + std::string(request.method_name) +
                                           ": " + std::string(request.path) + ")."});
  }
  const int status = status_of(error);
  if (status >= 500) logger.warn(ctx, "a call failed", {{"error", error.what()}});
  std::string message = error.detail();
  for (const FieldViolation& fault : error.violations()) {
    message += " " + fault.pointer + " " + fault.message + ".";
  }
  return error_response(status, {.type = status >= 500 ? "api_error" : "invalid_request_error",
                                 .code = std::string(error.reason()),
                                 .message = std::move(message)});
}

/// Whatever goes wrong is answered as Stripe would; every answer of the API is counted and named.
http::Middleware as_stripe(const observe::Logger& logger, Counters& counters, IdGenerator& ids) {
  return [&counters, &ids, logger](const Context& ctx, http::Request& request, const http::Next& next) {
    http::Response response;
    try {
      response = next(ctx, request);
    } catch (const ApiError& error) {
      response = error_response(error.status(), error.body());
    } catch (const Error& error) {
      response = error_response(ctx, request, error, logger);
    }
    if (!request.path.starts_with("/v1/") || response.drop_connection) return response;
    counters.answered(response.status);
    if (!response.has_header("Request-Id")) response.set("Request-Id", ids.make<Id<"req">>().text());
    return response;
  };
}

}  // namespace

struct Paysim::State {
  State(Settings the_settings, runtime::Runtime& the_runtime, observe::Log& log)
      : settings(std::move(the_settings)),
        runtime(the_runtime),
        logger(log.logger("paysim")),
        ids(runtime.clock(), runtime.random()),
        behaviour(runtime.clock()),
        counters(runtime.clock()),
        parts([this](const std::string& line) { logger.warn(line); }) {}

  void open(const Context& ctx);
  void close() {
    control.reset();
    api.reset();
    deliveries.reset();
    payments.reset();
    events.reset();
    client.reset();
    database.reset();
  }
  void listen();
  void tend(const Context& ctx);

  const Settings settings;
  runtime::Runtime& runtime;
  const observe::Logger logger;
  IdGenerator ids;
  Behaviour behaviour;
  Counters counters;
  runtime::Signal due;
  runtime::Latch stopped;
  runtime::CancellationSource stopping;
  std::unique_ptr<sql::Database> database;
  std::optional<http::Client> client;
  std::optional<Events> events;
  std::optional<Payments> payments;
  std::optional<Deliveries> deliveries;
  std::optional<Api> api;
  std::optional<Control> control;
  std::optional<runtime::FiberGroup> background;
  std::optional<http::Server> server;
  std::uint16_t port = 0;
  runtime::Lifecycle parts;
};

void Paysim::State::open(const Context& ctx) {
  behaviour.set(settings.behaviour);
  std::error_code failure;
  std::filesystem::create_directories(settings.data, failure);
  if (failure) {
    throw Error(ErrorCode::unavailable, "The data folder " + settings.data + " can't be made: " +
                                            failure.message() + ". Name another one with --data.");
  }
  database = sql::sqlite::open_file(runtime,
                                    {.path = (std::filesystem::path(settings.data) / "paysim.db").string()});
  sql::Migrator(*database, migrations()).up(ctx);
  client.emplace(runtime, http::ClientOptions{.user_agent = "paysim", .max_connections_per_host = 32});
  events.emplace(runtime.clock(), ids, behaviour, due);
  payments.emplace(runtime.clock(), ids, *events);
  deliveries.emplace(runtime, *database, *client, *events, due, logger);
  if (settings.webhook_url.empty()) {
    deliveries->restore(ctx);
  } else {
    deliveries->point_to(ctx, {settings.webhook_url, settings.webhook_secret, settings.webhook_events});
  }
  api.emplace(Api::Parts{runtime.clock(), ids, *database, *payments, behaviour, counters, stopped},
              settings.secret_key, stopping.token());
  control.emplace(Control::Parts{ids, *database, *payments, behaviour, counters, *deliveries},
                  settings.behaviour);
}

void Paysim::State::listen() {
  http::Router router;
  router.use(http::security_headers());
  router.use(as_stripe(logger, counters, ids));
  api->add_routes(router);
  control->add_routes(router);
  http::ServerOptions options{.address = settings.address};
  options.limits.max_body_bytes = kMaxBodyBytes;
  options.limits.request_timeout = kRequestTimeout;
  server.emplace(runtime, std::move(router), std::move(options));
  server->start();
  port = server->port();
}

/// Settles what is processing, and forgets old answers.
void Paysim::State::tend(const Context& ctx) {
  Instant trim_at = ctx.now() + kTrimInterval;
  for (;;) {
    runtime::sleep_for(ctx, kSettlePoll);
    try {
      const WallTime now = ctx.clock().wall_now();
      const auto waiting = database->query_one<std::string>(
          ctx, "select id from intents where settles_at is not null and settles_at <= $1 limit 1", now);
      if (waiting) {
        database->transact(ctx, "settle",
                           [&](sql::Transaction& tx) { return payments->settle(tx, kSettleBatch); });
      }
      if (ctx.now() < trim_at) continue;
      trim_at = ctx.now() + kTrimInterval;
      database->transact(ctx, "forget answers", [&](sql::Transaction& tx) {
        const auto age = std::chrono::duration_cast<std::chrono::microseconds>(kAnswerRetention);
        return forget_answers(tx, now - age);
      });
    } catch (const Error& error) {
      if (ctx.cancelled()) throw;
      logger.warn("settling failed and is tried again", {{"error", error.what()}});
    }
  }
}

Paysim::Paysim(Settings settings, runtime::Runtime& runtime, observe::Log& log)
    : state_(std::make_unique<State>(std::move(settings), runtime, log)) {}

Paysim::~Paysim() {
  if (state_->background) state_->background->cancel();
  state_->stopping.cancel();
  state_->stopped.open();
  state_->server.reset();
  state_->background.reset();
  state_->close();
}

void Paysim::start(const Context& ctx) {
  State& s = *state_;
  s.parts.start(
      "database", [&] { s.open(ctx); }, [&s](const Context&) { s.close(); });
  s.parts.start(
      "background",
      [&] {
        s.background.emplace(ctx.detached());
        s.background->spawn("webhooks", [&s](const Context& own) { s.deliveries->run(own); });
        s.background->spawn("settling", [&s](const Context& own) { s.tend(own); });
      },
      [&s](const Context&) { s.background.reset(); });
  s.parts.start(
      "http", [&] { s.listen(); },
      [&s](const Context& limit) {
        s.stopping.cancel();
        s.stopped.open();
        s.server->drain(limit);
        s.server.reset();
      });
}

bool Paysim::stop(const Context& ctx) { return state_->parts.stop(ctx, kStopLimit); }

std::uint16_t Paysim::port() const noexcept { return state_->port; }

std::string Paysim::url() const {
  std::string host = state_->settings.address.substr(0, state_->settings.address.rfind(':'));
  if (host.empty() || host == "0.0.0.0" || host == "[::]") host = "127.0.0.1";
  return "http://" + host + ":" + std::to_string(state_->port);
}

}  // namespace holdfast::paysim
