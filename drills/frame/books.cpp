#include "drills/frame/books.hpp"

#include <set>

#include "holdfast/base/json.hpp"

namespace holdfast::drills {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostFaults = 20;

/// The text without differences that mean nothing.
std::string compact(const JsonValue& value) {
  std::string text;
  JsonWriter(text).value(value);
  return text;
}

/// "ord_….receipt" of "ord_….receipt:2,S".
std::string mail_name(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.substr(0, name.find_first_of(":,"));
}

}  // namespace

void Books::fault(std::string what) {
  if (faults_.size() < kMostFaults) faults_.push_back(std::move(what));
}

void Books::none(const std::string& what, const std::string& sql) {
  for (const auto& row : file_.rows(sql + " limit 5")) fault(what + ": " + row.at(0));
}

void Books::check_journal() {
  for (const std::string& what : journal_.faults()) fault(what);
  for (const auto& [customer, entry] : journal_.entries()) {
    if (!entry.told) {
      fault(customer + " was never answered");
    } else if (!entry.placed() && entry.told->body.find("insufficient_stock") == std::string::npos) {
      fault(customer + " was answered " + std::to_string(entry.told->status) + " " + entry.told->body);
    }
    if (entry.cancellation_asked && !entry.is_cancelled()) {
      fault(customer + "'s cancellation was answered " +
            (entry.cancelled ? std::to_string(entry.cancelled->status) + " " + entry.cancelled->body
                             : "never"));
    }
  }
}

void Books::check_orders() {
  std::map<std::string, std::map<std::string, std::int64_t>> lines;  // by order
  for (const auto& row : file_.rows("select order_id, sku, quantity from order_lines")) {
    if (!lines[row[0]].emplace(row[1], std::stoll(row[2])).second)
      fault(row[0] + " has " + row[1] + " twice");
  }
  std::set<std::string> seen;
  for (const auto& row : file_.rows("select customer_id, id, status from orders")) {
    const std::string& customer = row[0];
    const std::string& id = row[1];
    if (!seen.insert(customer).second) fault(customer + "'s request became two orders, one of them " + id);
    const auto found = journal_.entries().find(customer);
    if (found == journal_.entries().end()) {
      fault(id + " was placed by nobody: " + customer);
      continue;
    }
    const JournalEntry& entry = found->second;
    if (!entry.placed()) fault(customer + " was refused, but " + id + " is there");
    if (entry.placed() && order_id(entry.told->body) != id)
      fault(customer + " was told another order than " + id);
    if (lines[id] != entry.request.lines) fault(id + " has other lines than " + customer + " asked for");
    const std::string expected = entry.is_cancelled() ? "cancelled" : "confirmed";
    if (row[2] != expected) fault(id + " is " + row[2] + " and should be " + expected);
  }
  for (const auto& [customer, entry] : journal_.entries()) {
    if (entry.placed() && !seen.contains(customer)) fault(customer + "'s order was acknowledged and is lost");
  }
  none("lines of no order", "select order_id from order_lines where order_id not in (select id from orders)");
}

void Books::check_stock() {
  std::map<std::string, std::int64_t> expected;
  for (const std::string& sku : shop_.skus()) expected[sku] = Shop::kPlenty;
  expected[Shop::kScarceSku] = Shop::kScarce;
  for (const auto& [customer, entry] : journal_.entries()) {
    if (!entry.placed() || entry.is_cancelled()) continue;
    for (const auto& [sku, quantity] : entry.request.lines) expected[sku] -= quantity;
  }
  std::map<std::string, std::int64_t> levels;
  for (const auto& row : file_.rows("select sku, quantity from stock_levels"))
    levels[row[0]] = std::stoll(row[1]);
  for (const auto& [sku, quantity] : expected) {
    if (levels[sku] != quantity) {
      fault(sku + " has " + std::to_string(levels[sku]) + " pieces; sold and returned leave " +
            std::to_string(quantity));
    }
  }
  none("level and ledger differ",
       "select sku from (select sku, quantity, (select sum(delta) from stock_movements m where m.sku = "
       "l.sku) as "
       "moved from stock_levels l) where quantity <> moved");
  const std::string moved =
      "(select reference, sku, count(*) as n, sum(delta) as delta from stock_movements where reason = ";
  const std::string there =
      " group by reference, sku) m left join (select l.*, o.status from order_lines l join "
      "orders o on o.id = l.order_id) l on l.order_id = m.reference and l.sku = m.sku ";
  none("sold twice or to nobody", "select m.reference from " + moved + "'sold'" + there +
                                      "where n <> 1 or l.quantity is null or delta <> -l.quantity");
  none("given back twice or without a cancellation",
       "select m.reference from " + moved + "'cancelled'" + there +
           "where n <> 1 or l.status is not 'cancelled' or delta <> l.quantity");
  none("sold and not in the ledger",
       "select order_id from order_lines where (order_id, sku) not in (select reference, sku from "
       "stock_movements "
       "where reason = 'sold')");
  none("cancelled and not given back",
       "select l.order_id from order_lines l join orders o on o.id = l.order_id where o.status = 'cancelled' "
       "and "
       "(l.order_id, l.sku) not in (select reference, sku from stock_movements where reason = 'cancelled')");
}

