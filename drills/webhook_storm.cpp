// Webhooks that come twice, late, out of order, or not at all.
#include "drills/frame/drill.hpp"
#include "drills/outage.hpp"

namespace holdfast::drills {

namespace {

void run(Stage& stage) {
  // A bank's answer whose webhook is lost is asked for when the customer's time is over.
  run_outage(stage, {.environment = {{"HOLDFAST_CHECKOUT_CUSTOMER_PATIENCE", "5s"}},
                     .begin =
                         [](PaysimProcess& paysim) {
                           paysim.behave(
                               R"({"rules":[{"action":"async","operation":"authorize","rate":0.5,"ms":300}],)"
                               R"("webhooks":{"duplicates":1,"reorder":0.5,"reorderMs":700,"drop":0.05}})");
                         },
                     .end = [](PaysimProcess& paysim) { paysim.behave(R"({"rules":[]})"); },
                     .needs_payments_meanwhile = true});
}

}  // namespace

Drill webhook_storm() {
  return {.name = "webhook-storm",
          .breaks = "every webhook comes twice, half of them out of order, one in twenty never",
          .proves = "each has its effect once, an old one changes nothing, a lost one is made up for",
          .duration = std::chrono::seconds(15),
          .quick = true,
          .run = run};
}

}  // namespace holdfast::drills
