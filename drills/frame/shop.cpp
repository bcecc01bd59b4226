#include "drills/frame/shop.hpp"

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <random>
#include <stdexcept>
#include <thread>

#include "drills/frame/books.hpp"
#include "drills/frame/sqlite_file.hpp"

namespace holdfast::drills {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr int kSkus = 12;

ServerProcessOptions server_options(const ShopOptions& options, const fs::path& maildir) {
  ServerProcessOptions server;
  server.environment = {{"HOLDFAST_RATE_LIMIT_ENABLED", "false"},
                        {"HOLDFAST_HTTP_ACCESS_LOG", "false"},
                        {"HOLDFAST_NOTIFICATIONS_MAILDIR", maildir.string()},
                        {"HOLDFAST_MESSAGING_LEASE", options.lease},
                        {"HOLDFAST_SAGA_LEASE", options.lease}};
  if (!options.database_url.empty()) server.environment["HOLDFAST_DATABASE_URL"] = options.database_url;
  for (const auto& [name, value] : options.environment) server.environment[name] = value;
  server.folder = options.folder;
  server.belongings = options.belongings;
  return server;
}

void add_product(HttpConnection& http, const std::string& sku, int price, std::int64_t stock) {
  const HttpAnswer made =
      http.post("/v1/products", R"({"sku":")" + sku + R"(","name":"Goods","price":{"minor":)" +
                                    std::to_string(price) + R"(,"currency":"GBP"}})");
  if (made.status != 201) throw std::runtime_error("adding a product: " + made.body);
  const HttpAnswer filled = http.post("/v1/stock/" + sku + "/adjustments",
                                      R"({"delta":)" + std::to_string(stock) + R"(,"reason":"received"})");
  if (filled.status != 200) throw std::runtime_error("filling the stock: " + filled.body);
}

}  // namespace

fs::path place_for_mail() {
  constexpr std::uintmax_t kRoom = 2ULL << 30;
  const fs::path memory = "/dev/shm";
  std::error_code failure;
  const fs::space_info space = fs::space(memory, failure);
  const bool fits = !failure && space.available >= kRoom && ::access(memory.c_str(), W_OK) == 0;
  return fits ? memory : fs::temp_directory_path();
}

Shop::Shop(ShopOptions options)
    : own_mail_(options.mail_folder.empty() ? std::optional<TemporaryFolder>(std::in_place, place_for_mail())
                                            : std::nullopt),
      mail_(own_mail_ ? own_mail_->path() : options.mail_folder),
      database_url_(options.database_url),
      server_(server_options(options, maildir())),
      api_key_(server_.create_key("admin")) {
  HttpConnection http = connect();
  for (int i = 0; i < kSkus; ++i) {
    skus_.push_back("GOODS-" + std::to_string(i));
    add_product(http, skus_.back(), 100 + i, kPlenty);
  }
  add_product(http, kScarceSku, 999, kScarce);
}

std::unique_ptr<ShopData> Shop::data() const {
  if (database_url_.empty()) return std::make_unique<SqliteFile>(database_file());
  return open_postgres(database_url_);
}

void Shop::change_data(const std::string& sql) const {
  if (!database_url_.empty()) return data()->change(sql);
  SqliteFile(database_file(), SqliteFile::For::changing).change(sql);
}

HttpConnection Shop::connect(std::chrono::milliseconds timeout) const {
  return HttpConnection(server_.port(), timeout, api_key_);
}

bool Shop::wait_until_consumed(std::chrono::milliseconds at_most) {
  HttpConnection http = connect();
  const auto until = std::chrono::steady_clock::now() + at_most;
  // Of every group: one may listen to what is not about orders, and never lag.
  const auto all_zero = [](const std::string& body, const std::string& name) {
    std::size_t at = body.find(name);
    if (at == std::string::npos) return false;
    for (; at != std::string::npos; at = body.find(name, at + 1)) {
      if (body.compare(at + name.size(), 2, "0,") != 0) return false;
    }
    return true;
  };
  while (std::chrono::steady_clock::now() < until) {
    const std::string groups = http.get("/v1/ops/subscriptions").body;
    if (all_zero(groups, R"("lag":)") && all_zero(groups, R"("parked":)") &&
        http.get("/v1/ops/reconciliation").body.find(R"("complete":true)") != std::string::npos) {
      return true;
    }
    std::this_thread::sleep_for(20ms);
  }
  return false;
}

std::vector<std::string> Shop::faults(const Journal& journal, bool thorough) {
  const bool consumed = wait_until_consumed();
  Books books(*this, journal);
  books.check_journal();
  books.check_orders();
  books.check_stock();
  books.check_log();
  books.check_mail(thorough);
  if (thorough) {
    books.check_api();
    books.check_file();
  }
  std::vector<std::string> faults = books.faults();
  if (!consumed) faults.insert(faults.begin(), "the events were not handled within a minute");
  return faults;
}

void Shop::read_some_mail(std::size_t at_most) {
  for (const auto& file : fs::directory_iterator(maildir() / "new")) {
    if (at_most-- == 0) return;
    std::error_code gone;
    fs::rename(file.path(), maildir() / "cur" / (file.path().filename().string() + ":2,S"), gone);
  }
}

std::uint64_t test_seed() {
  const char* given = std::getenv("HOLDFAST_SEED");
  const std::uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device()();
  std::cout << "HOLDFAST_SEED=" << seed << " repeats this run" << std::endl;
  return seed;
}

}  // namespace holdfast::drills
