#include "holdfast/blob/claim_check.hpp"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/base/fault.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/blob/internal/checks.hpp"
#include "holdfast/messaging/inbox.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::blob {
namespace {

using messaging::Message;
using messaging::OutgoingMessage;

using ClaimId = Id<"clm">;

constexpr std::size_t kMaxWaiting =
    1024;  ///< handlers that wait to fetch; they are bounded by the groups' own
/// Messages are written in the order of their commits; their times are taken a little before.
constexpr Duration kCommitSlack = std::chrono::hours(1);

WallTime before(WallTime now, Duration age) {
  return now - std::chrono::ceil<std::chrono::microseconds>(age);
}

/// When the blob of that name was stored, which its id says (UUIDv7): no clock but ours is asked. Nothing for
/// names that are none of ours.
std::optional<WallTime> stored_at(std::string_view name) {
  const auto id = ClaimId::parse(name.substr(name.rfind('/') + 1));
  if (!id) return std::nullopt;
  std::int64_t milliseconds = 0;
  for (std::size_t i = 0; i < 6; ++i) milliseconds = milliseconds << 8 | id->bytes()[i];
  return WallTime(std::chrono::milliseconds(milliseconds));
}

void check(const ClaimCheckOptions& options) {
  const auto require = [](bool holds, const char* what) {
    if (!holds)
      throw Error(ErrorCode::invalid_argument, std::string("The claim check's settings are wrong: ") + what)
          .reason("claim_check_settings_invalid");
  };
  require(options.max_inline_bytes <= messaging::kMaxPayloadBytes, "max_inline_bytes is over a message's.");
  require(options.max_payload_bytes >= options.max_inline_bytes,
          "max_payload_bytes is under max_inline_bytes.");
  require(options.max_fetched > 0, "max_fetched is 0.");
  require(options.prefix.size() <= 128 && options.prefix.ends_with('/') && listable(options.prefix),
          "the prefix is no folder of at most 128 bytes.");
  require(options.orphan_after > Duration(0) && options.retention >= Duration(0) &&
              options.sweep_interval > Duration(0),
          "a duration is not above zero.");
  require(options.sweep_batch > 0 && options.sweep_batch <= kMaxPage, "sweep_batch is 1 to 1000.");
}

[[noreturn]] void mismatch(const Message& message, std::string why) {
  throw Error(ErrorCode::internal, "A message's stored payload is not what was published.")
      .reason("claim_mismatch")
      .cause(message.id + ": " + std::move(why));
}

}  // namespace

struct ClaimCheck::State {
  runtime::Runtime& runtime;
  sql::Database& database;
  Store& store;
  messaging::Publisher& inner;
  const observe::Logger logger;
  const ClaimCheckOptions options;
  IdGenerator ids;
  runtime::Semaphore fetched;
  observe::Counter stored_payloads;
  observe::Counter fetched_payloads;
  observe::Counter mismatches;
  observe::Counter deleted_blobs;

  std::string folder_of(const Claim& claim) const {
    return options.prefix + claim.sha256.substr(0, 2) + '/' + claim.sha256 + '/';
  }
  Claim put(const Context& ctx, const std::string& payload);
  bool claimed(const Message& message) const { return !message.header(kClaimHeader).empty(); }
  Message whole(const Context& ctx, const Message& message);
  void handle(const Context& ctx, const messaging::ExternalHandler& handler, const Message& message);
  std::size_t forget(const Context& ctx);
  std::size_t delete_orphans(const Context& ctx);
};

ClaimCheck::ClaimCheck(runtime::Runtime& runtime, sql::Database& database, Store& store,
                       messaging::Publisher& inner, observe::Metrics& metrics, observe::Logger logger,
                       ClaimCheckOptions options) {
  check(options);
  const std::size_t permits = options.max_fetched;
  state_.reset(new State{
      .runtime = runtime,
      .database = database,
      .store = store,
      .inner = inner,
      .logger = std::move(logger),
      .options = std::move(options),
      .ids{runtime.clock(), runtime.random()},
      .fetched{permits, kMaxWaiting},
      .stored_payloads =
          metrics.counter("holdfast_claim_check_stored_total", "Payloads put into the blob store."),
      .fetched_payloads = metrics.counter("holdfast_claim_check_fetched_total",
                                          "Payloads fetched for a handler and verified."),
      .mismatches = metrics.counter("holdfast_claim_check_mismatches_total",
                                    "Payloads that were not what was published. Look at the store."),
      .deleted_blobs = metrics.counter("holdfast_claim_check_deleted_total",
                                       "Payloads deleted: orphaned, or of messages that are gone.")});
}

ClaimCheck::~ClaimCheck() = default;

