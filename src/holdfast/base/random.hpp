// Randomness as an input, for the same reason as base/clock.hpp: one seed replays a whole run.
// Ids, jitter, sampling and test shuffles draw from a Random that was passed in.
//
// Thread-safety: a Random may be drawn from by any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

namespace holdfast {

class Random {
 public:
  virtual ~Random() = default;

  /// 64 uniformly distributed bits. Not for secrets.
  virtual std::uint64_t next() noexcept = 0;

  /// Fills `out` with bytes fit for secrets (API keys, salts).
  virtual void fill_secret(std::span<std::byte> out) = 0;

  /// Uniform in [0, bound); `bound` must not be 0. (Lemire, "Fast Random Integer Generation", 2019.)
  std::uint64_t below(std::uint64_t bound) noexcept;

  /// Uniform in [0, 1).
  double unit() noexcept;
};

/// xoshiro256** (Blackman, Vigna 2018) behind a mutex; the state is the seed stretched by splitmix64.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) noexcept;

  std::uint64_t next() noexcept override;

  /// Deterministic here: a simulation's secrets are replayed too. Never use it in production.
  void fill_secret(std::span<std::byte> out) override;

 private:
  std::mutex mutex_;
  std::array<std::uint64_t, 4> state_;
};

/// Seeded by the operating system; secrets come straight from getrandom(2).
class SystemRandom final : public SeededRandom {
 public:
  SystemRandom();

  /// Throws std::system_error where the operating system gives no entropy.
  void fill_secret(std::span<std::byte> out) override;
};

}  // namespace holdfast
