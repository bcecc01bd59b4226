#include "cli/replay/reconciliation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "holdfast/base/error.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::cli {

namespace {

using namespace std::chrono_literals;
using Progress = std::function<void(std::string_view doing, std::uint64_t done)>;

constexpr std::string_view kMailGroup = "notifications";  // the subscription that sends receipts
constexpr DecodeOptions kPassOverUnknown{.limits = {}, .ignore_unknown = true};

// The parts of the API's answers that are looked at.

struct Mail {
  std::string order_id;
  std::string kind;
};
HOLDFAST_DESCRIBE(Mail, (order_id, kind))

struct Group {
  std::string group;
  std::int64_t lag = 0;
  std::int64_t parked = 0;
};
HOLDFAST_DESCRIBE(Group, (group, lag, parked))

struct Subscriptions {
  std::vector<Group> groups;
};
HOLDFAST_DESCRIBE(Subscriptions, (groups))

struct StockAccount {
  std::string sku;
  std::int64_t quantity = 0;
  std::int64_t opening = 0;
  std::int64_t adjusted = 0;
};
HOLDFAST_DESCRIBE(StockAccount, (sku, quantity, opening, adjusted))

struct Imbalance {
  std::string sku;
};
HOLDFAST_DESCRIBE(Imbalance, (sku))

struct Books {
  bool balanced = false;
  std::vector<Imbalance> imbalances;
  std::vector<Imbalance> sales_mismatches;
};
HOLDFAST_DESCRIBE(Books, (balanced, imbalances, sales_mismatches))

template <class T>
T get(const Context& ctx, Api& api, const std::string& target) {
  const ApiAnswer answer = api.call(ctx, {.target = target});
  require_status(answer, 200, "Reading " + target);
  return from_json<T>(answer.body, kPassOverUnknown);
}

class Reconciler {
 public:
  Reconciler(Api& api, const ReconcileInput& input, const Progress& progress)
      : api_(api), input_(input), progress_(progress) {}

  Reconciliation run(const Context& ctx) {
    scan_ = scan_orders(ctx, api_, input_.acknowledged, input_.cancelled,
                        [&](std::uint64_t done) { progress_("checking orders", done); });
    result_.examples = std::move(scan_.examples);
    check_orders();
    check_stock(ctx);
    check_receipts(ctx);
    check_ledger(ctx);
    return std::move(result_);
  }

 private:
  void add(std::string name, std::string what, bool held, std::string figures) {
    result_.checks.push_back({std::move(name), std::move(what), std::move(figures), held});
  }
  void note(std::string what) {
    if (result_.examples.size() < 2 * OrderScan::kExamples) result_.examples.push_back(std::move(what));
  }

  void check_orders() {
    const std::size_t acknowledged = input_.acknowledged.size();
    add("orders_stored_once", "every acknowledged order is stored exactly once",
        scan_.found == acknowledged && scan_.doubled == 0,
        fmt::format("{} acknowledged, {} found, {} twice ({} stored in all)", acknowledged, scan_.found,
                    scan_.doubled, scan_.stored));
    add("orders_as_acknowledged", "with the acknowledged total and lines", scan_.differing == 0,
        fmt::format("{} compared, {} differ", scan_.found, scan_.differing));
    add("cancellations_done", "every acknowledged cancellation is done", scan_.not_cancelled == 0,
        fmt::format("{} acknowledged, {} not done", input_.cancelled.size(), scan_.not_cancelled));
  }

