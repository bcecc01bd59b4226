// What goes wrong with a PostgreSQL, and what users see: at the start a line that names the setting and the
// remedy; in flight 503 with Retry-After within the deadline, not ready but alive, the breaker open; and
// back without a restart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "drills/frame/raw_connection.hpp"
#include "drills/frame/server_process.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"
#include "support/disk_fault.hpp"
#include "support/tcp_relay.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using sql::PostgresServer;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

constexpr auto kDeadline = 1500ms;
constexpr auto kSlack = 6000ms;  // of a machine that does other things too

template <class Holds>
bool within(std::chrono::milliseconds at_most, const Holds& holds) {
  for (const auto until = Clock::now() + at_most; Clock::now() < until; std::this_thread::sleep_for(20ms)) {
    if (holds()) return true;
  }
  return holds();
}

/// One PostgreSQL with TLS, few connections, and a disk that may be full; behind a network that may go
/// silent. The shop's user is nobody special.
class World {
 public:
  World()
      : disk(open_to_all(folder.path()) / "disk"),
        postgres({.settings = {"max_connections=24", "autovacuum=off"},
                  .environment = disk.environment(),
                  .tls = true}),
        relay(postgres.port()) {
    sql("postgres", "create role shop login password 'sesame'");
    sql("postgres", "create database orders owner shop template template0 encoding 'UTF8'");
    sql("postgres", "create database empty owner shop template template0 encoding 'UTF8'");
  }

  static const std::filesystem::path& open_to_all(const std::filesystem::path& folder) {
    std::filesystem::permissions(folder, std::filesystem::perms::others_exec,
                                 std::filesystem::perm_options::add);
    return folder;
  }
  void sql(const std::string& database, const std::string& text) const { postgres.run_sql(database, text); }
  std::string url(const std::string& user = "shop:sesame", const std::string& database = "orders",
                  const std::string& more = {}, std::uint16_t port = 0) const {
    return "postgres://" + user + "@127.0.0.1:" + std::to_string(port != 0 ? port : relay.port()) + "/" +
           database + "?sslmode=verify-full&sslrootcert=" + postgres.certificate() + more;
  }
  /// Takes every place there is, as clients do that have not said their password yet.
  void take_all_places() {
    std::string startup{0, 0, 0, 0, 0, 3, 0, 0};
    for (const char* word : {"user", "shop", "database", "orders", ""}) startup.append(word).push_back('\0');
    startup[3] = static_cast<char>(startup.size());
    for (int i = 0; i < 24; ++i) {
      auto& one = places.emplace_back(std::make_unique<RawConnection>(postgres.port()));
      one->send(startup);
      one->receive_until("SCRAM", 2s);
    }
  }

  TemporaryFolder folder;
  DiskFault disk;
  PostgresServer postgres;
  TcpRelay relay;
  std::vector<std::unique_ptr<RawConnection>> places;
};

class PostgresTroubles : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
    world_ = std::make_unique<World>();
  }

  static ServerProcessOptions with_url(const std::string& url, const std::string& connect_timeout = "10s") {
    return {.environment = {{"HOLDFAST_DATABASE_URL", url},
                            {"HOLDFAST_HTTP_REQUEST_TIMEOUT", std::to_string(kDeadline / 1ms) + "ms"},
                            {"HOLDFAST_RATE_LIMIT_ENABLED", "false"},
                            {"HOLDFAST_RUNTIME_LOOPS", "2"},
                            {"HOLDFAST_DATABASE_POSTGRES_CONNECT_TIMEOUT", connect_timeout}}};
  }
  /// What `holdfast serve` says before it ends; it must.
  static std::string refusal(const std::string& url, const std::vector<std::string>& more = {}) {
    ServerProcessOptions options = with_url(url);
    options.start = false;
    const ServerProcess server(options);
    std::vector<std::string> command{"serve", "--set", "http.address=127.0.0.1:0"};
    command.insert(command.end(), more.begin(), more.end());
    const Finished ended = server.run(command);
    EXPECT_NE(ended.status.code, 0);
    EXPECT_EQ(ended.status.signal, 0);
    EXPECT_THAT(ended.err, Not(HasSubstr("sesame")));
    return ended.err;
  }

  std::unique_ptr<World> world_;
};

