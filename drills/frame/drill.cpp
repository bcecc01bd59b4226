#include "drills/frame/drill.hpp"

#include <algorithm>

#include "drills/frame/check_books.hpp"

namespace holdfast::drills {

const Drill* find_drill(const std::string& name) {
  const auto found = std::ranges::find(all_drills(), name, &Drill::name);
  return found == all_drills().end() ? nullptr : &*found;
}

Report run_drill(const Drill& drill, StageOptions options) {
  Stage stage(drill.name, std::move(options));
  try {
    drill.run(stage);
    check_books(stage, {.may_park = drill.parks_sagas});
  } catch (const NotPossible& reason) {
    stage.not_run(reason.what());
  } catch (const std::exception& failure) {
    stage.check("it ran to its end", false, failure.what());
  }
  return stage.finish();
}

}  // namespace holdfast::drills
