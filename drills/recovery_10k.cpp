// Ten thousand orders wait for the payment provider. When it comes back, they must not bring it down again.
#include <algorithm>

#include "drills/frame/drill.hpp"
#include "drills/frame/load.hpp"
#include "drills/outage.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kWaiting = 10'000;
constexpr double kNormalRate = 40;       // orders a second, in good times
constexpr double kMostTimesNormal = 10;  // of its calls a second in good times, when it is back
constexpr auto kPlacedWithin = 120s;
constexpr auto kSettlesWithin = 300s;

/// Most calls that came within one second since the last reset.
double highest_per_second(Stage& stage) {
  const std::string requests = stage.paysim().requests();
  const JsonDocument document = JsonDocument::parse(requests);
  const JsonValue* highest = document.root().find("highestPerSecond");
  return highest == nullptr ? 0 : static_cast<double>(highest->as_int64());
}

Load ordering(Stage& stage, const std::string& name, double rate) {
  return Load({.port = stage.shop().server().port(),
               .api_key = stage.shop().api_key(),
               .rate = rate,
               .next = orders(name, stage.shop()),
               .journal = &stage.journal()});
}

void run(Stage& stage) {
  // As many as may be under way, whatever the shop's defaults are: the provider's own protection is not
  // what is tried here.
  stage.open_paid_shop();
  {
    Load normal = ordering(stage, "normal", kNormalRate);
    stage.wait(std::max<std::chrono::milliseconds>(stage.duration() / 4, 3s));
    normal.finish();
    stage.wait_until(20s, [&] { return open_sagas(stage) == 0; });
  }
  const double normal = highest_per_second(stage);

  stage.say("the provider is gone; ten thousand orders come");
  stage.paysim().kill();
  {
    Load crowd = ordering(stage, "waiting", 0);
    const auto begun = std::chrono::steady_clock::now();
    stage.wait_until(kPlacedWithin, [&] { return open_sagas(stage) >= kWaiting; });
    crowd.finish();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    stage.figure("placed within", took.count(), "s");
  }
  const std::int64_t waiting = open_sagas(stage);
  stage.figure("orders waiting", static_cast<double>(waiting));

  stage.say("the provider is back");
  const auto back = std::chrono::steady_clock::now();
  stage.paysim().start();
  double highest = 0;
  const bool settled = stage.wait_until(kSettlesWithin, [&] {
    stage.wait(500ms);
    highest = std::max(highest, highest_per_second(stage));
    return open_sagas(stage) == 0;
  });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - back;
  stage.figure("provider's busiest second, normally", normal, "calls");
  stage.figure("provider's busiest second, recovering", highest, "calls");
  stage.figure("all had ended after", took.count(), "s");
  stage.check("ten thousand waited", waiting >= kWaiting, std::to_string(waiting));
  stage.check("every one of them ended", settled, "after " + with_unit(took.count(), "s"));
  stage.check("no second outage", highest <= kMostTimesNormal * std::max(normal, 1.0),
              with_unit(highest / std::max(normal, 1.0), "times the busiest normal second; the limit is ") +
                  with_unit(kMostTimesNormal, ""));
}

}  // namespace

Drill recovery_10k() {
  return {.name = "recovery-10k",
          .breaks = "the payment provider is away until 10,000 orders wait for it, then comes back",
          .proves = "all of them end, and its busiest second stays below 10 times a normal one",
          .duration = std::chrono::seconds(20),
          .run = run};
}

}  // namespace holdfast::drills
