// The Stripe subset over HTTP. Each call: who asks, what is asked, how paysim is to misbehave, the deed in
// one transaction with the answer kept for its Idempotency-Key, and only then the answer.
//
//   POST /v1/payment_intents, …/{id}/confirm|capture|cancel    GET /v1/payment_intents, …/{id}, …/search
//   POST /v1/refunds                                           GET /v1/refunds, /v1/charges/{id}, /v1/events
//
// Thread-safety: filled once; its handlers run on all loops.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "holdfast/base/id.hpp"
#include "holdfast/http/router.hpp"
#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"
#include "paysim/answers.hpp"
#include "paysim/behaviour.hpp"
#include "paysim/counters.hpp"
#include "paysim/payments.hpp"

namespace holdfast::paysim {

class Api {
 public:
  struct Parts {  ///< all borrowed
    const Clock& clock;
    IdGenerator& ids;
    sql::Database& database;
    Payments& payments;
    Behaviour& behaviour;
    Counters& counters;
    runtime::Latch& stopped;  ///< opened when the process wants to stop: ends what hangs
  };

  /// `stopping` ends what is delayed when the process wants to stop.
  Api(const Parts& parts, std::string secret_key, runtime::CancellationToken stopping);

  void add_routes(http::Router& router);

 private:
  using Deed = std::function<Answer(sql::Transaction&, const Verdict&, const Origin&)>;
  /// What a POST asks for, once its form has been read.
  struct Call {
    Operation operation = Operation::any;
    const char* name = "call";  // of its transaction
    std::string card;           // empty: not known
    std::string intent_id;      // whose card it is about, where `card` is empty
    Deed deed;
  };
  using Prepare = std::function<Call(const http::Request&, const Form&)>;
  using Reading = std::function<std::string(const Context&, const http::Request&)>;

  void post(http::Router& router, std::string pattern, Prepare prepare);
  void get(http::Router& router, std::string pattern, Reading reading);
  http::Response serve_post(const Context& ctx, const http::Request& request, const Prepare& prepare);
  http::Response serve_get(const Context& ctx, const http::Request& request, const Reading& reading);

  void authenticate(const http::Request& request) const;
  /// Waits and refuses as the plan says, before anything is done. Nothing: go on.
  std::optional<http::Response> misbehave_before(const Context& ctx, const Plan& plan);
  /// Drops or withholds the answer as the plan says, after it was done. Nothing: answer.
  std::optional<http::Response> misbehave_after(const Context& ctx, const Plan& plan);
  void hang(const Context& ctx) const;
  Plan plan_for(const Context& ctx, const Call& call);
  struct Outcome {
    Answer answer;
    bool replayed = false;
  };
  Outcome perform(sql::Transaction& tx, const Call& call, const Plan& plan, const Origin& origin,
                  const std::string& fingerprint);
  http::Response answered(int status, std::string body, const Origin& origin);

  const Parts parts_;
  const std::string secret_key_;
  const runtime::CancellationToken stopping_;
  InFlight in_flight_;
};

}  // namespace holdfast::paysim
