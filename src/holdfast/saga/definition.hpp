// Definition: what a saga does, step by step, and how each step is undone.
//
//   struct Checkout { OrderId order; Money amount; std::string intent; };   // the saga's state, as JSON
//   HOLDFAST_DESCRIBE(Checkout, (order, amount, intent))
//   saga::Definition<Checkout> checkout("checkout", 1);
//   checkout.started("reserve stock", saga::compensate_local(release_stock));
//   checkout.step("authorize", {.timeout = 2s}, authorize, saga::compensate(cancel_authorization));
//   checkout.local("confirm", confirm, saga::nothing_to_undo("the order's end says it"));
//
// Leaving out how a step is undone does not compile. docs/sagas.md says what a step may do. Steps are
// told apart by name and order: any change to them is a new version, beside the old one until its sagas
// have ended. Thread-safety: build on one thread; acts are called from any loop, local ones from the
// database's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/reflect.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/saga/step.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::saga {

struct RetryOptions {
  int attempts = 8;  ///< in all, at least 1; what comes after them: see Definition::step
  /// Between attempts; the time is in the database, so that it holds across restarts. An Error's
  /// retry_after overrides it where that is later.
  resilience::BackoffOptions backoff = {.base = std::chrono::milliseconds(200),
                                        .cap = std::chrono::seconds(30),
                                        .jitter = resilience::Jitter::equal};
};

struct StepOptions {
  RetryOptions retry = {};
  Duration timeout = std::chrono::seconds(10);  ///< the deadline of one attempt's Context
  /// The point of no return: from its first attempt on, a cancel is refused; once it may have happened,
  /// whatever fails afterwards is retried and then parked for a person, never compensated.
  bool pivot = false;
  /// Of its compensation; then the saga is parked. As it is: about an hour.
  RetryOptions compensation_retry = {.attempts = 20,
                                     .backoff = {.base = std::chrono::milliseconds(500),
                                                 .cap = std::chrono::minutes(5),
                                                 .jitter = resilience::Jitter::equal}};
};

struct WaitOptions {
  std::string event = {};                 ///< the name that Sagas::signal() is given
  std::optional<Duration> deadline = {};  ///< from the moment the wait begins; none: for ever
  bool pivot = false;                     ///< as in StepOptions
  RetryOptions retry = {};                ///< of on_event and on_deadline
  RetryOptions compensation_retry = StepOptions{}.compensation_retry;
};

/// What a wait's on_event made of a signal.
enum class Heard : std::uint8_t {
  done,          ///< the step is done
  keep_waiting,  ///< not what was waited for; the deadline stays
};

// Signatures, for a saga whose state is State:
//   outside   void(const Context&, Step<State>&)                              may wait; repeatable by
//   step.key() local     void(const Context&, sql::Transaction&, Step<State>&)           must not wait; may
//   be run again on event  Heard(const Context&, sql::Transaction&, Step<State>&, const JsonText& payload)
//   likewise

template <class F>
struct OutsideUndo {
  F undo;
};
template <class F>
struct LocalUndo {
  F undo;
};
struct NothingToUndo {
  std::string why;
};

/// Undoes a step by calling elsewhere: outside signature. It must cope with a step that never happened.
template <class F>
OutsideUndo<F> compensate(F undo) {
  return {std::move(undo)};
}
/// Undoes a step in the database, in the commit that records it: local signature.
template <class F>
LocalUndo<F> compensate_local(F undo) {
  return {std::move(undo)};
}
/// Says that there is nothing to undo, and why; the reason is shown to operators.
inline NothingToUndo nothing_to_undo(std::string why) { return {std::move(why)}; }

/// An on_deadline that gives up: compensation begins with this reason.
inline auto fail_with(std::string reason, std::string detail) {
  return [reason = std::move(reason), detail = std::move(detail)](const auto&...) {
    throw Failure(reason, detail);
  };
}

