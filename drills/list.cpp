// Every drill, a line each; the function of that name is in the file of that name.
#include "drills/frame/drill.hpp"

#define HOLDFAST_DRILLS(drill)                                                                           \
  drill(slow_loris) drill(noisy_client) drill(overload) drill(double_click) drill(provider_unplugged)    \
      drill(provider_hangs) drill(provider_flaps) drill(provider_charges_then_drops) drill(recovery_10k) \
          drill(webhook_storm) drill(page_degrades) drill(database_away) drill(kill_between_steps)

namespace holdfast::drills {

#define HOLDFAST_DECLARE(name) Drill name();
HOLDFAST_DRILLS(HOLDFAST_DECLARE)

const std::vector<Drill>& all_drills() {
#define HOLDFAST_LIST(name) name(),
  static const std::vector<Drill> kAll = {HOLDFAST_DRILLS(HOLDFAST_LIST)};
  return kAll;
}

}  // namespace holdfast::drills
