#include "holdfast/sql/transfer.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/sql/internal/cells.hpp"
#include "holdfast/sql/internal/table_shape.hpp"

namespace holdfast::sql {
namespace {

constexpr const char* kMoving = "move data";
constexpr std::string_view kHistory = "holdfast_migrations";
constexpr std::string_view kStand = "holdfast_transfer";
constexpr std::size_t kRowsAStatement = 64;  // one text for most rows, so that it is prepared once
constexpr std::size_t kMostParameters = 30'000;

[[noreturn]] void refuse(const char* reason, std::string detail) {
  throw Error(ErrorCode::failed_precondition, std::move(detail)).reason(reason);
}

std::string hex_of(std::string_view bytes) {
  return encode_hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

// Keys as text, in the target's table of what is done: i-12, t<hex>, b<hex>, separated by spaces.

std::string key_text(const std::vector<Cell>& key) {
  std::string text;
  for (const Cell& cell : key) {
    if (!text.empty()) text += ' ';
    switch (cell.type) {
      case Value::Type::integer: text += "i" + std::to_string(cell.integer); break;
      case Value::Type::text: text += "t" + hex_of(cell.bytes); break;
      case Value::Type::blob: text += "b" + hex_of(cell.bytes); break;
      default: throw Error(ErrorCode::internal, "A primary key holds no integer, text or bytes.");
    }
  }
  return text;
}

std::vector<Cell> key_from(std::string_view text) {
  std::vector<Cell> key;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    Cell cell;
    if (word.front() == 'i') {
      cell.type = Value::Type::integer;
      cell.integer = std::stoll(std::string(word.substr(1)));
    } else {
      cell.type = word.front() == 't' ? Value::Type::text : Value::Type::blob;
      auto bytes = decode_hex(word.substr(1));
      require_invariant(bytes.has_value(), "keys are kept in hex");
      cell.bytes = std::move(*bytes);
    }
    key.push_back(std::move(cell));
  }
  return key;
}

std::vector<Cell> key_of(const TableShape& table, const std::vector<Cell>& row) {
  std::vector<Cell> key;
  for (const std::size_t index : table.key) key.push_back(row[index]);
  return key;
}

std::vector<Value> views_of(const std::vector<Cell>& cells) {
  std::vector<Value> values;
  for (const Cell& cell : cells) values.push_back(cell.view(cell.type));
  return values;
}

std::string placeholders_from(std::size_t first, std::size_t count) {
  std::string text = "(";
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "$" : ", $") + std::to_string(first + i);
  return text + ")";
}

/// `count` rows from `first` on, in one statement.
void insert_some(Transaction& tx, const TableShape& table, const std::vector<std::vector<Cell>>& rows,
                 std::size_t first, std::size_t count) {
  const std::size_t width = table.columns.size();
  std::string sql = "insert into " + table.name + "(" + table.column_list() + ") values ";
  std::vector<Value> values;
  values.reserve(count * width);
  for (std::size_t row = 0; row < count; ++row) {
    sql += (row == 0 ? "" : ", ") + placeholders_from(row * width + 1, width);
    for (std::size_t i = 0; i < width; ++i) {
      values.push_back(rows[first + row][i].view(table.columns[i].type));
    }
  }
  tx.execute_with(sql, values);
}

void insert_rows(Transaction& tx, const TableShape& table, const std::vector<std::vector<Cell>>& rows) {
  const std::size_t many = std::min(kRowsAStatement, kMostParameters / table.columns.size());
  std::size_t done = 0;
  for (; done + many <= rows.size(); done += many) insert_some(tx, table, rows, done, many);
  for (; done < rows.size(); ++done) insert_some(tx, table, rows, done, 1);
}

}  // namespace

struct Transfer::Stand {
  std::string last_key;
  std::int64_t rows = 0;
};

Transfer::Transfer(Database& source, Database& target, std::vector<Migration> migrations,
                   TransferOptions options)
    : source_(source), target_(target), migrations_(std::move(migrations)), options_(std::move(options)) {
  require_invariant(options_.batch_rows > 0, "a batch has rows");
}

