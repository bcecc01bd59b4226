#include "holdfast/idempotency/idempotency.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/base/fault.hpp"
#include "holdfast/http/problem.hpp"
#include "holdfast/idempotency/fingerprint.hpp"
#include "holdfast/idempotency/internal/in_flight.hpp"
#include "holdfast/idempotency/internal/records.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::idempotency {
namespace {

constexpr std::string_view kHeader = "Idempotency-Key";

/// Carries an answer out of a transaction that must leave nothing behind.
struct NotStored {
  http::Response response;
};

bool storable(int status) noexcept {
  return status < 500 && status != 401 && status != 403 && status != 408 && status != 429 && status != 499;
}

/// The key of `request`; nothing where it may do without one.
std::optional<std::string> key_of(const http::Request& request, http::Idempotency wanted) {
  std::string_view value;
  int found = 0;
  for (const http::Header& header : request.headers) {
    if (!http::equal_ignoring_case(header.name, kHeader)) continue;
    value = header.value;
    ++found;
  }
  if (found == 1) return parse_key(value);
  if (found > 1) {
    throw Error(ErrorCode::invalid_argument, "The request has more than one Idempotency-Key header.")
        .reason("idempotency_key_invalid");
  }
  if (wanted != http::Idempotency::required) return std::nullopt;
  throw Error(
      ErrorCode::invalid_argument,
      "This request needs an Idempotency-Key header: a text of your choice, new for each thing you want "
      "done, the same when you send it again.")
      .reason("idempotency_key_missing");
}

[[noreturn]] void refuse_other_payload() {
  throw Error(ErrorCode::unprocessable,
              "This Idempotency-Key came before with another request; use a new key for a new request.")
      .reason("idempotency_key_reused");
}

[[noreturn]] void refuse_in_use() {
  throw Error(ErrorCode::conflict,
              "A request with this Idempotency-Key is still being worked on; ask again shortly.")
      .reason("idempotency_key_in_use")
      .retry_after(std::chrono::seconds(1));
}

}  // namespace

struct Idempotency::State {
  State(sql::Database& the_database, observe::Metrics& metrics, Options the_options, Answers* the_answers)
      : database(the_database),
        options(std::move(the_options)),
        answers(the_answers),
        in_flight(options.max_in_flight),
        stored(metrics.counter("holdfast_idempotency_stored_total", "Answers stored with their key.")),
        replays(metrics.counter("holdfast_idempotency_replays_total", "Stored answers given again.")),
        mismatches(metrics.counter("holdfast_idempotency_mismatches_total",
                                   "Requests refused because their key came before with another request.")),
        conflicts(metrics.counter("holdfast_idempotency_conflicts_total",
                                  "Requests refused because their key was still being worked on.")),
        swept(metrics.counter("holdfast_idempotency_swept_total", "Expired answers deleted.")) {}

  /// Of a handler: how its transactions are called, and what they rely on.
  struct Transactions {
    const char* name;
    sql::Isolation isolation;
  };
  http::Response handle(Transactions transactions, const Context& ctx, http::Request& request,
                        const Prepare& prepare);
  http::Response once(Transactions transactions, const Context& ctx, const http::Request& request,
                      const Effect& effect, const Scope& scope, const Sha256Digest& fingerprint);
  http::Response run_effect(const Context& ctx, sql::Transaction& tx, const http::Request& request,
                            const Effect& effect) const;

  sql::Database& database;
  const Options options;
  Answers* const answers;
  InFlight in_flight;
  observe::Counter stored, replays, mismatches, conflicts, swept;
};

http::Response Idempotency::State::handle(Transactions transactions, const Context& ctx,
                                          http::Request& request, const Prepare& prepare) {
  const http::Idempotency wanted =
      request.route == nullptr ? http::Idempotency::required : request.route->info.idempotency;
  const auto key = wanted == http::Idempotency::none ? std::nullopt : key_of(request, wanted);
  if (!key) {
    const Effect effect = prepare(ctx, request);
    return database.transact(ctx, transactions.name, transactions.isolation,
                             [&](sql::Transaction& tx) { return effect(ctx, tx); });
  }
  const Scope scope = scope_of(ctx.principal(), request, *key);
  InFlight::Visit visit(in_flight, scope);
  if (!visit.first()) {
    // Some of the caller's time is kept for answering.
    const Duration most = ctx.deadline() == kNever ? options.longest_wait
                                                   : std::min(options.longest_wait, ctx.remaining() / 10 * 9);
    if (!visit.wait(ctx.with_timeout(most))) {
      conflicts.add();
      refuse_in_use();
    }
  }
  const Sha256Digest fingerprint = fingerprint_of(request);
  if (answers != nullptr) {
    if (auto known = answers->find(ctx, scope, fingerprint)) {
      replays.add();
      known->set("Idempotent-Replayed", "true");
      return std::move(*known);
    }
  }
  return once(transactions, ctx, request, prepare(ctx, request), scope, fingerprint);
}

