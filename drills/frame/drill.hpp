// A drill: one thing that can go wrong in the world, done to the real programs, with a judgement of what
// they make of it.
//
//   Drill slow_loris() {                                       // drills/slow_loris.cpp
//     return {.name = "slow-loris", .breaks = "…", .proves = "…", .run = run};
//   }
//
// and one line in drills/list.cpp. Thread-safety: values.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "drills/frame/stage.hpp"

namespace holdfast::drills {

struct Drill {
  std::string name;                   ///< "slow-loris"
  std::string breaks;                 ///< one line: what is done to the programs
  std::string proves;                 ///< one line: what must hold all the same
  std::chrono::seconds duration{10};  ///< of its load, unless told otherwise
  bool quick = false;                 ///< done within 20 s when its load lasts 3 s; ./test runs it
  bool parks_sagas = false;           ///< it leaves checkouts for a person on purpose
  void (*run)(Stage& stage) = nullptr;
};

/// In the order of drills/list.cpp.
const std::vector<Drill>& all_drills();
/// nullptr where there is none of that name.
const Drill* find_drill(const std::string& name);

/// Runs it and compares the books; whatever it throws is a check that did not hold.
Report run_drill(const Drill& drill, StageOptions options);

}  // namespace holdfast::drills
