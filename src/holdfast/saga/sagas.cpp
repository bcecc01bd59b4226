#include "holdfast/saga/sagas.hpp"

#include <tuple>
#include <utility>

#include "holdfast/base/utf8.hpp"
#include "holdfast/saga/internal/desk.hpp"
#include "holdfast/saga/internal/worker.hpp"

namespace holdfast::saga {
namespace {

constexpr std::size_t kMaxKeyBytes = 255;
constexpr std::size_t kMaxReasonBytes = 1000;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what).reason("saga_options_invalid");
}

void require_valid(const SagaOptions& options) {
  if (options.heartbeat <= Duration(0) || options.heartbeat > options.lease / 3)
    refuse("The heartbeat must be above zero and at most a third of the lease.");
  if (options.poll <= Duration(0) || options.sweep_interval <= Duration(0))
    refuse("The poll and sweep intervals must be above zero.");
  if (options.concurrency == 0 || options.sweep_batch == 0)
    refuse("concurrency and sweep_batch must be above zero.");
  if (options.max_interruptions < 1) refuse("max_interruptions must be at least 1.");
  if (options.retention < Duration(0)) refuse("retention must not be below zero.");
}

void require_name(std::string_view what, std::string_view text) {
  if (text.empty() || text.size() > kMaxKeyBytes)
    refuse("A saga's " + std::string(what) + " has 1 to " + std::to_string(kMaxKeyBytes) + " bytes.");
}

/// Any bucket serves; the id's last bytes are its most random ones.
int bucket_of(const SagaId& id) noexcept { return id.bytes().back() % internal::kBuckets; }

/// The row that a SagaRef names, as far as signals and cancels go by it.
struct Found {
  std::string id;
  int bucket = 0;
  Status status = Status::running;
  bool ended = false;
  bool revocable = false;
  bool undoing = false;
};

std::optional<Found> find(sql::Transaction& tx, const SagaRef& ref) {
  using Row = std::tuple<std::string, int, Status, bool, bool, bool>;
  constexpr const char* kColumns =
      "select id, bucket, status, due_at is null, revocable, reason <> '' from sagas where ";
  static const std::string by_id = std::string(kColumns) + "id = $1";
  static const std::string by_key = std::string(kColumns) + "definition = $1 and key = $2";
  const auto row =
      ref.id.empty() ? tx.query_one<Row>(by_key, ref.definition, ref.key) : tx.query_one<Row>(by_id, ref.id);
  if (!row) return std::nullopt;
  const auto& [id, bucket, status, ended, revocable, undoing] = *row;
  return Found{id, bucket, status, ended, revocable, undoing};
}

}  // namespace

struct Sagas::Engine {
  Engine(runtime::Runtime& runtime, sql::Database& database, observe::Metrics& metrics,
         observe::Logger logger, SagaOptions options)
      : desk(runtime, database, metrics, std::move(logger), std::move(options)),
        worker(desk),
        records(database, &desk.look) {}

  /// Once `tx` is durable, whoever runs the saga here looks at it.
  void wake_after(sql::Transaction& tx, const Found& saga) {
    tx.on_commit([this, id = saga.id, bucket = saga.bucket] {
      if (desk.running && desk.roster.wake(id, bucket)) desk.woken.notify();
    });
  }

  internal::Desk desk;
  internal::Worker worker;
  Records records;
};

Sagas::Sagas(runtime::Runtime& runtime, sql::Database& database, observe::Metrics& metrics,
             observe::Logger logger, SagaOptions options) {
  require_valid(options);
  state_ = std::make_unique<Engine>(runtime, database, metrics, std::move(logger), std::move(options));
}

Sagas::~Sagas() { crash(); }

void Sagas::add_plan(std::shared_ptr<const detail::Plan> plan) {
  internal::Desk& desk = state_->desk;
  const std::string name = plan->name + " version " + std::to_string(plan->version);
  if (desk.running || desk.stopping) refuse("Saga " + name + " was added after its workers began.");
  if (plan->steps.empty() || plan->steps.back().kind == detail::StepKind::given)
    refuse("Saga " + name + " has no steps.");
  internal::PlanMetrics metrics(desk.metrics, *plan);
  const std::pair key(plan->name, plan->version);
  const auto [known, added] = desk.plans.emplace(key, internal::Desk::Known{plan, std::move(metrics)});
  if (!added) refuse("Saga " + name + " is known already.");
  desk.metrics_by_plan[plan.get()] = &known->second.metrics;
}

