// What durability of sagas costs, beside the least that a database can do:
//   (r) plain transactions that insert one row: SQLite's own interface, one after the other, a commit each
//   (a) the same through a Database, which commits them in groups, from as many fibers as (b) has clients
//   (b) sagas of one step that calls outside (a call that returns at once): started and completed
//   (c) likewise with a step in the database only
//   (d) the time from start to end of a saga of five steps, alone and at half of (b)'s load
//
//   bench_saga [folder=.] [seconds=1] [clients=256] [rounds=7]
//
// Prints the best of each, and its ratio to r and to a: the median of the rounds, for a disk that is shared
// is faster in one than in another. Then checks that every saga has completed, once. All are durable: one
// file, WAL, synchronous=FULL.
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/saga/sagas.hpp"
#include "holdfast/saga/schema.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace {

using namespace holdfast;
using BenchClock = std::chrono::steady_clock;

struct Parcel {
  std::string order = {};
  std::string intent = {};
  std::int64_t minor = 0;
};
HOLDFAST_DESCRIBE(Parcel, (order, intent, minor))

struct Settings {
  std::filesystem::path folder = ".";
  double seconds = 1;
  int clients = 256;
  int rounds = 7;
};

/// Of all threads of this process.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Of several rounds.
struct Rate {
  double a_second = 0;            ///< the best
  double cpu_microseconds = 1e9;  ///< for one; the best
  std::vector<double> rounds;     ///< a second
  void take(double count, double seconds, double cpu) {
    rounds.push_back(count / seconds);
    a_second = std::max(a_second, rounds.back());
    cpu_microseconds = std::min(cpu_microseconds, cpu / count * 1e6);
  }
};

/// The median over the rounds of `one` for each of `other`.
double ratio(const Rate& one, const Rate& other) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < one.rounds.size(); ++i) ratios.push_back(one.rounds[i] / other.rounds[i]);
  if (ratios.empty()) return 0;
  std::sort(ratios.begin(), ratios.end());
  return ratios[ratios.size() / 2];
}

double seconds_since(BenchClock::time_point begin) {
  return std::chrono::duration<double>(BenchClock::now() - begin).count();
}

/// (r). What everybody's own loop of inserts does.
class PlainInserts {
 public:
  explicit PlainInserts(const std::filesystem::path& path) {
    check(sqlite3_open(path.c_str(), &db_));
    run("pragma journal_mode=wal");
    run("pragma synchronous=full");
    run("drop table if exists raw");
    run("create table raw(id integer primary key, payload text not null, at integer not null)");
    check(sqlite3_prepare_v2(db_, "insert into raw(payload, at) values($1, $2)", -1, &insert_, nullptr));
  }
  ~PlainInserts() {
    sqlite3_finalize(insert_);
    sqlite3_close(db_);
  }
  PlainInserts(const PlainInserts&) = delete;
  PlainInserts& operator=(const PlainInserts&) = delete;

  void measure(Rate& rate, double seconds) {
    const auto begin = BenchClock::now();
    const double cpu = cpu_seconds();
    std::int64_t done = 0;
    for (; seconds_since(begin) < seconds; ++done) {
      sqlite3_bind_text(insert_, 1, R"({"order":"ord_01jz3s4m5e6f7g8h9jakbmcndp","intent":"","minor":1250})",
                        -1, SQLITE_STATIC);
      sqlite3_bind_int64(insert_, 2, done);
      sqlite3_step(insert_);  // commits by itself
      check(sqlite3_reset(insert_));
    }
    rate.take(static_cast<double>(done), seconds_since(begin), cpu_seconds() - cpu);
  }

 private:
  void run(const char* sql) { check(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr)); }
  void check(int code) {
    if (code == SQLITE_OK) return;
    std::fprintf(stderr, "plain inserts: %s\n", sqlite3_errmsg(db_));
    std::exit(1);
  }
  sqlite3* db_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
};

struct Bench {
  const Context& ctx;
  runtime::Runtime& runtime;
  sql::Database& db;
  saga::Sagas& sagas;
  const Settings& settings;
  std::atomic<std::int64_t> begun{0};
  std::atomic<std::int64_t> acts{0};

