// What group commit gains and what the port costs: one order transaction (idempotency record, guarded
// stock update, order, two lines, outbox event)
//   (a) in plain C, a commit each           (b) in plain C, committed in groups of 64
//   (b') as (b), each in a savepoint        (c) through Database::transact from many fibers
//
//   bench_sql_group_commit [folder=.] [seconds=2] [fibers=256] [rounds=3]
//
// Prints the best of each, and the ratios b/a and c/b. All are durable: WAL, synchronous=FULL.
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace {

using namespace holdfast;
using BenchClock = std::chrono::steady_clock;

constexpr int kProducts = 1000;

constexpr const char* kSchema =
    "create table idempotency(scope text not null, key text not null, fingerprint blob not null,"
    "  status integer not null, response text not null, created_at integer not null,"
    "  primary key(scope, key)) without rowid;"
    "create table stock(sku text primary key, quantity integer not null check(quantity >= 0)) without rowid;"
    "create table orders(id text primary key, customer_id text not null, status text not null,"
    "  total integer not null, currency text not null, created_at integer not null) without rowid;"
    "create index orders_by_customer on orders(customer_id, created_at);"
    "create table order_lines(order_id text not null, line integer not null, sku text not null,"
    "  quantity integer not null, unit_price integer not null, primary key(order_id, line)) without rowid;"
    "create table outbox(position integer primary key autoincrement, topic text not null, key text not null,"
    "  payload text not null, created_at integer not null)";

constexpr std::array<const char*, 5> kStatements = {
    "insert into idempotency(scope, key, fingerprint, status, response, created_at) values($1, $2, $3, $4, "
    "$5, $6)",
    "update stock set quantity = quantity - $2 where sku = $1 and quantity >= $2",
    "insert into orders(id, customer_id, status, total, currency, created_at) values($1, $2, $3, $4, $5, $6)",
    "insert into order_lines(order_id, line, sku, quantity, unit_price) values($1, $2, $3, $4, $5)",
    "insert into outbox(topic, key, payload, created_at) values($1, $2, $3, $4)",
};

const std::string kResponse(420, 'r');
const std::string kPayload(300, 'p');

/// What an order is made of, the same for all contestants: ids that grow, as UUIDv7 do.
struct Order {
  explicit Order(std::int64_t n) {
    char text[40];
    std::snprintf(text, sizeof text, "ord_%026lld", static_cast<long long>(n));
    id = text;
    std::snprintf(text, sizeof text, "key-%016llx",
                  static_cast<unsigned long long>(n) * 0x9E3779B97F4A7C15ULL);
    key = text;
    customer = "cus_" + std::to_string(n * 7919 % 5000);
    first_sku = "SKU-" + std::to_string(n * 31 % kProducts);
    second_sku = "SKU-" + std::to_string(n * 17 % kProducts);
    now = 1'700'000'000'000'000 + n;
  }
  std::string id, key, customer, first_sku, second_sku;
  std::array<std::byte, 32> fingerprint{};
  std::int64_t now;
};

[[noreturn]] void fail(sqlite3* db, const char* doing) {
  std::fprintf(stderr, "%s: %s\n", doing, sqlite3_errmsg(db));
  std::exit(1);
}

/// The transaction in plain C, with what a careful programmer would do: prepared statements, static binds.
class PlainC {
 public:
  explicit PlainC(const std::string& path) {
    if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) fail(db_, "open");
    exec(
        "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on;"
        "pragma cache_size = -16384; pragma secure_delete = off; pragma temp_store = memory");
    exec(kSchema);
    exec("begin");
    for (int i = 0; i < kProducts; ++i)
      exec(("insert into stock values('SKU-" + std::to_string(i) + "', 100000000)").c_str());
    exec("commit");
    for (const char* sql : kStatements) prepare(sql);
    for (const char* sql : {"begin immediate", "commit", "savepoint s", "release s"}) prepare(sql);
  }
  ~PlainC() {
    for (sqlite3_stmt* statement : statements_) sqlite3_finalize(statement);
    sqlite3_close(db_);
  }
  PlainC(const PlainC&) = delete;
  PlainC& operator=(const PlainC&) = delete;

  double orders_per_second(int group, bool savepoints, double seconds) {
    const auto began = BenchClock::now();
    std::int64_t done = 0;
    double elapsed = 0;
    do {
      step(5);
      for (int i = 0; i < group; ++i) {
        if (savepoints) step(7);
        place(Order(++placed_));
        if (savepoints) step(8);
      }
      step(6);
      done += group;
      elapsed = std::chrono::duration<double>(BenchClock::now() - began).count();
    } while (elapsed < seconds);
    return static_cast<double>(done) / elapsed;
  }

 private:
  void exec(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(db_, sql);
  }
  void prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK)
      fail(db_, sql);
    statements_.push_back(statement);
  }
  void step(std::size_t statement) {
    if (sqlite3_step(statements_[statement]) != SQLITE_DONE) fail(db_, "step");
    sqlite3_reset(statements_[statement]);
  }
  void text(std::size_t statement, int slot, const std::string& value) {
    sqlite3_bind_text(statements_[statement], slot, value.data(), static_cast<int>(value.size()),
                      SQLITE_STATIC);
  }
  void integer(std::size_t statement, int slot, std::int64_t value) {
    sqlite3_bind_int64(statements_[statement], slot, value);
  }

  void place(const Order& order) {
    static const std::string scope = "orders", status = "pending", currency = "GBP", topic = "orders";
    text(0, 1, scope);
    text(0, 2, order.key);
    sqlite3_bind_blob(statements_[0], 3, order.fingerprint.data(), 32, SQLITE_STATIC);
    integer(0, 4, 201);
    text(0, 5, kResponse);
    integer(0, 6, order.now);
    step(0);
    for (const std::string* sku : {&order.first_sku, &order.second_sku}) {
      integer(1, 1, 1);  // SQLite numbers $n by first appearance: $2 comes first in this one
      text(1, 2, *sku);
      step(1);
      if (sqlite3_changes(db_) != 1) fail(db_, "out of stock");
    }
    text(2, 1, order.id);
    text(2, 2, order.customer);
    text(2, 3, status);
    integer(2, 4, 2598);
    text(2, 5, currency);
    integer(2, 6, order.now);
    step(2);
    int line = 0;
    for (const std::string* sku : {&order.first_sku, &order.second_sku}) {
      text(3, 1, order.id);
      integer(3, 2, ++line);
      text(3, 3, *sku);
      integer(3, 4, 1);
      integer(3, 5, 1299);
      step(3);
    }
    text(4, 1, topic);
    text(4, 2, order.id);
    text(4, 3, kPayload);
    integer(4, 4, order.now);
    step(4);
  }

  sqlite3* db_ = nullptr;
  std::vector<sqlite3_stmt*> statements_;
  std::int64_t placed_ = 0;
};

