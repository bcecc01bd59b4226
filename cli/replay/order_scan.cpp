#include "cli/replay/order_scan.hpp"

#include <fmt/format.h>

#include <unordered_set>

#include "holdfast/base/error.hpp"

namespace holdfast::cli {

namespace {

constexpr std::size_t kMaxPages = 1'000'000;
constexpr std::size_t kMaxPageBytes = 64 * 1024 * 1024;

struct Expected {
  const std::string* invoice;
  const Acknowledged* acknowledged;
  bool cancelled;
  std::uint32_t seen = 0;
};

/// Compares stored orders one by one with what was acknowledged.
class Comparison {
 public:
  Comparison(const std::unordered_map<std::string, Acknowledged>& acknowledged,
             const std::vector<std::string>& cancelled) {
    const std::unordered_set<std::string_view> cancelled_invoices(cancelled.begin(), cancelled.end());
    for (const auto& [invoice, order] : acknowledged) {
      expected_.emplace(order.order_id, Expected{&invoice, &order, cancelled_invoices.contains(invoice)});
    }
  }

  void take(const StoredOrder& order) {
    ++scan.stored;
    scan.ids.push_back(order.id);
    const bool given_back = order.status == "cancelled" || order.status == "rejected";
    if (given_back) ++scan.cancelled;
    for (const auto& [sku, quantity] : order.lines) {
      OrderScan::Pieces& pieces = scan.pieces[sku];
      pieces.sold += quantity;
      if (given_back) pieces.returned += quantity;
    }
    const auto known = expected_.find(order.id);
    if (known == expected_.end()) {
      ++scan.others;
      return;
    }
    check(known->second, order, given_back);
  }

  void finish() {
    for (const auto& [id, expected] : expected_) {
      if (expected.seen == 0) note(fmt::format("{} (invoice {}) is missing", id, *expected.invoice));
    }
  }

  OrderScan scan;

 private:
  void check(Expected& expected, const StoredOrder& order, bool given_back) {
    if (++expected.seen > 1) {
      ++scan.doubled;
      return note(fmt::format("{} (invoice {}) is there twice", order.id, *expected.invoice));
    }
    ++scan.found;
    if (order.acknowledged() != *expected.acknowledged) {
      ++scan.differing;
      note(fmt::format("{} (invoice {}): acknowledged {} {}, stored {} {}, or other lines", order.id,
                       *expected.invoice, expected.acknowledged->total_minor, expected.acknowledged->currency,
                       order.total_minor, order.currency));
    }
    if (expected.cancelled && !given_back) {
      ++scan.not_cancelled;
      note(fmt::format("{} (invoice {}) is {}, its cancellation was acknowledged", order.id,
                       *expected.invoice, order.status));
    }
  }
  void note(std::string what) {
    if (scan.examples.size() < OrderScan::kExamples) scan.examples.push_back(std::move(what));
  }

  std::unordered_map<std::string, Expected> expected_;  // by order id
};

/// Takes the page's items; returns the cursor of the next one, empty on the last.
std::string take_page(const ApiAnswer& answer, const std::function<void(const JsonValue&)>& take) {
  const JsonDocument page = JsonDocument::parse(answer.body, {.max_bytes = kMaxPageBytes});
  const JsonValue* items = page.root().find("items");
  if (items == nullptr || !items->is_array()) {
    throw Error(ErrorCode::internal, "The server answered with something that is no page of a list.");
  }
  for (const JsonValue& item : items->items()) take(item);
  const JsonValue* next = page.root().find("nextCursor");
  return next != nullptr && next->is_string() ? std::string(next->as_string()) : std::string();
}

}  // namespace

void for_each_listed(const Context& ctx, Api& api, const std::string& target,
                     const std::function<void(const JsonValue&)>& take) {
  std::string cursor;
  for (std::size_t pages = 0; pages < kMaxPages; ++pages) {
    const ApiAnswer answer =
        api.call(ctx, {.target = cursor.empty() ? target : target + "&cursor=" + cursor});
    require_status(answer, 200, "Reading " + target);
    cursor = take_page(answer, take);
    if (cursor.empty()) return;
  }
  throw Error(ErrorCode::internal, "The list " + target + " does not end.");
}

OrderScan scan_orders(const Context& ctx, Api& api,
                      const std::unordered_map<std::string, Acknowledged>& acknowledged,
                      const std::vector<std::string>& cancelled,
                      const std::function<void(std::uint64_t)>& progress) {
  Comparison comparison(acknowledged, cancelled);
  for_each_listed(ctx, api, "/v1/orders?limit=200", [&](const JsonValue& item) {
    comparison.take(read_order(item));
    if (progress) progress(comparison.scan.stored);
  });
  comparison.finish();
  return std::move(comparison.scan);
}

}  // namespace holdfast::cli
