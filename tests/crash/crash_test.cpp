// Kills the server at random moments while customers order, and reconciles everything it holds with what
// they were told. HOLDFAST_CRASH_ROUNDS says how often; HOLDFAST_SEED repeats a run's decisions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "drills/frame/shop.hpp"
#include "drills/frame/shoppers.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;

constexpr int kRoundsBetweenReconciliations = 10;

int crash_rounds() {
  const char* given = std::getenv("HOLDFAST_CRASH_ROUNDS");
  return given != nullptr ? std::max(1, std::atoi(given)) : 50;
}

class CrashRounds {
 public:
  explicit CrashRounds(std::uint64_t seed) : random_(seed) {}

  /// `rounds` kills under the load of one crowd of shoppers.
  void run(int rounds) {
    Shoppers shoppers(shop_, journal_, {.seed = random_(), .name = "leg" + std::to_string(++legs_)});
    for (int round = 0; round < rounds; ++round) {
      // Now and then longer, so that the events of earlier rounds are being handled too.
      const auto life = std::chrono::milliseconds(50 + random_() % (one_in(5) ? 1500 : 550));
      std::this_thread::sleep_for(life / 2);
      shop_.read_some_mail(20);
      std::this_thread::sleep_for(life / 2);
      shop_.server().kill();
      ++kills_;
      start_again();
      shoppers.server_is_back();
    }
    shoppers.finish();
    in_doubt_ += shoppers.in_doubt();
  }

  std::vector<std::string> faults(bool thorough) { return shop_.faults(journal_, thorough); }

  std::string summary() const {
    return std::to_string(kills_) + " kills, " + std::to_string(journal_.placed()) +
           " orders acknowledged, " + std::to_string(in_doubt_) +
           " requests in doubt, ready again after at most " + std::to_string(slowest_start_.count()) + " ms";
  }

 private:
  bool one_in(unsigned n) { return random_() % n == 0; }

  void start_again() {
    while (one_in(5)) {  // recovery is killed too
      shop_.server().launch();
      std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 80));
      shop_.server().kill();
      ++kills_;
    }
    const auto begun = std::chrono::steady_clock::now();
    shop_.server().start();
    const auto took = std::chrono::steady_clock::now() - begun;
    slowest_start_ = std::max(slowest_start_, std::chrono::duration_cast<std::chrono::milliseconds>(took));
  }

  std::mt19937_64 random_;
  Shop shop_;
  Journal journal_;
  int legs_ = 0;
  int kills_ = 0;
  std::size_t in_doubt_ = 0;
  std::chrono::milliseconds slowest_start_{0};
};

TEST(Crash, NothingAcknowledgedIsLostOrDoubledByKillsAtRandomMoments) {
  CrashRounds crashes(test_seed());
  for (int left = crash_rounds(); left > 0; left -= kRoundsBetweenReconciliations) {
    crashes.run(std::min(left, kRoundsBetweenReconciliations));
    ASSERT_THAT(crashes.faults(/*thorough=*/left <= kRoundsBetweenReconciliations), IsEmpty())
        << crashes.summary();
  }
  std::cout << crashes.summary() << std::endl;
}

}  // namespace
}  // namespace holdfast::drills
