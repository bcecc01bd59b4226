// Hundreds of clients that send their requests a byte at a time, for as long as they are let.
#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "drills/frame/drill.hpp"
#include "drills/frame/figures.hpp"
#include "drills/frame/load.hpp"
#include "drills/frame/raw_connection.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kSlowHeads = 300;
constexpr std::size_t kSlowBodies = 300;
constexpr double kShoppersRate = 150;  // orders a second, of everybody else
constexpr int kMostConnections = 500;  // a loop
constexpr double kMostTimesSlower = 1.5;
constexpr double kSlackMilliseconds = 5;  // of a p99 that is a few milliseconds, on a machine that is shared
constexpr auto kCutOffWithin = 8s;        // a head may take 2 s, a body below the least rate 5 s

/// The crowd: a thread that gives each connection its next byte twice a second.
class SlowClients {
 public:
  SlowClients(std::uint16_t port, const std::string& key) : port_(port), key_(key) {
    thread_ = std::thread([this] { run(); });
  }
  ~SlowClients() { finish(); }
  SlowClients(const SlowClients&) = delete;
  SlowClients& operator=(const SlowClients&) = delete;

  void finish() {
    finishing_ = true;
    if (thread_.joinable()) thread_.join();
  }

  std::size_t opened() const noexcept { return opened_; }
  std::size_t heads_cut_off() const noexcept { return heads_cut_off_; }
  std::size_t bodies_cut_off() const noexcept { return bodies_cut_off_; }
  double longest_seconds() const noexcept { return longest_; }  ///< that one of them was let

 private:
  struct Client {
    std::unique_ptr<RawConnection> connection;
    std::string left;
    std::chrono::steady_clock::time_point since;
  };

  std::string request(std::size_t number) const {
    const std::string slow(400, 'x');
    if (number < kSlowHeads) return "GET /v1/products HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + slow;
    return "!" + slow;  // the body; its head was sent at once
  }

  void open(Client& client, std::size_t number) {
    try {
      client.connection = std::make_unique<RawConnection>(port_);
    } catch (const std::runtime_error&) {
      return;  // refused: tried again in the next round
    }
    ++opened_;
    client.since = std::chrono::steady_clock::now();
    client.left = request(number);
    if (number >= kSlowHeads) {
      client.connection->send("POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + key_ +
                              "\r\nContent-Type: application/json\r\nIdempotency-Key: slow-" +
                              std::to_string(opened_.load()) + "\r\nContent-Length: 400\r\n\r\n");
    }
  }

  void step(Client& client, std::size_t number) {
    if (!client.connection) return open(client, number);
    if (client.connection->send(client.left.substr(0, 1)) && !client.connection->ended()) {
      client.left.erase(0, 1);
      if (!client.left.empty()) return;
    }
    ++(number < kSlowHeads ? heads_cut_off_ : bodies_cut_off_);
    const std::chrono::duration<double> let = std::chrono::steady_clock::now() - client.since;
    longest_ = std::max(longest_.load(), let.count());
    client.connection.reset();
  }

  void run() {
    std::vector<Client> clients(kSlowHeads + kSlowBodies);
    while (!finishing_) {
      for (std::size_t i = 0; i < clients.size() && !finishing_; ++i) step(clients[i], i);
      for (int i = 0; i < 50 && !finishing_; ++i) std::this_thread::sleep_for(10ms);
    }
  }

  const std::uint16_t port_;
  const std::string key_;
  std::atomic<bool> finishing_{false};
  std::atomic<std::size_t> opened_{0};
  std::atomic<std::size_t> heads_cut_off_{0};
  std::atomic<std::size_t> bodies_cut_off_{0};
  std::atomic<double> longest_{0};
  std::thread thread_;
};

LoadFigures shop_for(Stage& stage, const std::string& name, std::chrono::milliseconds time) {
  Load load({.port = stage.shop().server().port(),
             .api_key = stage.shop().api_key(),
             .rate = kShoppersRate,
             .next = orders(name, stage.shop()),
             .journal = &stage.journal()});
  stage.wait(time);
  return load.finish();
}

void run(Stage& stage) {
  Shop& shop = stage.open_shop({{"HOLDFAST_HTTP_HEAD_TIMEOUT", "2s"},
                                {"HOLDFAST_HTTP_MAX_CONNECTIONS", std::to_string(kMostConnections)}});
  shop_for(stage, "warm", 500ms);
  const auto third = std::max<std::chrono::milliseconds>(stage.duration() / 3, 1500ms);
  LoadFigures quiet = shop_for(stage, "before", third);
  const double memory_before = resident_mebibytes(shop.server().process().pid());

  stage.say("the slow clients come: " + std::to_string(kSlowHeads) + " heads, " +
            std::to_string(kSlowBodies) + " bodies, a byte every half second");
  SlowClients slow(shop.server().port(), shop.api_key());
  stage.wait(300ms);
  const LoadFigures during =
      shop_for(stage, "during", std::max<std::chrono::milliseconds>(third, kCutOffWithin));
  const double memory = resident_mebibytes(shop.server().process().pid());
  const double open = metric(shop, "holdfast_http_connections");
  slow.finish();
  quiet.add(shop_for(stage, "after", third));

  stage.figure("p99 of others, quiet", quiet.p(0.99), "ms");
  stage.figure("p99 of others, meanwhile", during.p(0.99), "ms");
  stage.figure("slow requests begun", static_cast<double>(slow.opened()));
  stage.figure("slow heads cut off", static_cast<double>(slow.heads_cut_off()));
  stage.figure("slow bodies cut off", static_cast<double>(slow.bodies_cut_off()));
  stage.figure("longest that one was let", slow.longest_seconds(), "s");
  stage.figure("connections open meanwhile", open);
  stage.figure("server's memory grew", memory - memory_before, "MiB");
  stage.check("everybody else is served", during.good == during.due,
              std::to_string(during.good) + " of " + std::to_string(during.due) + " orders");
  stage.check("as fast as in quiet times",
              during.p(0.99) <= kMostTimesSlower * quiet.p(0.99) + kSlackMilliseconds,
              with_unit(during.p(0.99) / std::max(0.001, quiet.p(0.99)), "times the quiet p99"));
  stage.check("slow clients are cut off",
              slow.heads_cut_off() >= kSlowHeads && slow.bodies_cut_off() >= kSlowBodies &&
                  slow.longest_seconds() <= std::chrono::duration<double>(kCutOffWithin).count(),
              "the last after " + with_unit(slow.longest_seconds(), "s"));
  stage.check("connections are bounded", open <= kMostConnections * processors(),
              with_unit(open, "open; the limit is ") + std::to_string(kMostConnections * processors()));
}

}  // namespace

Drill slow_loris() {
  return {.name = "slow-loris",
          .breaks = "600 clients send their heads and bodies a byte every half second",
          .proves = "everybody else is served as before; the slow are cut off; connections stay bounded",
          .duration = 15s,
          .quick = true,
          .run = run};
}

}  // namespace holdfast::drills
