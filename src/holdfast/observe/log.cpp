#include "holdfast/observe/log.hpp"

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <mutex>

#include "holdfast/observe/internal/log_line.hpp"
#include "holdfast/observe/internal/log_sink.hpp"
#include "holdfast/observe/metrics.hpp"

namespace holdfast::observe {

namespace {

using Levels = std::map<std::string, LogLevel, std::less<>>;

constexpr int kExitPatienceMilliseconds = 1000;
constexpr std::size_t kMaxNameBytes = 128;
constexpr std::size_t kMaxBoundBytes = 8 * 1024;

const LogName& silent_name() noexcept {
  static const LogName silent{{}, LogLevel::off};  // never changed
  return silent;
}

LineStyle choose_style(const LogOptions& options) {
  const bool terminal = !options.write && ::isatty(options.descriptor) == 1;
  const bool json =
      options.format == LogFormat::json || (options.format == LogFormat::automatic && !terminal);
  return {.json = json, .colour = !json && options.colour.value_or(terminal)};
}

/// The level of the longest prefix of `name`, by whole dotted parts, that has one.
LogLevel effective_level(const Levels& levels, std::string_view name) {
  while (!name.empty()) {
    if (const auto found = levels.find(name); found != levels.end()) return found->second;
    const std::size_t dot = name.rfind('.');
    name = dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
  }
  return levels.find(std::string_view())->second;
}

}  // namespace

std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::trace: return "trace";
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
    case LogLevel::off: return "off";
  }
  return "off";
}

std::optional<LogLevel> parse_log_level(std::string_view text) noexcept {
  for (int i = 0; i <= static_cast<int>(LogLevel::off); ++i) {
    const auto level = static_cast<LogLevel>(i);
    if (text == to_string(level)) return level;
  }
  return std::nullopt;
}

struct Log::State {
  State(LogOptions options, const Clock& the_clock)
      : clock(the_clock),
        style(choose_style(options)),
        root_level(options.level),
        sink(options.descriptor, std::move(options.write), options.max_buffered_bytes, kWriteAtBytes),
        levels(std::move(options.levels)) {
    levels.try_emplace("", root_level);
  }

  /// The caller holds `mutex`.
  void apply_levels() {
    for (LogName& name : names)
      name.level.store(effective_level(levels, name.name), std::memory_order_relaxed);
  }

  const Clock& clock;
  const LineStyle style;
  const LogLevel root_level;
  LogSink sink;

  mutable std::mutex mutex;   // guards what follows
  Levels levels;              // always has the root's
  std::deque<LogName> names;  // Loggers point into it: never shrinks, bounded by kMaxNames
};

Log::Log(LogOptions options, const Clock& clock)
    : state_(std::make_unique<State>(std::move(options), clock)) {
  logger();  // the root is first, and what names beyond the bound fall back to
}

Log::~Log() { state_->sink.flush(kExitPatienceMilliseconds); }

Logger Log::logger(std::string_view name) {
  name = name.substr(0, kMaxNameBytes);
  const std::lock_guard lock(state_->mutex);
  auto& names = state_->names;
  auto found = std::ranges::find(names, name, &LogName::name);
  if (found == names.end() && names.size() >= kMaxNames) found = names.begin();
  if (found == names.end()) {
    names.emplace_back(std::string(name), effective_level(state_->levels, name));
    found = std::prev(names.end());
  }
  return Logger(this, &*found, nullptr);
}

void Log::set_level(std::string_view name, LogLevel level) {
  const std::lock_guard lock(state_->mutex);
  auto& levels = state_->levels;
  if (levels.size() >= kMaxNames && !levels.contains(name)) return;
  levels.insert_or_assign(std::string(name), level);
  state_->apply_levels();
}

void Log::reset_level(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  if (name.empty()) {
    state_->levels.insert_or_assign("", state_->root_level);
  } else if (const auto found = state_->levels.find(name); found != state_->levels.end()) {
    state_->levels.erase(found);
  }
  state_->apply_levels();
}

Levels Log::levels() const {
  const std::lock_guard lock(state_->mutex);
  return state_->levels;
}

void Log::flush() noexcept { state_->sink.flush(); }
std::uint64_t Log::dropped_lines() const noexcept { return state_->sink.dropped(); }
std::uint64_t Log::written_lines() const noexcept { return state_->sink.taken(); }

Logger::Logger() noexcept : log_(nullptr), name_(&silent_name()) {}

Logger Logger::child(std::string_view name, std::initializer_list<LogField> bound) const {
  if (log_ == nullptr) return {};
  std::string full = name_->name;
  if (!full.empty()) full.push_back('.');
  full.append(name);
  Logger below = log_->logger(full);
  below.bound_ = bound_;
  return bound.size() == 0 ? below : below.with(bound);
}

Logger Logger::with(std::initializer_list<LogField> bound) const {
  if (log_ == nullptr) return {};
  LineBuffer text(kMaxBoundBytes);
  if (bound_) text.append(*bound_);
  append_fields(text, log_->state_->style, {bound.begin(), bound.size()});
  return Logger(log_, name_, std::make_shared<const std::string>(text.view()));
}

void Logger::write(LogLevel level, const LogScope& scope, std::string_view message,
                   std::span<const LogField> fields) const {
  if (log_ == nullptr || level >= LogLevel::off) return;
  Log::State& log = *log_->state_;
  LineBuffer line(Log::kMaxLineBytes);
  const LineHead head{.time = log.clock.wall_now(),
                      .level = level,
                      .logger = name_->name,
                      .message = message,
                      .scope = &scope};
  append_line(line, log.style, head, bound_ ? std::string_view(*bound_) : std::string_view(), fields);
  log.sink.append(line.view(), level >= LogLevel::warn);
}

std::vector<Observation> observe_log(Metrics& metrics, const Log& log) {
  constexpr const char* kName = "holdfast_log_lines_total";
  constexpr const char* kHelp =
      "Log lines taken for writing, or dropped because the reader blocked or failed.";
  std::vector<Observation> all;
  all.push_back(metrics.observe_counter(kName, kHelp, {{"outcome", "written"}},
                                        [&log] { return static_cast<double>(log.written_lines()); }));
  all.push_back(metrics.observe_counter(kName, kHelp, {{"outcome", "dropped"}},
                                        [&log] { return static_cast<double>(log.dropped_lines()); }));
  return all;
}

}  // namespace holdfast::observe
