#include "carriersim/carriersim.hpp"

#include <charconv>
#include <filesystem>
#include <optional>

#include "carriersim/api.hpp"
#include "carriersim/behaviour.hpp"
#include "carriersim/book.hpp"
#include "holdfast/http/problem.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/http/typed.hpp"
#include "holdfast/runtime/lifecycle.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace holdfast::carriersim {
namespace {

constexpr std::size_t kMaxBodyBytes = 256 * 1024;
constexpr Duration kRequestTimeout = std::chrono::hours(24);  // callers give up, we don't
constexpr Duration kStopLimit = std::chrono::seconds(10);
constexpr std::int64_t kMaxBookPage = 10'000;

struct BookQuery {
  std::int64_t after = 0;
  std::int64_t limit = kMaxBookPage;
  static constexpr auto rules() {
    return holdfast::rules(field<&BookQuery::after>().defaulted(),
                           field<&BookQuery::limit>().defaulted().range(1, kMaxBookPage));
  }
};
HOLDFAST_DESCRIBE(BookQuery, (after, limit))

struct NumberPath {
  std::int64_t number = 0;
};
HOLDFAST_DESCRIBE(NumberPath, (number))

std::string ten_digits_of(const std::string& number) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || end != number.data() + number.size() || value < 1 || number.size() > 10) {
    throw Error(ErrorCode::invalid_argument, "A customer number has one to ten digits.");
  }
  return ten_digits(value);
}

}  // namespace

struct Carriersim::State {
  State(Settings the_settings, runtime::Runtime& the_runtime, observe::Log& log)
      : settings(std::move(the_settings)),
        runtime(the_runtime),
        logger(log.logger("carriersim")),
        parts([this](const std::string& line) { logger.warn(line); }) {}

  void open(const Context& ctx);
  void listen();
  void add_controls(http::Router& router);

  const Settings settings;
  runtime::Runtime& runtime;
  const observe::Logger logger;
  Behaviour behaviour;
  runtime::Latch stopped;
  runtime::CancellationSource stopping;
  std::unique_ptr<sql::Database> database;
  std::optional<Api> api;
  std::optional<http::Server> server;
  std::uint16_t port = 0;
  runtime::Lifecycle parts;
};

void Carriersim::State::open(const Context& ctx) {
  behaviour.set(settings.behaviour);
  const std::string customer = ten_digits_of(settings.customer_number);
  std::error_code failure;
  std::filesystem::create_directories(settings.data, failure);
  if (failure) {
    throw Error(ErrorCode::unavailable, "The data folder " + settings.data + " can't be made: " +
                                            failure.message() + ". Name another one with --data.");
  }
  database = sql::sqlite::open_file(
      runtime, {.path = (std::filesystem::path(settings.data) / "carriersim.db").string()});
  sql::Migrator(*database, migrations()).up(ctx);
  api.emplace(Api::Parts{runtime.clock(), *database, behaviour, stopped}, customer, settings.password,
              stopping.token());
}

void Carriersim::State::add_controls(http::Router& router) {
  router.get("/health/live",
             [](const Context&, http::Request&) { return http::Response::json(200, R"({"status":"up"})"); });
  http::route(router, http::Method::get, "/carriersim/book", {},
              [this](const Context& ctx, http::Query<BookQuery> query) {
                return http::Response::json(200,
                                            database->read(ctx, {.offload = true}, [&](sql::Snapshot& db) {
                                              return book_page(db, query->after, query->limit);
                                            }));
              });
  router.get("/carriersim/behaviour",
             [this](const Context&, http::Request&) { return http::Response::json(200, behaviour.json()); });
  router.put("/carriersim/behaviour", [this](const Context&, http::Request& request) {
    http::binding::require_json(request, false);  // no form of a page in a browser sends that
    behaviour.set(request.body);
    return http::Response::json(200, behaviour.json());
  });
  http::route(router, http::Method::post, "/carriersim/deliver/{number}", {},
              [this](const Context& ctx, http::Path<NumberPath> path) {
                database->transact(ctx, "deliver", [&](sql::Transaction& tx) {
                  set_status(tx, path->number, "Z", ctx.clock().wall_now());
                });
                return http::NoContent{};
              });
  router.post("/carriersim/reset", [this](const Context& ctx, http::Request& request) {
    http::binding::require_json(request, false);
    database->transact(ctx, "reset", [](sql::Transaction& tx) { tx.execute("delete from bookings"); });
    behaviour.set(settings.behaviour);
    return http::Response::json(200, R"({"reset":true})");
  });
}

void Carriersim::State::listen() {
  http::Router router;
  router.use(http::problem_details({}));
  api->add_routes(router);
  add_controls(router);
  http::ServerOptions options{.address = settings.address};
  options.limits.max_body_bytes = kMaxBodyBytes;
  options.limits.request_timeout = kRequestTimeout;
  server.emplace(runtime, std::move(router), std::move(options));
  server->start();
  port = server->port();
}

Carriersim::Carriersim(Settings settings, runtime::Runtime& runtime, observe::Log& log)
    : state_(std::make_unique<State>(std::move(settings), runtime, log)) {}

Carriersim::~Carriersim() {
  state_->stopping.cancel();
  state_->stopped.open();
  state_->server.reset();
  state_->api.reset();
  state_->database.reset();
}

void Carriersim::start(const Context& ctx) {
  State& s = *state_;
  s.parts.start(
      "database", [&] { s.open(ctx); },
      [&s](const Context&) {
        s.api.reset();
        s.database.reset();
      });
  s.parts.start(
      "http", [&] { s.listen(); },
      [&s](const Context& limit) {
        s.stopping.cancel();
        s.stopped.open();
        s.server->drain(limit);
        s.server.reset();
      });
}

bool Carriersim::stop(const Context& ctx) { return state_->parts.stop(ctx, kStopLimit); }

std::uint16_t Carriersim::port() const noexcept { return state_->port; }

std::string Carriersim::url() const {
  std::string host = state_->settings.address.substr(0, state_->settings.address.rfind(':'));
  if (host.empty() || host == "0.0.0.0" || host == "[::]") host = "127.0.0.1";
  return "http://" + host + ":" + std::to_string(state_->port);
}

}  // namespace holdfast::carriersim
