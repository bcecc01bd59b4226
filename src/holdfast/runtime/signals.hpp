// SIGTERM and SIGINT as something a fiber waits for.
//
//   ShutdownSignals::block();                       // first thing in main, before any thread starts
//   ...
//   ShutdownSignals signals(loop);                  // on the loop that will wait
//   const int signal = signals.wait(ctx);
//
// A second signal while the first is being handled ends the process at once (exit code 130 or 143).
#pragma once

#include <memory>

#include "holdfast/runtime/context.hpp"

namespace holdfast::runtime {

class ShutdownSignals {
 public:
  /// Blocks SIGTERM, SIGINT (delivered through the object) and SIGPIPE (ignored) in the calling thread
  /// and those it starts later.
  static void block();

  /// On a loop's thread, in a fiber.
  ShutdownSignals();
  ~ShutdownSignals();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;

  /// The signal's number. Throws Error(deadline_exceeded / cancelled).
  int wait(const Context& ctx);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::runtime
