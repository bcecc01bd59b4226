#include "holdfast/resilience/pipeline.hpp"

#include <gmock/gmock.h>

#include <map>
#include <vector>

#include "holdfast/runtime/runtime.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class PipelineTest : public ::testing::Test {
 protected:
  void simulate(const std::function<void(const Context&)>& main) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run(main);
  }
  Pipeline make(const PipelineOptions& options, PipelineJudgements judgements = {}) {
    return Pipeline("rates", options, {clock, random, metrics, log.logger("dependency")},
                    std::move(judgements));
  }
  static int unavailable() { throw Error(ErrorCode::unavailable, "It is down."); }

  ManualClock clock;
  SeededRandom random{3};
  observe::Metrics metrics;
  std::string lines;
  observe::Log log{
      {.format = observe::LogFormat::json, .write = [this](std::string_view text) { lines += text; }}, clock};
  const Context root{clock};
  CallOptions twice{.idempotent = true};
};

TEST_F(PipelineTest, GivesBackWhatTheCallReturns) {
  Pipeline pipeline = make({});
  EXPECT_EQ(pipeline.call(root, [](const Context&) { return std::string("4.2"); }), "4.2");
  bool called = false;
  pipeline.call(root, [&](const Context&) { called = true; });
  EXPECT_TRUE(called);
  const auto outcome = pipeline.try_call(root, [](Attempt&) { return std::make_unique<int>(7); });
  ASSERT_TRUE(outcome);
  EXPECT_EQ(**outcome, 7);
  EXPECT_TRUE(outcome.called());
  EXPECT_EQ(pipeline.view().counters.succeeded, 3u);
}

TEST_F(PipelineTest, ATryHasItsTimeUnlessTheCallersDeadlineIsNearer) {
  Pipeline pipeline = make({.timeout = {.total = 10s, .attempt = 3s}});
  pipeline.call(root, [&](const Context& ctx) { EXPECT_EQ(ctx.remaining(), 3s); });
  pipeline.call(root.with_timeout(1s), [&](const Context& ctx) { EXPECT_EQ(ctx.remaining(), 1s); });
  pipeline.call(root, [&](Attempt& attempt) { EXPECT_EQ(attempt.deadline(), clock.now() + 3s); });
}

TEST_F(PipelineTest, TheTotalTimeBoundsAllTriesTogether) {
  simulate([&](const Context& ctx) {
    std::vector<Duration> left;
    const Instant began = clock.now();
    Pipeline hanging = make({.timeout = {.total = 5s, .attempt = 2s}, .retry = {.tries = 9}});
    EXPECT_THROW(hanging.call(
                     ctx,
                     [&](const Context& own) {
                       left.push_back(own.remaining());
                       runtime::sleep_for(own, own.remaining());
                       throw Error(ErrorCode::deadline_exceeded, "No answer.");
                     },
                     twice),
                 Error);
    ASSERT_EQ(left.size(), 3u);
    EXPECT_EQ(left[1], 2s);
    EXPECT_LT(left[2], 1s);
    EXPECT_LE(clock.now() - began, 5s);
  });
}

TEST_F(PipelineTest, TriesAgainWhatMayBeMadeTwice) {
  simulate([&](const Context& ctx) {
    Pipeline pipeline = make({});
    int tries = 0;
    const auto third_time_lucky = [&](Attempt& attempt) {
      EXPECT_EQ(attempt.number(), static_cast<std::uint32_t>(++tries));
      return tries < 3 ? unavailable() : 42;
    };
    EXPECT_EQ(pipeline.call(ctx, third_time_lucky, twice), 42);
    EXPECT_EQ(pipeline.view().counters.retries, 2u);
    tries = 0;
    EXPECT_THROW(pipeline.call(ctx, third_time_lucky), Error);
    EXPECT_EQ(tries, 1);
    const PipelineCounters counters = pipeline.view().counters;
    EXPECT_EQ(counters.calls, 2u);
    EXPECT_EQ(counters.failed, 1u);
    EXPECT_EQ(counters.attempts, 4u);
  });
}

TEST_F(PipelineTest, AnAnswerThatSaysNoIsNoFailure) {
  Pipeline pipeline = make({.breaker = {.minimum_calls = 1}});
  for (const ErrorCode code : {ErrorCode::invalid_argument, ErrorCode::not_found, ErrorCode::conflict,
                               ErrorCode::rate_limited, ErrorCode::permission_denied}) {
    const auto outcome = pipeline.try_call(
        root, [&](Attempt&) -> int { throw Error(code, "No."); }, twice);
    EXPECT_EQ(outcome.error().code(), code);
    EXPECT_TRUE(outcome.called());
  }
  EXPECT_THROW(pipeline.call(root, [](Attempt&) { throw Error(ErrorCode::cancelled, "Gone."); }), Error);
  const PipelineView view = pipeline.view();
  EXPECT_EQ(view.breaker.state, BreakerState::closed);
  EXPECT_EQ(view.breaker.calls, 5u) << "cancelled is neither";
  EXPECT_EQ(view.counters.answered, 5u);
  EXPECT_EQ(view.counters.cancelled, 1u);
}