std::vector<TableShape> Transfer::tables(const Context& ctx, Database& database) const {
  std::vector<TableShape> all = tables_of(ctx, database);
  std::erase_if(all, [](const TableShape& table) { return table.name == kHistory || table.name == kStand; });
  return all;
}

void Transfer::tell(std::string_view doing, const TableShape& table, std::int64_t rows,
                    std::int64_t of) const {
  if (options_.progress) options_.progress({.doing = doing, .table = table.name, .rows = rows, .of = of});
}

// --- What must hold before -----------------------------------------------------------------------------

void Transfer::require_source(const Context& ctx) {
  const auto missing = Migrator(source_, migrations_).plan_up(ctx);
  if (missing.empty()) return;
  refuse("source_schema", "The source's schema is older than this binary: " + std::to_string(missing.size()) +
                              " steps are missing. Run `holdfast migrate up` on it first.");
}

bool Transfer::begun(const Context& ctx) {
  return std::ranges::any_of(tables_of(ctx, target_),
                             [](const TableShape& table) { return table.name == kStand; });
}

void Transfer::require_resumable(const Context& ctx) {
  const auto from =
      target_.query_one<std::string>(ctx, "select last_key from holdfast_transfer where table_name = ''");
  if (from != options_.source_name) {
    refuse("other_transfer", "Into this target data is being moved from " + from.value_or("elsewhere") +
                                 ", and not from " + options_.source_name +
                                 ". Name that, or an empty target.");
  }
  using Step = std::tuple<std::int64_t, std::string>;
  const char* steps =
      "select version, name from holdfast_migrations where version <> 9223372036854775807 order by version";
  if (source_.query<Step>(ctx, steps) != target_.query<Step>(ctx, steps)) {
    refuse("target_not_empty",
           "The transfer was begun with another schema. Empty the target and begin again.");
  }
}

void Transfer::begin(const Context& ctx) {
  Migrator(target_, migrations_).up(ctx);
  const auto there = tables(ctx, target_);
  target_.transact(ctx, kMoving, [&](Transaction& tx) {
    for (const TableShape& table : there) {
      if (tx.query_one<std::int64_t>("select 1 from " + table.name + " limit 1")) {
        refuse("target_not_empty", "The target holds data already (table " + table.name +
                                       "). Data is only moved into an empty database.");
      }
    }
    tx.execute_script(
        "create table holdfast_transfer(table_name text not null primary key, rows integer not null, "
        "last_key text not null)");
    tx.execute("insert into holdfast_transfer(table_name, rows, last_key) values('', 0, $1)",
               options_.source_name);
    tx.execute(
        "insert into holdfast_migrations(version, name, checksum, applied_at) "
        "values($1, 'data is being moved here', '', $2)",
        kUnfinishedTransfer, ctx.clock().wall_now());
  });
}

// --- Copying -------------------------------------------------------------------------------------------

std::vector<std::vector<Cell>> Transfer::next_batch(const Context& ctx, Database& from,
                                                    const TableShape& table,
                                                    const std::vector<Cell>& after) const {
  std::string sql = "select " + table.column_list() + " from " + table.name;
  if (!after.empty()) {
    sql += " where (" + table.key_list() + ") > " + placeholders_from(1, after.size());
  }
  sql += " order by " + table.key_list() + " limit " + std::to_string(options_.batch_rows);
  std::vector<std::vector<Cell>> rows;
  std::size_t bytes = 0;
  const std::vector<Value> values = views_of(after);
  const auto receive = [&](Cells&& row) {
    bytes += row.size();
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      Cell& cell = row.cells[i];  // SQLite keeps what it is given where that is no loss
      if (cell.type == Value::Type::integer && table.columns[i].type == Value::Type::real) {
        cell.type = Value::Type::real;
        cell.real = static_cast<double>(std::exchange(cell.integer, 0));
      }
    }
    rows.push_back(std::move(row.cells));
    return bytes < options_.batch_bytes;
  };
  from.read(ctx, [&](Snapshot& snapshot) {
    rows.clear();
    bytes = 0;
    snapshot.for_each_with<Cells>(sql, values, receive);
  });
  return rows;
}

