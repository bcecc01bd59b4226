#include "holdfast/resilience/admission.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"
#include "holdfast/base/invariant.hpp"

namespace holdfast::resilience {

namespace {

constexpr Duration kLeastRetryAfter = std::chrono::milliseconds(100);
constexpr Duration kMostRetryAfter = std::chrono::seconds(30);
constexpr Duration kPaceWindow = std::chrono::milliseconds(100);
constexpr int kSmoothing = 16;  // a departure counts 1/16 in the average

constexpr std::array kByPriority{Priority::critical, Priority::normal, Priority::background};

}  // namespace

Admission::Admission(const AdmissionOptions& options)
    : options_(options),
      shedder_(options.shedding),
      limit_(options.max_running),
      slots_(options.max_waiting) {
  if (options.max_running == 0 || options.max_wait < Duration(0)) {
    throw Error(ErrorCode::invalid_argument,
                "Admission needs at least one place and a wait that is not negative.");
  }
  for (std::uint32_t slot = options.max_waiting; slot > 0; --slot) {
    slots_[slot - 1].after = free_;
    free_ = slot - 1;
  }
}

Admission::Decision Admission::try_enter(Instant now, Priority priority) noexcept {
  observe_lines(now);
  if (running_ < shedder_.places(priority, limit_)) {
    // A place that gets free goes to the line first.
    require_invariant(nobody_waits_up_to(priority), "nobody waits at a gate who may enter");
    ++running_;
    if (running_ >= limit_) last_departure_ = now;  // full from here on: departures are measured
    return {.verdict = AdmissionVerdict::admitted};
  }
  if (!shedder_.may_wait(priority) && !slots_.empty())
    return {.verdict = AdmissionVerdict::refused, .retry_after = retry_after(), .shed = true};
  if (waits_too_long(priority)) return {.verdict = AdmissionVerdict::refused, .retry_after = retry_after()};
  const bool full = free_ == kNone;
  if (full && !make_room_for(priority))
    return {.verdict = AdmissionVerdict::refused, .retry_after = retry_after()};
  const std::uint32_t slot = free_;
  free_ = slots_[slot].after;
  Line& line = lines_[index_of(priority)];
  slots_[slot] = {.before = line.last,
                  .after = kNone,
                  .since = now,
                  .deadline = now + options_.max_wait,
                  .priority = priority,
                  .in_line = true};
  (line.last == kNone ? line.first : slots_[line.last].after) = slot;
  line.last = slot;
  ++line.length;
  ++waiting_;
  return {.verdict = AdmissionVerdict::queued,
          .ticket = {.slot = slot, .deadline = slots_[slot].deadline},
          .pushed_out = full};
}

std::optional<Admission::Ticket> Admission::leave(Instant now) noexcept {
  require_invariant(running_ > 0, "only who entered a gate leaves it");
  observe_lines(now);
  if (running_ >= limit_) {
    const Duration gap = std::max(Duration(0), now - last_departure_);
    departure_gap_ =
        departure_gap_ == Duration(0) ? gap : departure_gap_ + (gap - departure_gap_) / kSmoothing;
    last_departure_ = now;
    note_departure(now);
  } else {
    departures_ = 0;
  }
  --running_;
  return admit_next(now);
}

void Admission::set_limit(std::uint32_t limit) noexcept {
  limit_ = std::clamp<std::uint32_t>(limit, 1, options_.max_running);
}

std::optional<Admission::Ticket> Admission::admit_next(Instant now) noexcept {
  for (const Priority priority : kByPriority) {
    if (running_ >= shedder_.places(priority, limit_)) break;  // those below may take even fewer
    Line& line = lines_[index_of(priority)];
    while (line.first != kNone) {
      const std::uint32_t slot = line.first;
      const Instant deadline = slots_[slot].deadline;
      remove(slot);
      if (deadline < now) continue;
      ++running_;
      return Ticket{.slot = slot, .deadline = deadline};
    }
  }
  return std::nullopt;
}

void Admission::abandon(const Ticket& ticket) noexcept {
  require_invariant(slots_[ticket.slot].in_line, "only who waits at a gate gives up waiting");
  remove(ticket.slot);
}

/// Takes the place of the newest of the lowest priority that is below `priority`.
std::optional<std::uint32_t> Admission::make_room_for(Priority priority) noexcept {
  for (std::size_t below = kPriorities - 1; below > index_of(priority); --below) {
    if (lines_[below].last == kNone) continue;
    const std::uint32_t slot = lines_[below].last;
    remove(slot);
    return slot;
  }
  return std::nullopt;
}

bool Admission::has_room_for(Priority priority) const noexcept {
  if (running_ < shedder_.places(priority, limit_)) return true;
  if (!shedder_.may_wait(priority) || slots_.empty() || waits_too_long(priority)) return false;
  if (free_ != kNone) return true;
  for (std::size_t below = kPriorities - 1; below > index_of(priority); --below) {
    if (lines_[below].last != kNone) return true;
  }
  return false;
}

/// Behind those of its own priority and above, at the pace at which places got free of late.
bool Admission::waits_too_long(Priority priority) const noexcept {
  std::int64_t ahead = 0;
  for (std::size_t i = 0; i <= index_of(priority); ++i) ahead += lines_[i].length;
  return ahead > 0 && pace_ * (ahead + 1) > options_.max_wait;
}

void Admission::note_departure(Instant now) noexcept {
  if (departures_++ == 0) {
    pace_since_ = now;
    return;
  }
  if (now - pace_since_ < kPaceWindow) return;
  pace_ = (now - pace_since_) / (departures_ - 1);
  departures_ = 0;
}

bool Admission::nobody_waits_up_to(Priority priority) const noexcept {
  for (std::size_t i = 0; i <= index_of(priority); ++i) {
    if (lines_[i].first != kNone) return false;
  }
  return true;
}

void Admission::observe_lines(Instant now) noexcept {
  Shedder::Ages ages{};
  if (waiting_ > 0) {
    for (std::size_t i = 0; i < kPriorities; ++i) {
      if (lines_[i].first != kNone) ages[i] = now - slots_[lines_[i].first].since;
    }
  }
  shedder_.observe(now, ages);
}

void Admission::remove(std::uint32_t slot) noexcept {
  Slot& gone = slots_[slot];
  Line& line = lines_[index_of(gone.priority)];
  (gone.before == kNone ? line.first : slots_[gone.before].after) = gone.after;
  (gone.after == kNone ? line.last : slots_[gone.after].before) = gone.before;
  gone = {.after = free_};
  free_ = slot;
  --line.length;
  --waiting_;
}

Duration Admission::retry_after() const noexcept {
  return std::clamp(departure_gap_ * (std::int64_t{waiting_} + 1), kLeastRetryAfter, kMostRetryAfter);
}

}  // namespace holdfast::resilience
