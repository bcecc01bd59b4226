// The payment provider charges, and drops the connection before it says so.
#include "drills/frame/drill.hpp"
#include "drills/outage.hpp"

namespace holdfast::drills {

namespace {

void run(Stage& stage) {
  run_outage(stage,
             {.begin =
                  [](PaysimProcess& paysim) {
                    paysim.behave(R"({"rules":[{"action":"drop_after","operation":"authorize","rate":0.5},)"
                                  R"({"action":"drop_after","operation":"capture","rate":0.5}]})");
                  },
              .end = [](PaysimProcess& paysim) { paysim.behave(R"({"rules":[]})"); },
              .needs_payments_meanwhile = true});
}

}  // namespace

Drill provider_charges_then_drops() {
  return {
      .name = "provider-charges-then-drops",
      .breaks = "the payment provider charges, and drops the connection before it says so, half of the time",
      .proves = "what may have happened is found out by asking: one charge an order, no charge without one",
      .duration = std::chrono::seconds(15),
      .quick = true,
      .run = run};
}

}  // namespace holdfast::drills