/// The checksum first, so that listings are spread; then an id, so that no two messages share a blob, and a
/// sweep can't delete what another is just about to refer to.
Claim ClaimCheck::State::put(const Context& ctx, const std::string& payload) {
  Claim claim{.blob = {}, .size = payload.size(), .sha256 = sha256_of(payload)};
  claim.blob = folder_of(claim) + ids.make<ClaimId>().text();
  put_text(ctx, store, claim.blob, payload, {.sha256 = claim.sha256, .content_type = "application/json"});
  stored_payloads.add();
  HOLDFAST_FAULT("claim_check.after_put");
  return claim;
}

OutgoingMessage ClaimCheck::store(const Context& ctx, OutgoingMessage message) {
  State& state = *state_;
  if (message.payload.size() <= state.options.max_inline_bytes) return message;
  if (message.payload.size() > state.options.max_payload_bytes)
    throw Error(ErrorCode::too_large, "A message's payload has " + std::to_string(message.payload.size()) +
                                          " bytes; at most " +
                                          std::to_string(state.options.max_payload_bytes) + " are taken.")
        .reason("payload_too_large");
  message.payload = to_json(state.put(ctx, message.payload));
  message.headers.insert_or_assign(std::string(kClaimHeader), "1");
  return message;
}

Message ClaimCheck::to_send(const Context& ctx, const Message& message) {
  State& state = *state_;
  if (message.payload.size() <= state.options.max_inline_bytes || state.claimed(message)) return message;
  Claim claim{.blob = {}, .size = message.payload.size(), .sha256 = sha256_of(message.payload)};
  for (const std::string& blob : state.database.query<std::string>(
           ctx, "select blob_name from blob_claims where message_id = $1", message.id)) {
    if (blob.starts_with(state.folder_of(claim)) && state.store.head(ctx, blob)) claim.blob = blob;
  }
  if (claim.blob.empty()) {
    claim = state.put(ctx, message.payload);
    state.database.transact(ctx, "claim a payload", [&](sql::Transaction& tx) {
      tx.execute("insert into blob_claims(blob_name, message_id, created_at) values($1, $2, $3)", claim.blob,
                 message.id, ctx.clock().wall_now());
    });
  }
  Message sent = message;
  sent.payload = to_json(claim);
  sent.headers.insert_or_assign(std::string(kClaimHeader), "1");
  return sent;
}

void ClaimedSink::send(const Context& ctx, const std::string& log, const Message& message) {
  inner_.send(ctx, log, claims_.to_send(ctx, message));
}

std::string ClaimCheck::publish(const Context& ctx, sql::Transaction& tx, const OutgoingMessage& message) {
  State& state = *state_;
  if (!message.headers.contains(kClaimHeader)) {
    if (message.payload.size() > state.options.max_inline_bytes)
      throw Error(ErrorCode::invalid_argument,
                  "A payload of " + std::to_string(message.payload.size()) +
                      " bytes was not stored: call ClaimCheck::store() before the transaction.")
          .reason("payload_not_stored");
    return state.inner.publish(ctx, tx, message);
  }
  const auto claim = from_json<Claim>(message.payload);
  const auto since = stored_at(claim.blob);
  const WallTime now = ctx.clock().wall_now();
  if (!claim.blob.starts_with(state.options.prefix) || !since)
    throw Error(ErrorCode::invalid_argument, "A message claims a blob that store() did not make.")
        .reason("claim_invalid");
  // The other half of the time is for the commit.
  if (*since < before(now, state.options.orphan_after / 2))
    throw Error(ErrorCode::failed_precondition,
                "A message's payload was stored too long ago; store it again before publishing.")
        .reason("claim_expired");
  std::string id = state.inner.publish(ctx, tx, message);
  tx.execute("insert into blob_claims(blob_name, message_id, created_at) values($1, $2, $3)", claim.blob, id,
             now);
  return id;
}

Message ClaimCheck::State::whole(const Context& ctx, const Message& message) {
  const auto claim = from_json<Claim>(message.payload, {.ignore_unknown = true});
  if (!claim.blob.starts_with(options.prefix) || claim.size > options.max_payload_bytes)
    mismatch(message, "it claims " + claim.blob + " of " + std::to_string(claim.size) + " bytes");
  Message full = message;
  full.headers.erase(std::string(kClaimHeader));
  full.payload.clear();
  Sha256 hash;
  try {
    full.payload.reserve(claim.size);
    store.get(ctx, claim.blob, [&](const Context&, std::string_view piece) {
      if (piece.size() > claim.size - full.payload.size()) mismatch(message, claim.blob + " is larger");
      full.payload.append(piece);
      hash.update(piece);
      runtime::yield();
    });
    if (full.payload.size() != claim.size || encode_hex(hash.finish()) != claim.sha256)
      mismatch(message, claim.blob + " has another size or SHA-256");
  } catch (const Error& error) {
    if (error.code() == ErrorCode::internal) mismatches.add();  // ours, or the store's own
    throw;
  }
  fetched_payloads.add();
  return full;
}

