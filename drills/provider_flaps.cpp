// The payment provider is up for a second and down for the next.
#include "drills/frame/drill.hpp"
#include "drills/outage.hpp"

namespace holdfast::drills {

namespace {

void run(Stage& stage) {
  run_outage(stage,
             {.begin =
                  [](PaysimProcess& paysim) {
                    paysim.behave(R"({"rules":[{"action":"flap","upMs":1000,"downMs":1000,"status":503}]})");
                  },
              .end = [](PaysimProcess& paysim) { paysim.behave(R"({"rules":[]})"); },
              .needs_payments_meanwhile = true});
}

}  // namespace

Drill provider_flaps() {
  return {.name = "provider-flaps",
          .breaks = "the payment provider is up for a second, down for a second, and so on",
          .proves = "payments are made while it is up; the rest wait, and end when it is steady",
          .duration = std::chrono::seconds(18),
          .run = run};
}

}  // namespace holdfast::drills