http::Response Idempotency::State::once(Transactions transactions, const Context& ctx,
                                        const http::Request& request, const Effect& effect,
                                        const Scope& scope, const Sha256Digest& fingerprint) {
  struct Outcome {
    bool replayed = false;
    bool mismatch = false;
    http::Response response;
    WallTime expires_at{};
  };
  Outcome outcome;
  try {
    // At read_committed, two requests of one key from different processes: the record's unique key lets one
    // in.
    outcome = database.transact(
        ctx, transactions.name, transactions.isolation, [&](sql::Transaction& tx) -> Outcome {
          const WallTime now = ctx.clock().wall_now();
          if (auto record = find_record(tx, scope, now)) {
            if (record->fingerprint != fingerprint) return {.mismatch = true};
            return {
                .replayed = true, .response = std::move(record->response), .expires_at = record->expires_at};
          }
          Outcome done{.response = run_effect(ctx, tx, request, effect)};
          HOLDFAST_FAULT("idempotency.after_effect");
          const auto kept = std::chrono::ceil<std::chrono::microseconds>(options.retention);
          done.expires_at = now + kept;
          insert_record(tx, scope, fingerprint, done.response, options.stored_headers, now, done.expires_at);
          return done;
        });
  } catch (NotStored& answer) {
    return std::move(answer.response);
  }
  HOLDFAST_FAULT("idempotency.after_commit");
  if (outcome.mismatch) {
    mismatches.add();
    refuse_other_payload();
  }
  if (answers != nullptr) {
    answers->keep(scope, fingerprint, as_stored(outcome.response, options.stored_headers),
                  outcome.expires_at - ctx.clock().wall_now());
  }
  if (outcome.replayed) {
    replays.add();
    outcome.response.set("Idempotent-Replayed", "true");
  } else {
    stored.add();
  }
  return std::move(outcome.response);
}

http::Response Idempotency::State::run_effect(const Context& ctx, sql::Transaction& tx,
                                              const http::Request& request, const Effect& effect) const {
  http::Response response;
  try {
    response = tx.savepoint([&] {
      http::Response answer = effect(ctx, tx);
      if (!storable(answer.status)) throw NotStored{std::move(answer)};
      return answer;
    });
  } catch (const Error& refusal) {
    if (!storable(http::status_of(refusal))) throw;
    response = http::problem_response(ctx, request, refusal);
  }
  if (response.stream || response.body.size() > options.max_stored_body_bytes) {
    throw Error(ErrorCode::internal, "The answer can't be stored with its idempotency key.")
        .cause(response.stream ? "it is a stream" : std::to_string(response.body.size()) + " bytes");
  }
  return response;
}

Idempotency::Idempotency(sql::Database& database, observe::Metrics& metrics, Options options,
                         Answers* answers)
    : state_(std::make_unique<State>(database, metrics, std::move(options), answers)) {}

Idempotency::~Idempotency() = default;

http::Handler Idempotency::transactional(const char* name, Prepare prepare, sql::Isolation isolation) {
  return [this, name, isolation, prepare = std::move(prepare)](const Context& ctx, http::Request& request) {
    return state_->handle({name, isolation}, ctx, request, prepare);
  };
}

http::Handler Idempotency::transactional(
    const char* name,
    std::function<http::Response(const Context&, sql::Transaction&, http::Request&)> effect) {
  return transactional(name, [effect = std::move(effect)](const Context&, http::Request& request) -> Effect {
    // The handler made of this outlives every call of it, and so does `effect`.
    return [&effect, &request](const Context& ctx, sql::Transaction& tx) { return effect(ctx, tx, request); };
  });
}

std::int64_t Idempotency::sweep(const Context& ctx) {
  std::int64_t deleted = 0;
  for (std::int64_t last = 1; last > 0; deleted += last) {
    last = state_->database.transact(ctx, "sweep idempotency records", [&](sql::Transaction& tx) {
      return sweep_records(tx, ctx.clock().wall_now(), state_->options.sweep_batch);
    });
  }
  state_->swept.add(static_cast<std::uint64_t>(deleted));
  return deleted;
}

void Idempotency::run_sweeper(const Context& ctx) {
  while (!ctx.cancelled()) {
    runtime::park(ctx.with_timeout(state_->options.sweep_interval), "waiting to sweep idempotency records");
    if (ctx.cancelled()) return;
    try {
      sweep(ctx.with_timeout(state_->options.sweep_interval));
    } catch (const Error&) {
      // The database's own metrics show why; the records wait for the next time.
    }
  }
}

}  // namespace holdfast::idempotency
