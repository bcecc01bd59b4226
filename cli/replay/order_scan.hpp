// Reads every order of a server, page by page, and holds it against what was acknowledged: what is
// missing, what is there twice, what differs. Memory: a few bytes an order.
//
//   const OrderScan scan = scan_orders(ctx, api, acknowledged, cancelled, progress);
//
// Thread-safety: one loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "cli/replay/api.hpp"
#include "cli/replay/order_json.hpp"
#include "cli/replay/state_file.hpp"

namespace holdfast::cli {

struct OrderScan {
  std::uint64_t stored = 0;           ///< orders on the server
  std::uint64_t others = 0;           ///< of these, not this replay's
  std::uint64_t cancelled = 0;        ///< of all stored ones
  std::uint64_t found = 0;            ///< acknowledged ones that are there
  std::uint64_t doubled = 0;          ///< … listed more than once
  std::uint64_t differing = 0;        ///< … with another total or other lines than acknowledged
  std::uint64_t not_cancelled = 0;    ///< … whose cancellation was acknowledged, and which are not
  std::vector<std::string> examples;  ///< of what is wrong, at most kExamples
  struct Pieces {
    std::int64_t sold = 0;      ///< by all orders
    std::int64_t returned = 0;  ///< by those that were cancelled or rejected
  };
  std::map<std::string, Pieces, std::less<>> pieces;  ///< by sku
  std::vector<std::string> ids;                       ///< of all stored orders

  static constexpr std::size_t kExamples = 10;
};

/// `cancelled` are invoices. Throws what `api` throws, and Error(internal) for an answer that is no page.
OrderScan scan_orders(const Context& ctx, Api& api,
                      const std::unordered_map<std::string, Acknowledged>& acknowledged,
                      const std::vector<std::string>& cancelled,
                      const std::function<void(std::uint64_t)>& progress);

/// Calls `take` for each item of a list's pages, following nextCursor. `target` has a query already.
void for_each_listed(const Context& ctx, Api& api, const std::string& target,
                     const std::function<void(const JsonValue&)>& take);

}  // namespace holdfast::cli
