#include "cli/replay/reconciliation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::cli {

namespace {

using Progress = std::function<void(std::string_view doing, std::uint64_t done)>;

Check orders_stored(const OrderScan& scan, std::size_t acknowledged) {
  return {.name = "orders_stored_once",
          .what = "every acknowledged order is stored exactly once",
          .figures = fmt::format("{} acknowledged, {} found, {} twice ({} stored in all)", acknowledged, scan.found,
                                 scan.doubled, scan.stored),
          .held = scan.found == acknowledged && scan.doubled == 0};
}

Check orders_as_acknowledged(const OrderScan& scan) {
  return {.name = "orders_as_acknowledged",
          .what = "with the acknowledged total and lines",
          .figures = fmt::format("{} compared, {} differ", scan.found, scan.differing),
          .held = scan.differing == 0};
}

Check cancellations_done(const OrderScan& scan, std::size_t acknowledged) {
  return {.name = "cancellations_done",
          .what = "every acknowledged cancellation is done",
          .figures = fmt::format("{} acknowledged, {} not done", acknowledged, scan.not_cancelled),
          .held = scan.not_cancelled == 0};
}

}  // namespace

bool Reconciliation::held() const noexcept {
  return std::ranges::all_of(checks, [](const Check& check) { return check.held; });
}

Reconciliation reconcile(const Context& ctx, Api& api, const ReconcileInput& input, const Progress& progress) {
  Reconciliation result;
  OrderScan scan = scan_orders(ctx, api, input.acknowledged, input.cancelled,
                               [&](std::uint64_t done) { progress("checking orders", done); });
  result.checks.push_back(orders_stored(scan, input.acknowledged.size()));
  result.checks.push_back(orders_as_acknowledged(scan));
  result.checks.push_back(cancellations_done(scan, input.cancelled.size()));
  result.examples = std::move(scan.examples);
  return result;
}

}  // namespace holdfast::cli
