// kill -9 of the server, and of a worker, at every place where a checkout, its undoing, or the giving back of
// an order could be cut in two.
#include <algorithm>
#include <array>

#include "drills/frame/drill.hpp"
#include "drills/frame/shoppers.hpp"
#include "drills/outage.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;

constexpr auto kDiesWithin = 8s;
constexpr auto kSettlesWithin = 30s;
constexpr auto kShort = 30s;  // with less time, each site is killed at once, in the server or in a worker
constexpr std::uint64_t kMostPasses = 3;
constexpr int kExitOfAKill = 137;
constexpr int kCrowd = 6;
/// Less than the times that a step may end its process before a person is asked (SagaOptions).
constexpr int kKillsAtRandom = 4;

/// Steps of the checkout that are undone by something, and the one that the order itself has done.
constexpr std::array<std::string_view, 3> kUndone = {"reserve stock", "authorize", "book shipment"};
constexpr std::string_view kGiven = "reserve stock";

/// A site's name that only a binary with fault sites has in its text: put together here, for this is such
/// a text too.
bool has_fault_sites() {
  return read_text(holdfast_binary()).find(std::string("maildir.") + "before_link") != std::string::npos;
}

/// Before and after each act, and after each commit, of each step and of its undoing, as the running
/// programs have written the definition down.
std::vector<std::string> sites_of(Stage& stage, const std::string& definition) {
  std::vector<std::string> names;
  const auto data = stage.shop().data();
  for (const auto& row : data->rows("select steps from saga_definitions where name = '" + definition + "'")) {
    const JsonDocument steps = JsonDocument::parse(row[0]);
    for (const JsonValue& step : steps.root().items()) {
      const std::string name(step.as_string());
      for (const char* place : {"before_act", "after_act", "after_commit"}) {
        const std::string prefix = "saga." + definition + "." + name + ".";
        if (name != kGiven) names.push_back(prefix + place);
        if (std::ranges::find(kUndone, name) != kUndone.end()) names.push_back(prefix + "undo." + place);
      }
    }
  }
  return names;
}

/// Customers of every kind: most pay, some are declined, some have a bank that takes its time, some never
/// confirm; more than half have an address.
void vary(OrderRequest& request, std::uint64_t chance) {
  const std::uint64_t card = chance % 20;
  if (card < 2) request.payment_method = "pm_card_chargeDeclined";
  if (card == 2) request.payment_method = "pm_requires_action";
  if (card == 3 || card == 4) request.payment_method = "pm_card_mastercard";  // the slow bank's, see run()
  request.delivered = chance / 20 % 5 < 3;
}

/// Lives of processes that end at a site, under customers who go on ordering.
class Killings {
 public:
  Killings(Stage& stage, bool twice) : stage_(stage), shop_(stage.shop()), twice_(twice) {}

  /// Kills the server at it, then a worker; or one of the two, in turn. Then everything has to end.
  void kill_at(const std::string& site) {
    const std::string fault = site + ":" + std::to_string(1 + stage_.random()() % kMostPasses);
    const bool both = twice_;
    const bool server = both || ++rounds_ % 2 == 1;
    std::unique_ptr<Process> other;
    {
      shop_.server().kill();
      server ? launch_doomed(fault) : shop_.server().start();
      Shoppers shoppers(shop_, stage_.journal(), crowd());
      if (server) await_death("the server at " + fault, shop_.server().process());
      if (both || !server) other = kill_worker(fault, shoppers);
      if (!both && server) shop_.server().start();
      shoppers.server_is_back();
      shoppers.finish();
    }
    settle(fault);
    if (!other) return;
    other->terminate();
    other->wait(30s);
  }

  /// Anywhere: e.g. while the carrier or the provider has a request and has not answered.
  void kill_at_random() {
    Shoppers shoppers(shop_, stage_.journal(), crowd());
    for (int i = 0; i < kKillsAtRandom; ++i) {
      stage_.wait(std::chrono::milliseconds(50 + stage_.random()() % 400));
      shop_.server().kill();
      shop_.server().start();
      shoppers.server_is_back();
      ++killed_;
    }
    shoppers.finish();
    settle("killing at random");
  }

  std::size_t killed() const noexcept { return killed_; }
  const std::vector<std::string>& never_passed() const noexcept { return never_passed_; }
  const std::vector<std::string>& stuck() const noexcept { return stuck_; }