std::int64_t Transfer::copy(const Context& ctx, const TableShape& table, std::int64_t of) {
  using Row = std::tuple<std::string, std::int64_t>;
  Stand stand;
  if (const auto found = target_.query_one<Row>(
          ctx, "select last_key, rows from holdfast_transfer where table_name = $1", table.name)) {
    std::tie(stand.last_key, stand.rows) = *found;
  }
  std::int64_t copied = 0;
  for (std::vector<Cell> after = key_from(stand.last_key);;) {
    const auto rows = next_batch(ctx, source_, table, after);
    if (rows.empty()) return copied;
    after = key_of(table, rows.back());
    stand = {.last_key = key_text(after), .rows = stand.rows + static_cast<std::int64_t>(rows.size())};
    target_.transact(ctx, kMoving, [&](Transaction& tx) {
      insert_rows(tx, table, rows);
      tx.execute(
          "insert into holdfast_transfer(table_name, rows, last_key) values($1, $2, $3) "
          "on conflict(table_name) do update set rows = excluded.rows, last_key = excluded.last_key",
          table.name, stand.rows, stand.last_key);
    });
    copied += static_cast<std::int64_t>(rows.size());
    tell("copying", table, stand.rows, of);
  }
}

// --- Verifying -----------------------------------------------------------------------------------------

std::pair<std::int64_t, std::string> Transfer::digest_of(const Context& ctx, Database& database,
                                                         const TableShape& table, std::int64_t of) {
  Sha256 digest;
  std::int64_t count = 0;
  for (std::vector<Cell> after;;) {
    auto rows = next_batch(ctx, database, table, after);
    if (rows.empty()) return {count, encode_hex(digest.finish())};
    after = key_of(table, rows.back());
    for (std::vector<Cell>& row : rows) Cells{std::move(row)}.add_to(digest);
    count += static_cast<std::int64_t>(rows.size());
    tell("verifying", table, count, of);
  }
}

TransferTable Transfer::verify(const Context& ctx, const TableShape& table) {
  const auto [count, digest] = digest_of(ctx, source_, table, 0);
  const auto [there, theirs] = digest_of(ctx, target_, table, count);
  if (source_.query_value<std::int64_t>(ctx, "select count(*) from " + table.name) != count) {
    throw Error(ErrorCode::internal, "Not every row of table " + table.name +
                                         " was found by its key. Was the source written to meanwhile?")
        .reason("transfer_differs");
  }
  if (count != there || digest != theirs) {
    throw Error(ErrorCode::internal,
                "Table " + table.name + " differs: " + std::to_string(count) + " rows in the source, " +
                    std::to_string(there) + " in the target" +
                    (count == there ? ", with other contents" : "") +
                    ". Was the source written to meanwhile? Stop what uses it, empty the target, and begin "
                    "again.")
        .reason("transfer_differs");
  }
  return {.name = table.name, .rows = count, .digest = digest};
}

// --- Numbers that are given once -----------------------------------------------------------------------

namespace {

/// The highest number that `database` has given for the column, also where its row is gone.
std::int64_t given_so_far(const Context& ctx, Database& database, const TransferCounter& counter) {
  const std::int64_t highest = database.query_value<std::int64_t>(
      ctx, "select coalesce(max(" + counter.column + "), 0) from " + counter.table);
  std::optional<std::int64_t> given;
  if (database.dialect() == Dialect::postgres) {
    given = database.query_one<std::int64_t>(
        ctx, "select case when is_called then last_value else 0 end from " + counter.sequence);
  } else if (database.query_value<std::int64_t>(
                 ctx, "select count(*) from sqlite_master where name = 'sqlite_sequence'") > 0) {
    given = database.query_one<std::int64_t>(ctx, "select seq from sqlite_sequence where name = $1",
                                             counter.table);
  }
  return std::max(highest, given.value_or(0));
}

void set_given(Transaction& tx, Dialect dialect, const TransferCounter& counter, std::int64_t given) {
  if (given == 0) return;
  if (dialect == Dialect::postgres) {
    static_cast<void>(
        tx.query_value<std::int64_t>("select setval($1::text::regclass, $2)", counter.sequence, given));
    return;
  }
  tx.execute("delete from sqlite_sequence where name = $1", counter.table);
  tx.execute("insert into sqlite_sequence(name, seq) values($1, $2)", counter.table, given);
}

/// Identity columns of a PostgreSQL, with the sequences behind them.
std::vector<TransferCounter> identities(const Context& ctx, Database& database) {
  std::vector<TransferCounter> found;
  using Row = std::tuple<std::string, std::string, std::string>;
  for (auto& [table, column, sequence] :
       database.query<Row>(ctx,
                           "select c.relname::text, a.attname::text, "
                           "pg_get_serial_sequence(quote_ident(c.relname), a.attname) "
                           "from pg_class c join pg_attribute a on a.attrelid = c.oid "
                           "where c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace "
                           "and a.attidentity <> ''")) {
    found.push_back({std::move(table), std::move(column), std::move(sequence)});
  }
  return found;
}

}  // namespace

