#include "support/fleet.hpp"

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "drills/frame/journal.hpp"

namespace holdfast::drills {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr const char* kProbe = "PROBE";
constexpr int kProbes = 8;  // keys, so that they meet the buckets of several workers

}  // namespace

Fleet::Fleet(FleetOptions options)
    : options_(std::move(options)),
      postgres_(options_.postgres),
      database_url_(postgres_.url(postgres_.create_database())) {
  std::vector<std::uint16_t> ports;
  for (std::size_t i = 0; i < options_.servers; ++i) {
    const auto own = folder_.path() / ("machine" + std::to_string(i));
    servers_.push_back(std::make_unique<ServerProcess>(
        ServerProcessOptions{.environment = environment(), .start = false, .folder = own}));
    servers_.back()->launch();  // together: all of them find an empty database
  }
  for (auto& server : servers_) {
    server->wait_until_ready();
    ports.push_back(server->port());
  }
  workers_.resize(options_.workers);
  for (std::size_t i = 0; i < workers_.size(); ++i) start_worker(i);
  spreader_ = std::make_unique<Spreader>(std::move(ports));
  api_key_ = servers_.front()->create_key("admin");
  add_probe_product();
}

std::map<std::string, std::string> Fleet::environment() const {
  std::map<std::string, std::string> all = options_.environment;
  all.insert(options_.broker.environment.begin(), options_.broker.environment.end());
  all.insert({{"HOLDFAST_DATABASE_URL", database_url_},
              {"HOLDFAST_WORKER_ENABLED", "false"},
              {"HOLDFAST_RATE_LIMIT_ENABLED", "false"},
              {"HOLDFAST_HTTP_ACCESS_LOG", "false"},
              {"HOLDFAST_NOTIFICATIONS_MAILDIR", (folder_.path() / "mail").string()},
              {"HOLDFAST_MESSAGING_LEASE", options_.lease},
              {"HOLDFAST_SAGA_LEASE", options_.lease}});
  return all;
}

void Fleet::start_worker(std::size_t index) {
  workers_.at(index) = servers_.at(index % servers_.size())->start_worker();
}

void Fleet::add_probe_product() {
  HttpConnection http = connect();
  const HttpAnswer made =
      http.post("/v1/products", R"({"sku":")" + std::string(kProbe) +
                                    R"(","name":"Probe","price":{"minor":100,"currency":"GBP"},)"
                                    R"("initialStock":1000000})");
  if (made.status != 201) throw std::runtime_error("adding a product: " + made.body);
}

std::string Fleet::place_probe(HttpConnection& http, const std::string& name, Clock::time_point until) {
  const std::string body =
      R"({"customerId":")" + name + R"(","items":[{"sku":")" + kProbe + R"(","quantity":1}]})";
  std::string last = "no answer";
  for (; Clock::now() < until; std::this_thread::sleep_for(20ms)) {
    try {
      const HttpAnswer answer = http.post("/v1/orders", body, {{"Idempotency-Key", name}});
      if (answer.status == 201) return order_id(answer.body);
      last = answer.body;
    } catch (const NoAnswer& silence) {
      last = silence.what();
      http.close();
    }
  }
  throw std::runtime_error("no order is taken: " + last);
}

std::chrono::milliseconds Fleet::back_within(std::chrono::milliseconds at_most) {
  const auto begun = Clock::now();
  const auto until = begun + at_most;
  HttpConnection http = connect(2s);
  std::set<std::string> waiting;
  for (int i = 0; i < kProbes; ++i) {
    waiting.insert(place_probe(http, "probe-" + std::to_string(++probes_), until));
  }
  const auto placed = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun);
  while (!waiting.empty()) {
    const auto there = receipts_by_order();
    std::erase_if(waiting, [&](const std::string& order) { return there.contains(order); });
    if (Clock::now() > until) {
      throw std::runtime_error(std::to_string(waiting.size()) + " of " + std::to_string(kProbes) +
                               " orders, placed within " + std::to_string(placed.count()) +
                               " ms, have no receipt yet, " + *waiting.begin() + " among them");
    }
    std::this_thread::sleep_for(10ms);
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun);
}

std::vector<std::string> Fleet::stop() {
  std::vector<std::string> faults;
  for (auto& worker : workers_) worker->terminate();
  for (auto& worker : workers_) {
    if (worker->wait(30s).code != 0) faults.push_back("a worker did not end well: " + worker->err());
  }
  for (auto& server : servers_) {
    if (server->stop().code != 0) faults.push_back("a server did not end well: " + server->process().err());
  }
  return faults;
}

std::map<std::string, int> Fleet::receipts_by_order() const {
  std::map<std::string, int> found;
  const auto mail = folder_.path() / "mail" / "new";
  if (!std::filesystem::exists(mail)) return found;
  for (const auto& file : std::filesystem::directory_iterator(mail)) {
    const std::string name = file.path().filename().string();
    if (const std::size_t at = name.find(".receipt"); at != std::string::npos) ++found[name.substr(0, at)];
  }
  return found;
}

std::size_t Fleet::receipts() const { return receipts_by_order().size(); }

std::vector<std::string> Fleet::receipts_amiss() const {
  std::vector<std::string> amiss;
  for (const auto& [order, count] : receipts_by_order()) {
    if (count != 1) amiss.push_back(order + " has " + std::to_string(count) + " receipts");
  }
  return amiss;
}

}  // namespace holdfast::drills
