// Moves all rows of a database into an empty one of the same schema, on another engine or the same: in
// batches of bounded size, each with how far it is in its own transaction, so that a transfer that was killed
// goes on where it was; and checks by counts and digests that what is there is what was read.
//
//   sql::Transfer transfer(from, to, orders::migrations(), {.source_name = "orders.db"});
//   const sql::TransferReport report = transfer.run(ctx);        // throws unless all of it is the same
//
// While it is under way the target carries a mark that keeps Migrator::up(), and so every process that would
// serve from it, from starting. The source is only read; nobody may write to it meanwhile: what changes
// behind the transfer's back shows as a difference. Tables need a primary key or a unique index; foreign keys
// between them are not known here. Thread-safety: one fiber.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"

namespace holdfast::sql {

struct TableShape;
struct Cell;

/// Numbers that are never given twice, given by a PostgreSQL sequence that no column owns. Those of
/// identity and AUTOINCREMENT columns are found without being told.
struct TransferCounter {
  std::string table;
  std::string column;
  std::string sequence;
};

struct TransferProgress {
  std::string_view doing;  ///< "copying", "verifying"
  std::string_view table;
  std::int64_t rows = 0;  ///< of the table, done
  std::int64_t of = 0;    ///< of the table, in all
};

struct TransferOptions {
  std::string source_name;             ///< without secrets; a transfer is only gone on with from the same
  std::size_t batch_rows = 1000;       ///< a transaction of the target; at least 1
  std::size_t batch_bytes = 4u << 20;  ///< likewise, counted before the row that exceeds it
  std::vector<TransferCounter> counters = {};
  std::function<void(const TransferProgress&)> progress = {};  ///< after each batch; must not throw
};

struct TransferTable {
  std::string name;
  std::int64_t rows = 0;
  std::string digest = {};  ///< SHA-256 of all rows in key order, hex; empty: not verified yet
};

struct TransferReport {
  std::vector<TransferTable> tables;
  bool resumed = false;
  std::int64_t copied = 0;  ///< rows, by this run
};

class Transfer {
 public:
  /// `source` and `target` are borrowed.
  Transfer(Database& source, Database& target, std::vector<Migration> migrations, TransferOptions options);

  /// What run() would move; changes nothing. `target` may have no schema yet. Throws as run() does before
  /// its first row.
  TransferReport plan(const Context& ctx);

  /// Throws Error(failed_precondition): "source_schema" where the source is not at this binary's schema,
  /// "target_not_empty" where the target holds rows or is at another one, "other_transfer" where a transfer
  /// from elsewhere was begun there. Throws Error(internal, "transfer_differs") naming the table where the
  /// two do not hold the same in the end; the mark stays.
  TransferReport run(const Context& ctx);

 private:
  struct Stand;  // how far a table is

  void require_source(const Context& ctx);
  bool begun(const Context& ctx);
  void require_resumable(const Context& ctx);
  void begin(const Context& ctx);
  std::int64_t copy(const Context& ctx, const TableShape& table, std::int64_t of);
  std::vector<std::vector<Cell>> next_batch(const Context& ctx, Database& from, const TableShape& table,
                                            const std::vector<Cell>& after) const;
  TransferTable verify(const Context& ctx, const TableShape& table);
  std::pair<std::int64_t, std::string> digest_of(const Context& ctx, Database& database,
                                                 const TableShape& table, std::int64_t of);
  void set_counters(const Context& ctx, const std::vector<TableShape>& tables);
  void finish(const Context& ctx);
  std::vector<TableShape> tables(const Context& ctx, Database& database) const;
  void tell(std::string_view doing, const TableShape& table, std::int64_t rows, std::int64_t of) const;

  Database& source_;
  Database& target_;
  const std::vector<Migration> migrations_;
  const TransferOptions options_;
};

}  // namespace holdfast::sql
