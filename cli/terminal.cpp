#include "cli/terminal.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "holdfast/base/utf8.hpp"

namespace holdfast::cli {

namespace {

constexpr std::size_t kNarrowestTerminal = 40;

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the reader has gone; the exit code still tells
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::size_t columns_of(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col < kNarrowestTerminal) return 80;
  return size.ws_col;
}

/// Code points outside of colour escapes.
std::size_t visible_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const std::size_t escape = text.find('\x1b');
    width += code_points(text.substr(0, escape));
    if (escape == std::string_view::npos) break;
    const std::size_t end = text.find('m', escape);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return width;
}

}  // namespace

Terminal Terminal::standard(const Environment& environment) {
  const bool wanted = environment("NO_COLOR").empty() && environment("TERM") != "dumb";
  return Terminal({.out = [](std::string_view text) { write_all(STDOUT_FILENO, text); },
                   .note = [](std::string_view text) { write_all(STDERR_FILENO, text); },
                   .out_is_terminal = ::isatty(STDOUT_FILENO) == 1,
                   .note_is_terminal = ::isatty(STDERR_FILENO) == 1,
                   .colour = wanted,
                   .columns = columns_of(STDERR_FILENO)});
}

std::string Terminal::styled(std::string_view code, std::string_view text, Stream stream) const {
  const bool seen = stream == Stream::out ? options_.out_is_terminal : options_.note_is_terminal;
  if (!options_.colour || !seen) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = visible_width(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, visible_width(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto add_row = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string padding(widths[i] - visible_width(cell), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].align == Align::right ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  const bool titled = std::ranges::any_of(columns_, [](const Column& c) { return !c.title.empty(); });
  if (titled) add_row([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) add_row([&](std::size_t i) -> const std::string& { return row[i]; });
  return out;
}

ProgressBar::ProgressBar(const Terminal& terminal, const Clock& clock, std::string label, std::uint64_t total)
    : terminal_(terminal),
      clock_(clock),
      label_(std::move(label)),
      total_(total),
      started_(clock.now()),
      drawn_(started_) {}

std::string ProgressBar::line(std::uint64_t done, Duration elapsed) const {
  constexpr std::size_t kBarWidth = 24;
  const double seconds = std::max(1e-9, std::chrono::duration<double>(elapsed).count());
  const double rate = static_cast<double>(done) / seconds;
  std::string text = label_ + " ";
  if (total_ > 0) {
    const std::uint64_t shown = std::min(done, total_);
    const auto filled = static_cast<std::size_t>(shown * kBarWidth / total_);
    text += fmt::format("[{}{}] {:>3}%  ", std::string(filled, '='), std::string(kBarWidth - filled, ' '),
                        shown * 100 / total_);
  }
  text += with_thousands(static_cast<std::int64_t>(done));
  if (total_ > 0) text += " of " + with_thousands(static_cast<std::int64_t>(total_));
  text += fmt::format("  {}/s", with_thousands(static_cast<std::int64_t>(rate)));
  if (total_ > done && rate > 0) {
    text += fmt::format("  {:.0f} s left", static_cast<double>(total_ - done) / rate);
  }
  return text.substr(0, terminal_.columns() - 1);
}

void ProgressBar::update(std::uint64_t done) {
  using namespace std::chrono_literals;
  if (finished_ || !terminal_.note_is_terminal()) return;
  const Instant now = clock_.now();
  if (now - drawn_ < 100ms) return;
  drawn_ = now;
  visible_ = true;
  terminal_.note("\r\x1b[K" + line(done, now - started_));
}

void ProgressBar::finish() {
  if (!finished_ && visible_) terminal_.note("\r\x1b[K");
  finished_ = true;
}

std::string with_thousands(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = digits.front() == '-' ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string minor_as_decimal(std::int64_t minor) {
  const bool negative = minor < 0;
  const std::uint64_t size =
      negative ? 0 - static_cast<std::uint64_t>(minor) : static_cast<std::uint64_t>(minor);
  return fmt::format("{}{}.{:02}", negative ? "-" : "", with_thousands(static_cast<std::int64_t>(size / 100)),
                     size % 100);
}

}  // namespace holdfast::cli
