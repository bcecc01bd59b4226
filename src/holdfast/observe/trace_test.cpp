#include "holdfast/observe/trace.hpp"

#include <gtest/gtest.h>

namespace holdfast::observe {
namespace {

constexpr std::string_view kExample = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(Trace, ReadsAndWritesTheStandardsExample) {
  const auto trace = parse_traceparent(kExample);
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(trace->span_id_hex(), "00f067aa0ba902b7");
  EXPECT_TRUE(trace->sampled);
  EXPECT_EQ(trace->traceparent(), kExample);
}

TEST(Trace, AChildKeepsTheTraceAndHasASpanOfItsOwn) {
  SeededRandom random(1);
  const TraceContext root = TraceContext::start(random);
  const TraceContext below = root.child(random);
  EXPECT_TRUE(root.valid());
  EXPECT_EQ(below.trace_id, root.trace_id);
  EXPECT_NE(below.span_id, root.span_id);
  EXPECT_EQ(parse_traceparent(below.traceparent())->span_id, below.span_id);
}

TEST(Trace, AnEmptyOneIsNone) { EXPECT_FALSE(TraceContext().valid()); }

TEST(Trace, ReadsLaterVersionsByTheRulesOfTheFirst) {
  EXPECT_TRUE(parse_traceparent("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-is-this"));
  EXPECT_FALSE(parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-is-this"));
  EXPECT_FALSE(parse_traceparent("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"));
}

TEST(Trace, RefusesWhatIsMalformed) {
  for (const char* header : {"", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                             "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                             "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
                             "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                             "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"}) {
    EXPECT_FALSE(parse_traceparent(header)) << header;
  }
}

}  // namespace
}  // namespace holdfast::observe