TEST_F(PipelineTest, OpensAndRefusesByValueWithoutCalling) {
  Pipeline pipeline = make({.breaker = {.minimum_calls = 4, .open_jitter = Jitter::none}});
  for (const ErrorCode code : {ErrorCode::unavailable, ErrorCode::deadline_exceeded, ErrorCode::internal}) {
    EXPECT_THROW(pipeline.call(root, [&](Attempt&) { throw Error(code, "No."); }), Error);
  }
  EXPECT_THROW(pipeline.call(root, [](Attempt&) { throw std::runtime_error("bug"); }), std::runtime_error);
  const auto outcome = pipeline.try_call(root, [](Attempt&) { return 1; });
  ASSERT_NE(outcome.refusal(), nullptr);
  EXPECT_EQ(outcome.refusal()->by, RefusedBy::breaker_open);
  EXPECT_EQ(outcome.refusal()->retry_after, 5s);
  EXPECT_FALSE(outcome.called());
  EXPECT_EQ(outcome.error().code(), ErrorCode::unavailable);
  EXPECT_EQ(outcome.error().reason(), "breaker_open");
  EXPECT_THAT(outcome.error().detail(), HasSubstr("rates"));
  clock.advance(5s);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pipeline.call(root, [](Attempt&) { return 1; }), 1);
  EXPECT_EQ(pipeline.view().breaker.state, BreakerState::closed);
  log.flush();
  EXPECT_THAT(lines, HasSubstr(R"("reason":"failure_rate")"));
  EXPECT_THAT(lines, HasSubstr(R"("to":"half_open","reason":"time_to_probe")"));
  EXPECT_THAT(lines, HasSubstr(R"("reason":"probes_succeeded")"));
}

TEST_F(PipelineTest, ARefusalAfterATryDoesNotHideThatItWasMade) {
  simulate([&](const Context& ctx) {
    Pipeline pipeline = make({.breaker = {.minimum_calls = 1}});
    const auto outcome = pipeline.try_call(
        ctx, [](Attempt&) -> int { throw Error(ErrorCode::unavailable, "Cut off.").reason("cut_off"); },
        twice);
    EXPECT_EQ(outcome.refusal(), nullptr);
    EXPECT_TRUE(outcome.called());
    EXPECT_EQ(outcome.error().reason(), "cut_off");
    EXPECT_EQ(pipeline.view().counters.attempts, 1u);
    EXPECT_EQ(pipeline.view().counters.failed, 1u);
  });
}

TEST_F(PipelineTest, HasSoManyOnTheirWayAndSoManyInLine) {
  simulate([&](const Context& ctx) {
    Pipeline pipeline = make({.bulkhead = {.concurrent = 2, .waiting = 1, .longest_wait = 1s}});
    std::map<std::string, int> ends;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 5; ++i) {
      group.spawn("call", [&](const Context& own) {
        const auto outcome = pipeline.try_call(own, [](const Context& inner) {
          runtime::sleep_for(inner, 100ms);
          return 0;
        });
        ++ends[outcome ? "fine" : std::string(outcome.error().reason())];
      });
    }
    runtime::sleep_for(ctx, 10ms);
    EXPECT_EQ(pipeline.view().in_flight, 2u);
    EXPECT_EQ(pipeline.view().queued, 1u);
    group.wait();
    EXPECT_EQ(ends["fine"], 3);
    EXPECT_EQ(ends["bulkhead_full"], 2);
    EXPECT_EQ(pipeline.view().breaker.calls, 3u) << "who was not let in says nothing of the dependency";
  });
}

TEST_F(PipelineTest, TimeInLineIsNotTheDependencysSlowness) {
  simulate([&](const Context& ctx) {
    Pipeline pipeline = make({.breaker = {.minimum_calls = 1, .slow_call = 150ms, .slow_call_rate = 0.1},
                              .bulkhead = {.concurrent = 1, .waiting = 10, .longest_wait = 10s}});
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 5; ++i) {
      group.spawn("call", [&](const Context& own) {
        pipeline.call(own, [](const Context& inner) { runtime::sleep_for(inner, 100ms); });
      });
    }
    group.wait();
    EXPECT_EQ(pipeline.view().breaker.slow, 0u);
    EXPECT_EQ(pipeline.view().counters.succeeded, 5u);
  });
}

