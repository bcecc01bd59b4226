#include "holdfast/base/id.hpp"

namespace holdfast {
namespace {

constexpr std::uint64_t kHighMask = (std::uint64_t{1} << 12) - 1;
constexpr std::uint64_t kLowMask = (std::uint64_t{1} << 62) - 1;

}  // namespace

Bytes16 IdGenerator::next() {
  const auto since_epoch = clock_.wall_now().time_since_epoch();
  const auto now =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count());

  const std::lock_guard lock(mutex_);
  const std::uint64_t drawn = random_.next();
  if (now > milliseconds_) {
    milliseconds_ = now;
    // The top bit starts at zero, so that counting up has room within the millisecond.
    high_ = random_.next() & (kHighMask >> 1);
    low_ = drawn & kLowMask;
  } else {
    low_ += 1 + (drawn >> 32);
    if (low_ > kLowMask) {
      low_ &= kLowMask;
      if (++high_ > kHighMask) {
        high_ = 0;
        ++milliseconds_;  // a little ahead of the clock rather than out of order
      }
    }
  }

  const std::uint64_t first = milliseconds_ << 16 | std::uint64_t{7} << 12 | high_;
  const std::uint64_t second = std::uint64_t{2} << 62 | low_;
  Bytes16 bytes;
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<std::uint8_t>(first >> (56 - 8 * i));
    bytes[8 + i] = static_cast<std::uint8_t>(second >> (56 - 8 * i));
  }
  return bytes;
}

}  // namespace holdfast
