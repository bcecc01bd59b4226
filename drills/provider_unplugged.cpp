// The payment provider's plug is pulled, and put back.
#include "drills/frame/drill.hpp"
#include "drills/outage.hpp"

namespace holdfast::drills {

namespace {

void run(Stage& stage) {
  run_outage(stage, {.begin = [](PaysimProcess& paysim) { paysim.kill(); },
                     .end = [](PaysimProcess& paysim) { paysim.start(); }});
}

}  // namespace

Drill provider_unplugged() {
  return {.name = "provider-unplugged",
          .breaks = "the payment provider is killed (kill -9) under load, and started again",
          .proves = "orders are taken meanwhile; each is paid once, or undone, when it is back",
          .duration = std::chrono::seconds(15),
          .quick = true,
          .run = run};
}

}  // namespace holdfast::drills
