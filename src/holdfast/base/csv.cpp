#include "holdfast/base/csv.hpp"

#include <utility>

#include "holdfast/base/utf8.hpp"

namespace holdfast {
namespace {

constexpr std::string_view kMark = "\xEF\xBB\xBF";

}  // namespace

CsvReader::CsvReader(OnRecord on_record, OnFault on_fault, CsvOptions options)
    : on_record_(std::move(on_record)), on_fault_(std::move(on_fault)), options_(options) {}

void CsvReader::push(std::string_view chunk) {
  if (!mark_done_) return push_past_mark(chunk);
  for (const char c : chunk) step(c);
}

/// The mark may come in pieces; what turns out not to be one is data.
void CsvReader::push_past_mark(std::string_view chunk) {
  while (!chunk.empty() && mark_bytes_ < kMark.size() && chunk[0] == kMark[mark_bytes_]) {
    ++mark_bytes_;
    chunk.remove_prefix(1);
  }
  if (mark_bytes_ < kMark.size() && chunk.empty()) return;
  mark_done_ = true;
  if (mark_bytes_ < kMark.size()) {
    for (const char c : kMark.substr(0, mark_bytes_)) step(c);
  }
  for (const char c : chunk) step(c);
}

void CsvReader::finish() {
  if (!mark_done_) {
    mark_done_ = true;
    for (const char c : kMark.substr(0, mark_bytes_)) step(c);
  }
  if (pending_cr_) {
    pending_cr_ = false;
    take('\r');
  }
  if (state_ == State::quoted)
    fail("unclosed_quote", "the file ends within a quoted field", State::skipping_line);
  if (in_record_) end_record();
}

/// Folds CRLF into LF outside quotes, so that the states below know one line end.
void CsvReader::step(char c) {
  if (pending_cr_) {
    pending_cr_ = false;
    if (c != '\n') take('\r');
  }
  if (c == '\r' && !within_quotes()) {
    pending_cr_ = true;
    return;
  }
  take(c);
}

void CsvReader::take(char c) {
  if (!in_record_) {
    if (c == '\n') {  // an empty line is no record
      ++line_;
      return;
    }
    in_record_ = true;
    record_line_ = line_;
    ++number_;
  }
  if (c == '\n') ++line_;

  switch (state_) {
    case State::skipping_line:
      if (c == '\n') end_record();
      return;
    case State::skipping:
      if (c == '"') state_ = State::skipping_quoted;
      if (c == '\n') end_record();
      return;
    case State::skipping_quoted:
      if (c == '"') state_ = State::skipping;
      return;
    case State::quoted:
      if (c == '"') {
        state_ = State::quote_in_quoted;
        return;
      }
      break;
    case State::quote_in_quoted:
      if (c == '"') {
        state_ = State::quoted;
        break;
      }
      if (c != options_.separator && c != '\n') {
        fail("bad_quote", "a closing quote is followed by neither a separator nor the end of the line",
             State::skipping_line);
        return;
      }
      state_ = State::plain;
      [[fallthrough]];
    case State::field_start:
    case State::plain:
      if (c == '\n') return end_record();
      if (c == options_.separator) {
        end_field();
        if (!is_skipping()) state_ = State::field_start;
        return;
      }
      if (c == '"') {
        if (state_ == State::field_start) {
          state_ = State::quoted;
          return;
        }
        fail("bad_quote", "a quote stands within a field that does not begin with one", State::skipping_line);
        return;
      }
      state_ = State::plain;
      break;
  }

  const State beyond = state_ == State::quoted ? State::skipping_quoted : State::skipping;
  const std::size_t field_start = ends_.empty() ? 0 : ends_.back();
  if (text_.size() - field_start >= options_.max_field_bytes) {
    return fail("field_too_long",
                "a field has more than " + std::to_string(options_.max_field_bytes) + " bytes", beyond);
  }
  if (text_.size() >= options_.max_record_bytes) {
    return fail("record_too_long",
                "the record has more than " + std::to_string(options_.max_record_bytes) + " bytes", beyond);
  }
  text_.push_back(c);
}

void CsvReader::end_field() {
  if (ends_.size() >= options_.max_columns) {
    fail("too_many_columns", "the record has more than " + std::to_string(options_.max_columns) + " fields",
         State::skipping);
    return;
  }
  ends_.push_back(text_.size());
}

void CsvReader::end_record() {
  if (!is_skipping()) {
    end_field();
    if (!is_skipping()) deliver();
  }
  text_.clear();
  ends_.clear();
  state_ = State::field_start;
  in_record_ = false;
}

void CsvReader::deliver() {
  if (columns_ == 0) columns_ = ends_.size();
  if (options_.same_columns && ends_.size() != columns_) {
    return fail("wrong_column_count",
                "the record has " + std::to_string(ends_.size()) + " fields where the first has " +
                    std::to_string(columns_),
                State::skipping);
  }
  if (!is_valid_utf8(text_)) return fail("invalid_utf8", "the record is not valid UTF-8", State::skipping);
  fields_.clear();
  std::size_t start = 0;
  for (const std::size_t end : ends_) {
    fields_.push_back(std::string_view(text_).substr(start, end - start));
    start = end;
  }
  on_record_({record_line_, number_, fields_});
}

/// What is left of the record is passed over as `next` says.
void CsvReader::fail(std::string_view code, std::string message, State next) {
  state_ = next;
  on_fault_({record_line_, number_, code, std::move(message)});
}

void read_csv(const std::function<std::string_view()>& read, CsvReader::OnRecord on_record,
              CsvReader::OnFault on_fault, const CsvOptions& options) {
  CsvReader reader(std::move(on_record), std::move(on_fault), options);
  for (std::string_view chunk = read(); !chunk.empty(); chunk = read()) reader.push(chunk);
  reader.finish();
}

CsvWriter& CsvWriter::field(std::string_view text) {
  if (!first_) out_.push_back(separator_);
  first_ = false;
  const bool quote = text.find_first_of("\"\r\n") != std::string_view::npos ||
                     text.find(separator_) != std::string_view::npos;
  if (!quote) {
    out_.append(text);
    return *this;
  }
  out_.push_back('"');
  for (const char c : text) {
    if (c == '"') out_.push_back('"');
    out_.push_back(c);
  }
  out_.push_back('"');
  return *this;
}

void CsvWriter::end_record() {
  out_.append("\r\n");
  first_ = true;
}

void CsvWriter::record(std::span<const std::string_view> fields) {
  for (const std::string_view text : fields) field(text);
  end_record();
}

}  // namespace holdfast
