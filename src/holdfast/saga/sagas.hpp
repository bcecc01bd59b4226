// Sagas: starts sagas in the caller's transaction and carries them through, whatever crashes meanwhile.
//
//   Sagas sagas(runtime, db, metrics, log.logger("sagas"));
//   const saga::Handle<Checkout> checkout = sagas.add(make_checkout(…));    // each process, each version
//   sagas.run(ctx);                                                         // in processes that do the work
//   db.transact(ctx, "place order", [&](sql::Transaction& tx) {
//     insert_order(tx, order);
//     sagas.start(ctx, tx, checkout, Checkout{…}, order.id);
//   });
//
// State is saved with each step's result in one commit. Workers share sagas by bucket: a bucket's lease
// has a heartbeat and a fence that every commit checks, so a worker that lost it changes nothing more.
// Thread-safety: add/run/stop from one fiber, before and after everything else; the rest from anywhere.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "holdfast/base/id.hpp"
#include "holdfast/observe/health.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/saga/definition.hpp"
#include "holdfast/saga/records.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::saga {

using SagaId = Id<"sag">;

struct SagaOptions {
  Duration lease = std::chrono::seconds(5);      ///< without a heartbeat for so long, a worker is dead
  Duration heartbeat = std::chrono::seconds(1);  ///< at most lease/3
  Duration poll = std::chrono::seconds(1);       ///< looks for sagas that are due at least so often
  std::size_t concurrency = 1024;                ///< sagas whose acts run at a time in this process
  int max_interruptions = 5;                     ///< a step during which the process died so often is parked
  Duration retention = std::chrono::hours(24 * 30);  ///< finished sagas are kept at least so long
  Duration sweep_interval = std::chrono::minutes(1);
  std::size_t sweep_batch = 500;  ///< rows a transaction
  std::size_t loop = 0;           ///< the event loop of the heartbeat; acts run on all loops

  /// For tests and drills: called before and after each act and after each commit with the site's name,
  /// "saga.<definition>.<step>.before_act|after_act|after_commit", "….<step>.undo.before_act|…". Where it
  /// throws, the worker stops there as if killed: see Sagas::crash().
  std::function<void(std::string_view site)> at_site = {};
};

/// A definition that was added: what start() takes.
template <class State>
class Handle {
 public:
  Handle() = default;

 private:
  friend class Sagas;
  explicit Handle(std::shared_ptr<const detail::Plan> plan) : plan_(std::move(plan)) {}
  std::shared_ptr<const detail::Plan> plan_;
};

/// Names a saga: by its id, or by definition and business key.
struct SagaRef {
  SagaRef(SagaId saga) : id(saga.text()) {}
  static SagaRef by_id(std::string_view id) { return SagaRef({}, {}, std::string(id)); }
  static SagaRef by_key(std::string_view definition, std::string_view key) {
    return SagaRef(std::string(definition), std::string(key), {});
  }
  std::string definition;
  std::string key;
  std::string id;  ///< where it is set, the others are not looked at

 private:
  SagaRef(std::string the_definition, std::string the_key, std::string the_id)
      : definition(std::move(the_definition)), key(std::move(the_key)), id(std::move(the_id)) {}
};

struct Started {
  SagaId id;
  bool is_new = true;  ///< false: a saga of this definition with this key existed; its state is unchanged
};

enum class CancelAnswer : std::uint8_t {
  accepted,   ///< it will be compensated, or is being already; durable with the caller's transaction
  too_late,   ///< past its point of no return: it will go on
  finished,   ///< it has ended
  not_found,  ///< there is none
};

class Sagas {
 public:
  /// All are borrowed and must outlive it. Throws Error(invalid_argument) for options out of range.
  Sagas(runtime::Runtime& runtime, sql::Database& database, observe::Metrics& metrics, observe::Logger logger,
        SagaOptions options = {});
  /// Stop it first; one destroyed while running ends as crash() does.
  ~Sagas();
  Sagas(const Sagas&) = delete;
  Sagas& operator=(const Sagas&) = delete;

  /// Before run(). Throws Error(invalid_argument) where that name and version is taken or has no steps.
  template <class State>
  Handle<State> add(const Definition<State>& definition) {
    add_plan(definition.plan());
    return Handle<State>(definition.plan());
  }

  /// Writes a saga into `tx`; if that commits, its first act begins at once. `key`: at most 255 bytes;
  /// where it is not empty, there is one saga of a definition with this key (however many versions, until
  /// its retention ends). The trace and request id of `ctx` go with it. Needs no run() in this process.
  template <class State>
  Started start(const Context& ctx, sql::Transaction& tx, const Handle<State>& handle, const State& state,
                std::string_view key = {}) {
    return start_plan(ctx, tx, handle.plan_, &state, key);
  }

  /// Tells a saga that something happened; kept until it waits for it. In the order of their commits.
  /// False where there is no such saga or it has ended. `payload` as its on_event is given it.
  bool signal(const Context& ctx, sql::Transaction& tx, const SagaRef& saga, std::string_view event,
              const JsonText& payload = {});

  /// Asks a saga to undo itself. It does so from its next commit on; one that waits or backs off is woken.
  /// `reason` is a sentence for people; compensations see the reason "cancelled" with it as detail.
  CancelAnswer request_cancel(const Context& ctx, sql::Transaction& tx, const SagaRef& saga,
                              std::string_view reason);

  /// list, find, retry, abandon.
  Records& records() noexcept;

  /// Joins the workers: takes leases and begins. Returns once the first leases are tried.
  void run(const Context& ctx);

  /// Finishes the acts that run (until ctx's deadline, then cancels them), records them, releases the
  /// leases so that another worker takes over at once. Idempotent; does nothing where run() was not called.
  void stop(const Context& ctx);

  /// As kill -9 would: acts are cancelled, nothing more is recorded, no lease is released. Waits for the
  /// acts that run. For tests and drills.
  void crash() noexcept;

  /// While on, it neither beats nor records, as a process that was suspended. For tests and drills.
  void stall(bool on) noexcept;

  /// For a health probe: degraded while there are sagas of a version that no definition here knows, or
  /// parked ones. From what the last heartbeat saw; does not wait.
  observe::HealthState health() const;

  /// This process's name in leases: "wrk_…".
  const std::string& worker() const noexcept;

  /// Sweeps once, now, as the background fiber does; returns the sagas deleted.
  std::int64_t sweep(const Context& ctx);

 private:
  void add_plan(std::shared_ptr<const detail::Plan> plan);
  Started start_plan(const Context& ctx, sql::Transaction& tx,
                     const std::shared_ptr<const detail::Plan>& plan, const void* state,
                     std::string_view key);
  struct Engine;
  std::unique_ptr<Engine> state_;
};

}  // namespace holdfast::saga