TEST_F(PostgresTroubles, AtTheStartEachNamesTheSettingAndTheRemedy) {
  World& world = *world_;
  {
    SCOPED_TRACE("all is well, with a certificate that is signed by itself");
    ServerProcess server(with_url(world.url()));
    EXPECT_EQ(server.stop().code, 0);
  }
  const auto own = [&](const std::string& parameters, std::uint16_t port = 0) {
    return "postgres://shop:sesame@127.0.0.1:" + std::to_string(port != 0 ? port : world.postgres.port()) +
           "/orders?" + parameters;
  };
  const std::string other = world.folder.path() / "other.crt";
  ASSERT_EQ(run({.command = {"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=other",
                             "-keyout", world.folder.path() / "other.key", "-out", other},
                 .folder = world.folder.path()})
                .status.code,
            0);
  struct Case {
    const char* name;
    std::string url;
    std::vector<const char*> says;
    std::vector<std::string> arguments{};
  };
  const std::vector<Case> cases{
      {"wrong address", "postgres://shop:sesame@127.0.0.1:1/orders", {"nothing listens there", "`port`"}},
      {"unknown host", "postgres://shop:sesame@no-such-host.invalid/orders", {"`host`", "name service"}},
      {"wrong password", world.url("shop:open"), {"check `user` and `password`"}},
      {"unknown user", world.url("nobody:open"), {"check `user` and `password`"}},
      {"missing database", world.url("shop:sesame", "nowhere"), {"`dbname`", "createdb"}},
      {"wrong authority", own("sslmode=verify-full&sslrootcert=" + other), {"sslrootcert", "not signed by"}},
      {"no such certificate", own("sslmode=verify-full&sslrootcert=/nowhere.crt"), {"sslrootcert"}},
      {"another host's certificate",
       "postgres://shop:sesame@localhost:" + std::to_string(world.postgres.port()) +
           "/orders?sslmode=verify-full&sslrootcert=" + world.postgres.certificate(),
       {"another name", "`host`"}},
      {"old schema",
       world.url("shop:sesame", "empty"),
       {"holdfast migrate up"},
       {"--set", "database.migrate=false"}},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    const std::string said = refusal(one.url, one.arguments);
    for (const char* words : one.says) EXPECT_THAT(said, HasSubstr(words));
    if (one.arguments.empty()) {
      EXPECT_THAT(said, HasSubstr("database.url (HOLDFAST_DATABASE_URL)"));
    }
  }

  world.sql("orders", "insert into holdfast_migrations values(99999, 'of_tomorrow', 'x', 0)");
  EXPECT_THAT(refusal(world.url()), HasSubstr("Run a newer one"));
  world.sql("orders", "delete from holdfast_migrations where version = 99999");

  world.sql("postgres", "alter role shop connection limit 8");
  EXPECT_THAT(refusal(world.url()), AllOf(HasSubstr("at most 12"), HasSubstr("gives 8"),
                                          HasSubstr("database.postgres.readers_per_loop")));
  world.sql("postgres", "alter role shop connection limit -1");

  world.take_all_places();
  EXPECT_THAT(refusal(world.url()), AllOf(HasSubstr("max_connections"), HasSubstr("HOLDFAST_DATABASE_URL")));
  world.places.clear();

  world.disk.set(DiskState::cannot_grow);
  EXPECT_THAT(refusal(world.url("shop:sesame", "empty")),
              AllOf(HasSubstr("disk"), HasSubstr("HOLDFAST_DATABASE_URL")));
  world.disk.set(DiskState::works);

  world.relay.stall();
  EXPECT_THAT(refusal(world.url(), {"--set", "database.postgres.connect_timeout=1s"}),
              AllOf(HasSubstr("no answer"), HasSubstr("connect_timeout")));
  world.relay.recover();
}

TEST_F(PostgresTroubles, WithoutTlsOrOnAStandbyItDoesNotStart) {
  PostgresServer plain;
  const std::string at = "@127.0.0.1:" + std::to_string(plain.port()) + "/postgres?sslmode=require";
  EXPECT_THAT(refusal("postgres://holdfast:sesame" + at), AllOf(HasSubstr("no TLS"), HasSubstr("sslmode")));
  PostgresServer standby(plain, {});
  EXPECT_THAT(refusal(standby.url("postgres")), AllOf(HasSubstr("read only"), HasSubstr("primary")));
}

// --- In flight ---------------------------------------------------------------------------------------

