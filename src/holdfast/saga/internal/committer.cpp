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
  Recording::Decision& decision = recording.instead ? *recording.instead : recording.decision;
  ++saga.revision;
  saga.history_bytes += static_cast<std::int64_t>(decision.lines.size());
  saga.updated_at = desk_.wall_now();
  if (!recording.cancel_reason.empty()) saga.cancel_reason = recording.cancel_reason;
  saga.at = std::move(decision.next);
  if (decision.state != saga.state_json) {
    saga.state_json = std::move(decision.state);
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
  } catch (...) {
    failure = "an exception that is no std::exception";
    desk_.store_failures.add();
  }
  for (Recording* one : batch) {
    one->result = Recording::Result::store_failed;
    one->store_error = failure;
  }
}

void Committer::apply(sql::Transaction& tx, Recording& one) {
  one.cancel_reason.clear();  // a body may be run again
  one.instead.reset();
  if (!one.decide) {
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
    one.instead.reset();
    one.decision = one.failed(outcome_of_exception(true));
  }
  one.result = save(tx, one);
}

Recording::Result Committer::save(sql::Transaction& tx, Recording& one) {
  const WallTime now = desk_.wall_now();
  const auto write = [&](const Recording::Decision& decision) {
    return internal::save(tx, one.saga, decision.next, decision.state, decision.lines, now,
                          one.cancel_reason);
  };
  Saved saved = write(one.decision);
  if (saved == Saved::cancelled) {
    one.instead = one.on_cancel(one.decision, one.cancel_reason);
    saved = write(*one.instead);
  }
  if (saved != Saved::saved) return Recording::Result::lost;
  const Progress& next = one.instead ? one.instead->next : one.decision.next;
  if (next.status != Status::waiting || next.attempts > 0 || next.due_at <= now)
    return Recording::Result::saved;
  // Nothing is heard of a signal that came before the wait began, unless somebody looks.
  const detail::PlannedStep& step = one.saga.plan->steps[static_cast<std::size_t>(next.step)];
  if (first_signal(tx, one.saga.id, step.event)) {
    make_due(tx, one.saga.id, now);
    if (!one.instead) one.instead = one.decision;
    one.instead->next.due_at = now;
  }
  return Recording::Result::saved;
}

}  // namespace holdfast::saga::internal