void Books::check_log() {
  std::map<std::string, std::string> payloads;
  for (const auto& row : file_.rows("select key, payload from outbox where type = 'order.placed'")) {
    payloads[row[0]] = row[1];
  }
  for (const auto& [customer, entry] : journal_.entries()) {
    if (entry.placed() && payloads[order_id(entry.told->body)] != entry.told->body) {
      fault(customer + "'s order has no event, or one that says something else");
    }
  }
  none("events published twice",
       "select key from outbox where topic = 'orders' group by key, type having count(*) <> 1");
  none("events of no order",
       "select key from outbox where topic = 'orders' and key not in (select id from orders)");
  none("cancellations without an event",
       "select id from orders where status = 'cancelled' and id not in (select key from outbox where type = "
       "'order.cancelled')");
  none("cancelled events of orders that are not",
       "select o.key from outbox o join orders r on r.id = o.key where o.type = 'order.cancelled' and "
       "r.status <> "
       "'cancelled'");
  none("messages not handled",
       "select o.key from outbox o join outbox_leases l on l.bucket = o.bucket and l.group_name = "
       "'notifications' "
       "where o.position > l.position");
  none("messages parked", "select key from parked_messages");
  none("dead letters", "select key || ': ' || error from dead_letters");
}

void Books::check_mail(bool read_each) {
  std::map<std::string, int> mails;
  for (const char* folder : {"new", "cur"}) {
    for (const auto& file : fs::directory_iterator(shop_.maildir() / folder)) {
      const std::string name = mail_name(file.path());
      ++mails[name];
      if (!read_each) continue;
      const std::string text = read_text(file.path());
      if (text.find("Message-ID: <" + name + "@") == std::string::npos || !text.ends_with("--\r\n")) {
        fault("a mail is half there: " + file.path().string());
      }
    }
  }
  std::size_t wanted = 0;
  const auto want_one = [&](const std::string& name) {
    ++wanted;
    const auto found = mails.find(name);
    const int count = found == mails.end() ? 0 : found->second;
    if (count != 1) fault(name + " is in the maildir " + std::to_string(count) + " times");
  };
  for (const auto& [customer, entry] : journal_.entries()) {
    if (!entry.placed()) continue;
    want_one(order_id(entry.told->body) + ".receipt");
    if (entry.is_cancelled()) want_one(order_id(entry.told->body) + ".cancellation");
  }
  if (mails.size() != wanted) {
    fault("there are " + std::to_string(mails.size()) + " mails and should be " + std::to_string(wanted));
  }
  if (file_.number("select count(*) from sent_mails") != static_cast<std::int64_t>(wanted)) {
    fault("the record of mails sent is not what was sent");
  }
}

void Books::check_api() {
  HttpConnection http = shop_.connect();
  std::map<std::string, std::string> orders;
  for (std::string cursor, target = "/v1/orders?limit=200"; !target.empty();) {
    const HttpAnswer answer = http.get(target);
    if (answer.status != 200) return fault("listing orders was answered " + answer.body);
    const JsonDocument page = JsonDocument::parse(answer.body);
    for (const JsonValue& order : page.root().find("items")->items()) {
      orders[std::string(order.find("customerId")->as_string())] = compact(order);
    }
    const JsonValue* next = page.root().find("nextCursor");
    target = next == nullptr || next->is_null()
                 ? ""
                 : "/v1/orders?limit=200&cursor=" + std::string(next->as_string());
  }
  for (const auto& [customer, entry] : journal_.entries()) {
    if (!entry.placed()) continue;
    const std::string& told = entry.is_cancelled() ? entry.cancelled->body : entry.told->body;
    if (orders[customer] != compact(JsonDocument::parse(told).root())) {
      fault(customer + " was told " + told + " and the API says " + orders[customer]);
    }
  }
  const std::string own = http.get("/v1/ops/reconciliation").body;
  if (own.find(R"("balanced":true,"complete":true)") == std::string::npos)
    fault("its own reconciliation: " + own);
}

void Books::check_file() {
  const std::string verdict = file_.text("pragma integrity_check");
  if (verdict != "ok") fault("SQLite finds the file damaged: " + verdict);
}

}  // namespace holdfast::drills