TEST_F(PipelineTest, AsksAsOftenAsItMay) {
  Pipeline pipeline = make({.limit = {.enabled = true, .requests = 10, .window = 1s, .burst = 3}});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pipeline.try_call(root, [](Attempt&) { return 1; }));
  const auto outcome = pipeline.try_call(root, [](Attempt&) { return 1; });
  ASSERT_NE(outcome.refusal(), nullptr);
  EXPECT_EQ(outcome.refusal()->by, RefusedBy::rate_limit_reached);
  EXPECT_EQ(outcome.refusal()->retry_after, 100ms);
  EXPECT_EQ(pipeline.view().in_flight, 0u);
  clock.advance(100ms);
  EXPECT_TRUE(pipeline.try_call(root, [](Attempt&) { return 1; }));
}

/// What has waited for it does not bring it down again.
TEST_F(PipelineTest, AfterAnOutageItIsAskedLittleByLittle) {
  Pipeline pipeline = make({.retry = {.tries = 1}, .breaker = {.minimum_calls = 5}});
  const auto fine = [](const Context&) { return 1; };
  for (int i = 0; i < 300; ++i, clock.advance(100ms)) pipeline.call(root, fine);
  EXPECT_NEAR(pipeline.view().usual_rate, 10, 1);
  clock.advance(15s);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(pipeline.try_call(root, [](Attempt&) { return unavailable(); }));
  ASSERT_EQ(pipeline.view().breaker.state, BreakerState::open);
  clock.advance(10s);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pipeline.try_call(root, fine)) << "a probe";
  ASSERT_EQ(pipeline.view().breaker.state, BreakerState::closed);
  ASSERT_TRUE(pipeline.view().recovery_rate);
  const double rate = *pipeline.view().recovery_rate;
  int passed = 0;
  for (int i = 0; i < 1000; ++i, clock.advance(1ms)) {
    const auto outcome = pipeline.try_call(root, fine);
    passed += outcome ? 1 : 0;
    if (outcome) continue;
    ASSERT_EQ(outcome.refusal()->by, RefusedBy::recovering);
    ASSERT_GT(outcome.refusal()->retry_after, 0s);
    ASSERT_THAT(outcome.error().what(), HasSubstr("is back from an outage"));
  }
  EXPECT_NEAR(passed, rate, 4);
  clock.advance(2min);
  EXPECT_TRUE(pipeline.try_call(root, fine));
  EXPECT_FALSE(pipeline.view().recovery_rate) << "nobody was refused for a while";
}

TEST_F(PipelineTest, AsksNothingForACallerWhoHasGone) {
  Pipeline pipeline = make({});
  runtime::CancellationSource source;
  source.cancel();
  const auto gone = pipeline.try_call(root.with_cancellation(source.token()), [](Attempt&) { return 1; });
  EXPECT_EQ(gone.error().code(), ErrorCode::cancelled);
  EXPECT_FALSE(gone.called());
  const Context short_lived = root.with_timeout(1s);
  clock.advance(1s);
  const auto late = pipeline.try_call(short_lived, [](Attempt&) { return 1; });
  EXPECT_EQ(late.error().code(), ErrorCode::deadline_exceeded);
  EXPECT_FALSE(late.called());
  EXPECT_EQ(pipeline.view().counters.cancelled, 2u);
  EXPECT_EQ(pipeline.view().counters.attempts, 0u);
}

TEST_F(PipelineTest, ACancelledWaitEndsWithWhatIsKnownAndGivesTheBudgetBack) {
  simulate([&](const Context& ctx) {
    Pipeline pipeline = make({.retry = {.base = 1s, .jitter = Jitter::none, .budget = {.per_second = 0}}});
    runtime::FiberGroup group(ctx);
    group.spawn("call", [&](const Context& own) {
      EXPECT_EQ(pipeline
                    .try_call(
                        own, [](Attempt&) { return unavailable(); }, twice)
                    .error()
                    .code(),
                ErrorCode::unavailable);
    });
    runtime::sleep_for(ctx, 10ms);
    EXPECT_DOUBLE_EQ(pipeline.view().retry_budget, 19);
    group.cancel();
    group.wait();
    EXPECT_DOUBLE_EQ(pipeline.view().retry_budget, 20);
  });
}

TEST_F(PipelineTest, SwitchedByHandItSaysSoAndWhy) {
  Pipeline pipeline = make({});
  pipeline.open("contract ended");
  const auto outcome = pipeline.try_call(root, [](Attempt&) { return 1; });
  EXPECT_EQ(outcome.refusal()->by, RefusedBy::breaker_forced_open);
  EXPECT_THAT(lines, HasSubstr("contract ended"));
  pipeline.close("needed at any price");
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(pipeline.try_call(root, [](Attempt&) { return unavailable(); }).called());
  }
  pipeline.reset("back to normal");
  EXPECT_EQ(pipeline.view().breaker.state, BreakerState::closed);
}

