// Rows in bulk: COPY on PostgreSQL, in and out, streamed; where an engine has no such thing (SQLite), the
// same by inserts and a query.
//
//   const auto written = sql::copy_in(tx, "products", {"sku", "name"}, [&](sql::CopyRows& rows) {
//     for (const auto& p : products) rows.add(p.sku, p.name);        // waits while the server takes no more
//   });
//   sql::copy_out(ctx, db, "select sku, name from products order by sku", [&](std::string_view csv) {
//     response.write(ctx, csv);                                      // may wait: then the server waits too
//   });
//
// Memory is bounded by CopyLimits, however many rows there are. Failures are DatabaseErrors of the usual
// kinds; a failed copy_in() undoes the body, as any statement does. Thread-safety: as the Transaction's and
// the Database's.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/function_ref.hpp"

namespace holdfast::sql {

struct CopyLimits {
  /// Bytes kept before they are sent, or passed to the sink.
  static constexpr std::size_t kChunkBytes = 64 * 1024;
  /// Bytes of a result that an engine without COPY keeps in memory, since its query can't wait for a sink;
  /// more is Error(too_large).
  static constexpr std::size_t kMostGathered = 64 * 1024 * 1024;
};

/// A row's bytes on their way into an adapter.
class CopySink {
 public:
  virtual void row(std::span<const Param> values) = 0;

 protected:
  ~CopySink() = default;
};

/// What copy_in() gives its source. Only while that runs; no other statement of the transaction may run then.
class CopyRows {
 public:
  CopyRows(Transaction& transaction, std::string insert) noexcept
      : transaction_(&transaction), insert_(std::move(insert)) {}
  explicit CopyRows(CopySink& sink, std::size_t columns) noexcept : sink_(&sink), columns_(columns) {}

  /// One row, its values in the order of the columns.
  template <class... Values>
  void add(const Values&... values) {
    ++added_;
    if (sink_ == nullptr) {
      transaction_->execute(insert_, values...);
      return;
    }
    require_columns(sizeof...(Values));
    const std::array<Param, sizeof...(Values)> bound{Param(values)...};
    sink_->row(bound);
  }
  std::int64_t added() const noexcept { return added_; }

 private:
  void require_columns(std::size_t given) const;

  Transaction* transaction_ = nullptr;
  std::string insert_;
  CopySink* sink_ = nullptr;
  std::size_t columns_ = 0;
  std::int64_t added_ = 0;
};

/// Runs `source(CopyRows&)` and returns the number of rows that were written. `table` and `columns` are
/// literals of the caller's, not input. Either all rows are there or the body has failed.
std::int64_t copy_in(Transaction& tx, std::string_view table, std::initializer_list<std::string_view> columns,
                     FunctionRef<void(CopyRows&)> source);

/// Runs `query`, which takes no parameters, and passes its rows on as CSV (RFC 4180, "\n" between rows, a
/// heading first; NULL is empty, an empty text is ""), in pieces that end anywhere. Returns the number of
/// rows. `sink` may wait; what it throws ends the query and is passed on. PostgreSQL's statement_timeout and
/// ctx's deadline hold for the whole.
std::int64_t copy_out(const Context& ctx, Database& database, std::string_view query,
                      FunctionRef<void(std::string_view csv)> sink);

/// An open transaction that has a faster way; adapters derive from it beside Transaction.
class CopyTarget {
 public:
  virtual std::int64_t copy_rows(std::string_view table, std::span<const std::string_view> columns,
                                 FunctionRef<void(CopyRows&)> source) = 0;

 protected:
  ~CopyTarget() = default;
};

/// A Database that has one, or stands before one. False where that has none: then nothing was done.
class CopySource {
 public:
  virtual bool copy_csv(const Context& ctx, std::string_view query, FunctionRef<void(std::string_view)> sink,
                        std::int64_t& rows) = 0;

 protected:
  ~CopySource() = default;
};

/// A value as CSV has it, added to `out`; the same for all engines.
void append_csv(std::string& out, const Value& value);

}  // namespace holdfast::sql