void place(sql::Transaction& tx, const Order& order) {
  tx.execute(kStatements[0], "orders", order.key, order.fingerprint, 201, kResponse, order.now);
  for (const std::string* sku : {&order.first_sku, &order.second_sku}) {
    if (tx.execute(kStatements[1], *sku, 1) != 1) throw Error(ErrorCode::conflict, "out of stock");
  }
  tx.execute(kStatements[2], order.id, order.customer, "pending", 2598, "GBP", order.now);
  int line = 0;
  for (const std::string* sku : {&order.first_sku, &order.second_sku}) {
    tx.execute(kStatements[3], order.id, ++line, *sku, 1, 1299);
  }
  tx.execute(kStatements[4], "orders", order.id, kPayload, order.now);
}

struct ThroughThePort {
  double orders_per_second = 0;
  double group = 0;
  double commit_microseconds = 0;
  double p50_milliseconds = 0;
  double p99_milliseconds = 0;
};

ThroughThePort through_the_port(const std::string& path, int fibers, double seconds) {
  ThroughThePort result;
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({}, clock, random);
  runtime.run([&](const Context& ctx) {
    const auto db = sql::sqlite::open_file(runtime, {.path = path});
    db->transact(ctx, "schema", [](sql::Transaction& tx) {
      tx.execute_script(kSchema);
      for (int i = 0; i < kProducts; ++i) {
        tx.execute("insert into stock values($1, 100000000)", "SKU-" + std::to_string(i));
      }
    });
    const auto before = db->statistics();
    const auto began = BenchClock::now();
    std::atomic<std::int64_t> placed = 0;
    const std::size_t loops = runtime.loop_count();
    std::atomic<std::size_t> open = loops;
    std::vector<std::vector<double>> latencies(loops);
    const auto work = [&](std::size_t loop) {
      runtime::FiberGroup group(ctx);
      for (int i = 0; i < fibers / static_cast<int>(loops); ++i) {
        group.spawn("client", [&, loop](const Context& fiber) {
          for (auto now = BenchClock::now(); std::chrono::duration<double>(now - began).count() < seconds;) {
            const Order order(++placed);
            db->transact(fiber, "place order", [&](sql::Transaction& tx) { place(tx, order); });
            const auto done = BenchClock::now();
            latencies[loop].push_back(std::chrono::duration<double, std::milli>(done - now).count());
            now = done;
          }
        });
      }
      group.wait();
      --open;
    };
    for (std::size_t loop = 1; loop < loops; ++loop)
      runtime.spawn_on(loop, "clients", [&, loop] { work(loop); });
    work(0);
    while (open != 0) runtime::sleep_for(ctx, std::chrono::milliseconds(1));
    const double elapsed = std::chrono::duration<double>(BenchClock::now() - began).count();
    const auto after = db->statistics();
    const auto groups = static_cast<double>(after.groups - before.groups);
    std::vector<double> all;
    for (const auto& some : latencies) all.insert(all.end(), some.begin(), some.end());
    std::sort(all.begin(), all.end());
    result.orders_per_second = static_cast<double>(after.transactions - before.transactions) / elapsed;
    result.group = static_cast<double>(after.transactions - before.transactions) / groups;
    result.commit_microseconds =
        std::chrono::duration<double, std::micro>(after.commit_time - before.commit_time).count() / groups;
    result.p50_milliseconds = all.at(all.size() / 2);
    result.p99_milliseconds = all.at(all.size() * 99 / 100);
  });
  return result;
}

