#include "holdfast/sql/guarded_database.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <string>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/copy.hpp"
#include "holdfast/sql/postgres/classify.hpp"

namespace holdfast::sql {
namespace {

constexpr auto kProbeEvery = std::chrono::milliseconds(250);
constexpr auto kProbeTimeout = std::chrono::seconds(1);
constexpr std::int64_t kReserveAtMost = 4;  // a quarter

class Guard {
 public:
  Guard(resilience::Pipeline& pipeline, Duration reserve, Duration patience)
      : pipeline_(pipeline), reserve_(reserve), patience_(patience) {}

  /// Runs `call(const Context&)`; what it throws is passed on as it is, but for the end of its time.
  template <class Call>
  void operator()(const Context& ctx, const Call& call) {
    ctx.check(pipeline_.name());
    const Instant began = ctx.now();
    std::exception_ptr thrown;
    const auto outcome = pipeline_.try_call(ctx, [&](resilience::Attempt&) {
      try {
        call(shortened(ctx, began));
        answered(ctx);
      } catch (...) {
        thrown = std::current_exception();
        tell_the_pipeline(ctx, began, thrown);
      }
    });
    if (thrown) std::rethrow_exception(thrown);
    if (!outcome) throw refused(outcome.error());
  }

 private:
  void answered(const Context& ctx) noexcept {
    answered_at_.store(ctx.now().time_since_epoch().count(), std::memory_order_relaxed);
  }

  bool answered_since(Instant began) const noexcept {
    return answered_at_.load(std::memory_order_relaxed) >= began.time_since_epoch().count();
  }

  Context shortened(const Context& ctx, Instant now) const {
    if (ctx.deadline() == kNever) return patience_ == Duration::max() ? ctx : ctx.with_timeout(patience_);
    const Duration left = ctx.deadline() - now;
    return ctx.with_deadline(ctx.deadline() - std::min(reserve_, left / kReserveAtMost));
  }

  /// Throws an Error where it failed, returns where it answered. `thrown` becomes what the caller gets.
  void tell_the_pipeline(const Context& ctx, Instant began, std::exception_ptr& thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const DatabaseError& failure) {
      const bool away =
          failure.kind() == FailureKind::unavailable || failure.kind() == FailureKind::commit_unknown;
      const bool locked = postgres::waited_for_lock(failure);
      if (away && !(locked && answered_since(began))) throw;
      if (!locked) answered(ctx);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::deadline_exceeded || ctx.cancelled()) return;
      DatabaseError late(FailureKind::unavailable, "The database did not answer in time; try again.",
                         error.what());
      if (ctx.remaining() > Duration::zero()) thrown = std::make_exception_ptr(late);
      // It is busy, or this was too much for the time given: others were answered meanwhile.
      if (answered_since(began)) return;
      throw late;
    } catch (...) {  // a body's own
    }
  }

  DatabaseError refused(const Error& refusal) const {
    DatabaseError made(FailureKind::unavailable, "The database can't be used now; try again.",
                       pipeline_.name() + ": " + std::string(refusal.reason()));
    if (refusal.retry_after()) static_cast<Error&&>(made).retry_after(*refusal.retry_after());
    return made;
  }

  resilience::Pipeline& pipeline_;
  const Duration reserve_;
  const Duration patience_;                   // max(): none
  std::atomic<std::int64_t> answered_at_{0};  // latest, any caller's
};

class GuardedDatabase final : public Database, public CopySource {
 public:
  GuardedDatabase(std::unique_ptr<Database> database, resilience::Pipeline& reads,
                  resilience::Pipeline& writes, const GuardOptions& options)
      : database_(std::move(database)),
        reads_(reads, options.answer_reserve, options.patience),
        // Nothing of what they do ends before its time: a body may be long, and waits its turn.
        writes_(writes, options.answer_reserve, Duration::max()) {}

  ExternalWatch watch_external_changes(runtime::Signal& signal) override {
    return database_->watch_external_changes(signal);
  }
  Statistics statistics() const override { return database_->statistics(); }
  Dialect dialect() const noexcept override { return database_->dialect(); }
  bool copy_csv(const Context& ctx, std::string_view query, FunctionRef<void(std::string_view)> sink,
                std::int64_t& rows) override {
    auto* const source = dynamic_cast<CopySource*>(database_.get());
    if (source == nullptr) return false;
    bool done = false;
    reads_(ctx, [&](const Context& own) { done = source->copy_csv(own, query, sink, rows); });
    return done;
  }

 private:
  void run_query(const Context& ctx, std::string_view sql, std::span<const Param> params,
                 RowSink& sink) override {
    reads_(ctx, [&](const Context& own) { run_query_of(*database_, own, sql, params, sink); });
  }
  void run_read(const Context& ctx, ReadOptions options, FunctionRef<void(Snapshot&)> body) override {
    reads_(ctx, [&](const Context& own) { database_->read(own, options, body); });
  }
  void run_transaction(const Context& ctx, const char* name, Isolation isolation,
                       FunctionRef<void(Transaction&)> body) override {
    writes_(ctx, [&](const Context& own) { database_->transact(own, name, isolation, body); });
  }

  const std::unique_ptr<Database> database_;
  Guard reads_;
  Guard writes_;
};

bool closed(const resilience::Pipeline& pipeline) {
  const resilience::BreakerState state = pipeline.view().breaker.state;
  return state == resilience::BreakerState::closed || state == resilience::BreakerState::forced_closed;
}

template <class Ask>
void probe(const Context& ctx, const resilience::Pipeline& pipeline, const Ask& ask) {
  if (closed(pipeline)) return;
  try {
    ask(ctx.with_timeout(kProbeTimeout));
  } catch (const Error&) {  // the breaker has been told
  }
}

}  // namespace

resilience::PipelineOptions guard_defaults() {
  resilience::PipelineOptions options;
  options.timeout = {.total = std::chrono::hours(24), .attempt = std::chrono::hours(24)};  // the caller's
  options.retry.enabled = false;
  options.recovery.enabled = false;
  options.bulkhead.enabled = false;
  options.breaker.minimum_calls = 5;
  options.breaker.slow_call = std::chrono::minutes(10);
  options.breaker.slow_call_rate = 1;
  options.breaker.open_for = std::chrono::milliseconds(500);
  options.breaker.open_at_most = std::chrono::seconds(2);
  options.breaker.probes = 2;
  options.breaker.half_open_at_most = std::chrono::seconds(5);
  return options;
}

std::unique_ptr<Database> guard(std::unique_ptr<Database> database, resilience::Pipeline& reads,
                                resilience::Pipeline& writes, const GuardOptions& options) {
  return std::make_unique<GuardedDatabase>(std::move(database), reads, writes, options);
}

void run_guard_probes(const Context& ctx, Database& database, const resilience::Pipeline& reads,
                      const resilience::Pipeline& writes, FunctionRef<void(Transaction&)> write) {
  try {
    for (;;) {
      runtime::sleep_for(ctx, kProbeEvery);
      probe(ctx, reads, [&](const Context& own) { database.query_value(own, "select 1"); });
      probe(ctx, writes, [&](const Context& own) { database.transact(own, "database probe", write); });
    }
  } catch (const Error&) {  // cancelled: the end of it
  }
}

}  // namespace holdfast::sql