  /// Clients on all loops repeat `once` until the time is over; returns how many there were.
  std::int64_t repeat(const std::function<void(const Context&, std::int64_t)>& once) {
    std::atomic<std::int64_t> done{0};
    std::atomic<std::size_t> open{runtime.loop_count()};
    runtime::Latch all;
    const auto until = BenchClock::now() + std::chrono::duration<double>(settings.seconds);
    for (std::size_t loop = 0; loop < runtime.loop_count(); ++loop) {
      runtime.spawn_on(loop, "clients", [&, loop] {
        runtime::FiberGroup clients(ctx);
        for (std::size_t i = loop; i < static_cast<std::size_t>(settings.clients);
             i += runtime.loop_count()) {
          clients.spawn("client", [&](const Context& inner) {
            while (BenchClock::now() < until) {
              once(inner, begun.fetch_add(1));
              done.fetch_add(1);
            }
          });
        }
        clients.wait();
        if (open.fetch_sub(1) == 1) all.open();
      });
    }
    all.wait(ctx, "clients");
    return done;
  }

  void inserts(Rate& rate) {
    const auto begin = BenchClock::now();
    const double cpu = cpu_seconds();
    const auto done = repeat([&](const Context& inner, std::int64_t n) {
      const std::string key = "ord_" + std::to_string(n);
      db.transact(inner, "insert", [&](sql::Transaction& tx) {
        tx.execute("insert into raw(id, payload, at) values($1, $2, $3)", n,
                   R"({"order":"ord_01jz3s4m5e6f7g8h9jakbmcndp","intent":"","minor":1250})", n);
      });
    });
    rate.take(static_cast<double>(done), seconds_since(begin), cpu_seconds() - cpu);
  }

  std::int64_t unfinished() {
    return db.query_value(ctx, "select count(*) from sagas where due_at is not null");
  }
  void wait_for_all() {
    while (unfinished() > 0) runtime::sleep_for(ctx, std::chrono::milliseconds(1));
  }

  /// Counts from the first start to the last end.
  void measure_sagas(Rate& rate, const saga::Handle<Parcel>& handle) {
    const auto begin = BenchClock::now();
    const double cpu = cpu_seconds();
    const auto done = repeat([&](const Context& inner, std::int64_t n) { start(inner, handle, n); });
    wait_for_all();
    rate.take(static_cast<double>(done), seconds_since(begin), cpu_seconds() - cpu);
  }

  void start(const Context& inner, const saga::Handle<Parcel>& handle, std::int64_t n) {
    const std::string key = "ord_" + std::to_string(n);
    db.transact(inner, "start", [&](sql::Transaction& tx) {
      sagas.start(inner, tx, handle, Parcel{.order = "ord_01jz3s4m5e6f7g8h9jakbmcndp", .minor = 1250}, key);
    });
  }
};

saga::Definition<Parcel> calling(std::atomic<std::int64_t>& acts) {
  saga::Definition<Parcel> made("calling", 1);
  made.step(
      "call", {}, [&acts](const Context&, saga::Step<Parcel>&) { acts.fetch_add(1); },
      saga::nothing_to_undo("a benchmark"));
  return made;
}

saga::Definition<Parcel> noting() {
  saga::Definition<Parcel> made("noting", 1);
  made.local(
      "note", [](const Context&, sql::Transaction&, saga::Step<Parcel>&) {},
      saga::nothing_to_undo("a benchmark"));
  return made;
}

/// Five steps; the last one notes how long it took.
saga::Definition<Parcel> travelling(std::vector<double>& took, std::mutex& mutex) {
  saga::Definition<Parcel> made("travelling", 1);
  for (const char* name : {"one", "two", "three", "four"})
    made.step(
        name, {}, [](const Context&, saga::Step<Parcel>&) {}, saga::nothing_to_undo("a benchmark"));
  made.local(
      "five",
      [&](const Context&, sql::Transaction& tx, saga::Step<Parcel>& step) {
        tx.on_commit([&, began = step.state().minor] {
          const auto now = BenchClock::now().time_since_epoch();
          const std::lock_guard lock(mutex);
          took.push_back(
              std::chrono::duration<double, std::milli>(now - std::chrono::nanoseconds(began)).count());
        });
      },
      saga::nothing_to_undo("a benchmark"));
  return made;
}

void print_percentiles(const char* what, std::vector<double> took) {
  if (took.empty()) return;
  std::sort(took.begin(), took.end());
  const auto at = [&](double share) {
    return took[static_cast<std::size_t>(share * static_cast<double>(took.size() - 1))];
  };
  std::printf("%-44s p50 %6.2f ms  p99 %6.2f ms  (%zu)\n", what, at(0.5), at(0.99), took.size());
}