std::string fresh(const std::filesystem::path& folder) {
  const std::string path = folder / "sql_group_commit.db";
  for (const char* suffix : {"", "-wal", "-shm", "-next", "-turn"}) std::filesystem::remove(path + suffix);
  return path;
}

double plain(const std::filesystem::path& folder, int group, bool savepoints, double seconds) {
  return PlainC(fresh(folder)).orders_per_second(group, savepoints, seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path folder = argc > 1 ? argv[1] : ".";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 2;
  const int fibers = argc > 3 ? std::atoi(argv[3]) : 256;
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 3;
  double one = 0;
  double grouped = 0;
  double with_savepoints = 0;
  ThroughThePort port;
  for (int round = 0; round < rounds; ++round) {  // by turns, so that all meet the machine's moods
    one = std::max(one, plain(folder, 1, false, seconds));
    grouped = std::max(grouped, plain(folder, 64, false, seconds));
    with_savepoints = std::max(with_savepoints, plain(folder, 64, true, seconds));
    const auto measured = through_the_port(fresh(folder), fibers, seconds);
    if (measured.orders_per_second > port.orders_per_second) port = measured;
  }
  std::printf("(a)  plain C, a commit each         %8.0f orders/s\n", one);
  std::printf("(b)  plain C, groups of 64          %8.0f orders/s   b/a  = %.2f\n", grouped, grouped / one);
  std::printf("(b') the same in savepoints         %8.0f orders/s   b'/b = %.2f\n", with_savepoints,
              with_savepoints / grouped);
  std::printf("(c)  Database::transact, %4d fibers%8.0f orders/s   c/b  = %.2f, c/a = %.2f\n", fibers,
              port.orders_per_second, port.orders_per_second / grouped, port.orders_per_second / one);
  std::printf("     groups of %.0f on average, commit %.0f us, latency p50 %.1f ms, p99 %.1f ms\n",
              port.group, port.commit_microseconds, port.p50_milliseconds, port.p99_milliseconds);
  fresh(folder);
}
