// The payment provider takes calls and never answers; half of them it has done.
#include "drills/frame/drill.hpp"
#include "drills/outage.hpp"

namespace holdfast::drills {

namespace {

void run(Stage& stage) {
  run_outage(stage,
             {.begin =
                  [](PaysimProcess& paysim) {
                    paysim.behave(R"({"rules":[{"action":"hang_after","rate":0.5},{"action":"hang"}]})");
                  },
              .end = [](PaysimProcess& paysim) { paysim.behave(R"({"rules":[]})"); }});
}

}  // namespace

Drill provider_hangs() {
  return {.name = "provider-hangs",
          .breaks = "the payment provider takes calls and never answers; half of them it has done",
          .proves = "placing an order stays fast; nothing is charged twice, and nothing hangs for ever",
          .duration = std::chrono::seconds(15),
          .run = run};
}

}  // namespace holdfast::drills
