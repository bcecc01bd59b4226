#include "orders/modules/payments/ledger.hpp"

#include "holdfast/base/error.hpp"

namespace holdfast::orders::payments {
namespace {

void require_balanced(std::span<const LedgerEntry> entries) {
  Money sum{0, entries.front().currency};
  for (const LedgerEntry& entry : entries) {
    if (entry.currency != sum.currency) {
      throw Error(ErrorCode::internal, "The ledger refused a transaction.")
          .reason("ledger_unbalanced")
          .cause(entry.transaction_id + " is in two currencies");
    }
    sum += Money{entry.amount_minor, entry.currency};
  }
  if (sum.minor == 0) return;
  throw Error(ErrorCode::internal, "The ledger refused a transaction.")
      .reason("ledger_unbalanced")
      .cause(entries.front().transaction_id + " sums up to " + std::to_string(sum.minor));
}

}  // namespace

bool post(sql::Transaction& tx, std::span<const LedgerEntry> entries) {
  if (entries.empty()) return false;
  require_balanced(entries);
  std::int64_t position = 0;
  for (const LedgerEntry& entry : entries) {
    const std::int64_t written = tx.execute(
        "insert into ledger_entries(transaction_id, position, order_id, kind, account, amount_minor, "
        "currency, at) values($1, $2, $3, $4, $5, $6, $7, $8) on conflict(transaction_id, position) do "
        "nothing",
        entries.front().transaction_id, ++position, entry.order_id, entry.kind, entry.account,
        entry.amount_minor, entry.currency, entry.at);
    if (written == 0) return false;  // then the first one was there, and with it all of them
  }
  return true;
}

OrderBalance balance(sql::Queries& db, const OrderId& order_id) {
  using Columns = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::optional<Currency>>;
  const auto columns = db.query_one<Columns>(
      "select coalesce(sum(case when kind = 'capture' and account like 'clearing:%' then amount_minor end), "
      "0), coalesce(sum(case when account = 'refunds' then amount_minor end), 0), "
      "coalesce(sum(case when account like 'receivable:%' then amount_minor end), 0), max(currency) "
      "from ledger_entries where order_id = $1",
      order_id);
  if (!columns) return {};
  const auto& [charged, refunded, owed, currency] = *columns;
  const Currency of = currency.value_or(Currency());
  return {{charged, of}, {refunded, of}, {owed, of}};
}

std::vector<LedgerEntry> ledger_entries(sql::Queries& db, const OrderId& order_id) {
  return db.query<LedgerEntry>(
      "select transaction_id, position, order_id, kind, account, amount_minor, currency, at "
      "from ledger_entries where order_id = $1 order by at, transaction_id, position",
      order_id);
}

std::vector<LedgerImbalance> imbalances(sql::Queries& db, std::int64_t limit) {
  return db.query<LedgerImbalance>(
      "select transaction_id, min(currency) as currency, sum(amount_minor) as sum_minor "
      "from ledger_entries group by transaction_id "
      "having sum(amount_minor) <> 0 or min(currency) <> max(currency) order by transaction_id limit $1",
      limit);
}

std::vector<LedgerMismatch> mismatches(sql::Queries& db, std::int64_t limit) {
  return db.query<LedgerMismatch>(
      "select p.id as payment_id, p.captured_minor as captured_minor, p.refunded_minor as refunded_minor, "
      "  coalesce(l.captured, 0) as ledger_captured_minor, coalesce(l.refunded, 0) as ledger_refunded_minor "
      "from payments p left join ("
      "  select order_id, sum(case when kind = 'capture' and account like 'clearing:%' then amount_minor "
      "else 0 end) as captured, sum(case when account = 'refunds' then amount_minor else 0 end) as refunded "
      "  from ledger_entries group by order_id) l on l.order_id = p.order_id "
      "where p.captured_minor <> coalesce(l.captured, 0) or p.refunded_minor <> coalesce(l.refunded, 0) "
      "order by p.id limit $1",
      limit);
}

}  // namespace holdfast::orders::payments