/// The Order System in a World, with somebody who orders.
class Shop {
 public:
  explicit Shop(const ServerProcessOptions& options) : server_(options) {
    key_ = server_.create_key("admin");
    http_ = std::make_unique<HttpConnection>(server_.port(), 10s, key_);
    const HttpAnswer made = http_->post(
        "/v1/products",
        R"({"sku":"HOT","name":"Goods","price":{"minor":100,"currency":"GBP"},"initialStock":1000000})");
    if (made.status != 201) throw std::runtime_error(made.body);
  }

  struct Answer {
    int status = 0;
    std::string retry_after{};
    std::string body{};
    std::chrono::milliseconds took{};
  };
  /// Four at a time, each on a connection of its own.
  std::array<Answer, 4> order() {
    std::array<std::future<Answer>, 4> asked;
    for (auto& one : asked)
      one = std::async(std::launch::async, [this, n = ++ordered_] { return order_one(n); });
    std::array<Answer, 4> answers;
    for (std::size_t i = 0; i < answers.size(); ++i) answers[i] = asked[i].get();
    return answers;
  }
  HttpAnswer get(const std::string& path) { return http_->get(path); }
  ServerProcess& server() { return server_; }

  /// Orders until each is refused; every refusal must be a good one.
  void expect_refusals() {
    int good = 0;
    EXPECT_TRUE(within(40s,
                       [&] {
                         good = 0;
                         for (const Answer& answer : order()) {
                           EXPECT_TRUE(answer.status == 201 || answer.status == 503)
                               << answer.status << ": " << answer.body;
                           EXPECT_LT(answer.took, kDeadline + kSlack);
                           if (answer.status != 503) continue;
                           EXPECT_THAT(answer.retry_after, Not(::testing::IsEmpty())) << answer.body;
                           ++good;
                         }
                         return good == 4;
                       }))
        << good << " of 4 refused";
  }
  /// The breaker is open, and who asks about this process's health is told; orders go on meanwhile.
  void expect_seen() {
    std::string breakers;
    EXPECT_TRUE(within(40s, [&] {
      static_cast<void>(order());
      const HttpAnswer answer = get("/v1/ops/dependencies");
      EXPECT_EQ(answer.status, 200) << answer.body;
      breakers = answer.body;
      return breakers.find(R"("state":"open")") != std::string::npos ||
             breakers.find(R"("state":"half_open")") != std::string::npos;
    })) << breakers;
    EXPECT_THAT(breakers, HasSubstr(R"("name":"database")"));
    HttpAnswer ready;
    EXPECT_TRUE(within(40s, [&] {
      ready = get("/health/ready");
      if (ready.status != 503) static_cast<void>(order());
      return ready.status == 503;
    })) << ready.body;
    EXPECT_EQ(get("/health/live").status, 200);
  }
  /// Who needs nothing of what is in trouble is served, while others wait for it.
  void expect_others_served() {
    EXPECT_TRUE(within(40s, [&] {
      static_cast<void>(order());
      const HttpAnswer made =
          http_->post("/v1/products", R"({"sku":"P)" + std::to_string(ordered_) +
                                          R"(","name":"Goods","price":{"minor":100,"currency":"GBP"}})");
      return made.status == 201 && get("/v1/products/HOT").status == 200;
    }));
    EXPECT_EQ(get("/health/live").status, 200);
  }
  /// Back without a restart, and without anybody's request.
  std::chrono::milliseconds expect_back() {
    const auto began = Clock::now();
    std::string ready;
    EXPECT_TRUE(within(40s, [&] {
      const HttpAnswer answer = get("/health/ready");
      ready = answer.body;
      return answer.status == 200 && ready.find("can't be written") == std::string::npos &&
             ready.find("is asked nothing") == std::string::npos;
    })) << ready;
    Answer last;
    EXPECT_TRUE(within(40s,
                       [&] {
                         last = order_one(++ordered_);
                         return last.status == 201;
                       }))
        << last.status << last.body;
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
  }

 private:
  Answer order_one(int n) const {
    HttpConnection http(server_.port(), 10s, key_);
    const auto began = Clock::now();
    try {
      const HttpAnswer answer =
          http.post("/v1/orders", R"({"customerId":"ada","items":[{"sku":"HOT","quantity":1}]})",
                    {{"Idempotency-Key", "n" + std::to_string(n)}});
      return {answer.status, answer.header("retry-after"), answer.body,
              std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began)};
    } catch (const NoAnswer& failure) {
      return {.body = failure.what()};
    }
  }

  ServerProcess server_;
  std::string key_;
  std::unique_ptr<HttpConnection> http_;
  int ordered_ = 0;
};

