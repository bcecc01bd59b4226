#include "holdfast/sql/postgres/replicas.hpp"

#include <algorithm>
#include <mutex>
#include <tuple>

#include "holdfast/runtime/fiber.hpp"

namespace holdfast::sql::postgres {
namespace {

constexpr std::size_t kMostSamples = 1024;

bool worth_asking_the_primary(const DatabaseError& failure) {
  // serialization: the standby cancelled it, since it was in the way of what it replays.
  return failure.kind() == FailureKind::unavailable || failure.kind() == FailureKind::serialization;
}

/// Passes rows on, and remembers whether there were any.
class Watched final : public RowSink {
 public:
  explicit Watched(RowSink& sink) noexcept : sink_(sink) {}
  void columns(const RowView& row) override {
    told = true;
    sink_.columns(row);
  }
  bool row(const RowView& row) override { return sink_.row(row); }
  bool told = false;

 private:
  RowSink& sink_;
};

}  // namespace

/// A replica, and the Database that asks it first and the primary when it fails.
class Replicas::Standby final : public Database {
 public:
  Standby(runtime::Runtime& runtime, Database& primary, Replica replica, observe::Metrics& metrics)
      : name(replica.name),
        runtime_(runtime),
        primary_(primary),
        chosen_(std::move(replica.options)),
        reads_(metrics.counter("holdfast_sql_replica_reads_total", "Reads that a replica was asked.",
                               {{"replica", name}})),
        failed_over_(metrics.counter("holdfast_sql_replica_failed_over_total",
                                     "Reads that a replica failed, and the primary was asked.",
                                     {{"replica", name}})) {
    observations_.push_back(metrics.observe_gauge(
        "holdfast_sql_replica_lag_seconds", "How late it is, at most.", {{"replica", name}},
        [this] { return std::chrono::duration<double>(Duration(lag.load())).count(); }));
    observations_.push_back(
        metrics.observe_gauge("holdfast_sql_replica_used", "Whether reads go there.", {{"replica", name}},
                              [this] { return state.load() == ReplicaState::used ? 1.0 : 0.0; }));
  }

  /// The replica itself; connects to it first where that was not done yet. run()'s only.
  Database& replica() {
    if (database_ == nullptr) {
      database_ = open(runtime_, chosen_);
      opened_.store(database_.get(), std::memory_order_release);
    }
    return *database_;
  }
  void set_error(std::string text) {
    const std::lock_guard lock(mutex_);
    error_ = std::move(text);
  }
  ReplicaView view() const {
    const std::lock_guard lock(mutex_);
    return {name,
            state.load(),
            std::chrono::duration<double>(Duration(lag.load())).count(),
            to_string(Position{replayed.load()}),
            asked_.load(),
            failed_.load(),
            error_};
  }

  ExternalWatch watch_external_changes(runtime::Signal& signal) override {
    return primary_.watch_external_changes(signal);
  }
  Statistics statistics() const override { return primary_.statistics(); }
  Dialect dialect() const noexcept override { return Dialect::postgres; }

  const std::string name;
  std::atomic<ReplicaState> state{ReplicaState::away};
  std::atomic<std::uint64_t> replayed{0};
  std::atomic<Duration::rep> lag{0};

 private:
  void run_query(const Context& ctx, std::string_view sql, std::span<const Param> params,
                 RowSink& sink) override {
    Watched watched(sink);
    const bool answered = asked(
        ctx, [&](Database& replica) { run_query_of(replica, ctx, sql, params, watched); },
        [&] { return !watched.told; });
    if (!answered) run_query_of(primary_, ctx, sql, params, sink);
  }
  void run_read(const Context& ctx, ReadOptions options, FunctionRef<void(Snapshot&)> body) override {
    const bool answered = asked(
        ctx, [&](Database& replica) { replica.read(ctx, options, body); }, [] { return true; });
    if (!answered) primary_.read(ctx, options, body);
  }
  void run_transaction(const Context& ctx, const char* name_of_it, Isolation isolation,
                       FunctionRef<void(Transaction&)> body) override {
    primary_.transact(ctx, name_of_it, isolation, body);
  }

  template <class Ask, class MayAskAnother>
  bool asked(const Context& ctx, const Ask& ask, const MayAskAnother& may_ask_another) {
    Database* const replica = opened_.load(std::memory_order_acquire);
    if (replica == nullptr) return false;
    asked_.fetch_add(1, std::memory_order_relaxed);
    reads_.add();
    try {
      ask(*replica);
      return true;
    } catch (const DatabaseError& failure) {
      if (!worth_asking_the_primary(failure) || !may_ask_another() || ctx.remaining() <= Duration::zero())
        throw;
      if (failure.kind() == FailureKind::unavailable) state.store(ReplicaState::away);
    }
    failed_.fetch_add(1, std::memory_order_relaxed);
    failed_over_.add();
    return false;
  }

