// The controls, for people and drills: how paysim misbehaves, its book, its counters, its webhooks, and
// the page at `/`. They ask for no key and are served on the same address, so keep that one local. Writes
// must be application/json: another site's page can't send them.
//
// Thread-safety: filled once; its handlers run on all loops.
#pragma once

#include <string>

#include "holdfast/base/id.hpp"
#include "holdfast/http/router.hpp"
#include "holdfast/sql/database.hpp"
#include "paysim/behaviour.hpp"
#include "paysim/counters.hpp"
#include "paysim/deliveries.hpp"
#include "paysim/payments.hpp"

namespace holdfast::paysim {

class Control {
 public:
  struct Parts {  ///< all borrowed
    IdGenerator& ids;
    sql::Database& database;
    Payments& payments;
    Behaviour& behaviour;
    Counters& counters;
    Deliveries& deliveries;
  };

  /// `behaviour_at_start` is what a reset goes back to.
  Control(const Parts& parts, std::string behaviour_at_start);

  void add_routes(http::Router& router);

 private:
  void add_behaviour(http::Router& router);
  void add_book(http::Router& router);
  void add_webhooks(http::Router& router);
  void reset(const Context& ctx);
  std::string summary(const Context& ctx);

  const Parts parts_;
  const std::string behaviour_at_start_;
};

}  // namespace holdfast::paysim
