#include "holdfast/messaging/embedded/slot_log.hpp"

#include <algorithm>
#include <charconv>
#include <deque>
#include <limits>
#include <mutex>
#include <utility>

#include "holdfast/messaging/embedded/internal/heard.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/postgres/replication.hpp"

namespace holdfast::messaging {
namespace {

using sql::postgres::Pgoutput;
using sql::postgres::Position;
using sql::postgres::ReplicationStream;

constexpr Duration kOpenTimeout = std::chrono::seconds(5);
constexpr std::size_t kReadBatch = 512;  // messages a read, as the table's
constexpr std::size_t kMostMarks = 65'536;

/// A transaction's last position, and where the server's log goes on after it.
struct Mark {
  std::int64_t position;
  Position end;
};

}  // namespace

struct SlotLog::State {
  State(runtime::Runtime& the_runtime, sql::Database& the_database, Outbox& the_outbox,
        observe::Metrics& metrics, observe::Logger the_logger, std::string the_group, SlotOptions the_options)
      : runtime(the_runtime),
        database(the_database),
        outbox(the_outbox),
        logger(std::move(the_logger)),
        group(std::move(the_group)),
        options(std::move(the_options)),
        heard(options.max_messages, options.max_bytes),
        retained(metrics.gauge("holdfast_messaging_slot_retained_bytes",
                               "Of PostgreSQL's log, kept for the relay's replication slot.")),
        following(metrics.gauge("holdfast_messaging_slot_following",
                                "Whether this process follows the replication slot.")) {}

  void run();
  void follow(const Context& ctx);
  void take(const Pgoutput::Change& change);
  void confirm(const Context& ctx, ReplicationStream& stream);
  void look(const Context& ctx);
  void require_publication(const Context& ctx);
  void set_following(bool whether);
  void set_problem(std::string problem);

  runtime::Runtime& runtime;
  sql::Database& database;
  Outbox& outbox;
  const observe::Logger logger;
  const std::string group;
  const SlotOptions options;
  embedded::Heard heard;             // the loop's own, as are these
  std::vector<Message> transaction;  // of the one that is being heard
  std::deque<Mark> marks;            // heard, and not confirmed
  observe::Gauge retained;
  observe::Gauge following;
  runtime::CancellationSource stopping;
  runtime::Latch ended;
  bool started = false;
  mutable std::mutex mutex;
  SlotLogState now;  // guarded by mutex
};

void SlotLog::State::set_following(bool whether) {
  following.set(whether ? 1 : 0);
  const std::lock_guard lock(mutex);
  now.following = whether;
}

void SlotLog::State::set_problem(std::string problem) {
  bool changed = false;
  {
    const std::lock_guard lock(mutex);
    changed = now.problem != problem;
    now.problem = problem;
  }
  if (changed && !problem.empty()) logger.warn("the outbox is read from its table", {{"why", problem}});
}

void SlotLog::State::require_publication(const Context& ctx) {
  const auto there = database.query_value(ctx, "select count(*) from pg_publication where pubname = $1",
                                          options.publication);
  if (there > 0) return;
  database.transact(ctx, "make a publication", [&](sql::Transaction& tx) {
    tx.execute_script("create publication " + options.publication +
                      " for table outbox with (publish = 'insert')");
  });
}

// What can't be followed is read from the table meanwhile: nothing waits for this.
void SlotLog::State::run() {
  const Context ctx = runtime.context().with_cancellation(stopping.token());
  while (!ctx.cancelled()) {
    try {
      look(ctx.with_timeout(kOpenTimeout));
      follow(ctx);
    } catch (const Error& error) {
      if (!ctx.cancelled()) {
        const auto slot_in_use = error.cause().find("55006") != std::string::npos;
        set_problem(slot_in_use ? std::string() : error.what());
      }
    }
    set_following(false);
    heard.forget();
    marks.clear();
    transaction.clear();
    try {
      const auto spread = static_cast<std::uint64_t>(options.try_every.count());
      const auto pause =
          options.try_every / 2 + Duration(static_cast<std::int64_t>(runtime.random().below(spread)));
      if (!ctx.cancelled()) runtime::sleep_for(ctx, pause);
    } catch (const Error&) {  // the end of it
    }
  }
  ended.open();
}

void SlotLog::State::follow(const Context& ctx) {
  const Context opening = ctx.with_timeout(kOpenTimeout);
  require_publication(opening);
  const auto stream = ReplicationStream::open(opening, options.postgres, {options.slot, options.publication});
  set_following(true);
  set_problem({});
  logger.info("the outbox is followed by its replication slot", {{"slot", options.slot}});
  Instant look_at = ctx.now() + options.look_every;
  while (!ctx.cancelled()) {
    if (const auto next = stream->next(ctx.with_deadline(look_at))) take(next->change);
    if (ctx.now() < look_at || ctx.cancelled()) continue;
    confirm(ctx, *stream);
    look(ctx.with_timeout(kOpenTimeout));
    look_at = ctx.now() + options.look_every;
  }
}

void SlotLog::State::take(const Pgoutput::Change& change) {
  switch (change.kind) {
    case Pgoutput::Kind::begin: return transaction.clear();
    case Pgoutput::Kind::insert:
      if (change.relation->name == "outbox") transaction.push_back(embedded::message_of(change));
      return;
    case Pgoutput::Kind::commit: break;
    case Pgoutput::Kind::other: return;
  }
  if (transaction.empty()) return;
  const std::int64_t last = transaction.back().position;
  for (Message& message : transaction) heard.add(std::move(message));
  transaction.clear();
  if (marks.size() >= kMostMarks) {
    marks.back() = {last, change.end};  // then the one before is confirmed with it
  } else {
    marks.push_back({last, change.end});
  }
  outbox.committed().notify();
}

// Nothing is confirmed before every bucket of the group has recorded it, whichever process did.
void SlotLog::State::confirm(const Context& ctx, ReplicationStream& stream) {
  const auto done = database.query_value<std::int64_t>(
      ctx.with_timeout(kOpenTimeout),
      "select coalesce(min(position), 0) from outbox_leases where group_name = $1", group);
  Position upto{};
  while (!marks.empty() && marks.front().position <= done) {
    upto = marks.front().end;
    marks.pop_front();
  }
  if (marks.empty() && transaction.empty()) upto = std::max(upto, stream.quiet_up_to());
  stream.confirm(ctx.with_timeout(kOpenTimeout), upto);
}

void SlotLog::State::look(const Context& ctx) {
  const auto slot = sql::postgres::slot_state(ctx, database, options.slot);
  if (!slot) return;
  if (slot->lost) {
    logger.error(
        "PostgreSQL gave up the replication slot (max_slot_wal_keep_size); it is made anew, and what "
        "it missed is read from the outbox's table",
        {{"slot", options.slot}});
    ReplicationStream::drop(ctx, options.postgres, options.slot);
    return;
  }
  retained.set(slot->retained_bytes);
  {
    const std::lock_guard lock(mutex);
    now.retained_bytes = slot->retained_bytes;
  }
  const bool too_much = slot->retained_bytes >= options.warn_bytes;
  if (too_much || now.following) {
    set_problem(too_much ? "PostgreSQL keeps " + std::to_string(slot->retained_bytes >> 20) +
                               " MiB of its log for the replication slot " + options.slot +
                               ": the broker takes too little, or nobody follows it"
                         : std::string());
  }
}

namespace {

class SlotReader final : public Reader {
 public:
  SlotReader(std::shared_ptr<const embedded::Heard> heard, std::unique_ptr<Reader> table,
             const SubscriptionOptions& options)
      : heard_(std::move(heard)), table_(std::move(table)), topics_(options.topics) {}

