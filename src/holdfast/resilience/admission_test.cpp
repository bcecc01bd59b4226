#include "holdfast/resilience/admission.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
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
        const bool has_room = admission.has_room_for(Priority::normal);
        const auto decision = admission.try_enter(now);
        if (running < options.max_running) {
          ASSERT_EQ(decision.verdict, AdmissionVerdict::admitted);
          ++running;
        } else if (line.empty() || (has_room && line.size() < options.max_waiting)) {
          ASSERT_EQ(decision.verdict, AdmissionVerdict::queued);
          line.push_back(decision.ticket);
        } else {
          ASSERT_FALSE(has_room);
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

TEST(Admission, WhoWouldWaitTooLongIsRefusedAtOnce) {
  Admission admission({.max_running = 1, .max_waiting = 1'000, .max_wait = 500ms});
  Instant now = kStart;
  ASSERT_EQ(admission.try_enter(now).verdict, AdmissionVerdict::admitted);
  for (int i = 0; i < 20; ++i) {  // one each 10 ms
    ASSERT_EQ(admission.try_enter(now).verdict, AdmissionVerdict::queued);
    now += 10ms;
    ASSERT_TRUE(admission.leave(now));
  }
  int waiting = 0;
  while (admission.try_enter(now).verdict == AdmissionVerdict::queued) ++waiting;
  EXPECT_EQ(waiting, 50);
  EXPECT_FALSE(admission.has_room_for(Priority::normal));
  EXPECT_TRUE(admission.has_room_for(Priority::critical)) << "those of lower priority are not ahead of it";
  ASSERT_TRUE(admission.leave(now + 10ms));
  EXPECT_TRUE(admission.has_room_for(Priority::normal));
}

TEST(Admission, TheCriticalGoFirst) {
  Admission admission({.max_running = 1, .max_waiting = 8});
  (void)admission.try_enter(kStart);
  const auto background = admission.try_enter(kStart, Priority::background);
  const auto normal = admission.try_enter(kStart, Priority::normal);
  const auto critical = admission.try_enter(kStart, Priority::critical);
  const auto another = admission.try_enter(kStart, Priority::critical);
  for (const auto& next : {critical, another, normal, background})
    EXPECT_EQ(admission.leave(kStart)->slot, next.ticket.slot);
}

TEST(Admission, AFullLineGivesUpTheNewestOfItsLowestPriority) {
  Admission admission({.max_running = 1, .max_waiting = 3});
  (void)admission.try_enter(kStart);
  const auto older = admission.try_enter(kStart, Priority::background);
  const auto newer = admission.try_enter(kStart, Priority::background);
  (void)admission.try_enter(kStart, Priority::normal);
  EXPECT_EQ(admission.try_enter(kStart, Priority::background).verdict, AdmissionVerdict::refused);
  const auto first = admission.try_enter(kStart, Priority::critical);
  EXPECT_TRUE(first.pushed_out);
  EXPECT_EQ(first.ticket.slot, newer.ticket.slot);
  EXPECT_EQ(admission.try_enter(kStart, Priority::critical).ticket.slot, older.ticket.slot);
  EXPECT_TRUE(admission.try_enter(kStart, Priority::critical).pushed_out) << "the normal one";
  EXPECT_EQ(admission.try_enter(kStart, Priority::critical).verdict, AdmissionVerdict::refused);
  EXPECT_EQ(admission.waiting(), 3u);
}

TEST(Admission, KeepsPlacesFreeForThoseAbove) {
  Admission admission(
      {.max_running = 10, .max_waiting = 10, .shedding = {.normal_share = 0.8, .background_share = 0.5}});
  const auto fill = [&](Priority priority) {
    int admitted = 0;
    for (;; ++admitted) {
      const auto decision = admission.try_enter(kStart, priority);
      if (decision.verdict == AdmissionVerdict::queued) admission.abandon(decision.ticket);
      if (decision.verdict != AdmissionVerdict::admitted) return admitted;
    }
  };
  EXPECT_EQ(fill(Priority::background), 5);
  EXPECT_EQ(fill(Priority::normal), 3);
  EXPECT_EQ(fill(Priority::critical), 2);
  const auto waits = admission.try_enter(kStart, Priority::background);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(admission.leave(kStart)) << "not yet the turn of background work";
  EXPECT_EQ(admission.leave(kStart)->slot, waits.ticket.slot);
}

TEST(Admission, TheLimitMayMoveWhileManyAreAtWorkAndInLine) {
  SeededRandom random(10);
  Admission admission({.max_running = 20,
                       .max_waiting = 10,
                       .max_wait = 1h,
                       .shedding = {.normal_share = 0.7, .background_share = 0.3}});
  for (int i = 0; i < 50'000; ++i) {
    const Instant now = kStart + std::chrono::milliseconds(i);
    const std::uint32_t before = admission.running();
    bool left = false;
    switch (random.below(3)) {
      case 0: (void)admission.try_enter(now, static_cast<Priority>(random.below(3))); break;
      case 1:
        left = before > 0;
        if (left && admission.leave(now)) {
          while (admission.admit_next(now)) {
          }
        }
        break;
      default:
        admission.set_limit(static_cast<std::uint32_t>(random.below(25)));
        while (admission.admit_next(now)) {
        }
    }
    ASSERT_GE(admission.limit(), 1u);
    ASSERT_LE(admission.running(), std::max(admission.limit(), before)) << "none enters beyond the limit";
    ASSERT_TRUE(admission.waiting() == 0 ||
                admission.running() >= admission.shedder().places(Priority::background, admission.limit()))
        << "nobody waits who may enter";
  }
}

TEST(Shedder, AStandingLineTakesTheRightToWaitStepByStepAndGivesItBack) {
  Shedder shedder({.queue_target = 20ms, .interval = 100ms});
  Instant now = kStart;
  const auto for_an_interval = [&](const Shedder::Ages& ages) {
    for (int i = 0; i < 10; ++i) shedder.observe(now += 10ms, ages);
  };
  const Shedder::Ages nobody{};
  shedder.observe(now, {0ms, 0ms, 50ms});
  for_an_interval({0ms, 0ms, 50ms});
  EXPECT_FALSE(shedder.may_wait(Priority::background));
  EXPECT_TRUE(shedder.may_wait(Priority::normal));
  for_an_interval({0ms, 30ms, 0ms});
  EXPECT_FALSE(shedder.may_wait(Priority::normal));
  for_an_interval({5s, 5s, 5s});
  EXPECT_TRUE(shedder.may_wait(Priority::critical)) << "whatever happens";
  EXPECT_EQ(shedder.level(), 2u);
  for_an_interval(nobody);
  EXPECT_EQ(shedder.level(), 1u);
  for_an_interval(nobody);
  EXPECT_EQ(shedder.level(), 0u);
}

TEST(Shedder, OneMomentWithoutAWaitIsNoStandingLineAndAPauseForgives) {
  Shedder shedder({.queue_target = 20ms, .interval = 100ms});
  Instant now = kStart;
  for (int i = 0; i < 100; ++i) shedder.observe(now += 10ms, {0ms, i % 8 == 0 ? 0ms : 500ms, 0ms});
  EXPECT_EQ(shedder.level(), 0u) << "bursts are what lines are for";
  for (int i = 0; i < 100; ++i) shedder.observe(now += 10ms, {0ms, 500ms, 0ms});
  EXPECT_GE(shedder.level(), 1u);
  shedder.observe(now += 1h, {});
  EXPECT_EQ(shedder.level(), 0u);
}

TEST(Shedder, RefusesOptionsThatMeanNothing) {
  EXPECT_THROW(Shedder({.normal_share = 0.2, .background_share = 0.5}), Error);
  EXPECT_THROW(Shedder({.background_share = 0}), Error);
  EXPECT_THROW(Shedder({.normal_share = 2}), Error);
  EXPECT_THROW(Shedder({.queue_target = 0s}), Error);
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
  EXPECT_THAT(metrics.expose(),
              HasSubstr("holdfast_admission_total{gate=\"g\",outcome=\"admitted\",priority=\"normal\"} 5\n"));
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

TEST_F(AdmissionGateTest, TellsWhoIsPushedOutAtOnce) {
  run([&](const Context& ctx) {
    AdmissionGate gate("g", {.max_running = 1, .max_waiting = 1, .max_wait = 10s}, clock, metrics);
    runtime::FiberGroup group(ctx);
    group.spawn("works", [&](const Context& child) {
      const auto entry = gate.enter(child);
      runtime::sleep_for(child, 1s);
    });
    group.spawn("export", [&](const Context& child) {
      const Instant begun = child.now();
      EXPECT_FALSE(gate.enter(child.with_priority(Priority::background)));
      EXPECT_EQ(child.now() - begun, 5ms);
    });
    group.spawn("checkout", [&](const Context& child) {
      runtime::sleep_for(child, 5ms);
      EXPECT_TRUE(gate.enter(child.with_priority(Priority::critical)));
    });
    group.wait();
  });
  EXPECT_THAT(metrics.expose(), HasSubstr("outcome=\"pushed_out\",priority=\"background\"} 1\n"));
}

/// Three times what can be served, a fifth each of checkout and exports: what is done of each.
TEST_F(AdmissionGateTest, AtThreeTimesItsLoadCheckoutIsServedAndMuchIsDone) {
  std::array<int, kPriorities> asked{};
  std::array<int, kPriorities> done{};
  run([&](const Context& ctx) {
    AdmissionGate gate("g",
                       {.max_running = 400,
                        .max_waiting = 400,
                        .max_wait = 500ms,
                        .shedding = {.normal_share = 0.9, .background_share = 0.5, .queue_target = 20ms},
                        .adaptive = AdaptiveLimitOptions{.initial = 400, .min = 5, .max = 400}},
                       clock, metrics);
    runtime::Semaphore servers(20, 10'000);  // each 10 ms: 2000 a second
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 60'000; ++i) {  // 10 s of 6000 a second
      const Priority priority = i % 5 == 0   ? Priority::critical
                                : i % 5 == 1 ? Priority::background
                                             : Priority::normal;
      group.spawn("client", [&, priority](const Context& child) {
        const Context own = child.with_priority(priority).with_timeout(250ms);
        ++asked[index_of(priority)];
        try {
          const auto entry = gate.enter(own);
          if (!entry) return;
          const runtime::Permit permit(servers, own, "server");
          runtime::sleep_for(own, 10ms);
          ++done[index_of(priority)];
        } catch (const Error&) {  // done too late is not done
        }
      });
      if (i % 6 == 5) runtime::sleep_for(ctx, 1ms);
    }
    group.wait();
    EXPECT_LE(gate.limit(), 60u) << "found the twenty servers from four hundred";
  });
  EXPECT_GE(done[index_of(Priority::critical)], asked[index_of(Priority::critical)] * 95 / 100);
  EXPECT_GE(done[0] + done[1] + done[2], 20'000 * 80 / 100);
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
