// The real `carriersim` on a free port, with a data folder of its own. As PaysimProcess is used.
//
// Thread-safety: one thread; others may talk to it.
#pragma once

#include "drills/frame/simulator_process.hpp"

namespace holdfast::drills {

using CarriersimOptions = SimulatorOptions;

class CarriersimProcess : public SimulatorProcess {
 public:
  explicit CarriersimProcess(CarriersimOptions options = {})
      : SimulatorProcess("carriersim", std::move(options)) {}
};

}  // namespace holdfast::drills