  std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                               std::int64_t& head) override {
    head = std::max(head, heard_->last());
    return embedded::read_recent(
        *heard_, cohorts, topics_, kReadBatch,
        [&](const std::vector<Cohort>& behind) { return table_->read(ctx, behind, head); });
  }
  runtime::Signal& changed() noexcept override { return table_->changed(); }

 private:
  const std::shared_ptr<const embedded::Heard> heard_;  // lives as long as the log's state
  const std::unique_ptr<Reader> table_;
  const std::vector<std::string> topics_;
};

}  // namespace

SlotLog::SlotLog(runtime::Runtime& runtime, sql::Database& database, Outbox& outbox,
                 observe::Metrics& metrics, observe::Logger logger, std::string group, std::size_t scan,
                 SlotOptions options)
    : OutboxLog(database, outbox, scan),
      state_(std::make_shared<State>(runtime, database, outbox, metrics, std::move(logger), std::move(group),
                                     std::move(options))) {}

SlotLog::~SlotLog() { stop(); }

std::unique_ptr<Reader> SlotLog::reader(const SubscriptionOptions& options) {
  return std::make_unique<SlotReader>(std::shared_ptr<const embedded::Heard>(state_, &state_->heard),
                                      OutboxLog::reader(options), options);
}

void SlotLog::start(const Context& ctx) {
  OutboxLog::start(ctx);
  state_->started = true;
  state_->runtime.spawn_on(state_->options.loop, "outbox slot", [state = state_] { state->run(); });
}

void SlotLog::stop() noexcept {
  OutboxLog::stop();
  if (!state_->started || state_->ended.is_open()) return;
  state_->stopping.cancel();
  if (runtime::on_fiber()) state_->ended.wait(state_->runtime.context(), "the outbox's slot");
}

SlotLogState SlotLog::state() const {
  const std::lock_guard lock(state_->mutex);
  return state_->now;
}

}  // namespace holdfast::messaging
