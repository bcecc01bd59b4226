#include "drills/outage.hpp"

#include <algorithm>

#include "drills/frame/load.hpp"

namespace holdfast::drills {

using namespace std::chrono_literals;

namespace {

LoadFigures order_for(Stage& stage, const std::string& name, double rate, std::chrono::milliseconds time) {
  Load load({.port = stage.shop().server().port(),
             .api_key = stage.shop().api_key(),
             .rate = rate,
             .next = orders(name, stage.shop()),
             .journal = &stage.journal()});
  stage.wait(time);
  return load.finish();
}

}  // namespace

std::int64_t open_sagas(Stage& stage) {
  return stage.shop().data()->number(
      "select count(*) from sagas where status in ('running', 'waiting', 'compensating')");
}

std::int64_t confirmed_orders(Stage& stage) {
  return stage.shop().data()->number(
      "select count(*) from orders where status = 'confirmed' or status = 'shipped'");
}

void run_outage(Stage& stage, const Outage& outage) {
  stage.open_paid_shop(outage.environment);
  const auto third = std::max<std::chrono::milliseconds>(stage.duration() / 3, 1s);
  const LoadFigures before = order_for(stage, "before", outage.rate, third);
  const std::int64_t paid_before = confirmed_orders(stage);

  stage.say("the provider turns bad");
  outage.begin(stage.paysim());
  const LoadFigures during = order_for(stage, "during", outage.rate, third);
  const std::int64_t paid_during = confirmed_orders(stage) - paid_before;
  const std::int64_t waiting = open_sagas(stage);

  stage.say("the provider is good again");
  outage.end(stage.paysim());
  const auto good_again = std::chrono::steady_clock::now();
  const LoadFigures after = order_for(stage, "after", outage.rate, third);
  const bool settled = stage.wait_until(outage.settles_within, [&] { return open_sagas(stage) == 0; });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - good_again;

  stage.figure("p99 of placing an order, before", before.p(0.99), "ms");
  stage.figure("p99 of placing an order, meanwhile", during.p(0.99), "ms");
  stage.figure("orders paid meanwhile", static_cast<double>(paid_during));
  stage.figure("checkouts waiting at its end", static_cast<double>(waiting));
  stage.figure("all had ended after", took.count(), "s");
  stage.check("orders are paid in good times", paid_before > 0, std::to_string(paid_before) + " orders");
  stage.check("orders are taken all the time",
              during.served() >= outage.least_taken && after.served() >= outage.least_taken,
              std::to_string(during.good) + " of " + std::to_string(during.due) + " meanwhile, " +
                  std::to_string(after.good) + " of " + std::to_string(after.due) + " afterwards");
  if (outage.needs_payments_meanwhile) {
    stage.check("some are paid meanwhile", paid_during > 0, std::to_string(paid_during) + " orders");
  }
  stage.check("every checkout ends by itself", settled, "after " + with_unit(took.count(), "s"));
}

}  // namespace holdfast::drills
