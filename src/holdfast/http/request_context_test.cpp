#include "holdfast/http/request_context.hpp"

#include <gtest/gtest.h>

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;

struct RequestContextTest : ::testing::Test {
  /// What is left of a minute for a request with these headers.
  Duration left(std::vector<Header> headers) {
    Request request;
    request.headers = std::move(headers);
    return read_context(request, clock, clock.now(), clock.now() + 60s, random).deadline - clock.now();
  }
  ManualClock clock;
  SeededRandom random{1};
};

TEST_F(RequestContextTest, TheEarliestOfWhatIsAskedForHolds) {
  EXPECT_EQ(left({}), 60s);
  EXPECT_EQ(left({{"Request-Timeout", "5"}}), 5s);
  EXPECT_EQ(left({{"X-Request-Timeout", "0.25"}}), 250ms);
  EXPECT_EQ(left({{"Request-Timeout", "120"}}), 60s) << "only ever shortens";
  EXPECT_EQ(left({{"grpc-timeout", "3S"}, {"Request-Timeout", "5"}}), 3s);
  EXPECT_EQ(left({{"Request-Timeout", "5"}, {"Request-Timeout", "7"}}), 5s);
  const auto in = [&](std::chrono::milliseconds by) {
    const auto wall = std::chrono::floor<std::chrono::milliseconds>(clock.wall_now().time_since_epoch());
    return std::to_string((wall + by).count());
  };
  EXPECT_EQ(left({{"X-Deadline", in(1500ms)}}), 1500ms);
  EXPECT_EQ(left({{"X-Deadline", in(-1500ms)}}), 0s) << "is over";
}

TEST_F(RequestContextTest, ReadsTimeoutsAsGrpcWritesThem) {
  EXPECT_EQ(left({{"grpc-timeout", "250m"}}), 250ms);
  EXPECT_EQ(left({{"Grpc-Timeout", "99999999u"}}), 60s);
  EXPECT_EQ(left({{"grpc-timeout", "1000000u"}}), 1s);
  EXPECT_EQ(left({{"grpc-timeout", "5n"}}), 5ns);
  EXPECT_EQ(left({{"grpc-timeout", "1M"}}), 60s);
}

TEST_F(RequestContextTest, IgnoresWhatIsMalformed) {
  for (const char* value :
       {"", "S", "5", "-5S", "+5S", "5s", "5 S", "0S", "123456789S", "1.5S", "99999999H", "5SS"})
    EXPECT_EQ(left({{"grpc-timeout", value}}), 60s) << value;
  for (const char* value :
       {"", "-1", "+1", "0", "1e0", "0x1", "inf", "nan", "1.", ".5", "1,5", "1 ", " 1", "1.2.3"})
    EXPECT_EQ(left({{"Request-Timeout", value}}), 60s) << value;
  for (const char* value :
       {"", "-1", "+1", "never", "1.5", "1e3", "99999999999999999999", "9223372036854775807"})
    EXPECT_EQ(left({{"X-Deadline", value}}), 60s) << value;
}

}  // namespace
}  // namespace holdfast::http
