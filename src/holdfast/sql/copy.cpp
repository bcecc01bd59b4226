#include "holdfast/sql/copy.hpp"

#include <charconv>
#include <utility>

namespace holdfast::sql {
namespace {

std::string insert_into(std::string_view table, std::span<const std::string_view> columns) {
  std::string names;
  std::string places;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) names += ", ";
    names += columns[i];
    places += (i > 0 ? ", $" : "$") + std::to_string(i + 1);
  }
  return "insert into " + std::string(table) + "(" + names + ") values(" + places + ")";
}

void append_hex(std::string& out, std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += "\\x";
  for (const std::byte byte : bytes) {
    out.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    out.push_back(kDigits[std::to_integer<unsigned>(byte) & 15]);
  }
}

void append_csv_text(std::string& out, std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(",\"\r\n") == std::string_view::npos;
  if (plain) {
    out += text;
    return;
  }
  out.push_back('"');
  for (const char c : text) {
    if (c == '"') out.push_back('"');
    out.push_back(c);
  }
  out.push_back('"');
}

/// Makes rows into CSV, in memory.
class Gathered final : public RowSink {
 public:
  void columns(const RowView& row) override {
    for (std::size_t i = 0; i < row.columns(); ++i) {
      if (i > 0) text.push_back(',');
      append_csv_text(text, row.name(i));
    }
    text.push_back('\n');
  }
  bool row(const RowView& row) override {
    for (std::size_t i = 0; i < row.columns(); ++i) {
      if (i > 0) text.push_back(',');
      append_csv(text, row.value(i));
    }
    text.push_back('\n');
    ++rows;
    if (text.size() > CopyLimits::kMostGathered) {
      throw Error(ErrorCode::too_large, "The result is too large to be exported from this database.")
          .reason("export_too_large");
    }
    return true;
  }
  std::string text;
  std::int64_t rows = 0;
};

/// run_query() of another Database is for those that stand before one; this stands before it for a moment.
class Asking : public Database {
 public:
  static void ask(Database& other, const Context& ctx, std::string_view sql, RowSink& sink) {
    run_query_of(other, ctx, sql, {}, sink);
  }
};

}  // namespace

void append_csv(std::string& out, const Value& value) {
  char number[32];
  switch (value.type()) {
    case Value::Type::null: return;
    case Value::Type::integer:
      out.append(number, std::to_chars(number, number + sizeof number, value.as_integer()).ptr);
      return;
    case Value::Type::real:
      out.append(number, std::to_chars(number, number + sizeof number, value.as_real()).ptr);
      return;
    case Value::Type::text: return append_csv_text(out, value.as_text());
    case Value::Type::blob: return append_hex(out, value.as_blob());
  }
}

void CopyRows::require_columns(std::size_t given) const {
  if (given == columns_) return;
  throw DatabaseError(
      FailureKind::other, "A statement failed.",
      std::to_string(given) + " values for " + std::to_string(columns_) + " columns of a COPY");
}

std::int64_t copy_in(Transaction& tx, std::string_view table, std::initializer_list<std::string_view> columns,
                     FunctionRef<void(CopyRows&)> source) {
  const std::span<const std::string_view> names(columns.begin(), columns.size());
  if (auto* target = dynamic_cast<CopyTarget*>(&tx)) return target->copy_rows(table, names, source);
  CopyRows rows(tx, insert_into(table, names));
  source(rows);
  return rows.added();
}

std::int64_t copy_out(const Context& ctx, Database& database, std::string_view query,
                      FunctionRef<void(std::string_view csv)> sink) {
  std::int64_t rows = 0;
  auto* source = dynamic_cast<CopySource*>(&database);
  if (source != nullptr && source->copy_csv(ctx, query, sink, rows)) return rows;
  Gathered gathered;
  Asking::ask(database, ctx, query, gathered);
  for (std::string_view left = gathered.text; !left.empty();) {
    ctx.check("passing on an export");
    sink(left.substr(0, CopyLimits::kChunkBytes));
    left.remove_prefix(std::min(left.size(), CopyLimits::kChunkBytes));
  }
  return gathered.rows;
}

}  // namespace holdfast::sql