  runtime::Runtime& runtime_;
  Database& primary_;
  const Options chosen_;
  std::unique_ptr<Database> database_;      // once opened it stays, whoever uses it
  std::atomic<Database*> opened_{nullptr};  // database_, for others than run()
  observe::Counter reads_;
  observe::Counter failed_over_;
  std::atomic<std::uint64_t> asked_{0};
  std::atomic<std::uint64_t> failed_{0};
  mutable std::mutex mutex_;
  std::string error_;
  std::vector<observe::Observation> observations_;
};

Replicas::Replicas(runtime::Runtime& runtime, Database& primary, std::vector<Replica> replicas,
                   observe::Metrics& metrics, observe::Logger logger, ReplicaOptions options)
    : runtime_(runtime), primary_(primary), logger_(std::move(logger)), options_(options) {
  for (Replica& replica : replicas)
    standbys_.push_back(std::make_unique<Standby>(runtime_, primary_, std::move(replica), metrics));
}

Replicas::~Replicas() = default;

void Replicas::run(const Context& ctx) {
  try {
    for (;;) {
      look(ctx);
      runtime::sleep_for(ctx, options_.look_every);
    }
  } catch (const Error&) {  // cancelled: the end of it
  }
}

void Replicas::look(const Context& ctx) {
  sample_primary(ctx);
  for (const auto& standby : standbys_) look_at(ctx, *standby);
}

// While the primary is away nothing is written, as far as this process can see: who had caught up stays used.
void Replicas::sample_primary(const Context& ctx) {
  const Instant before = ctx.now();
  try {
    const Position now = position(ctx.with_timeout(options_.look_timeout));
    if (!samples_.empty() && samples_.back().position == now) samples_.pop_back();
    samples_.push_back({before, now});
    if (samples_.size() > kMostSamples) samples_.pop_front();
  } catch (const Error&) {
    ctx.check("measuring replicas");
  }
}

// What the replica shows is the primary's state of the latest sample that it has replayed, or later. An equal
// position later on makes that sample later (sample_primary), so a quiet primary's replicas are not late.
Duration Replicas::lag_of(Position replayed, Instant now) const {
  if (samples_.empty()) return Duration::max();
  if (replayed >= samples_.back().position) return Duration::zero();
  const auto later = std::upper_bound(samples_.begin(), samples_.end(), replayed,
                                      [](Position p, const Sample& sample) { return p < sample.position; });
  const Sample& seen = later == samples_.begin() ? samples_.front() : *std::prev(later);
  return now - seen.at;
}

void Replicas::look_at(const Context& ctx, Standby& standby) {
  const ReplicaState before = standby.state.load();
  ReplicaState now = ReplicaState::away;
  std::string error;
  try {
    const Context own = ctx.with_timeout(options_.look_timeout);
    const auto [in_recovery, replayed] =
        standby.replica()
            .query_one<std::tuple<bool, std::optional<std::string>>>(
                own, "select pg_is_in_recovery(), pg_last_wal_replay_lsn()::text")
            .value();
    const auto position = replayed ? parse_position(*replayed) : std::nullopt;
    if (in_recovery && position) {
      const Duration lag = lag_of(*position, ctx.now());
      standby.replayed.store(static_cast<std::uint64_t>(*position));
      standby.lag.store(lag.count());
      now = lag <= options_.max_lag ? ReplicaState::used : ReplicaState::late;
    } else {
      now = ReplicaState::no_standby;
    }
  } catch (const Error& failure) {
    ctx.check("measuring replicas");
    error = failure.what();
  }
  standby.state.store(now);
  standby.set_error(error);
  if (now == before) return;
  logger_.log(now == ReplicaState::used ? observe::LogLevel::info : observe::LogLevel::warn, {},
              "a replica's state changed",
              std::initializer_list<observe::LogField>{{"replica", standby.name},
                                                       {"from", enum_name(before)},
                                                       {"to", enum_name(now)},
                                                       {"lag", Duration(standby.lag.load())},
                                                       {"error", error}});
}

Database& Replicas::reads(std::optional<Position> after) {
  const std::size_t first = turn_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < standbys_.size(); ++i) {
    Standby& standby = *standbys_[(first + i) % standbys_.size()];
    if (standby.state.load(std::memory_order_relaxed) != ReplicaState::used) continue;
    if (after && standby.replayed.load() < static_cast<std::uint64_t>(*after)) continue;
    return standby;
  }
  return primary_;
}

Position Replicas::position(const Context& ctx) {
  const auto text = primary_.query_value<std::string>(ctx, "select pg_current_wal_flush_lsn()::text");
  const auto parsed = parse_position(text);
  if (!parsed) throw Error(ErrorCode::internal, "PostgreSQL's position can't be read.").cause(text);
  return *parsed;
}

std::vector<ReplicaView> Replicas::view() const {
  std::vector<ReplicaView> views;
  for (const auto& standby : standbys_) views.push_back(standby->view());
  return views;
}

}  // namespace holdfast::sql::postgres
