#include "holdfast/webhooks/incoming.hpp"

#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/base/fault.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::webhooks {

Incoming::Incoming(std::string source, observe::Metrics& metrics, IncomingOptions options)
    : source_(std::move(source)), options_(options), metrics_(metrics) {
  if (source_.empty() || options_.sweep_batch == 0 || options_.retention <= 2 * kTolerance) {
    throw Error(ErrorCode::invalid_argument,
                "Webhooks of '" + source_ +
                    "' need a name, a sweep batch, and a retention longer than their replay window.")
        .reason("webhook_options_invalid");
  }
  for (const char* outcome : {"accepted", "duplicate", "failed", "malformed", "bad_signature", "stale"})
    static_cast<void>(counter(outcome));  // there from the beginning, so that a first one is an increase
}

observe::Counter Incoming::counter(std::string_view outcome) const {
  return metrics_.counter("holdfast_webhooks_received_total", "Webhooks that came, by what became of them.",
                          {{"source", source_}, {"outcome", std::string(outcome)}});
}

void Incoming::require(Verdict verdict) const {
  if (verdict == Verdict::genuine) return;
  counter(to_string(verdict)).add();
  const bool stale = verdict == Verdict::stale;
  throw Error(ErrorCode::invalid_argument,
              stale ? "The webhook's signature is too old." : "The webhook's signature is missing or wrong.")
      .reason(stale ? "stale_signature" : "bad_signature");
}

bool Incoming::known(sql::Queries& queries, std::string_view event_id) const {
  return queries
      .query_one<std::int64_t>("select 1 from webhook_received where source = $1 and event_id = $2", source_,
                               event_id)
      .has_value();
}

bool Incoming::enter(sql::Transaction& tx, std::string_view event_id, WallTime now) const {
  if (event_id.empty() || event_id.size() > kMaxEventIdBytes) {
    throw Error(ErrorCode::invalid_argument, "A webhook's event id has 1 to 255 bytes.").reason("malformed");
  }
  return tx.execute(
             "insert into webhook_received(source, event_id, received_at) values($1, $2, $3) "
             "on conflict(source, event_id) do nothing",
             source_, event_id, now) > 0;
}

bool Incoming::once(const Context& ctx, sql::Database& database, std::string_view event_id,
                    const std::function<void(sql::Transaction&)>& effect) const {
  try {
    const bool first = database.transact(ctx, "take a webhook", [&](sql::Transaction& tx) {
      if (!enter(tx, event_id, ctx.clock().wall_now())) return false;
      effect(tx);
      HOLDFAST_FAULT("webhooks.before_received_commit");
      return true;
    });
    counter(first ? "accepted" : "duplicate").add();
    return first;
  } catch (...) {
    counter("failed").add();
    throw;
  }
}

std::int64_t Incoming::sweep(const Context& ctx, sql::Database& database) const {
  const WallTime cutoff =
      ctx.clock().wall_now() - std::chrono::ceil<std::chrono::microseconds>(options_.retention);
  std::int64_t swept = 0;
  for (std::int64_t last = 1; last > 0; swept += last) {
    last = database.transact(ctx, "forget old webhooks", [&](sql::Transaction& tx) {
      return tx.execute(
          "delete from webhook_received where source = $1 and event_id in (select event_id from "
          "webhook_received where source = $1 and received_at < $2 order by received_at limit $3)",
          source_, cutoff, options_.sweep_batch);
    });
  }
  return swept;
}

void Incoming::run_sweeper(const Context& ctx, sql::Database& database) const {
  while (!ctx.cancelled()) {
    runtime::park(ctx.with_timeout(options_.sweep_interval), "waiting to sweep webhooks");
    if (ctx.cancelled()) return;
    try {
      sweep(ctx.with_timeout(options_.sweep_interval), database);
    } catch (const Error&) {
      // The database's own metrics show why; the records wait for the next time.
    }
  }
}

}  // namespace holdfast::webhooks
