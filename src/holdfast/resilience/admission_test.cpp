#include "holdfast/resilience/admission.hpp"

#include <gmock/gmock.h>

#include <deque>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr Instant kStart(1h);

TEST(Admission, AdmitsThenQueuesThenRefuses) {
  Admission admission({.max_running = 2, .max_waiting = 1, .max_wait = 1s});
  EXPECT_EQ(admission.try_enter(kStart).verdict, AdmissionVerdict::admitted);
  EXPECT_EQ(admission.try_enter(kStart).verdict, AdmissionVerdict::admitted);
  const auto queued = admission.try_enter(kStart);
  EXPECT_EQ(queued.verdict, AdmissionVerdict::queued);
  EXPECT_EQ(queued.ticket.deadline, kStart + 1s);
  const auto refused = admission.try_enter(kStart);
  EXPECT_EQ(refused.verdict, AdmissionVerdict::refused);
  EXPECT_GE(refused.retry_after, 100ms);
  EXPECT_EQ(admission.leave(kStart)->slot, queued.ticket.slot);
  EXPECT_EQ(admission.running(), 2u);
  EXPECT_FALSE(admission.leave(kStart));
  EXPECT_EQ(admission.running(), 1u);
}

TEST(Admission, PassesOverThoseWhoHaveWaitedTooLong) {
  Admission admission({.max_running = 1, .max_waiting = 8, .max_wait = 1s});
  (void)admission.try_enter(kStart);
  (void)admission.try_enter(kStart);
  const auto later = admission.try_enter(kStart + 500ms);
  EXPECT_EQ(admission.leave(kStart + 1200ms)->slot, later.ticket.slot);
  EXPECT_EQ(admission.waiting(), 0u);
}

TEST(Admission, RetryAfterGrowsWithTheLineAndTheWork) {
  Admission admission({.max_running = 1, .max_waiting = 3, .max_wait = 10min});
  Instant now = kStart;
  (void)admission.try_enter(now);
  for (int i = 0; i < 3; ++i) (void)admission.try_enter(now);
  for (int i = 0; i < 200; ++i) {
    now += 2s;  // each takes two seconds
    ASSERT_TRUE(admission.leave(now));
    (void)admission.try_enter(now);
  }
  const auto refused = admission.try_enter(now);
  EXPECT_NEAR(std::chrono::duration<double>(refused.retry_after).count(), 8, 0.5);
}

TEST(Admission, KeepsItsBoundsAndItsOrderWhateverHappens) {
  SeededRandom random(9);
  const AdmissionOptions options{.max_running = 3, .max_waiting = 5, .max_wait = 100ms};
  Admission admission(options);
  std::deque<Admission::Ticket> line;  // what it must be equal to
  std::uint32_t running = 0;
  Instant now = kStart;
  for (int i = 0; i < 50'000; ++i) {
    now += Duration(random.below(20'000'000));
    switch (random.below(4)) {
      case 0:
      case 1: {
        const auto decision = admission.try_enter(now);
        if (running < options.max_running) {
          ASSERT_EQ(decision.verdict, AdmissionVerdict::admitted);
          ++running;
        } else if (line.size() < options.max_waiting) {
          ASSERT_EQ(decision.verdict, AdmissionVerdict::queued);
          line.push_back(decision.ticket);
        } else {
          ASSERT_EQ(decision.verdict, AdmissionVerdict::refused);
        }
        break;
      }
      case 2:
        if (running > 0) {
          while (!line.empty() && line.front().deadline < now) line.pop_front();
          const auto next = admission.leave(now);
          ASSERT_EQ(next.has_value(), !line.empty());
          if (next) {
            ASSERT_EQ(next->slot, line.front().slot);
            line.pop_front();
          } else {
            --running;
          }
        }
        break;
      default:
        if (!line.empty()) {
          const auto who = line.begin() + static_cast<std::ptrdiff_t>(random.below(line.size()));
          admission.abandon(*who);
          line.erase(who);
        }
    }
    ASSERT_EQ(admission.running(), running);
    ASSERT_EQ(admission.waiting(), line.size());
  }
}

struct AdmissionGateTest : ::testing::Test {
  void run(const std::function<void(const Context&)>& body) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run(body);
  }
  ManualClock clock;
  SeededRandom random{1};
  observe::Metrics metrics;
};

