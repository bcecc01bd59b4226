#include "holdfast/observe/log.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <limits>
#include <thread>
#include <vector>

#include "holdfast/observe/metrics.hpp"

namespace holdfast::observe {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

struct LogTest : ::testing::Test {
  LogOptions to_text(LogFormat format) {
    return {.format = format, .write = [this](std::string_view lines) { written.append(lines); }};
  }

  ManualClock clock;
  std::string written;
};

struct Work {  // looks like a Context
  TraceContext the_trace;
  std::string id = "req-1";
  const TraceContext& trace() const { return the_trace; }
  const std::string& request_id() const { return id; }
};

Work some_work() {
  SeededRandom random(7);
  return {.the_trace = TraceContext::start(random)};
}

TEST_F(LogTest, WritesOneJsonObjectALine) {
  Log log(to_text(LogFormat::json), clock);
  clock.advance(1'234'567us);
  log.logger("orders").info("order placed", {{"orderId", "ord_1"},
                                             {"totalMinor", 1234},
                                             {"lines", std::uint64_t{3}},
                                             {"ratio", 0.5},
                                             {"replayed", false},
                                             {"took", 1500us}});
  log.flush();
  EXPECT_EQ(
      written,
      R"({"time":"2026-01-01T00:00:01.234567Z","level":"info","logger":"orders","message":"order placed",)"
      R"("orderId":"ord_1","totalMinor":1234,"lines":3,"ratio":0.5,"replayed":false,"took":0.0015})"
      "\n");
}

TEST_F(LogTest, TakesTraceAndRequestFromWhateverHasThem) {
  Log log(to_text(LogFormat::json), clock);
  const Work work = some_work();
  log.logger("orders").warn(work, "slow", {{"sku", "MUG-1"}});
  EXPECT_THAT(written, HasSubstr("\"traceId\":\"" + work.the_trace.trace_id_hex() + "\""));
  EXPECT_THAT(written, HasSubstr("\"spanId\":\"" + work.the_trace.span_id_hex() + "\""));
  EXPECT_THAT(written, HasSubstr(R"("requestId":"req-1","sku":"MUG-1"})"));
}

TEST_F(LogTest, TextIsReadableAndColouredOnlyWhenAsked) {
  Log plain(to_text(LogFormat::text), clock);
  plain.logger("http").warn("slow request", {{"path", "/v1/orders"}, {"took", 12ms}, {"note", "two words"}});
  EXPECT_EQ(written,
            "00:00:00.000000Z WARN  http: slow request path=/v1/orders took=12ms note=\"two words\"\n");
  written.clear();
  LogOptions options = to_text(LogFormat::text);
  options.colour = true;
  Log coloured(std::move(options), clock);
  coloured.logger("http").error("broken");
  EXPECT_THAT(written, HasSubstr("\x1b[31mERROR"));
}

TEST_F(LogTest, NoValueCanForgeALine) {
  for (const LogFormat format : {LogFormat::json, LogFormat::text}) {
    written.clear();
    Log log(to_text(format), clock);
    log.logger().warn("m\n\x1b[2J", {{"name", "a\"\n{\"level\":\"error\"}\r\x1b[31m"}});
    EXPECT_EQ(std::ranges::count(written, '\n'), 1);
    EXPECT_THAT(written, Not(HasSubstr("\x1b")));
    EXPECT_THAT(written, HasSubstr(R"(a\"\n{\"level\":\"error\"}\r\u001b[31m)"));
  }
}

TEST_F(LogTest, ReplacesWhatIsNotUtf8) {
  Log log(to_text(LogFormat::json), clock);
  log.logger().warn("m", {{"bytes", "ok \xC3\xA9 \xC0\xAF \xED\xA0\x80 \xF0\x9F\x90\x99 \xE2\x82"}});
  EXPECT_THAT(written, HasSubstr("ok é \uFFFD\uFFFD \uFFFD\uFFFD\uFFFD \U0001F419 \uFFFD\uFFFD\""));
}

TEST_F(LogTest, NumbersThatJsonCannotSayBecomeText) {
  Log log(to_text(LogFormat::json), clock);
  log.logger().warn("m", {{"a", std::numeric_limits<double>::quiet_NaN()},
                          {"b", -std::numeric_limits<double>::infinity()}});
  EXPECT_THAT(written, HasSubstr(R"("a":"NaN","b":"-Infinity"})"));
}

TEST_F(LogTest, MasksSecretsByNameAndShape) {
  Log log(to_text(LogFormat::json), clock);
  log.logger()
      .with({{"X-Api-Key", "k-123"}})
      .warn("got Bearer abc.def from jane@example.com", {{"password", "hunter2"},
                                                         {"setCookie", 42},
                                                         {"header", "authorization: bearer eyJ=="},
                                                         {"to", "mallory@example.com"}});
  for (const char* secret : {"k-123", "abc.def", "jane@", "hunter2", "42", "eyJ", "mallory"}) {
    EXPECT_THAT(written, Not(HasSubstr(secret)));
  }
  EXPECT_THAT(written, HasSubstr("j***@example.com"));
}

TEST_F(LogTest, LevelsFollowTheLongestNameAndChangeAtRunTime) {
  LogOptions options = to_text(LogFormat::json);
  options.levels = {{"http", LogLevel::debug}};
  Log log(std::move(options), clock);
  const Logger root = log.logger();
  const Logger server = log.logger("http").child("server");
  const Logger other = log.logger("httpd");
  EXPECT_FALSE(root.enabled(LogLevel::debug));
  EXPECT_TRUE(server.enabled(LogLevel::debug));
  EXPECT_FALSE(other.enabled(LogLevel::debug));
  log.set_level("http.server", LogLevel::error);
  EXPECT_FALSE(server.enabled(LogLevel::warn));
  log.set_level("", LogLevel::trace);
  EXPECT_TRUE(other.enabled(LogLevel::trace));
  EXPECT_FALSE(server.enabled(LogLevel::warn));
  log.reset_level("http.server");
  log.reset_level("");
  EXPECT_TRUE(server.enabled(LogLevel::debug));
  EXPECT_FALSE(root.enabled(LogLevel::debug));
}

TEST_F(LogTest, ChildrenKeepWhatWasBound) {
  Log log(to_text(LogFormat::json), clock);
  const Logger orders = log.logger("orders").with({{"tenant", "t1"}});
  orders.child("saga", {{"sagaId", "s1"}}).warn("step", {{"step", 2}});
  EXPECT_THAT(written,
              HasSubstr(R"("logger":"orders.saga","message":"step","tenant":"t1","sagaId":"s1","step":2})"));
}

TEST_F(LogTest, ASilentLoggerSaysNothing) {
  const Logger nobody;
  EXPECT_FALSE(nobody.enabled(LogLevel::error));
  nobody.child("x", {{"a", 1}}).error("lost");
}

TEST_F(LogTest, BuffersUntilAWarning) {
  Log log(to_text(LogFormat::json), clock);
  log.logger().info("first");
  EXPECT_EQ(written, "");
  log.logger().warn("second");
  EXPECT_LT(written.find("first"), written.find("second"));
  written.clear();
  for (int i = 0; i < 2000; ++i) log.logger().info("many of them, until the buffer is worth a write");
  EXPECT_GE(written.size(), Log::kWriteAtBytes);
}

TEST_F(LogTest, CutsLongValuesAndLeavesOutWhatDoesNotFit) {
  Log log(to_text(LogFormat::json), clock);
  const std::string large(100'000, '\x01');  // escaped sixfold
  log.logger().warn(large, {{"a", large}, {"b", large}, {"c", large}, {"last", 1}});
  EXPECT_LE(written.size(), Log::kMaxLineBytes);
  EXPECT_THAT(written, HasSubstr("…"));
  EXPECT_THAT(written, ::testing::EndsWith("\"last\":1,\"fieldsLeftOut\":2}\n"));
}

TEST_F(LogTest, ABlockedReaderCostsLinesAndNeverTime) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  constexpr std::size_t kBound = 200'000;
  {
    Log log({.format = LogFormat::json, .descriptor = ends[1], .max_buffered_bytes = kBound}, clock);
    const std::string text(900, 'x');
    for (int i = 0; i < 2000; ++i) log.logger().error("lost", {{"text", text}});  // 2 MB; nobody reads
    EXPECT_GT(log.dropped_lines(), 1000u);
    std::string read_back(1 << 20, '\0');
    ASSERT_EQ(::fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    std::size_t total = 0;
    for (ssize_t got = 0; (got = ::read(ends[0], read_back.data() + total, 4096)) > 0;) {
      total += static_cast<std::size_t>(got);
      log.flush();
    }
    read_back.resize(total);
    EXPECT_EQ(static_cast<std::uint64_t>(std::ranges::count(read_back, '\n')), log.written_lines());
    EXPECT_EQ(log.written_lines() + log.dropped_lines(), 2000u);
    Metrics metrics;
    const auto observed = observe_log(metrics, log);
    EXPECT_THAT(metrics.expose(), HasSubstr("holdfast_log_lines_total{outcome=\"dropped\"} " +
                                            std::to_string(log.dropped_lines()) + "\n"));
    log.logger().error("back again");
    EXPECT_GT(::read(ends[0], read_back.data(), 4096), 0);
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(LogTest, LinesOfManyThreadsStayWholeAndComplete) {
  {
    LogOptions options = to_text(LogFormat::json);
    options.max_buffered_bytes = 16 << 20;  // all of them, should the thread that writes get no turn
    Log log(options, clock);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        const Logger mine = log.logger("t" + std::to_string(t));
        for (int i = 0; i < 5000; ++i)
          i % 100 == 0 ? mine.warn("line", {{"i", i}}) : mine.info("line", {{"i", i}});
      });
    }
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(std::ranges::count(written, '\n'), 20000);
  std::size_t begin = 0;
  while (begin < written.size()) {
    const std::size_t end = written.find('\n', begin);
    ASSERT_TRUE(written.substr(begin, end - begin).starts_with("{\"time\""));
    ASSERT_EQ(written[end - 1], '}');
    begin = end + 1;
  }
}

}  // namespace
}  // namespace holdfast::observe
