// The parts of the API's JSON that a replay writes and compares. Unknown members are passed over: a
// newer server may say more.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/replay/plan.hpp"
#include "cli/replay/state_file.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::cli {

struct StoredOrder {
  std::string id;
  std::string status;
  std::int64_t total_minor = 0;
  std::string currency;
  std::int64_t lines_total_minor = 0;  ///< the sum of quantity × unit price
  std::uint64_t lines_hash = 0;        ///< of sku, quantity and unit price of each line, by sku
  std::vector<std::pair<std::string, std::int64_t>> lines;  ///< sku and quantity, by sku

  Acknowledged acknowledged() const { return {id, total_minor, currency, lines_hash}; }
};

/// Throws Error(invalid_argument) where `json` is no order.
StoredOrder read_order(const JsonValue& json);
StoredOrder read_order(std::string_view text);

/// The body of POST /v1/orders.
std::string order_body(const ReplayPlan& plan, const PlannedOrder& order);

/// The body of POST /v1/products.
std::string product_body(const CollectedProduct& product, std::string_view currency, std::int64_t stock);

}  // namespace holdfast::cli
