// Runner: carries one saga on, act by act, until it has nothing to do at the moment: it ended, waits, backs
// off, is parked, or belongs to another worker. Runs on a fiber of its own.
#pragma once

#include <string>

#include "holdfast/saga/internal/committer.hpp"
#include "holdfast/saga/internal/desk.hpp"

namespace holdfast::saga::internal {

class Runner {
 public:
  /// `cancellation` ends its acts: the lease is lost, or the worker stops for good.
  Runner(Desk& desk, Committer& committer, Instance& saga, runtime::CancellationToken cancellation);

  void run() noexcept;

  /// Whether it acted outside, and what came of that could not be recorded.
  bool left_open() const noexcept { return acted_; }

 private:
  using Decision = Recording::Decision;

  bool may_go_on() const;
  /// One commit's worth. False where nothing was recorded.
  bool advance();
  bool announce();
  bool cancel();
  Progress turned_back(Progress at, const std::string& why) const;
  bool park(const std::string& why);
  /// What is around the acts threw (a condition, the writing of a state), which trying again won't change.
  void give_up(const std::string& why) noexcept;
  bool turn(Progress next);
  bool run_outside(const detail::Outside& act);
  bool cut_short();
  bool run_local(const detail::Local& act);
  bool run_wait();
  bool go_past();

  /// Past steps that this saga does not need.
  Decision past_unneeded(Decision decided) const;
  /// Whether `next` stands at a local step, whose act is a part of a commit in any case: of this one.
  bool runs_within(const Progress& next) const;
  /// Goes on within the same commit. A local step that fails is left to be run by itself.
  Decision go_on(sql::Transaction& tx, Decision decided) const;
  bool run_within(sql::Transaction& tx, Decision& decided, std::shared_ptr<void>& state) const;

  Call call(void* state) const;
  const detail::PlannedStep& planned() const;
  const StepMetrics& metrics() const;
  const SiteNames& sites() const;

  Decision decision_after(const Outcome& outcome, std::string state, Duration took) const;
  void append_outcome(std::string& lines, const Outcome& outcome, Duration took) const;
  void append_turn(std::string& lines, const Progress& next) const;

  bool record(Recording& recording);
  void observe(const Progress& before, Duration took);

  Desk& desk_;
  Committer& committer_;
  Instance& saga_;
  const PlanMetrics& metrics_;
  const Context ctx_;
  bool acted_ = false;    ///< outside, and what came of it isn't recorded yet
  bool arrived_ = false;  ///< at this step, by a commit of this run: nobody else can have begun its act
};

}  // namespace holdfast::saga::internal
