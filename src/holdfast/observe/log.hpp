// Structured logs. A Log owns the sink, the format and the levels; a Logger is a cheap, named handle of
// it that is passed to whoever has something to say.
//
//   Log log({.level = LogLevel::info, .levels = {{"sql", LogLevel::debug}}}, clock);
//   const Logger orders = log.logger("orders");
//   orders.info(ctx, "order placed", {{"orderId", id}, {"totalMinor", 1234}, {"took", elapsed}});
//
// Trace and request id come from the Context, values that look secret are masked (redact.hpp), and a
// sink that blocks costs lines (counted), never a stalled loop.
// Thread-safety: everything from any thread; a Log outlives its Loggers.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/observe/trace.hpp"

namespace holdfast::observe {

class Metrics;
class Observation;

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error, off };

std::string_view to_string(LogLevel level) noexcept;
/// "trace" … "off"; empty for anything else.
std::optional<LogLevel> parse_log_level(std::string_view text) noexcept;

enum class LogFormat : std::uint8_t {
  automatic,  ///< text on a terminal, JSON elsewhere
  json,       ///< one object a line
  text,       ///< for people; coloured on a terminal only
};

/// One named value of a line. Refers to its texts: make it in the call that logs it.
/// Names are camelCase. A duration is written as seconds in JSON, as "1.5ms" in text.
struct LogField {
  enum class Kind : std::uint8_t { text, boolean, integer, natural, real, duration };

  LogField(std::string_view field, std::string_view value) : name(field), kind(Kind::text), text(value) {}
  LogField(std::string_view field, const char* value) : LogField(field, std::string_view(value)) {}
  LogField(std::string_view field, const std::string& value) : LogField(field, std::string_view(value)) {}
  LogField(std::string_view field, bool value) : name(field), kind(Kind::boolean), boolean(value) {}
  template <std::signed_integral T>
  LogField(std::string_view field, T value) : name(field), kind(Kind::integer), integer(value) {}
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) LogField(std::string_view field, T value)
      : name(field), kind(Kind::natural), natural(value) {}
  template <std::floating_point T>
  LogField(std::string_view field, T value)
      : name(field), kind(Kind::real), real(static_cast<double>(value)) {}
  template <class Rep, class Period>
  LogField(std::string_view field, std::chrono::duration<Rep, Period> value)
      : name(field), kind(Kind::duration), integer(std::chrono::duration_cast<Duration>(value).count()) {}

  std::string_view name;
  Kind kind;
  union {
    std::string_view text;
    bool boolean;
    std::int64_t integer;  ///< also a duration's nanoseconds
    std::uint64_t natural;
    double real;
  };
};

/// Anything that knows its trace and request id; holdfast::Context does.
template <class T>
concept Traced = requires(const T& work) {
  { work.trace() } -> std::convertible_to<const TraceContext&>;
  { work.request_id() } -> std::convertible_to<std::string_view>;
};

/// Which piece of work a line belongs to. Made from a Context without a word.
struct LogScope {
  LogScope() = default;
  LogScope(const TraceContext* the_trace, std::string_view the_request_id)
      : trace(the_trace), request_id(the_request_id) {}
  template <Traced T>
  LogScope(const T& work) : trace(&work.trace()), request_id(work.request_id()) {}

  const TraceContext* trace = nullptr;
  std::string_view request_id;
};

struct LogOptions {
  LogFormat format = LogFormat::automatic;
  LogLevel level = LogLevel::info;                        ///< of loggers that `levels` does not name
  std::map<std::string, LogLevel, std::less<>> levels{};  ///< "http" speaks for "http.server" too
  int descriptor = 2;                                     ///< where lines go; not owned
  std::optional<bool> colour{};                           ///< unset: where `descriptor` is a terminal
  std::size_t max_buffered_bytes = 1 << 20;       ///< while the sink blocks; further lines are dropped
  std::function<void(std::string_view)> write{};  ///< instead of `descriptor`; for tests and embedders
};

class Log;
class Logger;

/// A logger's name and its present level. Owned by the Log, lives as long as it.
struct LogName {
  std::string name;
  std::atomic<LogLevel> level;
};

