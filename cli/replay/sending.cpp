#include "cli/replay/sending.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::cli {

namespace {

bool same_lines(const ReplayPlan& plan, const PlannedOrder& order, const StoredOrder& stored) {
  return std::ranges::equal(order.lines, stored.lines, [&](const PlannedLine& sent, const auto& answered) {
    return plan.skus[sent.sku] == answered.first && sent.quantity == answered.second;
  });
}

}  // namespace

Sending::Sending(Api& api, const ReplayPlan& plan, StateFile& state, SendingOptions options,
                 std::function<bool()> stopping)
    : api_(api), plan_(plan), state_(state), options_(std::move(options)), stopping_(std::move(stopping)) {}

void Sending::run(const Context& ctx, const char* name, std::size_t count, SendCounts& counts,
                  const Progress& progress, const Step& step) {
  counts = {.planned = count};
  std::size_t next = 0;
  runtime::FiberGroup clients(ctx);
  for (std::size_t i = 0; i < std::min(options_.clients, count); ++i) {
    clients.spawn(name, [&](const Context& client) {
      while (next < count && !stopping_() && !broken_off_) {
        const std::size_t mine = next++;
        try {
          step(client, mine);
        } catch (const Error& error) {
          if (error.code() == ErrorCode::cancelled) return;  // stopping: a later run sends it again
          const bool no_answer =
              error.code() == ErrorCode::unavailable || error.code() == ErrorCode::deadline_exceeded;
          if (!no_answer) throw;
          give_up(counts, error.detail());
        }
        if (progress) progress(counts.settled());
      }
    });
  }
  clients.wait();
}

void Sending::pace(const Context& ctx) {
  if (options_.orders_per_second <= 0) return;
  const Instant now = ctx.now();
  const Instant slot = std::max(now, next_slot_);
  next_slot_ = slot + std::chrono::duration_cast<Duration>(
                          std::chrono::duration<double>(1 / options_.orders_per_second));
  if (slot > now) runtime::sleep_for(ctx, slot - now);
}

void Sending::give_up(SendCounts& counts, std::string why) {
  ++counts.gave_up;
  broken_off_ = true;
  last_failure_ = std::move(why);
}

void Sending::refused(SendCounts& counts, std::string_view what, const ApiAnswer& answer) {
  if (answer.status == 401 || answer.status == 403) require_status(answer, 0, what);
  const Refusal refusal = refusal_of(answer);
  if (answer.status >= 500 || answer.status == 429) {
    give_up(counts, fmt::format("{} was answered with {} ({}): {}", what, answer.status, refusal.code,
                                refusal.detail));
    return;
  }
  ++counts.refused;
  RefusalCount& count = refusals_[refusal.code];
  if (count.count++ == 0) count.example = fmt::format("{}: {}", what, refusal.detail);
}

void Sending::create_products(const Context& ctx, const Progress& progress) {
  std::unordered_map<std::string_view, std::int64_t> needed;
  for (std::size_t i = 0; i < plan_.skus.size(); ++i) needed[plan_.skus[i]] = plan_.needed[i];
  run(ctx, "create product", plan_.products.size(), products_, progress,
      [&](const Context& client, std::size_t i) {
        const CollectedProduct& product = plan_.products[i];
        create_product(client, product, options_.stock > 0 ? options_.stock : needed[product.sku]);
      });
}

void Sending::create_product(const Context& ctx, const CollectedProduct& product, std::int64_t stock) {
  const ApiAnswer answer = api_.call(ctx, {.method = http::Method::post,
                                           .target = "/v1/products",
                                           .body = product_body(product, options_.currency, stock)});
  if (answer.status == 201) {
    ++products_.done;
  } else if (answer.status == 409 && refusal_of(answer).code == "sku_exists") {
    ++products_.known;
  } else {
    refused(products_, "Product " + product.sku, answer);
  }
}

void Sending::send_orders(const Context& ctx, const Progress& progress) {
  run(ctx, "send order", plan_.orders.size(), orders_, progress,
      [&](const Context& client, std::size_t i) { send_order(client, plan_.orders[i]); });
}

void Sending::send_order(const Context& ctx, const PlannedOrder& order) {
  if (state_.find(order.invoice) != nullptr) {
    ++orders_.known;
    return;
  }
  pace(ctx);
  const ApiAnswer answer = api_.call(ctx, {.method = http::Method::post,
                                           .target = "/v1/orders",
                                           .body = order_body(plan_, order),
                                           .idempotency_key = order.invoice});
  if (answer.status != 201) return refused(orders_, "Order " + order.invoice, answer);
  ++orders_.done;
  if (answer.replayed) ++orders_.replayed;
  const StoredOrder stored = read_order(answer.body);
  if (!same_lines(plan_, order, stored) || stored.total_minor != stored.lines_total_minor)
    ++orders_.mismatched;
  state_.add(order.invoice, stored.acknowledged());
}

void Sending::send_cancellations(const Context& ctx, const Progress& progress) {
  cancelled_.clear();
  run(ctx, "send cancellation", plan_.cancellations.size(), cancellations_, progress,
      [&](const Context& client, std::size_t i) { send_cancellation(client, plan_.cancellations[i]); });
}

void Sending::send_cancellation(const Context& ctx, const PlannedCancellation& cancellation) {
  const PlannedOrder& order = plan_.orders[cancellation.order];
  const Acknowledged* acknowledged = state_.find(order.invoice);
  if (acknowledged == nullptr) {
    ++cancellations_.refused;
    RefusalCount& count = refusals_["order_not_acknowledged"];
    if (count.count++ == 0)
      count.example = fmt::format("{}: order {} was not taken", cancellation.invoice, order.invoice);
    return;
  }
  pace(ctx);
  const ApiAnswer answer = api_.call(ctx, {.method = http::Method::post,
                                           .target = "/v1/orders/" + acknowledged->order_id + "/cancellation",
                                           .idempotency_key = cancellation.invoice});
  if (answer.status != 200 && answer.status != 201) {
    return refused(cancellations_, "Cancellation " + cancellation.invoice, answer);
  }
  ++cancellations_.done;
  if (answer.replayed) ++cancellations_.replayed;
  cancelled_.push_back(order.invoice);
}

}  // namespace holdfast::cli
