// What people see: text on standard output, notes and progress on standard error, colour and movement
// only where a person is looking (a terminal, NO_COLOR unset or empty, TERM not "dumb").
//
//   Terminal terminal = Terminal::standard(environment);
//   terminal.print("{}\n");                       // a command's result; machines read this
//   terminal.note(terminal.bold("Ready") + "\n");  // what a person may want to know; standard error
//
// Thread-safety: one thread at a time.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/clock.hpp"

namespace holdfast::cli {

/// Looks a variable up; empty where it is not set.
using Environment = std::function<std::string(std::string_view name)>;

class Terminal {
 public:
  using Write = std::function<void(std::string_view)>;

  struct Options {
    Write out;                      ///< results
    Write note;                     ///< remarks and progress
    bool out_is_terminal = false;   ///< results may be coloured
    bool note_is_terminal = false;  ///< remarks may be coloured, progress may be drawn
    bool colour = true;             ///< false: never, whoever looks
    std::size_t columns = 80;       ///< of the terminal remarks go to
  };

  explicit Terminal(Options options) : options_(std::move(options)) {}
  /// The process's own.
  static Terminal standard(const Environment& environment);

  void print(std::string_view text) const { options_.out(text); }
  void note(std::string_view text) const { options_.note(text); }

  bool out_is_terminal() const noexcept { return options_.out_is_terminal; }
  bool note_is_terminal() const noexcept { return options_.note_is_terminal; }
  std::size_t columns() const noexcept { return options_.columns; }

  /// Text for one of the two streams, coloured where that stream's reader sees colours.
  enum class Stream : std::uint8_t { out, note };
  std::string bold(std::string_view text, Stream stream = Stream::out) const {
    return styled("1", text, stream);
  }
  std::string dim(std::string_view text, Stream stream = Stream::out) const {
    return styled("2", text, stream);
  }
  std::string green(std::string_view text, Stream stream = Stream::out) const {
    return styled("32", text, stream);
  }
  std::string yellow(std::string_view text, Stream stream = Stream::out) const {
    return styled("33", text, stream);
  }
  std::string red(std::string_view text, Stream stream = Stream::out) const {
    return styled("31", text, stream);
  }

 private:
  std::string styled(std::string_view code, std::string_view text, Stream stream) const;

  Options options_;
};

/// Columns that line up. Widths count code points; colour escapes take no room.
class Table {
 public:
  enum class Align : std::uint8_t { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// As many cells as there are columns; missing ones are empty.
  void add(std::vector<std::string> cells);
  bool empty() const noexcept { return rows_.empty(); }
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// One moving line on a terminal, nothing elsewhere. Drawn at most ten times a second.
class ProgressBar {
 public:
  /// `total` 0: not known, no bar. Both are borrowed.
  ProgressBar(const Terminal& terminal, const Clock& clock, std::string label, std::uint64_t total);
  ~ProgressBar() { finish(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::uint64_t done);
  /// Takes the line away; later updates draw nothing.
  void finish();

  /// What update() would draw, for tests.
  std::string line(std::uint64_t done, Duration elapsed) const;

 private:
  const Terminal& terminal_;
  const Clock& clock_;
  std::string label_;
  std::uint64_t total_;
  Instant started_;
  Instant drawn_;
  bool visible_ = false;
  bool finished_ = false;
};

/// 1234567 as "1,234,567".
std::string with_thousands(std::int64_t number);
/// 123456 minor units as "1,234.56".
std::string minor_as_decimal(std::int64_t minor);

}  // namespace holdfast::cli
