#include "drills/frame/check_books.hpp"

#include <map>
#include <thread>

#include "drills/frame/sqlite_file.hpp"

namespace holdfast::drills {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kFaultsTold = 3;

/// What one promise was found to be: nothing against it, or sentences.
class Finding {
 public:
  void fault(const std::string& what) {
    if (count_++ < kFaultsTold) text_ += (text_.empty() ? "" : "; ") + what;
  }
  /// `rows`' first columns each are a fault.
  void none(const std::string& what, const std::vector<std::vector<std::string>>& rows) {
    for (const auto& row : rows) fault(what + ": " + row.at(0));
  }
  void report(Stage& stage, const std::string& promise, const std::string& evidence) const {
    const std::string more =
        count_ > kFaultsTold ? " and " + std::to_string(count_ - kFaultsTold) + " more" : "";
    stage.check(promise, count_ == 0, count_ == 0 ? evidence : text_ + more);
  }

 private:
  std::size_t count_ = 0;
  std::string text_;
};

struct BookedOrder {
  std::string customer;
  std::string status;
  bool was_confirmed = false;
  std::map<std::string, std::int64_t> lines;
};

/// Money of one order, in minor units.
struct Money {
  std::int64_t charged = 0;
  std::int64_t refunded = 0;
  std::int64_t held = 0;  ///< authorized, neither captured nor released
  bool operator==(const Money&) const = default;
};

std::string to_text(const Money& money) {
  return std::to_string(money.charged) + " charged, " + std::to_string(money.refunded) + " refunded, " +
         std::to_string(money.held) + " held";
}

/// What the programs left behind.
class BookKeeping {
 public:
  BookKeeping(Stage& stage, CheckBooksOptions options)
      : stage_(stage), options_(options), data_(stage.shop().data()), file_(*data_) {
    for (const auto& row : file_.rows("select id, customer_id, status, case when confirmed_at is null then 0 "
                                      "else 1 end from orders")) {
      orders_[row[0]] = {.customer = row[1], .status = row[2], .was_confirmed = row[3] == "1", .lines = {}};
    }
    for (const auto& row : file_.rows("select order_id, sku, quantity from order_lines")) {
      orders_[row[0]].lines[row[1]] += std::stoll(row[2]);
    }
  }

  void check_orders();
  void check_stock();
  void check_receipts();
  void check_sagas();
  void check_payments();
  void check_shipments();

 private:
  void check_ledger();
  std::map<std::string, Money> providers_book() const;