/// A named handle; copy it freely. A default-constructed Logger says nothing.
class Logger {
 public:
  Logger() noexcept;

  /// The logger "<this name>.<name>" (or "<name>" under the root), with `bound` in each of its lines.
  Logger child(std::string_view name, std::initializer_list<LogField> bound = {}) const;
  /// The same name, with `bound` in each of its lines after those it has.
  Logger with(std::initializer_list<LogField> bound) const;

  bool enabled(LogLevel level) const noexcept {
    return level >= name_->level.load(std::memory_order_relaxed);
  }

  /// `message` is a fixed sentence without the values, so that lines can be grouped by it.
  void trace(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::trace, {}, message, fields);
  }
  void trace(const LogScope& scope, std::string_view message,
             std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::trace, scope, message, fields);
  }
  void debug(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::debug, {}, message, fields);
  }
  void debug(const LogScope& scope, std::string_view message,
             std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::debug, scope, message, fields);
  }
  void info(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::info, {}, message, fields);
  }
  void info(const LogScope& scope, std::string_view message,
            std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::info, scope, message, fields);
  }
  /// Something is off and the system copes. Written at once, as error() is.
  void warn(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::warn, {}, message, fields);
  }
  void warn(const LogScope& scope, std::string_view message,
            std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::warn, scope, message, fields);
  }
  /// Somebody should look.
  void error(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::error, {}, message, fields);
  }
  void error(const LogScope& scope, std::string_view message,
             std::initializer_list<LogField> fields = {}) const {
    say(LogLevel::error, scope, message, fields);
  }

  /// For a level or fields known only at run time.
  void log(LogLevel level, const LogScope& scope, std::string_view message,
           std::span<const LogField> fields) const {
    if (enabled(level)) write(level, scope, message, fields);
  }

 private:
  friend class Log;
  Logger(Log* log, const LogName* name, std::shared_ptr<const std::string> bound)
      : log_(log), name_(name), bound_(std::move(bound)) {}

  void say(LogLevel level, const LogScope& scope, std::string_view message,
           std::initializer_list<LogField> fields) const {
    if (enabled(level)) [[unlikely]]
      write(level, scope, message, {fields.begin(), fields.size()});
  }
  void write(LogLevel level, const LogScope& scope, std::string_view message,
             std::span<const LogField> fields) const;

  Log* log_;
  const LogName* name_;
  std::shared_ptr<const std::string> bound_;  // rendered once, shared by copies of the handle; may be null
};

class Log {
 public:
  static constexpr std::size_t kWriteAtBytes = 64 * 1024;  ///< buffered lines are written from here on
  static constexpr std::size_t kMaxNames = 1024;           ///< further names share the root's level
  static constexpr std::size_t kMaxLineBytes =
      64 * 1024;  ///< fields beyond are left out; a value is cut at 4 KiB

  /// `clock` must outlive it.
  Log(LogOptions options, const Clock& clock);
  /// Writes what is buffered, waiting up to a second for a blocked sink.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// Dotted lower-case names: "http.server". The empty name is the root.
  Logger logger(std::string_view name = {});

  /// From now on; `name` speaks for the names below it that have no level of their own. Empty: the root.
  void set_level(std::string_view name, LogLevel level);
  /// Forgets what set_level() or the options said of `name`; the level above it counts again.
  void reset_level(std::string_view name);
  /// What is set, the root's under "".
  std::map<std::string, LogLevel, std::less<>> levels() const;

  /// Writes what is buffered, as far as the sink takes it without blocking. Call it from a timer every
  /// 100 ms or so: lines below warn are otherwise written 64 KiB at a time.
  void flush() noexcept;

  /// Lines lost because the sink blocked or failed, so far.
  std::uint64_t dropped_lines() const noexcept;
  std::uint64_t written_lines() const noexcept;

 private:
  friend class Logger;
  struct State;
  std::unique_ptr<State> state_;
};

/// holdfast_log_lines_total{outcome="written"|"dropped"}. `log` must outlive what is returned.
[[nodiscard]] std::vector<Observation> observe_log(Metrics& metrics, const Log& log);

}  // namespace holdfast::observe
