// What `serve` and `worker` share: the Order System in this process until a signal ends it.
//
//   return run_order_system(invocation, settings, {.role = orders::Role::serve, .banner = true, …});
//
// Thread-safety: call it once, from main's thread.
#pragma once

#include <filesystem>
#include <functional>

#include "cli/settings.hpp"
#include "orders/order_system.hpp"

namespace holdfast::cli {

struct RunningOptions {
  orders::Role role = orders::Role::serve;
  bool demo = false;                 ///< load the demo catalog where there are no products
  bool banner = false;               ///< say where things are, also where nobody looks
  std::filesystem::path ready_file;  ///< gets the URL once ready; empty: none
};

/// ok after a graceful stop; failed where something in flight had to be cut off. Throws Error(unavailable)
/// with the remedy for a taken port, an unusable data folder, another schema.
ExitCode run_order_system(const Invocation& invocation, const LoadedSettings& settings,
                          const RunningOptions& options);

}  // namespace holdfast::cli