  Stage& stage_;
  CheckBooksOptions options_;
  const std::unique_ptr<ShopData> data_;
  const ShopData& file_;
  std::map<std::string, BookedOrder> orders_;
};

void BookKeeping::check_orders() {
  Finding finding;
  const auto& entries = stage_.journal().entries();
  for (const std::string& what : stage_.journal().faults()) finding.fault(what);
  std::map<std::string, std::string> by_customer;
  for (const auto& [id, order] : orders_) {
    if (!by_customer.emplace(order.customer, id).second) {
      finding.fault(order.customer + "'s request became two orders, one of them " + id);
    }
    const auto entry = entries.find(order.customer);
    if (entry == entries.end()) {
      finding.fault(id + " was placed by nobody");
    } else if (entry->second.told && !entry->second.placed()) {
      finding.fault(order.customer + " was answered " + std::to_string(entry->second.told->status) +
                    ", and " + id + " is there");
    } else if (order.lines != entry->second.request.lines) {
      finding.fault(id + " has other lines than " + order.customer + " asked for");
    }
  }
  std::size_t acknowledged = 0;
  for (const auto& [customer, entry] : entries) {
    if (!entry.placed()) continue;
    ++acknowledged;
    const auto found = by_customer.find(customer);
    if (found == by_customer.end()) {
      finding.fault(customer + "'s order was acknowledged and is lost");
    } else if (found->second != order_id(entry.told->body)) {
      finding.fault(customer + " was told another order than " + found->second);
    } else if (entry.is_cancelled() && orders_[found->second].status != "cancelled") {
      finding.fault(found->second + " was cancelled and is " + orders_[found->second].status);
    }
  }
  finding.report(
      stage_, "every acknowledged order is there once, and no other",
      std::to_string(acknowledged) + " acknowledged, " + std::to_string(orders_.size()) + " there");

  Finding unfinished;
  unfinished.none("still pending", file_.rows("select id from orders where status = 'pending'"));
  if (!options_.may_park) unfinished.report(stage_, "every order has come to an end", "none is pending");
}

void BookKeeping::check_stock() {
  std::map<std::string, std::int64_t> expected;
  for (const std::string& sku : stage_.shop().skus()) expected[sku] = Shop::kPlenty;
  expected[Shop::kScarceSku] = Shop::kScarce;
  std::int64_t sold = 0;
  for (const auto& [id, order] : orders_) {
    if (order.status == "rejected" || order.status == "cancelled") continue;
    for (const auto& [sku, quantity] : order.lines) {
      expected[sku] -= quantity;
      sold += quantity;
    }
  }
  Finding finding;
  for (const auto& row : file_.rows("select sku, quantity from stock_levels")) {
    if (std::stoll(row[1]) != expected[row[0]]) {
      finding.fault(row[0] + " has " + row[1] + " pieces; what was sold leaves " +
                    std::to_string(expected[row[0]]));
    }
  }
  finding.none("level and movements differ",
               file_.rows("select sku from stock_levels l where quantity <> "
                          "(select sum(delta) from stock_movements m where m.sku = l.sku)"));
  finding.report(stage_, "stock is conserved", std::to_string(sold) + " pieces sold");
}

void BookKeeping::check_receipts() {
  std::map<std::string, int> receipts;
  for (const char* folder : {"new", "cur"}) {
    const fs::path place = stage_.shop().maildir() / folder;
    if (!fs::exists(place)) continue;
    for (const auto& file : fs::directory_iterator(place)) {
      const std::string name = file.path().filename().string();
      const std::size_t at = name.find(".receipt");
      if (at != std::string::npos) ++receipts[name.substr(0, at)];
    }
  }
  Finding finding;
  std::size_t wanted = 0;
  for (const auto& [id, order] : orders_) {
    if (!order.was_confirmed) continue;
    ++wanted;
    const auto found = receipts.find(id);
    const int count = found == receipts.end() ? 0 : found->second;
    if (count != 1) finding.fault(id + " has " + std::to_string(count) + " receipts");
    if (found != receipts.end()) receipts.erase(found);
  }
  for (const auto& [id, count] : receipts) finding.fault(id + " was never confirmed and has a receipt");
  finding.report(stage_, "one receipt for each confirmed order", std::to_string(wanted) + " receipts");
}

void BookKeeping::check_sagas() {
  if (!file_.has_table("sagas")) return;
  Finding finding;
  finding.none(
      "not ended",
      file_.rows("select id || ' (' || status || ' at ' || step_name || ')' from sagas where status not in "
                 "('completed', 'compensated', 'abandoned', 'parked')"));
  if (!options_.may_park) {
    finding.none(
        "waits for a person",
        file_.rows("select id || ' at ' || step_name || ': ' || error from sagas where status = 'parked'"));
  }
  finding.report(stage_, "every checkout has ended",
                 file_.text("select count(*) from sagas") + " sagas, " +
                     file_.text("select count(*) from sagas where status = 'compensated'") +
                     " of them undone");
}

std::map<std::string, Money> BookKeeping::providers_book() const {
  std::map<std::string, Money> book;
  const SqliteFile theirs(stage_.paysim().database_file());
  for (const auto& row :
       theirs.rows("select order_id, amount_received, amount_refunded, amount_capturable from intents")) {
    Money& money = book[row[0]];
    money.charged += std::stoll(row[1]);
    money.refunded += std::stoll(row[2]);
    money.held += std::stoll(row[3]);
  }
  return book;
}

void BookKeeping::check_payments() {
  if (!stage_.has_paysim() || !file_.has_table("payments")) return;
  const std::map<std::string, Money> theirs = providers_book();
  std::map<std::string, Money> ours;
  for (const auto& row :
       file_.rows("select order_id, captured_minor, refunded_minor, "
                  "case when state = 'authorized' then amount_minor else 0 end from payments")) {
    ours[row[0]] = {
        .charged = std::stoll(row[1]), .refunded = std::stoll(row[2]), .held = std::stoll(row[3])};
  }
  Finding charges;
  Finding undone;
  Finding books;
  std::int64_t charged = 0;
  for (const auto& [order, money] : theirs) {
    charged += money.charged;
    const auto booked = orders_.find(order);
    if (booked == orders_.end()) {
      if (money.charged > 0 || money.held > 0) charges.fault(order + ": " + to_text(money));
      continue;
    }
    const std::string& status = booked->second.status;
    const bool over = status == "rejected" || status == "cancelled";
    if (over && (money.charged != money.refunded || money.held != 0)) {
      undone.fault(order + " is " + status + ": " + to_text(money));
    }
    if (!options_.may_park && !over && money.charged == 0)
      charges.fault(order + " is " + status + " and not charged");
    if (ours[order] != money) {
      books.fault(order + ": we have " + to_text(ours[order]) + ", the provider has " + to_text(money));
    }
  }
  for (const auto& [order, money] : ours) {
    if (!theirs.contains(order) && money != Money{}) books.fault(order + " is not in the provider's book");
  }
  charges.report(stage_, "no charge without an order, no order without its charge",
                 std::to_string(theirs.size()) + " payments, " + std::to_string(charged) + " charged");
  undone.report(stage_, "no order both undone and charged", "all of them were given back");
  books.report(stage_, "our book and the provider's are the same", std::to_string(ours.size()) + " payments");
  check_ledger();
}

void BookKeeping::check_ledger() {
  if (!file_.has_table("ledger_entries")) return;
  Finding finding;
  finding.none("does not sum up to nothing",
               file_.rows("select transaction_id from ledger_entries group by transaction_id, currency "
                          "having sum(amount_minor) <> 0"));
  finding.none("the ledger has another charge than the payment",
               file_.rows("select p.order_id from payments p where p.captured_minor - p.refunded_minor <> "
                          "(select coalesce(sum(e.amount_minor), 0) from ledger_entries e "
                          "where e.order_id = p.order_id and e.account like 'clearing:%')"));
  finding.report(stage_, "the ledger is balanced",
                 file_.text("select count(*) from ledger_entries") + " entries");
}

/// The carrier's book against ours: whoever was shipped to has one booking there, and nobody else has any.
void BookKeeping::check_shipments() {
  if (!stage_.has_carriersim() || !file_.has_table("shipments")) return;
  const SqliteFile theirs(stage_.carriersim().database_file());
  std::map<std::string, std::vector<std::string>> active;  // the carrier's numbers, by our reference
  for (const auto& row : theirs.rows("select reference, number from bookings where status <> 'S'")) {
    active[row[0]].push_back(row[1]);
  }
  Finding finding;
  std::size_t shipped = 0;
  for (const auto& row : file_.rows("select s.reference, s.state, coalesce(s.carrier_ref, ''), s.order_id, "
                                    "o.status from shipments s left join orders o on o.id = s.order_id")) {
    const std::vector<std::string> found = active[row[0]];
    active.erase(row[0]);
    const std::string order = row[3] + " is " + row[4];
    const bool collected = row[1] == "collected";
    const bool goes = row[4] == "shipped" && !collected;
    shipped += goes ? 1 : 0;
    if (found.size() != (goes ? 1U : 0U)) {
      finding.fault(order + ", and the carrier has " + std::to_string(found.size()) + " bookings of it");
    } else if (goes && (row[1] != "booked" || std::stoll(row[2]) != std::stoll(found[0]))) {
      finding.fault(order + ", its shipment is " + row[1] + " as " + row[2] + ", the carrier has " +
                    found[0]);
    }
    if (row[1] == "unknown") finding.fault(order + ", and whether it is booked is unknown");
  }
  for (const auto& [reference, numbers] : active) finding.fault("the carrier has a booking of " + reference);
  if (!options_.may_park) {
    finding.report(
        stage_, "one booking for each order that is shipped, none for any other",
        std::to_string(shipped) + " of " + theirs.text("select count(*) from bookings") + " bookings stand");
  }
}

/// Whether nothing is left to do. Read beside the running programs.
bool settled(Stage& stage) {
  try {
    HttpConnection http = stage.shop().connect();
    const HttpAnswer status = http.get("/v1/ops/subscriptions");
    for (std::size_t at = 0; (at = status.body.find("\"lag\":", at)) != std::string::npos; ++at) {
      if (status.body[at + 6] != '0') return false;
    }
    for (std::size_t at = 0; (at = status.body.find("\"parked\":", at)) != std::string::npos; ++at) {
      if (status.body[at + 9] != '0') return false;
    }
    if (status.status != 200) return false;
  } catch (const NoAnswer&) {
    return false;
  }
  const auto data = stage.shop().data();
  if (!data->has_table("sagas")) return true;
  return data->number("select count(*) from sagas where status in ('running', 'waiting', 'compensating')") ==
         0;
}

}  // namespace

void check_books(Stage& stage, CheckBooksOptions options) {
  if (!stage.has_shop()) return;
  Shop& shop = stage.shop();
  if (stage.has_paysim() && !stage.paysim().running()) stage.paysim().start();
  if (stage.has_carriersim() && !stage.carriersim().running()) stage.carriersim().start();
  if (!shop.server().running()) shop.server().start();
  const auto begun = std::chrono::steady_clock::now();
  const bool done = stage.wait_until(options.settle_within, [&] {
    std::this_thread::sleep_for(20ms);
    return settled(stage);
  });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  stage.check("everything begun came to an end", done, "after " + with_unit(took.count(), "s"));
  if (const ExitStatus ended = shop.server().stop(); ended.code != 0) {
    stage.check("the server ended well", false, "exit code " + std::to_string(ended.code));
  }
  if (stage.has_paysim()) stage.paysim().stop();
  if (stage.has_carriersim()) stage.carriersim().stop();

  BookKeeping books(stage, options);
  books.check_orders();
  books.check_stock();
  books.check_receipts();
  books.check_sagas();
  books.check_payments();
  books.check_shipments();
}

}  // namespace holdfast::drills