  /// Sold and returned are counted here, from the orders as they were listed.
  void check_stock(const Context& ctx) {
    std::uint64_t skus = 0, wrong = 0;
    std::int64_t initial = 0, sold = 0, returned = 0, stock = 0;
    for_each_listed(ctx, api_, "/v1/stock?limit=200", [&](const JsonValue& item) {
      const auto account = from_json<StockAccount>(item, kPassOverUnknown);
      OrderScan::Pieces pieces;
      if (const auto found = scan_.pieces.find(account.sku); found != scan_.pieces.end()) {
        pieces = found->second;
        scan_.pieces.erase(found);
      }
      const std::int64_t began_with = account.opening + account.adjusted;
      initial += began_with;
      sold += pieces.sold;
      returned += pieces.returned;
      stock += account.quantity;
      if (account.quantity != began_with - pieces.sold + pieces.returned) {
        ++wrong;
        note(fmt::format("{}: stock {}, but {} initial - {} sold + {} returned", account.sku,
                         account.quantity, began_with, pieces.sold, pieces.returned));
      }
      progress_("checking stock", ++skus);
    });
    for (const auto& [sku, pieces] : scan_.pieces)
      note(fmt::format("{}: {} sold, but no stock of it", sku, pieces.sold));
    add("stock", "stock = initial - sold + returned, for every sku", wrong == 0 && scan_.pieces.empty(),
        fmt::format("{} skus, {} wrong: {} = {} - {} + {}", skus, wrong + scan_.pieces.size(), stock, initial,
                    sold, returned));
  }

  void check_receipts(const Context& ctx) {
    const std::int64_t waiting = wait_for_mails(ctx);
    std::unordered_map<std::string, std::uint32_t> receipts;
    std::uint64_t listed = 0;
    for_each_listed(ctx, api_, "/v1/outbox-mail?limit=200", [&](const JsonValue& item) {
      const Mail mail = from_json<Mail>(item, kPassOverUnknown);
      if (mail.kind == "receipt") ++receipts[mail.order_id];
      progress_("checking receipts", ++listed);
    });
    std::uint64_t missing = 0, doubled = 0;
    for (const std::string& id : scan_.ids) {
      const auto found = receipts.find(id);
      if (found == receipts.end()) {
        ++missing;
        note(id + " has no receipt");
      } else if (found->second > 1) {
        ++doubled;
        note(fmt::format("{} has {} receipts", id, found->second));
      }
    }
    add("receipts", "exactly one receipt an order", missing == 0 && doubled == 0,
        fmt::format("{} orders, {} without, {} with several{}", scan_.ids.size(), missing, doubled,
                    waiting > 0 ? fmt::format(" ({} events not handled in time)", waiting) : ""));
  }

  /// Until everything was told, or the timeout is over; what then still waits.
  std::int64_t wait_for_mails(const Context& ctx) {
    constexpr Duration kLook = 200ms;
    const Instant until = ctx.now() + input_.receipts_timeout;
    while (true) {
      const auto status = get<Subscriptions>(ctx, api_, "/v1/ops/subscriptions");
      std::int64_t waiting = 0;
      for (const Group& group : status.groups) {
        if (group.group == kMailGroup) waiting += group.lag + group.parked;
      }
      progress_("events on their way to receipts",
                static_cast<std::uint64_t>(std::max<std::int64_t>(0, waiting)));
      if (waiting == 0 || ctx.now() >= until) return waiting;
      runtime::sleep_for(ctx, kLook);
    }
  }

  void check_ledger(const Context& ctx) {
    const auto books = get<Books>(ctx, api_, "/v1/ops/reconciliation");
    for (const Imbalance& one : books.imbalances)
      note(one.sku + ": its movements do not add up to its level");
    for (const Imbalance& one : books.sales_mismatches)
      note(one.sku + ": its movements are not what orders took");
    add("ledger", "the ledger is in balance, as the server reckons", books.balanced,
        fmt::format("{} skus do not add up, {} differ from the orders", books.imbalances.size(),
                    books.sales_mismatches.size()));
  }

  Api& api_;
  const ReconcileInput& input_;
  const Progress& progress_;
  OrderScan scan_;
  Reconciliation result_;
};

}  // namespace

bool Reconciliation::held() const noexcept {
  return std::ranges::all_of(checks, [](const Check& check) { return check.held; });
}

Reconciliation reconcile(const Context& ctx, Api& api, const ReconcileInput& input,
                         const Progress& progress) {
  return Reconciler(api, input, progress).run(ctx);
}

}  // namespace holdfast::cli
