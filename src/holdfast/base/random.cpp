#include "holdfast/base/random.hpp"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace holdfast {

namespace {

std::uint64_t splitmix64(std::uint64_t& x) noexcept {
  std::uint64_t z = (x += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

void read_entropy(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::generic_category(),
                              "reading random bytes from the operating system");
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

std::uint64_t entropy_seed() {
  std::uint64_t seed = 0;
  read_entropy(std::as_writable_bytes(std::span(&seed, 1)));
  return seed;
}

}  // namespace

std::uint64_t Random::below(std::uint64_t bound) noexcept {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(next()) * bound;
  auto low = static_cast<std::uint64_t>(product);
  if (low < bound) {
    const std::uint64_t threshold = (0 - bound) % bound;
    while (low < threshold) {
      product = static_cast<Wide>(next()) * bound;
      low = static_cast<std::uint64_t>(product);
    }
  }
  return static_cast<std::uint64_t>(product >> 64);
}

double Random::unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

SeededRandom::SeededRandom(std::uint64_t seed) noexcept {
  for (auto& word : state_) word = splitmix64(seed);
}

std::uint64_t SeededRandom::next() noexcept {
  const std::lock_guard lock(mutex_);
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

void SeededRandom::fill_secret(std::span<std::byte> out) {
  while (!out.empty()) {
    const std::uint64_t word = next();
    const std::size_t take = std::min(out.size(), sizeof word);
    std::memcpy(out.data(), &word, take);
    out = out.subspan(take);
  }
}

SystemRandom::SystemRandom() : SeededRandom(entropy_seed()) {}

void SystemRandom::fill_secret(std::span<std::byte> out) { read_entropy(out); }

}  // namespace holdfast