void Transfer::set_counters(const Context& ctx, const std::vector<TableShape>& tables) {
  const bool from_postgres = source_.dialect() == Dialect::postgres;
  const bool to_postgres = target_.dialect() == Dialect::postgres;
  std::vector<TransferCounter> counters = options_.counters;
  if (from_postgres || to_postgres) {
    for (TransferCounter& one : identities(ctx, to_postgres ? target_ : source_))
      counters.push_back(std::move(one));
  } else {
    for (const TableShape& table : tables) {
      if (table.key.size() == 1) counters.push_back({table.name, table.columns[table.key[0]].name, ""});
    }
  }
  const auto counted = [&](const std::string& table) {
    return to_postgres ||
           target_.query_value<std::int64_t>(
               ctx,
               "select count(*) from sqlite_master where name = $1 and lower(sql) like '%autoincrement%'",
               table) > 0;
  };
  for (const TransferCounter& counter : counters) {
    if (!counted(counter.table)) continue;
    const std::int64_t given = given_so_far(ctx, source_, counter);
    target_.transact(ctx, kMoving,
                     [&](Transaction& tx) { set_given(tx, target_.dialect(), counter, given); });
  }
}

// --- The whole -----------------------------------------------------------------------------------------

void Transfer::finish(const Context& ctx) {
  target_.transact(ctx, kMoving, [](Transaction& tx) {
    tx.execute_script("drop table holdfast_transfer");
    tx.execute("delete from holdfast_migrations where version = $1", kUnfinishedTransfer);
  });
}

TransferReport Transfer::plan(const Context& ctx) {
  require_source(ctx);
  TransferReport report{.tables = {}, .resumed = begun(ctx)};
  if (report.resumed) {
    require_resumable(ctx);
  } else {
    static_cast<void>(Migrator(target_, migrations_).plan_up(ctx));  // or what is wrong with its schema
    for (const TableShape& table : tables(ctx, target_)) {
      if (target_.query_one<std::int64_t>(ctx, "select 1 from " + table.name + " limit 1")) {
        refuse("target_not_empty", "The target holds data already (table " + table.name +
                                       "). Data is only moved into an empty database.");
      }
    }
  }
  for (const TableShape& table : tables(ctx, source_)) {
    report.tables.push_back(
        {.name = table.name,
         .rows = source_.query_value<std::int64_t>(ctx, "select count(*) from " + table.name)});
  }
  return report;
}

TransferReport Transfer::run(const Context& ctx) {
  TransferReport report = plan(ctx);
  if (!report.resumed) begin(ctx);
  const auto ours = tables(ctx, source_);
  if (ours != tables(ctx, target_)) {
    refuse("target_not_empty", "The target's tables are not the source's.");
  }
  for (std::size_t i = 0; i < ours.size(); ++i) report.copied += copy(ctx, ours[i], report.tables[i].rows);
  set_counters(ctx, ours);
  report.tables.clear();
  for (const TableShape& table : ours) report.tables.push_back(verify(ctx, table));
  finish(ctx);
  return report;
}

}  // namespace holdfast::sql
