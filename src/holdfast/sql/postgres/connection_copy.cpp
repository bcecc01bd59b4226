// COPY on a Connection: the half of connection.hpp that streams.
#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>

#include "holdfast/sql/copy.hpp"
#include "holdfast/sql/postgres/classify.hpp"
#include "holdfast/sql/postgres/connection.hpp"

namespace holdfast::sql::postgres {
namespace {

constexpr const char* kCopying = "sending rows";

void append_text(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '\\': out += "\\\\"; break;
      case '\t': out += "\\t"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      default: out.push_back(c);
    }
  }
}

void append_bytes(std::string& out, std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += "\\\\x";
  for (const std::byte byte : bytes) {
    out.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    out.push_back(kDigits[std::to_integer<unsigned>(byte) & 15]);
  }
}

/// A value in COPY's text format (PostgreSQL's documentation of COPY, "Text Format").
void append_value(std::string& out, const Value& value) {
  char number[32];
  switch (value.type()) {
    case Value::Type::null: out += "\\N"; return;
    case Value::Type::integer:
      out.append(number, std::to_chars(number, number + sizeof number, value.as_integer()).ptr);
      return;
    case Value::Type::real:
      out.append(number, std::to_chars(number, number + sizeof number, value.as_real()).ptr);
      return;
    case Value::Type::text: return append_text(out, value.as_text());
    case Value::Type::blob: return append_bytes(out, value.as_blob());
  }
}

}  // namespace

/// Keeps rows until there are enough to be sent.
class Connection::Copying final : public CopySink {
 public:
  Copying(Connection& connection, const Context& ctx) : connection_(connection), ctx_(ctx) {
    kept_.reserve(CopyLimits::kChunkBytes + CopyLimits::kChunkBytes / 4);
  }
  void row(std::span<const Param> values) override {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) kept_.push_back('\t');
      append_value(kept_, values[i]);
    }
    kept_.push_back('\n');
    if (kept_.size() >= CopyLimits::kChunkBytes) flush();
  }
  void flush() {
    if (kept_.empty()) return;
    connection_.put_copy_data(ctx_, kept_);
    kept_.clear();
  }

 private:
  Connection& connection_;
  const Context& ctx_;
  std::string kept_;
};

// What was put is also sent before it returns: so no more than a chunk is kept here, and who gives rows waits
// for the server.
void Connection::put_copy_data(const Context& ctx, std::string_view bytes) {
  if (PQconsumeInput(connection_) == 0) throw_lost(kCopying);
  for (;;) {
    const int put = PQputCopyData(connection_, bytes.data(), static_cast<int>(bytes.size()));
    if (put > 0) break;
    if (put < 0) {  // the server has said what is wrong with the rows so far
      if (PQstatus(connection_) == CONNECTION_OK) require_success(finish(ctx), kCopying);
      throw_lost(kCopying);
    }
    wait(ctx, true);
  }
  for (;;) {
    const int unsent = PQflush(connection_);
    if (unsent < 0) throw_lost(kCopying);
    if (unsent == 0) return;
    wait(ctx, true);
    if (PQconsumeInput(connection_) == 0) throw_lost(kCopying);
  }
}

template <class Stream>
std::int64_t Connection::streaming(const Context& ctx, const Stream& stream) {
  if (broken_) throw_counted(lost(kCopying, "the connection was lost"));
  try {
    return stream();
  } catch (...) {
    stop_statement(ctx);
    throw;
  }
}

std::int64_t Connection::copy_in(const Context& ctx, std::string_view sql, std::size_t columns,
                                 FunctionRef<void(CopyRows&)> source) {
  const std::string text(sql);
  return streaming(ctx, [&] {
    require_sent(PQsendQuery(connection_, text.c_str()));
    Result begun = next(ctx);
    if (PQresultStatus(begun.get()) != PGRES_COPY_IN) {
      finish(ctx);
      require_success(begun, sql);
    }
    Copying copying(*this, ctx);
    try {
      CopyRows rows(copying, columns);
      source(rows);
      copying.flush();
    } catch (...) {
      if (!broken_ && PQputCopyEnd(connection_, "the source of the rows failed") == 1) {
        try {
          finish(ctx);  // its failure says only what is known
        } catch (const Error&) {
          broken_ = true;
        }
      }
      throw;
    }
    if (PQputCopyEnd(connection_, nullptr) != 1) throw_lost(kCopying);
    const Result ended = finish(ctx);
    require_success(ended, sql);
    return static_cast<std::int64_t>(std::atoll(PQcmdTuples(ended.get())));
  });
}

std::int64_t Connection::copy_out(const Context& ctx, std::string_view sql,
                                  FunctionRef<void(std::string_view)> sink) {
  const std::string text(sql);
  return streaming(ctx, [&] {
    require_sent(PQsendQuery(connection_, text.c_str()));
    Result begun = next(ctx);
    if (PQresultStatus(begun.get()) != PGRES_COPY_OUT) {
      finish(ctx);
      require_success(begun, sql);
    }
    std::string kept;
    for (;;) {
      char* bytes = nullptr;
      const int got = PQgetCopyData(connection_, &bytes, 1);
      const std::unique_ptr<char, void (*)(void*)> owned(bytes, PQfreemem);
      if (got == 0) {  // nothing whole is here
        wait(ctx, false);
        if (PQconsumeInput(connection_) == 0) throw_lost("reading rows");
        continue;
      }
      if (got < 0) break;  // the end, or a failure: the result says which
      kept.append(bytes, static_cast<std::size_t>(got));
      if (kept.size() < CopyLimits::kChunkBytes) continue;
      sink(kept);  // may wait: then nothing is read, and the server waits
      kept.clear();
    }
    const Result ended = finish(ctx);
    require_success(ended, sql);
    if (!kept.empty()) sink(kept);
    return static_cast<std::int64_t>(std::atoll(PQcmdTuples(ended.get())));
  });
}

void Connection::begin_streaming(const Context& ctx, std::string_view sql) {
  const std::string text(sql);
  require_sent(PQsendQuery(connection_, text.c_str()));
  const Result begun = next(ctx);
  if (PQresultStatus(begun.get()) == PGRES_COPY_BOTH) return;
  finish(ctx);
  require_success(begun, sql);
}

std::optional<std::string> Connection::next_message(const Context& ctx) {
  for (;;) {
    char* bytes = nullptr;
    const int got = PQgetCopyData(connection_, &bytes, 1);
    const std::unique_ptr<char, void (*)(void*)> owned(bytes, PQfreemem);
    if (got > 0) return std::string(bytes, static_cast<std::size_t>(got));
    if (got < 0) {
      if (PQstatus(connection_) == CONNECTION_OK) require_success(finish(ctx), "following the log");
      throw_lost("following the log");
    }
    try {
      wait(ctx, false);
    } catch (const Error&) {
      return std::nullopt;
    }
    if (PQconsumeInput(connection_) == 0) throw_lost("following the log");
  }
}

}  // namespace holdfast::sql::postgres