Started Sagas::start_plan(const Context& ctx, sql::Transaction& tx,
                          const std::shared_ptr<const detail::Plan>& plan, const void* state,
                          std::string_view key) {
  if (!plan) refuse("A saga is started with the handle that add() returned.");
  if (key.size() > kMaxKeyBytes) require_name("key", key);
  internal::Desk& desk = state_->desk;
  const SagaId id = desk.ids.make<SagaId>();
  auto saga = std::make_shared<internal::Instance>();
  const WallTime now = desk.wall_now();
  saga->id = id.text();
  saga->key = key;
  saga->plan = plan;
  saga->bucket = desk.roster.bucket_for(bucket_of(id));
  saga->at = internal::beginning(*plan, now);
  saga->state_json = plan->write(state);
  saga->state = plan->copy(state);
  if (ctx.trace().valid()) saga->traceparent = ctx.trace().traceparent();
  saga->request_id = ctx.request_id();
  saga->started_at = saga->updated_at = now;
  std::string history;
  const detail::PlannedStep& first = plan->steps.front();
  if (first.kind == detail::StepKind::given)
    internal::append_line(history, now, {.what = "done", .step = first.name});
  saga->history_bytes = static_cast<std::int64_t>(history.size());
  if (!internal::insert(tx, *saga, history)) {
    const auto existing = tx.query_value<std::string>(
        "select id from sagas where definition = $1 and key = $2", plan->name, key);
    return {.id = SagaId::parse(existing).value_or(SagaId()), .is_new = false};
  }
  const std::size_t shard = state_->worker.next_shard();
  tx.after_commit(state_->worker.arrived(shard));
  tx.on_commit([this, shard, saga = std::move(saga)] {
    internal::Desk& known = state_->desk;
    known.metrics_of(*saga->plan).started.add();
    if (!known.running) return;
    if (saga->at.due(known.wall_now())) {
      state_->worker.offer(saga, shard);
    } else {
      known.note_due(*saga->at.due_at);
    }
  });
  return {.id = id, .is_new = true};
}

bool Sagas::signal(const Context&, sql::Transaction& tx, const SagaRef& ref, std::string_view event,
                   const JsonText& payload) {
  require_name("event", event);
  const auto saga = find(tx, ref);
  if (!saga || saga->ended) return false;
  const WallTime now = state_->desk.wall_now();
  tx.execute("insert into saga_signals(saga_id, event, payload, at) values($1, $2, $3, $4)", saga->id, event,
             payload, now);
  tx.execute("update sagas set due_at = $2 where id = $1 and status = 'waiting' and due_at > $2", saga->id,
             now);
  if (saga->status == Status::waiting) state_->wake_after(tx, *saga);
  return true;
}

CancelAnswer Sagas::request_cancel(const Context&, sql::Transaction& tx, const SagaRef& ref,
                                   std::string_view reason) {
  const auto saga = find(tx, ref);
  if (!saga) return CancelAnswer::not_found;
  if (saga->ended) return CancelAnswer::finished;
  if (saga->undoing) return CancelAnswer::accepted;
  if (!saga->revocable) return CancelAnswer::too_late;
  const std::string_view why = reason.empty() ? "It was asked for." : utf8_prefix(reason, kMaxReasonBytes);
  tx.execute(
      "update sagas set cancel_reason = coalesce(cancel_reason, $2), "
      "due_at = case when due_at > $3 then $3 else due_at end, "
      "status = case when status = 'parked' then 'running' else status end where id = $1",
      saga->id, why, state_->desk.wall_now());
  state_->wake_after(tx, *saga);
  return CancelAnswer::accepted;
}

Records& Sagas::records() noexcept { return state_->records; }

void Sagas::run(const Context& ctx) {
  if (state_->desk.running || state_->desk.stopping) refuse("A worker of sagas is run once.");
  state_->worker.run(ctx);
}

void Sagas::stop(const Context& ctx) { state_->worker.stop(ctx); }

void Sagas::crash() noexcept { state_->worker.crash(); }

void Sagas::stall(bool on) noexcept {
  state_->desk.stalled = on;
  state_->desk.wake_all();
}

observe::HealthState Sagas::health() const { return state_->desk.health(); }

const std::string& Sagas::worker() const noexcept { return state_->desk.name; }

std::int64_t Sagas::sweep(const Context& ctx) { return state_->worker.sweep(ctx); }

}  // namespace holdfast::saga
