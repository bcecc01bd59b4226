// CSV (RFC 4180) of any length in constant memory: push chunks as they come, records come out. Quoted
// fields may hold commas, line ends and doubled quotes; lines end with CRLF or LF; a UTF-8 byte order
// mark is skipped. What is malformed is reported with its line and passed over, never dropped unsaid.
//
//   CsvReader reader(on_record, on_fault);
//   while (read(chunk)) reader.push(chunk);
//   reader.finish();
//
// Thread-safety: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast {

struct CsvOptions {
  char separator = ',';
  std::size_t max_field_bytes = 64 * 1024;
  std::size_t max_record_bytes = 1024 * 1024;
  std::size_t max_columns = 1024;
  /// A record with another number of fields than the first is a fault.
  bool same_columns = true;
};

/// One record; its fields live until the callback returns.
struct CsvRecord {
  std::uint64_t line = 0;    ///< on which it begins, from 1
  std::uint64_t number = 0;  ///< among records, malformed ones too, from 1
  std::span<const std::string_view> fields;
};

struct CsvFault {
  std::uint64_t line = 0;
  std::uint64_t number = 0;
  std::string_view code;  ///< stable: "bad_quote", "unclosed_quote", "field_too_long", "record_too_long",
                          ///< "too_many_columns", "wrong_column_count", "invalid_utf8"
  std::string message;
};

class CsvReader {
 public:
  using OnRecord = std::function<void(const CsvRecord&)>;
  using OnFault = std::function<void(const CsvFault&)>;

  /// Callbacks run within push() and finish(); what they throw goes through, and the reader is then spent.
  CsvReader(OnRecord on_record, OnFault on_fault, CsvOptions options = {});

  void push(std::string_view chunk);
  /// After the last chunk: the last line may lack its line end.
  void finish();

  /// Records seen so far, malformed ones too.
  std::uint64_t record_count() const noexcept { return number_; }

 private:
  enum class State : std::uint8_t {
    field_start,
    plain,
    quoted,
    quote_in_quoted,
    skipping,  // a record too large: to its end, following its quotes
    skipping_quoted,
    skipping_line,  // a record whose quotes can't be trusted: to the end of the line
  };
  bool is_skipping() const noexcept { return state_ >= State::skipping; }
  bool within_quotes() const noexcept { return state_ == State::quoted || state_ == State::skipping_quoted; }

  void step(char c);
  void take(char c);
  void end_field();
  void end_record();
  void deliver();
  void fail(std::string_view code, std::string message, State next);
  void push_past_mark(std::string_view chunk);

  OnRecord on_record_;
  OnFault on_fault_;
  CsvOptions options_;

  State state_ = State::field_start;
  std::string text_;               // the record's fields, end to end
  std::vector<std::size_t> ends_;  // where each ends in text_
  std::vector<std::string_view> fields_;
  std::uint64_t line_ = 1;         // being read
  std::uint64_t record_line_ = 1;  // on which the record began
  std::uint64_t number_ = 0;
  std::size_t columns_ = 0;     // of the first record
  std::size_t mark_bytes_ = 0;  // of a byte order mark seen so far
  bool mark_done_ = false;
  bool pending_cr_ = false;
  bool in_record_ = false;
};

/// Calls `read` for chunks until it returns an empty one, and delivers what is in them.
/// `read` returns a view that lives until its next call.
void read_csv(const std::function<std::string_view()>& read, CsvReader::OnRecord on_record,
              CsvReader::OnFault on_fault, const CsvOptions& options = {});

/// Appends records to a string, quoting where it must, CRLF after each.
class CsvWriter {
 public:
  /// `out` is borrowed.
  explicit CsvWriter(std::string& out, char separator = ',') noexcept : out_(out), separator_(separator) {}

  CsvWriter& field(std::string_view text);
  void end_record();
  void record(std::span<const std::string_view> fields);

 private:
  std::string& out_;
  char separator_;
  bool first_ = true;
};

}  // namespace holdfast
