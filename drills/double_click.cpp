// A customer's finger slips: the same checkout ten times within ten milliseconds.
#include <algorithm>
#include <barrier>
#include <memory>
#include <set>
#include <thread>

#include "drills/frame/drill.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

constexpr int kClicks = 10;
constexpr auto kWithin = 10ms;
constexpr int kMostRounds = 500;

struct Click {
  HttpAnswer answer;
  Steady::time_point sent;
};

/// Ten connections that have all been used, so that opening them takes no time.
class Fingers {
 public:
  explicit Fingers(Shop& shop) {
    for (int i = 0; i < kClicks; ++i) {
      connections_.push_back(std::make_unique<HttpConnection>(shop.server().port(), 20s, shop.api_key()));
      connections_.back()->get("/health/live");
    }
  }

  std::vector<Click> click(const OrderRequest& order) {
    std::vector<Click> clicks(kClicks);
    std::barrier together(kClicks);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < clicks.size(); ++i) {
      threads.emplace_back([&, i] {
        const std::string body = order.body();
        together.arrive_and_wait();
        clicks[i].sent = Steady::now();
        try {
          clicks[i].answer = connections_[i]->post("/v1/orders", body, {{"Idempotency-Key", order.customer}});
        } catch (const NoAnswer& silence) {
          clicks[i].answer.body = silence.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return clicks;
  }

 private:
  std::vector<std::unique_ptr<HttpConnection>> connections_;
};

void run(Stage& stage) {
  Shop& shop = stage.open_paid_shop_where_possible();
  Fingers fingers(shop);
  std::size_t unequal = 0;
  std::string example;
  std::vector<double> spreads;
  const auto until = Steady::now() + stage.duration();
  for (int round = 0; round < kMostRounds && Steady::now() < until; ++round) {
    const OrderRequest order{.customer = "finger-" + std::to_string(round), .lines = {{shop.skus()[0], 1}}};
    stage.journal().asked(order);
    const std::vector<Click> clicks = fingers.click(order);
    const auto [first, last] = std::ranges::minmax(clicks, {}, &Click::sent);
    spreads.push_back(std::chrono::duration<double, std::milli>(last.sent - first.sent).count());
    std::set<std::string> bodies;
    for (const Click& click : clicks) {
      stage.journal().told(order.customer, click.answer.status, click.answer.body);
      bodies.insert(std::to_string(click.answer.status) + " " + click.answer.body);
    }
    if (bodies.size() != 1 || clicks[0].answer.status != 201) {
      ++unequal;
      example = *bodies.begin();
    }
  }
  std::ranges::sort(spreads);
  const auto in_time = std::ranges::count_if(spreads, [](double ms) { return ms <= kWithin.count(); });
  stage.figure("checkouts, each clicked ten times", static_cast<double>(spreads.size()));
  stage.figure("ten clicks within, median", spreads.empty() ? 0 : spreads[spreads.size() / 2], "ms");
  stage.check("the clicks are near enough", in_time * 2 >= static_cast<std::ptrdiff_t>(spreads.size()),
              std::to_string(in_time) + " of " + std::to_string(spreads.size()) + " within 10 ms");
  stage.check("ten equal answers, each the order", unequal == 0,
              unequal == 0 ? std::to_string(spreads.size()) + " checkouts"
                           : std::to_string(unequal) + " checkouts, one with " + example);
}

}  // namespace

Drill double_click() {
  return {.name = "double-click",
          .breaks = "a checkout is sent ten times within ten milliseconds",
          .proves = "one order, ten equal answers, one charge, one receipt",
          .duration = 10s,
          .quick = true,
          .run = run};
}

}  // namespace holdfast::drills