struct Trouble {
  const char* name;
  std::function<void(World&)> begins;
  std::function<void(World&)> ends;
  /// Nothing is answered, so breakers open and the process is not ready; else some requests are.
  bool everywhere = true;
};

/// psql, which holds them.
pid_t holder = 0;

/// Whoever waits in a circle with it is ended first.
void hold_tables(World& world, const std::string& locks) {
  holder = world.postgres.spawn_sql(
      "orders", "set deadlock_timeout = '1min'; begin; " + locks + "; select pg_sleep(120)");
}

void let_tables_go(World& world) {
  world.sql("postgres",
            "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(120)%' and "
            "pid <> pg_backend_pid()");
  ::waitpid(holder, nullptr, 0);
}

const Trouble kTroubles[] = {
    {"nobody listens at the address", [](World& world) { world.postgres.kill_hard(); },
     [](World& world) { world.postgres.start(); }},
    {"the password was changed",
     [](World& world) {
       world.sql("postgres", "alter role shop password 'another'");
       world.postgres.end_sessions();
     },
     [](World& world) { world.sql("postgres", "alter role shop password 'sesame'"); }},
    {"the server gave up TLS",
     [](World& world) {
       world.sql("postgres", "alter system set ssl = off");
       world.sql("postgres", "select pg_reload_conf()");
       world.postgres.end_sessions();
     },
     [](World& world) {
       world.sql("postgres", "alter system reset ssl");
       world.sql("postgres", "select pg_reload_conf()");
     }},
    {"the database is gone",
     [](World& world) {
       world.sql("postgres", "alter database orders allow_connections false");
       world.postgres.end_sessions();
       world.sql("postgres", "alter database orders rename to hidden");
     },
     [](World& world) {
       world.sql("postgres", "alter database hidden rename to orders");
       world.sql("postgres", "alter database orders allow_connections true");
     }},
    {"it became read only",
     [](World& world) {
       world.sql("postgres", "alter database orders set default_transaction_read_only = on");
       world.postgres.end_sessions();
     },
     [](World& world) {
       world.sql("postgres", "alter database orders reset default_transaction_read_only");
       world.postgres.end_sessions();
     }},
    {"its disk is full", [](World& world) { world.disk.set(DiskState::cannot_grow); },
     [](World& world) { world.disk.set(DiskState::works); }},
    {"others took all connections",
     [](World& world) {
       world.sql("postgres", "alter role shop connection limit 0");
       world.postgres.end_sessions();
     },
     [](World& world) { world.sql("postgres", "alter role shop connection limit -1"); }},
    {"somebody holds all tables",
     [](World& world) {
       hold_tables(world,
                   "do $$ declare t record; begin for t in select tablename as name from pg_tables where "
                   "schemaname = 'public' order by 1 loop execute format('lock table %I in access exclusive "
                   "mode', t.name); end loop; end $$");
     },
     let_tables_go},
    {.name = "somebody holds one table",
     .begins = [](World& world) { hold_tables(world, "lock table orders in access exclusive mode"); },
     .ends = let_tables_go,
     .everywhere = false},
    {"the network went silent", [](World& world) { world.relay.stall(); },
     [](World& world) { world.relay.recover(); }},
};

TEST_F(PostgresTroubles, InFlightEachIsToldSeenAndOverWithoutARestart) {
  Shop shop(with_url(world_->url(), "1s"));
  for (const Trouble& trouble : kTroubles) {
    SCOPED_TRACE(trouble.name);
    const auto began = Clock::now();
    trouble.begins(*world_);
    shop.expect_refusals();
    if (trouble.everywhere) {
      shop.expect_seen();
    } else {
      shop.expect_others_served();
    }
    trouble.ends(*world_);
    const auto back = shop.expect_back();
    std::printf("    %-32s back after %4ld ms, %4ld ms in all\n", trouble.name, static_cast<long>(back / 1ms),
                static_cast<long>((Clock::now() - began) / 1ms));
    ASSERT_TRUE(shop.server().running());
  }
  EXPECT_THAT(shop.server().process().err(), Not(HasSubstr("sesame")));
}

}  // namespace
}  // namespace holdfast::drills
