#include "holdfast/observe/health.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/observe/redact.hpp"

namespace holdfast::observe {

namespace {

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// A broken dependency breaks the whole only if it is critical.
Readiness contribution(const HealthReport::Line& line) {
  if (line.state.readiness == Readiness::not_ready && !line.critical) return Readiness::degraded;
  return line.state.readiness;
}

}  // namespace

std::string_view to_string(Readiness readiness) noexcept {
  switch (readiness) {
    case Readiness::ready: return "ready";
    case Readiness::degraded: return "degraded";
    case Readiness::not_ready: return "not_ready";
  }
  return "not_ready";
}

std::string HealthReport::to_json() const {
  std::string out;
  JsonWriter json(out);
  json.begin_object().member("status", to_string(readiness)).key("checks").begin_array();
  for (const Line& line : checks) {
    json.begin_object().member("name", line.name).member("status", to_string(line.state.readiness));
    json.member("critical", line.critical);
    if (!line.state.reason.empty()) json.member("reason", redact(line.state.reason));
    if (line.since > Duration(0)) json.member("sinceSeconds", seconds(line.since));
    json.end_object();
  }
  json.end_array().end_object();
  return out;
}

struct Health::Check::Entry {
  std::string name;
  CheckOptions options;
  Probe probe;        // null for one that is set
  HealthState state;  // guarded by the Health's mutex, like `since`
  Instant since{};
};

struct Health::State {
  explicit State(const Clock& the_clock) : clock(the_clock) {}

  const Clock& clock;
  std::atomic<bool> draining{false};
  mutable std::mutex mutex;
  std::map<std::string, std::shared_ptr<Check::Entry>, std::less<>> entries;
};

Health::Health(const Clock& clock) : state_(std::make_unique<State>(clock)) {}
Health::~Health() = default;

Health::Check Health::add(std::string name, CheckOptions options) {
  return add_probe(std::move(name), options, nullptr);
}

Health::Check Health::add_probe(std::string name, CheckOptions options, Probe probe) {
  auto entry = std::make_shared<Check::Entry>();
  *entry = {.name = std::move(name),
            .options = options,
            .probe = std::move(probe),
            .state = {Readiness::not_ready, "starting"},
            .since = state_->clock.now()};
  const std::lock_guard lock(state_->mutex);
  if (state_->entries.size() >= kMaxChecks || !state_->entries.try_emplace(entry->name, entry).second) {
    throw Error(ErrorCode::internal,
                fmt::format("The health check \"{}\" is there already, or there are {} of them.", entry->name,
                            kMaxChecks));
  }
  return Check(this, std::move(entry));
}

void Health::start_draining() { state_->draining = true; }

HealthReport Health::report() const {
  HealthReport report;
  std::vector<std::shared_ptr<Check::Entry>> to_ask;
  {
    const std::lock_guard lock(state_->mutex);
    const Instant now = state_->clock.now();
    for (const auto& [name, entry] : state_->entries) {
      const Duration since = entry->probe ? Duration(0) : now - entry->since;
      report.checks.push_back({name, entry->options.critical, entry->state, since});
      to_ask.push_back(entry->probe ? entry : nullptr);
    }
  }
  for (std::size_t i = 0; i < to_ask.size(); ++i) {
    if (to_ask[i] == nullptr) continue;
    HealthState& state = report.checks[i].state;
    const Duration limit = to_ask[i]->options.timeout;
    const Instant begun = state_->clock.now();
    try {
      state = to_ask[i]->probe(limit);
    } catch (const std::exception& failure) {
      state = {Readiness::not_ready, failure.what()};
    }
    const Duration took = state_->clock.now() - begun;
    if (took > limit && state.readiness != Readiness::not_ready) {
      state = {Readiness::not_ready,
               fmt::format("took {:.3f} s to answer; the limit is {:.3f} s", seconds(took), seconds(limit))};
    }
  }
  if (state_->draining)
    report.checks.push_back({"draining", true, {Readiness::not_ready, "the process is stopping"}, {}});
  for (const HealthReport::Line& line : report.checks)
    report.readiness = std::max(report.readiness, contribution(line));
  return report;
}

Health::Check::Check(Health* health, std::shared_ptr<Entry> entry)
    : health_(health), entry_(std::move(entry)) {}

Health::Check::Check(Check&& other) noexcept
    : health_(std::exchange(other.health_, nullptr)), entry_(std::move(other.entry_)) {}

Health::Check& Health::Check::operator=(Check&& other) noexcept {
  if (this == &other) return *this;
  remove();
  health_ = std::exchange(other.health_, nullptr);
  entry_ = std::move(other.entry_);
  return *this;
}

Health::Check::~Check() { remove(); }

void Health::Check::remove() noexcept {
  if (health_ == nullptr) return;
  const std::lock_guard lock(health_->state_->mutex);
  health_->state_->entries.erase(entry_->name);
  health_ = nullptr;
}

void Health::Check::set(Readiness readiness, std::string reason) {
  if (health_ == nullptr) return;
  const std::lock_guard lock(health_->state_->mutex);
  if (entry_->state.readiness != readiness) entry_->since = health_->state_->clock.now();
  entry_->state = {readiness, std::move(reason)};
}

}  // namespace holdfast::observe
