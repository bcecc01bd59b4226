#include "holdfast/saga/internal/committer.hpp"

#include <utility>

namespace holdfast::saga::internal {
namespace {

constexpr Duration kCommitTimeout = std::chrono::seconds(10);

/// Undoes the savepoint of a local act whose saga is another worker's by now.
struct Lost {};

}  // namespace

void Committer::record(Recording& recording) {
  recording.waker = runtime::prepare_wait("recording a saga's step");
  pending_.push_back(&recording);
  changed_.notify();
  runtime::park_uninterruptible("recording a saga's step");
  if (recording.result != Recording::Result::saved) return;
  Instance& saga = recording.saga;
  ++saga.revision;
  saga.at = recording.decision.next;
  saga.history_bytes += static_cast<std::int64_t>(recording.decision.lines.size());
  saga.updated_at = desk_.wall_now();
  if (!recording.cancel_reason.empty()) saga.cancel_reason = recording.cancel_reason;
  if (recording.decision.state != saga.state_json) {
    saga.state_json = std::move(recording.decision.state);
    saga.state.reset();
  }
}

void Committer::run(const Context& ctx) {
  std::vector<Recording*> batch;
  for (;;) {
    const std::uint64_t seen = changed_.version();
    if (pending_.empty()) {
      if (closed_) return;
      changed_.wait_past(ctx, seen, "waiting for results of sagas");
      continue;
    }
    batch.clear();
    while (!pending_.empty() && batch.size() < kBatch) {
      batch.push_back(pending_.front());
      pending_.pop_front();
    }
    commit(ctx, batch);
    std::vector<runtime::Waker> wakers;
    wakers.reserve(batch.size());
    for (const Recording* one : batch) wakers.push_back(one->waker);
    runtime::wake_all(wakers);
  }
}

void Committer::close() noexcept {
  closed_ = true;
  changed_.notify();
}

void Committer::commit(const Context& ctx, const std::vector<Recording*>& batch) {
  std::string failure = "the worker was abandoned";
  try {
    if (!desk_.abandoned) {
      desk_.database.transact(ctx.with_timeout(kCommitTimeout), "record saga steps",
                              [&](sql::Transaction& tx) {
                                for (Recording* one : batch) apply(tx, *one);
                                if (desk_.abandoned) throw Died();
                              });
      return;
    }
  } catch (const Died&) {
  } catch (const std::exception& error) {
    failure = error.what();
    desk_.store_failures.add();
  }
  for (Recording* one : batch) {
    one->result = Recording::Result::store_failed;
    one->store_error = failure;
  }
}

void Committer::apply(sql::Transaction& tx, Recording& one) {
  one.cancel_reason.clear();  // a body may be run again
  if (!one.failed) {
    one.decision = one.decide(tx);
    one.result = save(tx, one);
    return;
  }
  try {
    tx.savepoint([&] {
      one.decision = one.decide(tx);
      one.result = save(tx, one);
      if (one.result == Recording::Result::lost) throw Lost();
    });
    return;
  } catch (const Died&) {
    throw;
  } catch (const Lost&) {
    return;
  } catch (...) {
    one.cancel_reason.clear();
    one.decision = one.failed(outcome_of_exception(true));
  }
  one.result = save(tx, one);
}

Recording::Result Committer::save(sql::Transaction& tx, Recording& one) {
  Recording::Decision& decision = one.decision;
  const WallTime now = desk_.wall_now();
  Saved saved =
      internal::save(tx, one.saga, decision.next, decision.state, decision.lines, now, one.cancel_reason);
  if (saved == Saved::cancelled) {
    decision = one.on_cancel(decision, one.cancel_reason);
    saved =
        internal::save(tx, one.saga, decision.next, decision.state, decision.lines, now, one.cancel_reason);
  }
  if (saved != Saved::saved) return Recording::Result::lost;
  if (decision.next.status == Status::waiting && decision.next.due_at > now) {
    const detail::PlannedStep& step = one.saga.plan->steps[static_cast<std::size_t>(decision.next.step)];
    if (decision.next.attempts == 0 && first_signal(tx, one.saga.id, step.event)) {
      make_due(tx, one.saga.id, now);
      decision.next.due_at = now;
    }
  }
  return Recording::Result::saved;
}

}  // namespace holdfast::saga::internal
