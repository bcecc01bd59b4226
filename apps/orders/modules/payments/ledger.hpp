// The ledger: double entry, append-only. What moves money writes a transaction of entries that sum up to
// nothing; what was written stays. (Part of payments.hpp.)
//
//   sale     receivable:<order> +, sales -          the order owes its total
//   capture  clearing:<provider> +, receivable -    the provider has taken it for us
//   void     sales +, receivable -                  nobody owes it any more: declined, released
//   refund   refunds +, clearing:<provider> -       the provider gave it back
//
// Amounts are minor units; a debit is positive. Thread-safety: as the Transaction's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/sql/database.hpp"
#include "orders/modules/payments/provider.hpp"

namespace holdfast::orders::payments {

enum class LedgerKind : std::uint8_t { sale, capture, void_sale, refund };
HOLDFAST_DESCRIBE_ENUM(LedgerKind, sale, capture, void_sale, refund)

struct LedgerEntry {
  std::string transaction_id;  ///< "pay_….capture.1250": one that was written is not written again
  std::int64_t position = 0;   ///< within its transaction, from 1
  OrderId order_id;
  LedgerKind kind = LedgerKind::sale;
  std::string account;  ///< "receivable:ord_…", "clearing:stripe", "sales", "refunds"
  std::int64_t amount_minor = 0;
  Currency currency;
  WallTime at;
};
HOLDFAST_DESCRIBE(LedgerEntry,
                  (transaction_id, position, order_id, kind, account, amount_minor, currency, at))

/// What an order was charged, got back, and owes, by the ledger.
struct OrderBalance {
  Money charged;
  Money refunded;
  Money owed;
};
HOLDFAST_DESCRIBE(OrderBalance, (charged, refunded, owed))

/// A transaction whose entries do not sum up to nothing. There should never be one.
struct LedgerImbalance {
  std::string transaction_id;
  std::string currency;
  std::int64_t sum_minor = 0;
};
HOLDFAST_DESCRIBE(LedgerImbalance, (transaction_id, currency, sum_minor))

/// A payment whose row and entries say different things. There should never be one.
struct LedgerMismatch {
  std::string payment_id;
  std::int64_t captured_minor = 0;
  std::int64_t refunded_minor = 0;
  std::int64_t ledger_captured_minor = 0;
  std::int64_t ledger_refunded_minor = 0;
};
HOLDFAST_DESCRIBE(LedgerMismatch,
                  (payment_id, captured_minor, refunded_minor, ledger_captured_minor, ledger_refunded_minor))

/// Writes one transaction. False, and nothing done, where it was written before. Throws Error(internal,
/// "ledger_unbalanced") where the amounts do not sum up to nothing or are of two currencies.
bool post(sql::Transaction& tx, std::span<const LedgerEntry> entries);

/// All zero (of currency XXX) for an order that the ledger does not know.
OrderBalance balance(sql::Queries& db, const OrderId& order_id);
/// In the order written.
std::vector<LedgerEntry> ledger_entries(sql::Queries& db, const OrderId& order_id);
std::vector<LedgerImbalance> imbalances(sql::Queries& db, std::int64_t limit = 100);
std::vector<LedgerMismatch> mismatches(sql::Queries& db, std::int64_t limit = 100);

}  // namespace holdfast::orders::payments
