#include "holdfast/resilience/backoff.hpp"

#include <algorithm>
#include <limits>

namespace holdfast::resilience {

namespace {

/// Uniform in [least, most].
Duration between(Duration least, Duration most, Random& random) noexcept {
  if (most <= least) return least;
  const auto span = static_cast<std::uint64_t>((most - least).count());
  return least + Duration(static_cast<std::int64_t>(random.below(span + 1)));
}

Duration sound_base(const BackoffOptions& options) noexcept { return std::max(options.base, Duration(1)); }
Duration sound_cap(const BackoffOptions& options) noexcept { return std::max(options.cap, Duration(0)); }

}  // namespace

Duration backoff_ceiling(const BackoffOptions& options, std::uint32_t attempt) noexcept {
  const std::int64_t base = sound_base(options).count();
  const std::int64_t cap = sound_cap(options).count();
  if (attempt >= 63 || base > cap >> attempt) return Duration(cap);
  return Duration(base << attempt);
}

Duration backoff_delay(const BackoffOptions& options, std::uint32_t attempt, Random& random,
                       Duration previous) noexcept {
  const Duration ceiling = backoff_ceiling(options, attempt);
  switch (options.jitter) {
    case Jitter::full: return between(Duration(0), ceiling, random);
    case Jitter::equal: return between(ceiling / 2, ceiling, random);
    case Jitter::none: return ceiling;
    case Jitter::decorrelated: break;
  }
  const Duration base = sound_base(options);
  const Duration cap = sound_cap(options);
  const Duration last = std::max(previous, base);
  const Duration most = last > cap / 3 ? cap : std::min(cap, 3 * last);
  return std::min(cap, between(base, most, random));
}

Duration Backoff::next(Random& random) noexcept {
  previous_ = backoff_delay(options_, attempts_, random, previous_);
  if (attempts_ < std::numeric_limits<std::uint32_t>::max()) ++attempts_;
  return previous_;
}

}  // namespace holdfast::resilience
