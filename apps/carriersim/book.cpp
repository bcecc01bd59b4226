#include "carriersim/book.hpp"

#include "holdfast/base/reflect.hpp"

namespace holdfast::carriersim {
namespace {

constexpr std::int64_t kFirstNumber = 80'000'000;
constexpr std::int64_t kMaxParcels = 500;
constexpr int kDaysToDeliver = 3;

struct Entry {
  std::int64_t number = 0;
  std::string customer;
  std::string reference;
  std::string tracking;
  std::string status;
  std::string delivery_date;
  std::string address;
  std::string value;
  std::string currency;
  std::int64_t parcels = 0;
  WallTime created_at{};
  WallTime changed_at{};
};
HOLDFAST_DESCRIBE(Entry, (number, customer, reference, tracking, status, delivery_date, address, value,
                          currency, parcels, created_at, changed_at))

struct Totals {
  std::int64_t bookings = 0;
  std::int64_t active = 0;
  std::int64_t cancelled = 0;
  std::int64_t duplicated = 0;  ///< references with more than one active booking
};
HOLDFAST_DESCRIBE(Totals, (bookings, active, cancelled, duplicated))

constexpr std::string_view kColumns =
    "number, customer, reference, tracking, status, delivery_date, address, value, currency, parcels, "
    "created_at, changed_at";

Sending sending_of(const Entry& entry) {
  return {entry.number, entry.customer,      entry.reference, entry.tracking,
          entry.status, entry.delivery_date, entry.address};
}

}  // namespace

Wish read_wish(std::string_view body) {
  Form form(body, "SNDNEU");
  Wish wish;
  wish.customer = form.text("KUNNR");
  wish.reference = form.text("XREF");
  if (wish.reference.empty()) throw BadForm("XREF is empty");
  if (form.text("NAME1").empty()) throw BadForm("NAME1 is empty");
  form.text("NAME2");
  wish.address = form.text("ADRESSE");
  if (const std::string fault = fault_of_address(wish.address); !fault.empty()) {
    throw BadForm("ADRESSE " + fault);
  }
  if (form.text("LAND1").size() != 2) throw BadForm("LAND1 is no country");
  wish.value = form.text("NETWR");
  wish.currency = form.text("WAERK");
  form.text("X_FLAG_2");
  const std::int64_t positions = form.number("ANZPOS", kMaxParcels);
  for (std::int64_t i = 0; i < positions; ++i) {
    form.text("MATNR");
    wish.parcels += form.number("MENGE", 1'000'000);
  }
  form.end();
  return wish;
}

Sending enter(sql::Transaction& tx, const Wish& wish, WallTime now) {
  Sending made;
  made.number =
      tx.query_value<std::int64_t>("select coalesce(max(number), $1) + 1 from bookings", kFirstNumber);
  made.customer = wish.customer;
  made.reference = wish.reference;
  made.tracking = "LC" + ten_digits(made.number);
  made.status = "A";
  made.delivery_date = date_after(now.time_since_epoch().count(), kDaysToDeliver);
  made.address = wish.address;
  tx.execute(
      "insert into bookings(number, customer, reference, tracking, status, delivery_date, address, value, "
      "currency, parcels, created_at, changed_at) values($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
      made.number, made.customer, made.reference, made.tracking, made.status, made.delivery_date,
      made.address, wish.value, wish.currency, wish.parcels, now);
  return made;
}

std::optional<Sending> find(sql::Queries& db, std::int64_t number) {
  const auto found =
      db.query_one<Entry>("select " + std::string(kColumns) + " from bookings where number = $1", number);
  if (!found) return std::nullopt;
  return sending_of(*found);
}

std::vector<Sending> find(sql::Queries& db, const std::string& customer, const std::string& reference) {
  std::vector<Sending> found;
  db.for_each<Entry>(
      "select " + std::string(kColumns) +
          " from bookings where reference = $1 and customer = $2 order by number limit 100",
      [&](Entry&& entry) { found.push_back(sending_of(entry)); }, reference, customer);
  return found;
}

void set_status(sql::Transaction& tx, std::int64_t number, std::string_view status, WallTime now) {
  tx.execute("update bookings set status = $2, changed_at = $3 where number = $1", number, status, now);
}

std::string book_page(sql::Queries& db, std::int64_t after, std::int64_t limit) {
  std::vector<Entry> page = db.query<Entry>(
      "select " + std::string(kColumns) + " from bookings where number > $1 order by number limit $2", after,
      limit + 1);
  const bool more = page.size() > static_cast<std::size_t>(limit);
  if (more) page.pop_back();
  const auto totals = db.query_one<Totals>(
      "select count(*) as bookings, coalesce(sum(case when status <> 'S' then 1 else 0 end), 0) as active, "
      "coalesce(sum(case when status = 'S' then 1 else 0 end), 0) as cancelled, (select count(*) from "
      "(select "
      "reference from bookings where status <> 'S' group by reference having count(*) > 1) as twice) as "
      "duplicated from bookings");
  std::string out;
  JsonWriter writer(out);
  writer.begin_object()
      .key("bookings")
      .raw(to_json(page))
      .key("totals")
      .raw(to_json(totals.value()))
      .key("next");
  if (more) {
    writer.value(page.back().number);
  } else {
    writer.null();
  }
  writer.end_object();
  return out;
}

std::vector<sql::Migration> migrations() {
  return {{.version = 1,
           .name = "bookings",
           .up_sql = R"sql(
create table bookings(
  number integer not null primary key,
  customer text not null,
  reference text not null,
  tracking text not null,
  status text not null,
  delivery_date text not null,
  address text not null,
  value text not null,
  currency text not null,
  parcels integer not null,
  created_at integer not null,
  changed_at integer not null
);
create index bookings_by_reference on bookings(reference);
)sql",
           .down_sql = "drop table bookings;"}};
}

}  // namespace holdfast::carriersim