// What a Definition is to the engine, without its types. Not for users.
namespace detail {

using Outside = std::function<void(const Context&, Call&)>;
using Local = std::function<void(const Context&, sql::Transaction&, Call&)>;
using OnEvent = std::function<Heard(const Context&, sql::Transaction&, Call&, const JsonText&)>;

enum class StepKind : std::uint8_t { given, outside, local, wait };

struct PlannedStep {
  std::string name = {};
  StepKind kind = StepKind::outside;
  StepOptions options = {};
  std::string event = {};  // of a wait
  std::optional<Duration> deadline = {};
  Outside act = {};
  Local local_act = {};  // also a wait's on_deadline
  OnEvent on_event = {};
  Outside undo = {};  // at most one of the two; neither: nothing to undo
  Local local_undo = {};
  std::string nothing_to_undo = {};
  std::function<bool(const void* state)> only_if = {};  // null: always
  bool has_undo() const noexcept { return static_cast<bool>(undo) || static_cast<bool>(local_undo); }
};

struct Plan {
  std::string name;
  int version = 1;
  std::vector<PlannedStep> steps;
  std::shared_ptr<void> (*parse)(const std::string& json) = nullptr;
  std::string (*write)(const void* state) = nullptr;
  std::shared_ptr<void> (*copy)(const void* state) = nullptr;
};

/// Throws Error(invalid_argument) where the step breaks a rule of step() below.
void add_step(Plan& plan, PlannedStep step);
/// Of the last step. Throws where there is none, or it is given or a pivot.
void add_condition(Plan& plan, std::function<bool(const void*)> only_if);
void require_valid_name(const Plan& plan);

}  // namespace detail

/// How a step is undone: made by compensate(), compensate_local() or nothing_to_undo().
template <class State>
class Undo {
 public:
  template <class F>
  Undo(OutsideUndo<F> given) {
    static_assert(std::is_invocable_v<F&, const Context&, Step<State>&>,
                  "compensate() takes void(const Context&, saga::Step<State>&)");
    outside_ = [f = std::move(given.undo)](const Context& ctx, Call& call) {
      Step<State> step(call);
      f(ctx, step);
    };
  }
  template <class F>
  Undo(LocalUndo<F> given) {
    static_assert(std::is_invocable_v<F&, const Context&, sql::Transaction&, Step<State>&>,
                  "compensate_local() takes void(const Context&, sql::Transaction&, saga::Step<State>&)");
    local_ = [f = std::move(given.undo)](const Context& ctx, sql::Transaction& tx, Call& call) {
      Step<State> step(call);
      f(ctx, tx, step);
    };
  }
  Undo(NothingToUndo given) : why_(std::move(given.why)) {}

  void put_into(detail::PlannedStep& step) && {
    step.undo = std::move(outside_);
    step.local_undo = std::move(local_);
    step.nothing_to_undo = std::move(why_);
  }

 private:
  detail::Outside outside_;
  detail::Local local_;
  std::string why_;
};

template <class State>
class Definition {
 public:
  static_assert(Described<State>, "A saga's state is a described struct: HOLDFAST_DESCRIBE(State, (…)).");

  using Act = std::function<void(const Context&, Step<State>&)>;
  using LocalAct = std::function<void(const Context&, sql::Transaction&, Step<State>&)>;
  using EventAct = std::function<Heard(const Context&, sql::Transaction&, Step<State>&, const JsonText&)>;

  static constexpr std::size_t kMaxSteps = 64;

  /// `name`: letters, digits, '.', '_', '-', as in metrics and `holdfast sagas list`. `version`: from 1.
  Definition(std::string name, int version) : plan_(std::make_shared<detail::Plan>()) {
    plan_->name = std::move(name);
    plan_->version = version;
    plan_->parse = [](const std::string& json) -> std::shared_ptr<void> {
      return std::make_shared<State>(from_json<State>(json, {.ignore_unknown = true}));
    };
    plan_->write = [](const void* state) { return to_json(*static_cast<const State*>(state)); };
    plan_->copy = [](const void* state) -> std::shared_ptr<void> {
      return std::make_shared<State>(*static_cast<const State*>(state));
    };
    detail::require_valid_name(*plan_);
  }

