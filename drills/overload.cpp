// Three times as many requests as can be served.
#include <algorithm>

#include "drills/frame/drill.hpp"
#include "drills/frame/load.hpp"
#include "drills/frame/processors.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr double kTimesThePeak = 3;
constexpr double kLeastGoodput = 0.9;     // of the peak
constexpr double kCheckoutsPart = 0.4;    // of the orders' peak, while everybody browses
constexpr double kLeastCheckouts = 0.95;  // of those that are asked for
constexpr std::size_t kConnections = 64;
constexpr std::size_t kPayingConnections = 512;
constexpr int kRounds = 4;
constexpr std::size_t kPeakConnections[] = {32, 128, 512};  // the peak is the best of these
constexpr auto kBackToNormalWithin = 20s;
constexpr std::size_t kManyConnections = 4'000;  // that overload

/// One piece of everything: work enough that a crowd of three times the peak can be made by one thread.
NextRequest baskets(const std::string& name, Shop& shop) {
  std::map<std::string, std::int64_t> lines;
  for (const std::string& sku : shop.skus()) lines[sku] = 1;
  return [name, lines](std::uint64_t number) {
    return LoadRequest{
        .target = "/v1/orders",
        .order = OrderRequest{.customer = name + "-" + std::to_string(number), .lines = lines}};
  };
}

LoadOptions checkouts(Stage& stage, const std::string& name, double rate, std::size_t connections) {
  return {.port = stage.shop().server().port(),
          .api_key = stage.shop().api_key(),
          .rate = rate,
          .connections = connections,
          .next = baskets(name, stage.shop()),
          .journal = &stage.journal()};
}

LoadOptions pages(Stage& stage, double rate, std::size_t connections) {
  LoadOptions options = checkouts(stage, "", rate, connections);
  options.next = [](std::uint64_t) { return LoadRequest{.target = "/v1/orders?limit=50", .order = {}}; };
  return options;
}

LoadFigures measure(Stage& stage, LoadOptions options, milliseconds time) {
  Load load(std::move(options));
  stage.wait(time);
  return load.finish();
}

std::string answers(const LoadFigures& figures) {
  return std::to_string(figures.due) + " due: " + std::to_string(figures.good) + " in time, " +
         std::to_string(figures.late) + " late, " + std::to_string(figures.refused) + " refused, " +
         std::to_string(figures.unsent) + " not even sent, " + std::to_string(figures.unanswered) +
         " unanswered, " + std::to_string(figures.failed) + " failed";
}

/// Orders as fast as they are taken, and three times as many, in turn, so that both meet the same disk.
void three_times_the_orders(Stage& stage, std::size_t connections, double& peak_rate, milliseconds slice) {
  LoadFigures peak;
  LoadFigures over;
  for (int round = 1; round <= kRounds; ++round) {
    const std::string number = std::to_string(round);
    const LoadFigures now = measure(stage, checkouts(stage, "peak-" + number, 0, connections), slice);
    peak.add(now);
    over.add(measure(
        stage, checkouts(stage, "over-" + number, kTimesThePeak * now.goodput(), kManyConnections), slice));
  }
  peak_rate = peak.goodput();
  stage.figure("peak of orders", peak_rate, "1/s");
  stage.figure("orders asked for", static_cast<double>(over.due) / over.seconds, "1/s");
  stage.figure("orders in time", over.goodput(), "1/s");
  stage.figure("p99 of those served", over.p(0.99), "ms");
  stage.check("goodput stays", over.goodput() >= kLeastGoodput * peak_rate,
              with_unit(100 * over.goodput() / peak_rate, "% of the peak; ") + answers(over));
  stage.check("what is not served is told so", over.failed == 0 && over.unanswered == 0, answers(over));
}

void three_times_the_pages(Stage& stage, double peak_of_orders, milliseconds slice) {
  const LoadFigures peak = measure(stage, pages(stage, 0, kConnections), slice);
  stage.figure("peak of pages of orders", peak.goodput(), "1/s");
  Load crowd(pages(stage, kTimesThePeak * peak.goodput(), kManyConnections));
  stage.wait(300ms);
  const LoadFigures paying = measure(
      stage, checkouts(stage, "paying", kCheckoutsPart * peak_of_orders, kPayingConnections), 2 * slice);
  const LoadFigures looking = crowd.finish();
  stage.figure("checkouts served", 100 * paying.served(), "%");
  stage.figure("p99 of checkouts", paying.p(0.99), "ms");
  stage.figure("pages served", 100 * looking.served(), "%");
  stage.check("checkout is served", paying.served() >= kLeastCheckouts, answers(paying));
  stage.check("before browsing", looking.served() < paying.served(), answers(looking));
}

/// The number of connections at which most orders are taken.
std::size_t best_connections(Stage& stage) {
  std::size_t best = 0;
  double most = 0;
  for (const std::size_t connections : kPeakConnections) {
    const std::string name = "find-" + std::to_string(connections);
    const double found = measure(stage, checkouts(stage, name, 0, connections), 1s).goodput();
    if (found > most) best = connections;
    most = std::max(most, found);
  }
  return best;
}

void run(Stage& stage) {
  SplitProcessors processors;
  stage.open_shop();
  processors.customers_now();
  const auto slice = std::max<milliseconds>(stage.duration() / (2 * kRounds + 3), 1000ms);
  measure(stage, checkouts(stage, "warm", 0, kConnections), 500ms);
  const std::size_t connections = best_connections(stage);
  stage.say("three times the peak, and the peak itself, in turn");
  double peak = 0;
  three_times_the_orders(stage, connections, peak, slice);
  stage.say("three times the pages that can be served, and checkouts among them");
  three_times_the_pages(stage, peak, slice);

  int tries = 0;
  double again = 0;
  const bool back = stage.wait_until(kBackToNormalWithin, [&] {
    again =
        measure(stage, checkouts(stage, "after-" + std::to_string(++tries), 0, connections), 1s).goodput();
    return again >= 0.8 * peak;
  });
  stage.check("it is over when it is over", back, with_unit(again, "orders/s afterwards"));
}

}  // namespace

Drill overload() {
  return {.name = "overload",
          .breaks = "three times as many requests arrive as can be served",
          .proves = "goodput stays at 90 % of the peak, and checkout is served before browsing",
          .duration = 22s,
          .quick = false,
          .run = run};
}

}  // namespace holdfast::drills
