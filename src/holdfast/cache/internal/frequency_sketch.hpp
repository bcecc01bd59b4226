// How often a key was asked for of late, roughly: a count-min sketch of four-bit counters, all halved when as
// many as ten times its width have been counted. (Einziger, Friedman, Manes, "TinyLFU", ACM TOS 2017.)
//
// Thread-safety: one thread at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace holdfast::cache::internal {

class FrequencySketch {
 public:
  static constexpr std::uint32_t kMost = 15;

  /// For about `entries` keys: 8 bytes each.
  explicit FrequencySketch(std::size_t entries)
      : words_(std::bit_ceil(std::max<std::size_t>(entries, 64))), sample_(10 * words_.size()) {}

  void count(std::uint64_t hash) noexcept {
    bool grew = false;
    for (int row = 0; row < kRows; ++row) {
      const Place place = place_of(hash, row);
      if (((words_[place.word] >> place.shift) & kMost) == kMost) continue;
      words_[place.word] += std::uint64_t{1} << place.shift;
      grew = true;
    }
    if (grew && ++counted_ >= sample_) halve();
  }

  /// 0 … 15.
  std::uint32_t frequency(std::uint64_t hash) const noexcept {
    std::uint64_t least = kMost;
    for (int row = 0; row < kRows; ++row) {
      const Place place = place_of(hash, row);
      least = std::min(least, (words_[place.word] >> place.shift) & kMost);
    }
    return static_cast<std::uint32_t>(least);
  }

 private:
  static constexpr int kRows = 4;
  struct Place {
    std::size_t word;
    unsigned shift;
  };

  /// Each row uses other bits of the hash, and a quarter of each word: four of its sixteen counters.
  Place place_of(std::uint64_t hash, int row) const noexcept {
    const std::uint64_t mixed =
        (hash + static_cast<std::uint64_t>(row) * 0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd;
    return {.word = (mixed >> 32) & (words_.size() - 1),
            .shift = static_cast<unsigned>((row * 4 + static_cast<int>((mixed >> 20) & 3)) * 4)};
  }

  void halve() noexcept {
    for (std::uint64_t& word : words_) word = (word >> 1) & 0x7777777777777777;
    counted_ /= 2;
  }

  std::vector<std::uint64_t> words_;
  const std::size_t sample_;
  std::size_t counted_ = 0;
};

}  // namespace holdfast::cache::internal
