// How many calls came, of which operation, and in which second: what a drill reads to see whether a
// recovering client came back gently. Since the start, or the last reset; not kept over a restart.
//
// Thread-safety: everything from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>

#include "holdfast/base/clock.hpp"
#include "paysim/behaviour.hpp"

namespace holdfast::paysim {

class Counters {
 public:
  static constexpr std::size_t kMaxSeconds = 900;  ///< of history

  /// `clock` is borrowed.
  explicit Counters(const Clock& clock) : clock_(clock) {}

  void arrived(Operation operation);
  void replayed();
  void misbehaved(Action action);
  void answered(int status);
  void reset();

  /// {"total", "operations": {…}, "replays", "statuses": {…}, "misbehaved": {…}, "highestPerSecond",
  ///  "highestPerSecondBy": {…}, "seconds": [{"at", "total", "authorize", …}]}
  std::string json() const;

 private:
  static constexpr std::size_t kOperations = 7;
  static constexpr std::size_t kActions = 10;
  struct Second {
    std::int64_t at = 0;  // Unix seconds
    std::array<std::uint32_t, kOperations> calls{};
    std::uint64_t total() const noexcept;
  };

  const Clock& clock_;
  mutable std::mutex mutex_;
  std::array<std::uint64_t, kOperations> calls_{};
  std::array<std::uint64_t, kActions> misbehaved_{};
  std::map<int, std::uint64_t> statuses_;  // at most one a status there is
  std::uint64_t replays_ = 0;
  std::deque<Second> seconds_;
};

}  // namespace holdfast::paysim
