// Counters that many threads add to without fetching each other's cache line: each thread gets a stripe of
// its own, the first time it asks, and adds without a locked instruction; whoever reads sums all stripes.
//
//   struct Cells { std::atomic<std::uint64_t> calls{0}; };
//   PerThread<Cells> counters;
//   counters.add(&Cells::calls);
//   counters.sum([](const Cells& c) { return c.calls.load(std::memory_order_relaxed); });
//
// Threads beyond kStripes share one stripe, with locked instructions. Thread-safety: any thread. What a
// thread has added is seen by itself at once, by others soon.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace holdfast::resilience {

inline constexpr std::size_t kCacheLine = 64;

/// `Cells` is made of relaxed atomics, and default-constructed.
template <class Cells>
class PerThread {
 public:
  static constexpr std::size_t kStripes = 8;

  /// The calling thread's cells. `alone`: nobody else writes them, so a load and a store make an addition.
  struct Mine {
    Cells& cells;
    bool alone;

    void add(std::atomic<std::uint64_t>& cell, std::uint64_t amount = 1) const noexcept {
      if (alone) {
        cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
      } else {
        cell.fetch_add(amount, std::memory_order_relaxed);
      }
    }
  };

  Mine mine() noexcept {
    // Its address tells threads apart. That of a thread that has ended may be given to a new one, which
    // then takes over the stripe.
    static thread_local char self = 0;
    const auto address = reinterpret_cast<std::uintptr_t>(&self);
    const std::size_t first = (address * kGolden) >> kHashShift;
    Stripe& likely = stripes_[first];
    if (likely.owner.load(std::memory_order_relaxed) == address) [[likely]]
      return {likely.cells, true};
    return claim(address, first);
  }

  void add(std::atomic<std::uint64_t> Cells::*cell, std::uint64_t amount = 1) noexcept {
    const Mine here = mine();
    here.add(here.cells.*cell, amount);
  }

  /// Calls `read` for each stripe and adds up what it returns.
  template <class Read>
  std::uint64_t sum(Read&& read) const noexcept {
    std::uint64_t total = read(shared_.cells);
    for (const Stripe& stripe : stripes_) {
      if (stripe.owner.load(std::memory_order_relaxed) != 0) total += read(stripe.cells);
    }
    return total;
  }

 private:
  static constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
  static constexpr int kHashShift = 61;  // leaves kStripes values

  struct alignas(kCacheLine) Stripe {
    std::atomic<std::uintptr_t> owner{0};
    Cells cells{};
  };

  Mine claim(std::uintptr_t address, std::size_t first) noexcept {
    for (std::size_t i = 0; i < kStripes; ++i) {
      Stripe& stripe = stripes_[(first + i) % kStripes];
      std::uintptr_t owner = stripe.owner.load(std::memory_order_relaxed);
      if (owner == 0 && stripe.owner.compare_exchange_strong(owner, address, std::memory_order_relaxed)) {
        owner = address;
      }
      if (owner == address) return {stripe.cells, true};
    }
    return {shared_.cells, false};
  }

  std::array<Stripe, kStripes> stripes_{};
  Stripe shared_{};
};

}  // namespace holdfast::resilience