void ClaimCheck::State::handle(const Context& ctx, const messaging::ExternalHandler& handler,
                               const Message& message) {
  if (!claimed(message)) return handler.handle(ctx, message);
  const runtime::Permit permit(fetched, ctx, "waiting to fetch a large payload");
  handler.handle(ctx, whole(ctx, message));
}

messaging::Handler ClaimCheck::wrap(messaging::Handler handler) {
  State* const state = state_.get();
  messaging::ExternalHandler inner;
  if (auto* const transactional = std::get_if<messaging::TransactionalHandler>(&handler)) {
    inner.handle = [state, handle = std::move(transactional->handle)](const Context& ctx,
                                                                      const Message& message) {
      state->database.transact(ctx, "handle a message", [&](sql::Transaction& tx) {
        if (messaging::inbox::enter(tx, message.group, message.id, ctx.clock().wall_now()))
          handle(ctx, tx, message);
      });
    };
  } else {
    inner = std::move(std::get<messaging::ExternalHandler>(handler));
  }
  return messaging::external([state, inner = std::move(inner)](const Context& ctx, const Message& message) {
    state->handle(ctx, inner, message);
  });
}

messaging::Completion ClaimCheck::completion() {
  State* const state = state_.get();
  struct Held {
    Held(State& the_state, const Context& ctx, const Message& claim)
        : permit(the_state.fetched, ctx, "waiting to fetch a large payload"),
          message(the_state.whole(ctx, claim)) {}
    runtime::Permit permit;
    Message message;
  };
  return {.incomplete = [state](const Message& message) { return state->claimed(message); },
          .complete = [state](const Context& ctx, const Message& message) -> std::shared_ptr<const Message> {
            const auto held =
                std::make_shared<Held>(*state, ctx, message);  // a permit for as long as it is held
            return {held, &held->message};
          }};
}

// ---- sweeping

/// Registrations whose message nobody can ask for any more: older than the retention and than the oldest
/// message of the log, and neither parked nor a dead letter that might be redriven.
std::size_t ClaimCheck::State::forget(const Context& ctx) {
  const WallTime now = ctx.clock().wall_now();
  return database.transact(ctx, "forget claims", [&](sql::Transaction& tx) {
    const WallTime oldest =
        tx.query_one<WallTime>("select occurred_at from outbox order by position limit 1").value_or(now);
    const WallTime cutoff = std::min(before(now, options.retention), before(oldest, kCommitSlack));
    return static_cast<std::size_t>(tx.execute(
        "delete from blob_claims where (blob_name, message_id) in (select blob_name, message_id from "
        "blob_claims c "
        "where created_at < $1 "
        "and not exists (select 1 from parked_messages p where p.id = c.message_id) "
        "and not exists (select 1 from dead_letters d where d.redriven_at is null and d.message_id = "
        "c.message_id) order by created_at limit $2)",
        cutoff, options.sweep_batch));
  });
}

std::size_t ClaimCheck::State::delete_orphans(const Context& ctx) {
  const WallTime cutoff = before(ctx.clock().wall_now(), options.orphan_after);
  std::size_t deleted = 0;
  std::string after;
  do {
    const Page page = store.list(ctx, options.prefix, after, options.sweep_batch);
    for (const Listed& one : page.blobs) {
      const auto since = stored_at(one.name);
      if (!since || *since >= cutoff) continue;
      const auto claims = database.query_one<std::int64_t>(
          ctx, "select 1 from blob_claims where blob_name = $1 limit 1", one.name);
      if (claims) continue;
      store.remove(ctx, one.name);
      deleted_blobs.add();
      ++deleted;
    }
    after = page.next;
  } while (!after.empty());
  return deleted;
}

SweepReport ClaimCheck::sweep(const Context& ctx) {
  SweepReport report;
  for (std::size_t last = 1; last > 0; report.forgotten += last) last = state_->forget(ctx);
  report.deleted = state_->delete_orphans(ctx);
  return report;
}

void ClaimCheck::run(const Context& ctx) {
  State& state = *state_;
  while (!ctx.cancelled()) {
    try {
      const SweepReport report = sweep(ctx.with_timeout(state.options.sweep_interval));
      if (report.deleted > 0)
        state.logger.info(ctx, "payloads that no message refers to were deleted",
                          {{"blobs", report.deleted}});
    } catch (const Error& error) {
      if (ctx.cancelled()) return;
      state.logger.warn(ctx, "stored payloads could not be swept; it is tried again",
                        {{"error", error.what()}});
    }
    try {
      runtime::sleep_for(ctx, state.options.sweep_interval);
    } catch (const Error&) {
      return;  // stopping
    }
  }
}

}  // namespace holdfast::blob
