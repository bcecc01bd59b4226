#include "holdfast/base/time_text.hpp"

#include <array>
#include <chrono>

namespace holdfast {
namespace {

namespace chr = std::chrono;

constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> kLongDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                    "Thursday", "Friday", "Saturday"};

/// Reads a text from the left; the first thing that does not fit makes everything after fail too.
class Scan {
 public:
  explicit Scan(std::string_view text) : rest_(text) {}

  int digits(std::size_t count) {
    if (!ok_ || rest_.size() < count) return fail();
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_digit(rest_[i])) return fail();
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value;
  }

  void word(std::string_view expected) {
    if (!ok_ || !rest_.starts_with(expected)) return void(fail());
    rest_.remove_prefix(expected.size());
  }

  template <std::size_t N>
  int one_of(const std::array<std::string_view, N>& words) {
    for (std::size_t i = 0; ok_ && i < N; ++i) {
      if (!rest_.starts_with(words[i])) continue;
      rest_.remove_prefix(words[i].size());
      return static_cast<int>(i);
    }
    return fail();
  }

  bool take(char c) {
    if (!ok_ || rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool at_digit() const { return ok_ && !rest_.empty() && is_digit(rest_[0]); }
  bool done() const { return ok_ && rest_.empty(); }
  int fail() {
    ok_ = false;
    return 0;
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  std::string_view rest_;
  bool ok_ = true;
};

struct Civil {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

std::optional<WallTime> to_wall_time(const Civil& civil) {
  const chr::year_month_day date{chr::year{civil.year}, chr::month{static_cast<unsigned>(civil.month)},
                                 chr::day{static_cast<unsigned>(civil.day)}};
  if (!date.ok() || civil.hour > 23 || civil.minute > 59 || civil.second > 60) return std::nullopt;
  return WallTime{chr::sys_days{date}} + chr::hours{civil.hour} + chr::minutes{civil.minute} +
         chr::seconds{civil.second};
}

void scan_time(Scan& scan, Civil& civil) {
  civil.hour = scan.digits(2);
  scan.word(":");
  civil.minute = scan.digits(2);
  scan.word(":");
  civil.second = scan.digits(2);
}

void append_padded(std::string& out, long value, int width) {
  char digits[8];
  for (int i = width - 1; i >= 0; --i, value /= 10) digits[i] = static_cast<char>('0' + value % 10);
  out.append(digits, static_cast<std::size_t>(width));
}

void append_time(std::string& out, const chr::hh_mm_ss<chr::microseconds>& time) {
  append_padded(out, time.hours().count(), 2);
  out.push_back(':');
  append_padded(out, time.minutes().count(), 2);
  out.push_back(':');
  append_padded(out, time.seconds().count(), 2);
}

/// "Sun, 06 Nov 1994 08:49:37 GMT"
std::optional<WallTime> parse_imf_fixdate(std::string_view text) {
  Scan scan(text);
  Civil civil;
  scan.one_of(kDays);
  scan.word(", ");
  civil.day = scan.digits(2);
  scan.word(" ");
  civil.month = scan.one_of(kMonths) + 1;
  scan.word(" ");
  civil.year = scan.digits(4);
  scan.word(" ");
  scan_time(scan, civil);
  scan.word(" GMT");
  return scan.done() ? to_wall_time(civil) : std::nullopt;
}

/// "Sunday, 06-Nov-94 08:49:37 GMT"
std::optional<WallTime> parse_rfc850(std::string_view text) {
  Scan scan(text);
  Civil civil;
  scan.one_of(kLongDays);
  scan.word(", ");
  civil.day = scan.digits(2);
  scan.word("-");
  civil.month = scan.one_of(kMonths) + 1;
  scan.word("-");
  const int year = scan.digits(2);
  civil.year = year < 70 ? 2000 + year : 1900 + year;
  scan.word(" ");
  scan_time(scan, civil);
  scan.word(" GMT");
  return scan.done() ? to_wall_time(civil) : std::nullopt;
}

/// "Sun Nov  6 08:49:37 1994"
std::optional<WallTime> parse_asctime(std::string_view text) {
  Scan scan(text);
  Civil civil;
  scan.one_of(kDays);
  scan.word(" ");
  civil.month = scan.one_of(kMonths) + 1;
  scan.word(" ");
  civil.day = scan.take(' ') ? scan.digits(1) : scan.digits(2);
  scan.word(" ");
  scan_time(scan, civil);
  scan.word(" ");
  civil.year = scan.digits(4);
  return scan.done() ? to_wall_time(civil) : std::nullopt;
}

}  // namespace

void append_rfc3339(std::string& out, WallTime at) {
  const auto day = chr::floor<chr::days>(at);
  const chr::year_month_day date{day};
  const chr::hh_mm_ss<chr::microseconds> time{at - day};
  append_padded(out, int{date.year()}, 4);
  out.push_back('-');
  append_padded(out, unsigned{date.month()}, 2);
  out.push_back('-');
  append_padded(out, unsigned{date.day()}, 2);
  out.push_back('T');
  append_time(out, time);
  if (time.subseconds().count() != 0) {
    out.push_back('.');
    append_padded(out, time.subseconds().count(), 6);
  }
  out.push_back('Z');
}

std::string format_rfc3339(WallTime at) {
  std::string out;
  append_rfc3339(out, at);
  return out;
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  Scan scan(text);
  Civil civil;
  civil.year = scan.digits(4);
  scan.word("-");
  civil.month = scan.digits(2);
  scan.word("-");
  civil.day = scan.digits(2);
  if (!scan.take('T')) scan.word("t");
  scan_time(scan, civil);
  chr::microseconds fraction{0};
  if (scan.take('.')) {
    if (!scan.at_digit()) scan.fail();
    for (std::int64_t unit = 100'000; scan.at_digit(); unit /= 10) {
      fraction += chr::microseconds{scan.digits(1) * unit};
    }
  }
  chr::minutes offset{0};
  if (!scan.take('Z') && !scan.take('z')) {
    const int sign = scan.take('-') ? -1 : 1;
    if (sign == 1) scan.word("+");
    const int hours = scan.digits(2);
    scan.word(":");
    const int minutes = scan.digits(2);
    if (hours > 23 || minutes > 59) scan.fail();
    offset = sign * chr::minutes{hours * 60 + minutes};
  }
  if (!scan.done()) return std::nullopt;
  const auto local = to_wall_time(civil);
  if (!local) return std::nullopt;
  return *local + fraction - offset;
}

std::string format_http_date(WallTime at) {
  const auto day = chr::floor<chr::days>(at);
  const chr::year_month_day date{day};
  std::string out(kDays[chr::weekday{day}.c_encoding()]);
  out.append(", ");
  append_padded(out, unsigned{date.day()}, 2);
  out.append(" ").append(kMonths[unsigned{date.month()} - 1]).append(" ");
  append_padded(out, int{date.year()}, 4);
  out.push_back(' ');
  append_time(out, chr::hh_mm_ss<chr::microseconds>{at - day});
  return out.append(" GMT");
}

std::optional<WallTime> parse_http_date(std::string_view text) {
  if (const auto at = parse_imf_fixdate(text)) return at;
  if (const auto at = parse_rfc850(text)) return at;
  return parse_asctime(text);
}

}  // namespace holdfast