void travel(Bench& bench, const saga::Handle<Parcel>& handle, double a_second) {
  const auto begin = BenchClock::now();
  std::int64_t sent = 0;
  while (seconds_since(begin) < bench.settings.seconds) {
    const auto due = static_cast<std::int64_t>(seconds_since(begin) * a_second);
    runtime::FiberGroup group(bench.ctx);
    for (; sent <= due; ++sent) {
      group.spawn("traveller", [&](const Context& inner) {
        Parcel parcel{.order = "ord_1",
                      .minor = BenchClock::now().time_since_epoch() / std::chrono::nanoseconds(1)};
        bench.db.transact(inner, "start",
                          [&](sql::Transaction& tx) { bench.sagas.start(inner, tx, handle, parcel); });
      });
    }
    group.wait();
    runtime::sleep_for(bench.ctx, std::chrono::milliseconds(1));
  }
  bench.wait_for_all();
}

int run(const Context& ctx, runtime::Runtime& runtime, const Settings& settings) {
  const auto path = settings.folder / "bench_saga.db";
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(path.string() + suffix);
    std::filesystem::remove((settings.folder / "bench_saga_plain.db").string() + suffix);
  }
  const auto db = sql::sqlite::open_file(runtime, {.path = path});
  sql::Migrator(*db, saga::migrations()).up(ctx);
  db->transact(ctx, [](sql::Transaction& tx) {
    tx.execute_script("create table raw(id integer primary key, payload text not null, at integer not null)");
  });
  observe::Metrics metrics;
  saga::Sagas sagas(runtime, *db, metrics, observe::Logger());
  Bench bench{ctx, runtime, *db, sagas, settings};
  std::vector<double> took;
  std::mutex mutex;
  const auto calls = sagas.add(calling(bench.acts));
  const auto notes = sagas.add(noting());
  const auto travels = sagas.add(travelling(took, mutex));
  sagas.run(ctx);

  PlainInserts plain_inserts((settings.folder / "bench_saga_plain.db").string());
  Rate plain, grouped, outside, local;
  for (int round = 0; round < settings.rounds; ++round) {
    plain_inserts.measure(plain, settings.seconds);
    bench.inserts(grouped);
    bench.measure_sagas(outside, calls);
    bench.measure_sagas(local, notes);
  }
  const auto print = [&](const char* what, const Rate& rate) {
    std::printf("%-44s %9.0f /s %6.1f us CPU   r x %.2f   a x %.2f\n", what, rate.a_second,
                rate.cpu_microseconds, ratio(rate, plain), ratio(rate, grouped));
  };
  print("r  plain transactions of one insert", plain);
  print("a  the same through a Database, in groups", grouped);
  print("b  sagas of one outside step", outside);
  print("c  sagas of one local step", local);
  travel(bench, travels, 20);
  print_percentiles("d  five steps, 20 a second", std::exchange(took, {}));
  travel(bench, travels, outside.a_second / 10);
  print_percentiles("d  five steps, at a tenth of b's rate", std::exchange(took, {}));

  const auto wrong = db->query_value(ctx, "select count(*) from sagas where status <> 'completed'");
  const auto called = db->query_value(ctx, "select count(*) from sagas where definition = 'calling'");
  sagas.stop(ctx.with_timeout(std::chrono::seconds(10)));
  if (wrong != 0 || called != bench.acts) {
    std::printf("WRONG: %lld not completed, %lld acts of %lld sagas\n", static_cast<long long>(wrong),
                static_cast<long long>(bench.acts), static_cast<long long>(called));
    return 1;
  }
  std::printf("all sagas completed, each act ran once\n");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  Settings settings;
  if (count > 1) settings.folder = arguments[1];
  if (count > 2) settings.seconds = std::atof(arguments[2]);
  if (count > 3) settings.clients = std::atoi(arguments[3]);
  if (count > 4) settings.rounds = std::atoi(arguments[4]);
  SystemClock clock;
  SystemRandom random;
  int result = 1;
  {
    runtime::Runtime runtime({}, clock, random);
    runtime.run([&](const Context& ctx) {
      result = run(ctx, runtime, settings);
      runtime::sleep_for(ctx, std::chrono::milliseconds(1));
    });
  }
  return result;
}
