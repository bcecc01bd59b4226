#include "paysim/book.hpp"

#include "holdfast/base/reflect.hpp"
#include "paysim/intent.hpp"

namespace holdfast::paysim {
namespace {

constexpr std::int64_t kPage = 1000;

struct Entry {
  std::string id;
  std::string order_id;
  IntentStatus status = IntentStatus::requires_payment_method;
  std::string currency;
  std::int64_t amount = 0;
  std::int64_t authorized = 0;
  std::int64_t capturable = 0;
  std::int64_t captured = 0;
  std::int64_t refunded = 0;
  std::string payment_method;
  WallTime created_at{};
};
HOLDFAST_DESCRIBE(Entry, (id, order_id, status, currency, amount, authorized, capturable, captured, refunded,
                          payment_method, created_at))

std::vector<Entry> entries(const Context& ctx, sql::Database& database, const std::string& after,
                           std::int64_t limit) {
  return database.query<Entry>(
      ctx,
      "select id, order_id, status, currency, amount, amount_authorized as authorized, amount_capturable as "
      "capturable, amount_received as captured, amount_refunded as refunded, payment_method, created_at from "
      "intents where id > $1 order by id limit $2",
      after, limit);
}

void add(Totals& totals, const Entry& entry) {
  ++totals.intents;
  totals.authorized += entry.authorized;
  totals.capturable += entry.capturable;
  totals.captured += entry.captured;
  totals.refunded += entry.refunded;
}

}  // namespace

Totals totals(const Context& ctx, sql::Database& database) {
  return database.read(ctx, {.offload = true}, [](sql::Snapshot& db) {
    return *db.query_one<Totals>(
        "select count(*) as intents, coalesce(sum(amount_authorized), 0) as authorized, "
        "coalesce(sum(amount_capturable), 0) as capturable, coalesce(sum(amount_received), 0) as captured, "
        "coalesce(sum(amount_refunded), 0) as refunded from intents");
  });
}

http::Response whole_book(sql::Database& database) {
  return http::Response::streamed(200, "application/json",
                                  [&database](const Context& ctx, http::BodyWriter& out) {
                                    Totals sums;
                                    std::string after;
                                    std::string text = "{\"intents\":[";
                                    for (;;) {
                                      const std::vector<Entry> page = entries(ctx, database, after, kPage);
                                      for (const Entry& entry : page) {
                                        if (sums.intents > 0) text += ",";
                                        text += to_json(entry);
                                        add(sums, entry);
                                      }
                                      out.write(ctx, text);
                                      text.clear();
                                      if (page.size() < static_cast<std::size_t>(kPage)) break;
                                      after = page.back().id;
                                    }
                                    out.write(ctx, "],\"totals\":" + to_json(sums) + "}");
                                  });
}

std::string book_page(const Context& ctx, sql::Database& database, const std::string& after,
                      std::int64_t limit) {
  std::vector<Entry> page = entries(ctx, database, after, limit + 1);
  const bool more = page.size() > static_cast<std::size_t>(limit);
  if (more) page.pop_back();
  Totals sums;
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("intents").begin_array();
  for (const Entry& entry : page) {
    writer.raw(to_json(entry));
    add(sums, entry);
  }
  writer.end_array().key("totals").raw(to_json(sums)).key("next");
  if (more) {
    writer.value(page.back().id);
  } else {
    writer.null();
  }
  writer.end_object();
  return out;
}

}  // namespace holdfast::paysim
