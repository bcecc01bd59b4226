#include "holdfast/messaging/nats/internal/delivery.hpp"

#include <gtest/gtest.h>

namespace holdfast::messaging::nats {
namespace {

TEST(NatsDelivery, IsReadFromBothFormsOfTheReplySubject) {
  for (const char* reply : {"$JS.ACK.S.g-5-17.1.42.7.1795333690250516030.3",
                            "$JS.ACK.hub.ACCHASH.S.g-5-17.1.42.7.1795333690250516030.3",
                            "$JS.ACK._.ACCHASH.S.g-5-17.1.42.7.1795333690250516030.3.token"}) {
    const auto delivery = parse_delivery(reply);
    ASSERT_TRUE(delivery.has_value()) << reply;
    EXPECT_EQ(delivery->consumer, "g-5-17");
    EXPECT_EQ(delivery->stream_sequence, 42u);
    EXPECT_EQ(delivery->consumer_sequence, 7u);
    EXPECT_EQ(delivery->pending, 3u);
  }
}

TEST(NatsDelivery, IsNothingElse) {
  for (const char* reply : {"", "_INBOX.x", "$JS.ACK.", "$JS.ACK.S.g.1.x.7.0.3", "$JS.ACK.S..1.2.7.0.3",
                            "$JS.ACK.S.g.1.2.3.4.5.6", "$JS.ACK.S.g.1.99999999999999999999999.7.0.3"})
    EXPECT_FALSE(parse_delivery(reply).has_value()) << reply;
}

}  // namespace
}  // namespace holdfast::messaging::nats
