// kill -9 of the server, and of a worker, at every place where a checkout could be cut in two.
#include <algorithm>
#include <iterator>

#include "drills/frame/drill.hpp"
#include "drills/frame/shoppers.hpp"
#include "drills/frame/sqlite_file.hpp"
#include "drills/outage.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;

constexpr auto kDiesWithin = 6s;
constexpr std::uint64_t kMostPasses = 5;
constexpr auto kSettlesWithin = 30s;
constexpr int kExitOfAKill = 137;

/// Every order that is paid goes through these.
constexpr const char* kOnEveryWay[] = {"authorize", "confirm", "capture"};

/// A site's name that only a binary with fault sites has in its text: put together here, for this is such
/// a text too.
bool has_fault_sites() {
  return read_text(holdfast_binary()).find(std::string("maildir.") + "before_link") != std::string::npos;
}

/// Before and after each act and after each commit of each step, as the running programs have written their
/// sagas down.
std::vector<std::string> sites(Stage& stage) {
  std::vector<std::string> names{"payments.after_call"};
  const SqliteFile file(stage.shop().database_file());
  for (const auto& row : file.rows("select name, steps from saga_definitions order by name")) {
    const JsonDocument steps = JsonDocument::parse(row[1]);
    for (const JsonValue& step : steps.root().items()) {
      for (const char* place : {"before_act", "after_act", "after_commit"}) {
        names.push_back("saga." + row[0] + "." + std::string(step.as_string()) + "." + place);
      }
    }
  }
  return names;
}

bool on_every_way(const std::string& what) {
  return std::ranges::any_of(kOnEveryWay, [&](const char* step) {
    return what.find(std::string(".checkout.") + step + ".") != std::string::npos;
  });
}

/// One life of a process that ends at the site, under customers who go on ordering.
class Killings {
 public:
  explicit Killings(Stage& stage) : stage_(stage), shop_(stage.shop()) {}

  void kill_server(const std::string& site) {
    const std::string what = "the server at " + site;
    auto& environment = shop_.server().options().environment;
    shop_.server().stop();
    environment["HOLDFAST_FAULT_KILL"] = site;
    shop_.server().launch();
    environment.erase("HOLDFAST_FAULT_KILL");
    try {
      shop_.server().wait_until_ready();
    } catch (const std::runtime_error&) {  // it passed the site before it was ready
    }
    Shoppers shoppers(shop_, stage_.journal(), crowd());
    note(what, shop_.server().process());
    if (shop_.server().running()) shop_.server().kill();
    shop_.server().start();
    shoppers.server_is_back();
    shoppers.finish();
    settle(what);
  }

  /// The server leaves events and checkouts to workers; the first of them dies, a second one goes on.
  void kill_worker(const std::string& site) {
    const std::string what = "a worker at " + site;
    auto& environment = shop_.server().options().environment;
    shop_.server().stop();
    environment["HOLDFAST_WORKER_ENABLED"] = "false";
    shop_.server().start();
    const auto worker = stage_.start_worker({{"HOLDFAST_FAULT_KILL", site}});
    {
      Shoppers shoppers(shop_, stage_.journal(), crowd());
      note(what, *worker);
      shoppers.finish();
    }
    worker->kill();
    const auto other = stage_.start_worker();
    settle(what);
    other->terminate();
    other->wait(30s);
    environment.erase("HOLDFAST_WORKER_ENABLED");
  }

  std::size_t killed() const noexcept { return killed_; }
  const std::vector<std::string>& never_passed() const noexcept { return never_passed_; }
  const std::vector<std::string>& stuck() const noexcept { return stuck_; }

 private:
  ShoppersOptions crowd() {
    return {
        .seed = stage_.random()(), .threads = 4, .name = "kill" + std::to_string(++crowds_), .pause = 5ms};
  }

  void note(const std::string& what, Process& process) {
    const bool ended = stage_.wait_until(kDiesWithin, [&] { return !process.running(); });
    if (ended && process.wait(1s).code == kExitOfAKill) {
      ++killed_;
      stage_.say("killed " + what);
    } else {
      never_passed_.push_back(what);
    }
  }

  void settle(const std::string& what) {
    if (!stage_.wait_until(kSettlesWithin, [&] { return open_sagas(stage_) == 0; })) stuck_.push_back(what);
  }

  Stage& stage_;
  Shop& shop_;
  int crowds_ = 0;
  std::size_t killed_ = 0;
  std::vector<std::string> never_passed_;
  std::vector<std::string> stuck_;
};

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void run(Stage& stage) {
  if (!has_fault_sites()) {
    throw NotPossible(
        "this holdfast has no fault sites: build it with -DHOLDFAST_FAULTS=ON, and name it with "
        "HOLDFAST_BINARY");
  }
  stage.open_paid_shop();
  stage.wait_until(10s, [&] { return sites(stage).size() > 1; });
  const std::vector<std::string> all = sites(stage);
  Killings killings(stage);
  for (const std::string& site : all) {
    const std::string pass = ":" + std::to_string(1 + stage.random()() % kMostPasses);
    killings.kill_server(site + pass);
    killings.kill_worker(site + pass);
  }
  std::vector<std::string> missed;
  std::ranges::copy_if(killings.never_passed(), std::back_inserter(missed), on_every_way);
  stage.figure("fault sites", static_cast<double>(all.size()));
  stage.figure("kills", static_cast<double>(killings.killed()));
  stage.figure("sites not on any order's way", static_cast<double>(killings.never_passed().size()));
  stage.check("every site on a paid order's way was killed at", missed.empty() && killings.killed() > 0,
              missed.empty() ? std::to_string(killings.killed()) + " kills" : "never: " + listed(missed));
  stage.check(
      "every checkout goes on from where it was", killings.stuck().empty(),
      killings.stuck().empty() ? "within 30 s of each" : "not after killing " + listed(killings.stuck()));
}

}  // namespace

Drill kill_between_steps() {
  return {.name = "kill-between-steps",
          .breaks = "kill -9 of the server, and of a worker, between any two steps of a checkout",
          .proves = "another life goes on from exactly there: nothing lost, nothing done twice",
          .duration = std::chrono::seconds(60),
          .run = run};
}

}  // namespace holdfast::drills
