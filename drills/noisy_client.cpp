// One client asks as fast as it can, over many connections, while others shop at a modest rate.
#include <algorithm>

#include "drills/frame/drill.hpp"
#include "drills/frame/load.hpp"
#include "drills/frame/processors.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;

constexpr double kShoppersRate = 150;  // orders a second, of everybody else
constexpr int kRounds = 3;             // of quiet and noise in turn: the machine's own noise meets both
constexpr double kMostTimesSlower = 1.5;
constexpr double kSlackMilliseconds = 5;
constexpr std::size_t kNoisyConnections = 16;

LoadOptions shoppers(Stage& stage, const std::string& name) {
  return {.port = stage.shop().server().port(),
          .api_key = stage.shop().api_key(),
          .rate = kShoppersRate,
          .next = orders(name, stage.shop()),
          .journal = &stage.journal()};
}

LoadFigures shop_for(Stage& stage, const std::string& name, std::chrono::milliseconds time) {
  Load load(shoppers(stage, name));
  stage.wait(time);
  return load.finish();
}

void run(Stage& stage) {
  SplitProcessors processors;
  Shop& shop = stage.open_shop({{"HOLDFAST_RATE_LIMIT_ENABLED", "true"},
                                {"HOLDFAST_RATE_LIMIT_REQUESTS", "30000"},  // a minute, of one key
                                {"HOLDFAST_RATE_LIMIT_BURST", "500"}});
  const std::string noisy_key = shop.server().create_key("write");
  processors.customers_now();
  shop_for(stage, "warm", 500ms);
  LoadFigures quiet;
  LoadFigures meanwhile;
  LoadFigures noise;
  const auto slice = std::max<std::chrono::milliseconds>(stage.duration() / (2 * kRounds), 800ms);
  for (int round = 0; round < kRounds; ++round) {
    const std::string number = std::to_string(round);
    quiet.add(shop_for(stage, "quiet-" + number, slice));
    LoadOptions noisy = shoppers(stage, "noisy-" + number);
    noisy.api_key = noisy_key;
    noisy.rate = 0;
    noisy.connections = kNoisyConnections;
    noisy.humble = true;
    Load noisy_load(noisy);
    meanwhile.add(shop_for(stage, "meanwhile-" + number, slice));
    noise.add(noisy_load.finish());
  }
  const double noisy_rate = static_cast<double>(noise.due) / noise.seconds;
  stage.figure("p99 of others, quiet", quiet.p(0.99), "ms");
  stage.figure("p99 of others, meanwhile", meanwhile.p(0.99), "ms");
  stage.figure("noisy client asks", noisy_rate, "1/s");
  stage.figure("noisy client is served", noise.goodput(), "1/s");
  stage.check("everybody else is served", meanwhile.good == meanwhile.due,
              std::to_string(meanwhile.good) + " of " + std::to_string(meanwhile.due) + " orders");
  stage.check("within 1.5 times of quiet",
              meanwhile.p(0.99) <= kMostTimesSlower * quiet.p(0.99) + kSlackMilliseconds,
              with_unit(meanwhile.p(0.99) / std::max(0.001, quiet.p(0.99)), "times the quiet p99"));
  stage.check("the noisy client is told to slow down", noise.refused > 0,
              std::to_string(noise.refused) + " of its requests were answered 429");
}

}  // namespace

Drill noisy_client() {
  return {.name = "noisy-client",
          .breaks = "one client sends orders at full speed over 16 connections while others shop",
          .proves = "the others' p99 stays within 1.5 times of quiet; the noisy one gets 429",
          .duration = 15s,
          .run = run};
}

}  // namespace holdfast::drills