TEST_F(PipelineTest, PoliciesCanBeLeftOut) {
  Pipeline pipeline =
      make({.retry = {.enabled = false}, .breaker = {.enabled = false}, .bulkhead = {.enabled = false}});
  for (int i = 0; i < 200; ++i) {
    EXPECT_TRUE(pipeline
                    .try_call(
                        root, [](Attempt&) { return unavailable(); }, twice)
                    .called());
  }
  EXPECT_EQ(pipeline.view().counters.attempts, 200u);
  pipeline.reset("nothing to reset");
  EXPECT_EQ(pipeline.view().breaker.state, BreakerState::forced_closed);
}

TEST_F(PipelineTest, JudgementsCanBeReplaced) {
  Pipeline pipeline =
      make({.breaker = {.minimum_calls = 1}}, {.verdict = [](const Error&) { return Verdict::failure; },
                                               .retryable = [](const Error&) { return false; }});
  EXPECT_THROW(pipeline.call(root, [](Attempt&) { throw Error(ErrorCode::not_found, "No."); }), Error);
  EXPECT_EQ(pipeline.view().breaker.state, BreakerState::open);
}

TEST_F(PipelineTest, ShowsItsNumbers) {
  Pipeline pipeline = make({});
  (void)pipeline.call(root, [](Attempt&) { return 1; });
  pipeline.open("test");
  EXPECT_FALSE(pipeline.try_call(root, [](Attempt&) { return 1; }));
  const std::string text = metrics.expose();
  EXPECT_THAT(text,
              HasSubstr(R"(holdfast_dependency_calls_total{dependency="rates",outcome="succeeded"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(holdfast_dependency_calls_total{dependency="rates",outcome="refused"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(holdfast_dependency_state{dependency="rates",state="forced_open"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(holdfast_dependency_state{dependency="rates",state="closed"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(policy="breaker",reason="breaker_forced_open"} 1)"));
}

TEST_F(PipelineTest, SettingsThatContradictAreRefused) {
  EXPECT_THROW(make({.timeout = {.total = 1s, .attempt = 2s}}), Error);
  EXPECT_THROW(make({.retry = {.base = 2s, .cap = 1s}}), Error);
  EXPECT_THROW(make({.breaker = {.failure_rate = 2}}), Error);
}

// Many callers, all of them failing, in virtual time: in every span the tries stay within the budget.
TEST_F(PipelineTest, ManyCallersTogetherStayWithinTheRetryBudget) {
  constexpr double kShare = 0.2;
  constexpr double kReserve = 10;
  Pipeline pipeline = make({.timeout = {.total = 60s, .attempt = 5s},
                            .retry = {.tries = 10,
                                      .base = 300ms,
                                      .cap = 5s,
                                      .budget = {.share = kShare, .reserve = 10, .per_second = 0}},
                            .breaker = {.enabled = false},
                            .bulkhead = {.concurrent = 10'000}});
  std::map<std::int64_t, std::pair<int, int>> at;  // millisecond: calls, tries
  const auto now = [&] { return clock.now().time_since_epoch() / 1ms; };
  simulate([&](const Context& ctx) {
    runtime::FiberGroup group(ctx);
    for (int caller = 0; caller < 200; ++caller) {
      group.spawn("caller", [&](const Context& own) {
        for (int i = 0; i < 20; ++i) {
          runtime::sleep_for(own, std::chrono::milliseconds(random.below(2'000)));
          ++at[now()].first;
          (void)pipeline.try_call(
              own,
              [&](Attempt&) {
                ++at[now()].second;
                return unavailable();
              },
              twice);
        }
      });
    }
    group.wait();
  });
  for (auto from = at.begin(); from != at.end();
       std::advance(from, std::min<long>(5, std::distance(from, at.end())))) {
    double allowed = kReserve;
    int tries = 0;
    for (auto to = from; to != at.end(); ++to) {
      allowed += (1 + kShare) * to->second.first;
      tries += to->second.second;
      ASSERT_LE(tries, allowed + 1e-6) << from->first << " ms to " << to->first << " ms";
    }
  }
  const PipelineCounters counters = pipeline.view().counters;
  EXPECT_EQ(counters.calls, 4'000u);
  EXPECT_EQ(counters.failed, 4'000u);
  EXPECT_EQ(counters.attempts, counters.calls + counters.retries);
  EXPECT_GT(counters.retries, 700u) << "what is allowed is used";
  EXPECT_LE(counters.retries, 810u);
  EXPECT_GT(counters.budget_exhausted, 0u);
}

}  // namespace
}  // namespace holdfast::resilience
