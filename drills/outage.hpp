// What the drills of a bad payment provider share: customers order all the time, at a rate of their own;
// after a third of the time the provider turns bad, after another it is good again; then everything has
// to come to an end.
//
//   run_outage(stage, {.name = "hang", .begin = [](PaysimProcess& paysim) { paysim.behave(…); }, …});
//
// Thread-safety: one thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "drills/frame/stage.hpp"

namespace holdfast::drills {

struct Outage {
  double rate = 40;                                ///< orders a second
  std::map<std::string, std::string> environment;  ///< of the shop
  std::function<void(PaysimProcess&)> begin;
  std::function<void(PaysimProcess&)> end;
  double least_taken = 0.99;  ///< of the orders placed meanwhile, acknowledged in time
  std::chrono::seconds settles_within{45};
  bool needs_payments_meanwhile = false;  ///< some orders are to be paid while it lasts
};

void run_outage(Stage& stage, const Outage& outage);

/// Checkouts that have not come to an end; 0 where there are none.
std::int64_t open_sagas(Stage& stage);
std::int64_t confirmed_orders(Stage& stage);

}  // namespace holdfast::drills
