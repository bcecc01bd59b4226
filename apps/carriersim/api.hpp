// The carrier's API: a form comes in, is done in one transaction, a form goes out. Failures are answered with
// status 200 and a return code, as such systems do. Before and after, it misbehaves as it was told.
//
// Thread-safety: filled once; its handlers run on all loops.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "carriersim/behaviour.hpp"
#include "carriersim/forms.hpp"
#include "holdfast/http/router.hpp"
#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::carriersim {

class Api {
 public:
  struct Parts {  ///< all borrowed
    const Clock& clock;
    sql::Database& database;
    Behaviour& behaviour;
    runtime::Latch& stopped;
  };

  /// `customer`: ten digits. `stopping` ends what is delayed, when the process wants to stop.
  Api(const Parts& parts, std::string customer, std::string password, runtime::CancellationToken stopping);

  void add_routes(http::Router& router);

 private:
  /// What is done, with its answer; in a transaction. Throws BadForm.
  using Deed = std::function<std::string(sql::Transaction&, std::string_view body)>;

  void post(http::Router& router, std::string pattern, Operation operation, Deed deed);
  http::Response serve(const Context& ctx, const http::Request& request, Operation operation,
                       const Deed& deed);
  std::optional<http::Response> misbehave_before(const Context& ctx, const Plan& plan);
  http::Response misbehave_after(const Context& ctx, const Plan& plan, http::Response response);
  void hang(const Context& ctx) const;

  std::string book(sql::Transaction& tx, std::string_view body) const;
  std::string cancel(sql::Transaction& tx, std::string_view body) const;
  std::string ask(sql::Transaction& tx, std::string_view body) const;
  std::string failed(std::string_view code) const;

  const Parts parts_;
  const std::string customer_;
  const std::string password_;
  const runtime::CancellationToken stopping_;
};

}  // namespace holdfast::carriersim
