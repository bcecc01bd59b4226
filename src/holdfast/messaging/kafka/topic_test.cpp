// What is Kafka's own: what start-up says about a wrong setting, and servers that fail in other ways than the
// contract's (broker_contract_test.cpp).
#include "holdfast/messaging/kafka/topic.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "holdfast/messaging/testing/kafka_kind.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class KafkaTopic : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, runtime::Runtime&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime.run([&](const Context& ctx) { test(ctx, runtime); });
  }
  kafka::Options options(const char* name) {
    return kafka_options(KafkaServer::shared(), name + std::to_string(random_.next() % 1'000'000'000));
  }
  /// What is thrown; empty where nothing is.
  static std::string thrown_by(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  SystemClock clock_;
  SystemRandom random_;
};

Message example(std::int64_t position, std::string key = "a") {
  return {.id = "msg_" + std::to_string(position),
          .topic = "orders",
          .key = std::move(key),
          .type = "t",
          .headers = {},
          .payload = "1",
          .occurred_at = WallTime(std::chrono::seconds(1)),
          .position = position,
          .group = {}};
}

TEST_F(KafkaTopic, SendsOnlyToTheLogThatWasMeant) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    const kafka::Options options = this->options("meant");
    KafkaServer::shared().make_topic(options.topic, 4);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    ASSERT_EQ(link.topic.problem(), "");
    const std::string log = link.topic.log_identity(ctx);
    EXPECT_THAT(log, HasSubstr(options.topic + "@4-")) << "as many partitions as there are";
    EXPECT_EQ(link.topic.last_position(ctx), 0);
    EXPECT_NE(thrown_by([&] { link.topic.send(ctx, "meant@4-0", example(1)); }), "");
    EXPECT_EQ(link.topic.last_position(ctx), 0);
    link.topic.send(ctx, log, example(7));
    link.topic.send(ctx, log, example(6, "b"));
    EXPECT_EQ(link.topic.last_position(ctx), 7);
    KafkaLink other(runtime, metrics, options);
    other.topic.connect(ctx);
    EXPECT_EQ(other.topic.log_identity(ctx), log) << "whoever comes later finds the same";
    other.close(ctx);
    link.close(ctx);
    EXPECT_NE(thrown_by([&] { link.topic.send(ctx, log, example(8)); }), "");
  });
}

}  // namespace
}  // namespace holdfast::messaging
