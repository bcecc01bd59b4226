// Sends a ReplayPlan through the API: first the products, then the orders in their time's order, then
// the cancellations, each with a number of fibers of the caller's loop. Every write carries a key made
// of what it is about, so that sending it again changes nothing.
//
//   Sending sending(api, plan, state, {.clients = 16}, stopping);
//   sending.create_products(ctx, progress);
//   sending.send_orders(ctx, progress);
//   sending.send_cancellations(ctx, progress);
//
// Once `stopping()` is true nothing new is begun, what is in flight is finished; likewise when a request
// got no usable answer within the patience (broken_off()). Thread-safety: one loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/replay/api.hpp"
#include "cli/replay/order_json.hpp"
#include "cli/replay/plan.hpp"
#include "cli/replay/state_file.hpp"

namespace holdfast::cli {

struct SendingOptions {
  std::size_t clients = 16;
  double orders_per_second = 0;  ///< 0: as fast as the server answers
  std::string currency = "GBP";
  std::int64_t stock = 0;  ///< of each new product; 0: what the file's orders need
};

/// What became of the requests of one kind.
struct SendCounts {
  std::uint64_t planned = 0;
  std::uint64_t done = 0;        ///< acknowledged now
  std::uint64_t replayed = 0;    ///< of these, the server had done them before
  std::uint64_t known = 0;       ///< acknowledged by an earlier run, as the state file says: not sent
  std::uint64_t refused = 0;     ///< for good, with a reason
  std::uint64_t gave_up = 0;     ///< no usable answer within the patience
  std::uint64_t mismatched = 0;  ///< acknowledged with other lines than were sent, or a wrong sum
  std::uint64_t settled() const noexcept { return done + known + refused + gave_up; }
};

/// For the report: what was refused, by reason, with an example of each.
struct RefusalCount {
  std::uint64_t count = 0;
  std::string example;
};

class Sending {
 public:
  using Progress = std::function<void(std::uint64_t settled)>;

  /// All are borrowed.
  Sending(Api& api, const ReplayPlan& plan, StateFile& state, SendingOptions options,
          std::function<bool()> stopping);

  void create_products(const Context& ctx, const Progress& progress);
  void send_orders(const Context& ctx, const Progress& progress);
  void send_cancellations(const Context& ctx, const Progress& progress);

  const SendCounts& products() const noexcept { return products_; }
  const SendCounts& orders() const noexcept { return orders_; }
  const SendCounts& cancellations() const noexcept { return cancellations_; }
  const std::map<std::string, RefusalCount>& refusals() const noexcept { return refusals_; }
  /// Invoices whose cancellation was acknowledged.
  const std::vector<std::string>& cancelled_orders() const noexcept { return cancelled_; }
  /// The server was not to be had any more; last_failure() says why. Running again goes on from there.
  bool broken_off() const noexcept { return broken_off_; }
  const std::string& last_failure() const noexcept { return last_failure_; }

 private:
  using Step = std::function<void(const Context&, std::size_t index)>;
  void run(const Context& ctx, const char* name, std::size_t count, SendCounts& counts,
           const Progress& progress, const Step& step);
  void pace(const Context& ctx);
  void create_product(const Context& ctx, const CollectedProduct& product, std::int64_t stock);
  void send_order(const Context& ctx, const PlannedOrder& order);
  void send_cancellation(const Context& ctx, const PlannedCancellation& cancellation);
  void give_up(SendCounts& counts, std::string why);
  void refused(SendCounts& counts, std::string_view what, const ApiAnswer& answer);

  Api& api_;
  const ReplayPlan& plan_;
  StateFile& state_;
  SendingOptions options_;
  std::function<bool()> stopping_;
  SendCounts products_, orders_, cancellations_;
  std::map<std::string, RefusalCount> refusals_;
  std::vector<std::string> cancelled_;
  std::string last_failure_;
  bool broken_off_ = false;
  Instant next_slot_{};
};

}  // namespace holdfast::cli