 private:
  ShoppersOptions crowd() {
    return {.seed = stage_.random()(),
            .threads = kCrowd,
            .name = "kill" + std::to_string(++crowds_),
            .pause = 40ms,
            .cancels_within = 200ms,
            .vary = vary};
  }

  void launch_doomed(const std::string& fault) {
    auto& environment = shop_.server().options().environment;
    environment["HOLDFAST_FAULT_KILL"] = fault;
    shop_.server().launch();
    environment.erase("HOLDFAST_FAULT_KILL");
    try {
      shop_.server().wait_until_ready();
    } catch (const std::runtime_error&) {  // it passed the site before it was ready
    }
  }

  /// The server leaves events and checkouts to workers; the first of them dies, a second one goes on.
  std::unique_ptr<Process> kill_worker(const std::string& fault, Shoppers& shoppers) {
    auto& environment = shop_.server().options().environment;
    if (shop_.server().running()) shop_.server().kill();
    environment["HOLDFAST_WORKER_ENABLED"] = "false";
    shop_.server().start();
    shoppers.server_is_back();
    const auto doomed = stage_.start_worker({{"HOLDFAST_FAULT_KILL", fault}});
    await_death("a worker at " + fault, *doomed);
    auto other = stage_.start_worker();
    environment.erase("HOLDFAST_WORKER_ENABLED");
    return other;
  }

  void await_death(const std::string& what, Process& process) {
    const bool ended = stage_.wait_until(kDiesWithin, [&] { return !process.running(); });
    if (ended && process.wait(1s).code == kExitOfAKill) {
      ++killed_;
      stage_.say("killed " + what);
    } else {
      never_passed_.push_back(what);
      process.kill();
    }
  }

  void settle(const std::string& what) {
    if (!stage_.wait_until(kSettlesWithin, [&] { return open_sagas(stage_) == 0; })) stuck_.push_back(what);
  }

  Stage& stage_;
  Shop& shop_;
  const bool twice_;
  int rounds_ = 0;
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

/// Everything that a checkout can meet, often enough to be met while a process waits for its death.
void misbehave(Stage& stage) {
  stage.paysim().behave(
      R"({"rules":[{"action":"async","operation":"authorize","card":"pm_card_mastercard","ms":200},)"
      R"({"action":"delay","rate":0.2,"ms":50}],)"
      R"("webhooks":{"duplicates":0.2,"reorder":0.1,"reorderMs":200,"drop":0.4}})");
  stage.carriersim().behave(R"({"rules":[{"action":"delay","operation":"book","rate":0.4,"ms":250},)"
                            R"({"action":"refuse","operation":"book","rate":0.1},)"
                            R"({"action":"drop_after","operation":"book","rate":0.03}]})");
}

void run(Stage& stage) {
  if (!has_fault_sites()) {
    throw NotPossible(
        "this holdfast has no fault sites: build holdfast_with_faults, and run with-faults/holdfast, or name "
        "it with HOLDFAST_BINARY");
  }
  Shop& shop = stage.open_paid_shop(
      {{"HOLDFAST_CHECKOUT_CUSTOMER_PATIENCE", "1s"}, {"HOLDFAST_SHIPPING_SETTLE_TIME", "1s"}});
  stage.wait_until(10s, [&] { return !sites_of(stage, "checkout").empty(); });
  misbehave(stage);
  std::vector<std::string> checkout = sites_of(stage, "checkout");
  checkout.insert(checkout.end(), {"payments.after_call", "shipping.after_call"});
  std::vector<std::string> give_back = sites_of(stage, "give-back");
  Killings killings(stage, stage.duration() >= kShort);
  for (const std::string& site : checkout) killings.kill_at(site);
  killings.kill_at_random();

  // Without a carrier, orders end when they are paid, and may be cancelled from then on.
  shop.server().options().environment["HOLDFAST_SHIPPING_CARRIER"] = "none";
  for (const std::string& site : give_back) killings.kill_at(site);
  shop.server().stop();
  shop.server().start();  // a whole one, which handles what is left
  stage.figure("fault sites", static_cast<double>(checkout.size() + give_back.size()));
  stage.figure("kills", static_cast<double>(killings.killed()));
  stage.check("every site was killed at", killings.never_passed().empty() && killings.killed() > 0,
              killings.never_passed().empty() ? std::to_string(killings.killed()) + " kills"
                                              : "never: " + listed(killings.never_passed()));
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
