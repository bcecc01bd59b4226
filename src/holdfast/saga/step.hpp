// Step: what an act of a saga is given, and the ways in which it says how it ended.
//
//   void authorize(const Context& ctx, saga::Step<Checkout>& step) {
//     const Payment payment = provider.authorize(ctx, step.key(), step.state().amount);  // keyed: repeatable
//     if (payment.declined) throw saga::Failure("payment_declined", "The card was declined.");
//     step.state().intent = payment.id;
//     step.record([id = payment.id](sql::Transaction& tx) { ledger::authorized(tx, id); });
//   }
//
// Thread-safety: a Step belongs to the act it was passed to.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::saga {

/// The act has not happened and never will: compensation of the steps before it begins. In a
/// compensation: it can't be done by trying again; the saga is parked for a person.
class Failure : public Error {
 public:
  /// `reason`: stable, snake_case, what Step::reason() and operators are shown. `detail`: a sentence.
  Failure(std::string reason, std::string detail)
      : Error(Error(ErrorCode::conflict, std::move(detail)).reason(std::move(reason))) {}
};

/// Nobody knows whether the act happened (a timeout after the request was sent): the saga says so in its
/// history and runs the act again, which must ask. It is never taken for "did not happen".
class OutcomeUnknown : public Error {
 public:
  explicit OutcomeUnknown(std::string detail)
      : Error(Error(ErrorCode::unavailable, std::move(detail)).reason("outcome_unknown")) {}
};

/// A Step without its State's type. Filled in by the engine.
struct Call {
  const std::string* saga_id = nullptr;
  const std::string* saga_key = nullptr;
  const std::string* step = nullptr;
  const std::string* reason = nullptr;
  const std::string* reason_detail = nullptr;
  int attempt = 1;
  bool compensating = false;
  bool interrupted = false;
  bool first_try = false;
  void* state = nullptr;
  std::vector<std::function<void(sql::Transaction&)>> records;
};

template <class State>
class Step {
 public:
  explicit Step(Call& call) noexcept : call_(call) {}
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  State& state() noexcept { return *static_cast<State*>(call_.state); }

  /// "sag_…".
  const std::string& saga_id() const noexcept { return *call_.saga_id; }
  /// The business key the saga was started with; empty where there was none.
  const std::string& saga_key() const noexcept { return *call_.saga_key; }
  const std::string& name() const noexcept { return *call_.step; }

  /// The idempotency key of this act's outside call: "<saga id>/<step>", and "<saga id>/<step>/undo" in a
  /// compensation. The same at each attempt, on whatever machine.
  std::string key() const { return call_.compensating ? act_key() + "/undo" : act_key(); }
  /// "<saga id>/<step>" in a compensation too: for asking what became of the act.
  std::string act_key() const { return saga_id() + "/" + name(); }

  /// From 1. A crash does not count it up, so what must be known is asked of the other side by key().
  int attempt() const noexcept { return call_.attempt; }
  /// Whether a process died while it was at this step, or could not record what it did there: what it sent
  /// may still be under way. Nothing was recorded of the step since.
  bool interrupted() const noexcept { return call_.interrupted; }
  /// Whether it is certain that nobody has begun this act before: the worker that runs it has itself brought
  /// the saga to this step just now, and holds its lease. False wherever that is not known, also at most
  /// first tries after a restart; then the other side has to be asked. For those who can't be given key().
  bool first_try() const noexcept { return call_.first_try; }

  /// In a compensation: why. A Failure's reason, an Error's reason, or "cancelled".
  const std::string& reason() const noexcept { return *call_.reason; }
  /// The sentence that goes with it.
  const std::string& reason_detail() const noexcept { return *call_.reason_detail; }

  /// Runs `body` in the transaction that records this act as done; not at all where the act fails. It may
  /// be run again like any transaction's body. Where it throws, the act counts as failed with that error.
  /// In a local act write to its Transaction instead.
  void record(std::function<void(sql::Transaction&)> body) { call_.records.push_back(std::move(body)); }

 private:
  Call& call_;
};

}  // namespace holdfast::saga