TEST_F(AdmissionGateTest, ServesTheLineInOrder) {
  std::vector<int> served;
  run([&](const Context& ctx) {
    AdmissionGate gate("g", {.max_running = 1, .max_waiting = 10, .max_wait = 1min}, clock, metrics);
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 5; ++i) {
      group.spawn("client", [&, i](const Context& child) {
        runtime::sleep_for(child, std::chrono::milliseconds(i));
        const auto entry = gate.enter(child);
        ASSERT_TRUE(entry);
        served.push_back(i);
        runtime::sleep_for(child, 1s);
      });
    }
    group.wait();
  });
  EXPECT_THAT(served, ::testing::ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(metrics.expose(), HasSubstr("holdfast_admission_total{gate=\"g\",outcome=\"admitted\"} 5\n"));
}

TEST_F(AdmissionGateTest, RefusesWhoWaitedTooLongAndWhoFindsTheLineFull) {
  int admitted = 0;
  int refused_late = 0;
  int refused_at_once = 0;
  run([&](const Context& ctx) {
    AdmissionGate gate("g", {.max_running = 1, .max_waiting = 2, .max_wait = 100ms}, clock, metrics);
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 5; ++i) {
      group.spawn("client", [&, i](const Context& child) {
        runtime::sleep_for(child, std::chrono::milliseconds(i));
        const Instant begun = child.now();
        const auto entry = gate.enter(child);
        if (entry) {
          ++admitted;
          runtime::sleep_for(child, 1s);
        } else {
          EXPECT_GE(entry.retry_after(), 100ms);
          ++(child.now() == begun ? refused_at_once : refused_late);
          if (child.now() != begun) {
            EXPECT_EQ(child.now() - begun, 100ms);
          }
        }
      });
    }
    group.wait();
    EXPECT_TRUE(gate.enter(ctx)) << "the gate is usable again";
  });
  EXPECT_EQ(admitted, 1);
  EXPECT_EQ(refused_late, 2);
  EXPECT_EQ(refused_at_once, 2);
}

TEST_F(AdmissionGateTest, TheCallersOwnDeadlineAndCancellationEndTheWait) {
  run([&](const Context& ctx) {
    AdmissionGate gate("g", {.max_running = 1, .max_waiting = 2, .max_wait = 10s}, clock, metrics);
    const auto held = gate.enter(ctx);
    try {
      (void)gate.enter(ctx.with_timeout(50ms));
      ADD_FAILURE() << "should have thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded);
    }
    ErrorCode ended = ErrorCode::internal;
    {
      runtime::FiberGroup group(ctx);
      group.spawn("waits", [&](const Context& child) {
        try {
          (void)gate.enter(child);
        } catch (const Error& error) {
          ended = error.code();
        }
      });
      runtime::yield();
    }
    EXPECT_EQ(ended, ErrorCode::cancelled);
    EXPECT_FALSE(gate.try_enter());
  });
}

TEST_F(AdmissionGateTest, NeverMoreAtWorkThanAllowedOnManyLoops) {
  SystemClock real;
  runtime::Runtime runtime({.loops = 2}, real, random);
  std::atomic<int> at_work = 0;
  std::atomic<int> most = 0;
  std::atomic<int> done = 0;
  runtime.run([&](const Context& ctx) {
    AdmissionGate gate("g", {.max_running = 3, .max_waiting = 1000, .max_wait = 1min}, real, metrics);
    runtime::Latch all_done;
    constexpr int kFibers = 200;
    for (int i = 0; i < kFibers; ++i) {
      runtime.spawn_on(static_cast<std::size_t>(i % 2), "client", [&] {
        {
          const auto entry = gate.enter(ctx);
          EXPECT_TRUE(entry);
          const int now = ++at_work;
          int seen = most.load();
          while (seen < now && !most.compare_exchange_weak(seen, now)) {
          }
          runtime::yield();
          --at_work;
        }
        if (++done == kFibers) all_done.open();
      });
    }
    all_done.wait(ctx, "test");
  });
  EXPECT_EQ(done, 200);
  EXPECT_LE(most, 3);
}

}  // namespace
}  // namespace holdfast::resilience