  /// What the transaction that starts the saga has done already, and how it is undone. First, at most once.
  Definition& started(std::string name, Undo<State> undo,
                      RetryOptions compensation_retry = StepOptions{}.compensation_retry) {
    detail::PlannedStep step{.name = std::move(name), .kind = detail::StepKind::given};
    step.options.compensation_retry = compensation_retry;
    return add(std::move(step), std::move(undo));
  }

  /// An act outside of the database. How it can end:
  ///  - it returns: done; the state and what it gave to step.record() are committed together, once.
  ///  - Failure: it has not happened and never will. The steps before it are compensated.
  ///  - an Error that may pass (unavailable, rate_limited, deadline_exceeded, cancelled, internal) or
  ///    any other exception: tried again; when its attempts are used up it *may* have happened: it and
  ///    the steps before it are compensated.
  ///  - OutcomeUnknown: likewise, and shown as unknown; the act run again is how it is resolved.
  ///  - any other Error: as Failure, unless an earlier attempt may have happened.
  /// Changes to step.state() are saved however it ends.
  Definition& step(std::string name, StepOptions options, Act act, Undo<State> undo) {
    detail::PlannedStep step{.name = std::move(name), .kind = detail::StepKind::outside, .options = options};
    step.act = [act = std::move(act)](const Context& ctx, Call& call) {
      Step<State> typed(call);
      act(ctx, typed);
    };
    return add(std::move(step), std::move(undo));
  }

  /// An act in the database only: it is a part of the commit that records it, which is the commit of the
  /// step before it, unless it is a pivot. Ends as step() does, except that what throws has surely not
  /// happened, and its changes to the state are undone with it.
  Definition& local(std::string name, StepOptions options, LocalAct act, Undo<State> undo) {
    detail::PlannedStep step{.name = std::move(name), .kind = detail::StepKind::local, .options = options};
    step.local_act = wrap(std::move(act));
    return add(std::move(step), std::move(undo));
  }
  Definition& local(std::string name, LocalAct act, Undo<State> undo) {
    return local(std::move(name), StepOptions{}, std::move(act), std::move(undo));
  }

  /// Waits for Sagas::signal(…, options.event, payload), also one that came before the wait began; signals
  /// are heard in order. Both acts are local ones. `on_deadline` may fail (fail_with()) or return: the
  /// saga then goes on with the next step.
  Definition& wait(std::string name, WaitOptions options, EventAct on_event, LocalAct on_deadline,
                   Undo<State> undo) {
    detail::PlannedStep step{.name = std::move(name), .kind = detail::StepKind::wait};
    step.options = {
        .retry = options.retry, .pivot = options.pivot, .compensation_retry = options.compensation_retry};
    step.event = std::move(options.event);
    step.deadline = options.deadline;
    step.on_event = [heard = std::move(on_event)](const Context& ctx, sql::Transaction& tx, Call& call,
                                                  const JsonText& payload) {
      Step<State> typed(call);
      return heard(ctx, tx, typed, payload);
    };
    step.local_act = wrap(std::move(on_deadline));
    return add(std::move(step), std::move(undo));
  }

  /// Of the step added last: a saga whose state, when it gets there, does not satisfy `needed` goes past
  /// it, without a commit of its own. Its compensation must cope with that, as with an act that never
  /// happened. Not for started() and pivots.
  Definition& only_if(std::function<bool(const State&)> needed) {
    detail::add_condition(*plan_, [needed = std::move(needed)](const void* state) {
      return needed(*static_cast<const State*>(state));
    });
    return *this;
  }

  const std::shared_ptr<detail::Plan>& plan() const noexcept { return plan_; }

 private:
  static detail::Local wrap(LocalAct act) {
    return [act = std::move(act)](const Context& ctx, sql::Transaction& tx, Call& call) {
      Step<State> typed(call);
      act(ctx, tx, typed);
    };
  }

  Definition& add(detail::PlannedStep step, Undo<State> undo) {
    std::move(undo).put_into(step);
    detail::add_step(*plan_, std::move(step));
    return *this;
  }

  std::shared_ptr<detail::Plan> plan_;  // shared with the engine and with Handles
};

}  // namespace holdfast::saga
