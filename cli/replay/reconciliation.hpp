// After a replay: does what the server says agree with what it acknowledged, and with itself? A list of
// checks, each with its figures, all of them through the public API.
//
//   const Reconciliation result = reconcile(ctx, api, {.acknowledged = state.orders(), …}, progress);
//   if (!result.held()) …
//
// Thread-safety: one loop.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "cli/replay/api.hpp"
#include "cli/replay/order_scan.hpp"

namespace holdfast::cli {

struct Check {
  std::string name;  ///< stable, snake_case
  std::string what;  ///< a sentence
  std::string figures;
  bool held = false;
};

struct Reconciliation {
  std::vector<Check> checks;
  std::vector<std::string> examples;  ///< of what does not hold
  bool held() const noexcept;
};

struct ReconcileInput {
  const std::unordered_map<std::string, Acknowledged>& acknowledged;  ///< by invoice
  const std::vector<std::string>& cancelled;  ///< invoices of acknowledged cancellations
  Duration receipts_timeout = std::chrono::seconds(60);
};

/// Throws what `api` throws, and Error(permission_denied) where the key may not see all of it.
Reconciliation reconcile(const Context& ctx, Api& api, const ReconcileInput& input,
                         const std::function<void(std::string_view doing, std::uint64_t done)>& progress);

}  // namespace holdfast::cli
