#include "holdfast/messaging/internal/wire.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"

namespace holdfast::messaging {
namespace {

Message example() {
  return {.id = "msg_01",
          .topic = "orders",
          .key = "käse 100% \"gut\"\r\nx: y",
          .type = "order.placed",
          .version = 3,
          .headers = {{"traceparent", "00-aa-bb-01"}, {"requestId", "r 1"}},
          .payload = R"({"total":5})",
          .occurred_at = WallTime(std::chrono::microseconds(1'700'000'000'123'456)),
          .position = 42,
          .group = {}};
}

TEST(Wire, CarriesAMessageThereAndBack) {
  const Message message = example();
  const Message back = from_wire(to_wire(message), message.payload);
  EXPECT_EQ(back.id, message.id);
  EXPECT_EQ(back.topic, message.topic);
  EXPECT_EQ(back.key, message.key);
  EXPECT_EQ(back.type, message.type);
  EXPECT_EQ(back.version, message.version);
  EXPECT_EQ(back.headers, message.headers) << "names keep their case";
  EXPECT_EQ(back.payload, message.payload);
  EXPECT_EQ(back.occurred_at, message.occurred_at);
  EXPECT_EQ(back.position, message.position);
}

TEST(Wire, HeadersArePlainTextThatOthersUnderstand) {
  bool traceparent = false;
  for (const auto& [name, value] : to_wire(example())) {
    for (const char c : name + value) EXPECT_TRUE(c >= ' ' && c < 0x7f) << name;
    traceparent = traceparent || (name == "traceparent" && value == "00-aa-bb-01");
  }
  EXPECT_TRUE(traceparent);
}

TEST(Wire, RefusesWhatIsNotOurs) {
  WireHeaders headers = to_wire(example());
  EXPECT_THROW(from_wire({}, ""), Error);
  for (std::size_t i = 2; i < headers.size(); ++i) {
    if (headers[i].first.starts_with("hf-") || headers[i].first == "traceparent") continue;
    if (headers[i].first == "ce-source" || headers[i].first == "ce-holdfastversion") continue;
    WireHeaders broken = headers;
    broken[i].second = "%zz";
    EXPECT_THROW(from_wire(broken, ""), Error) << broken[i].first;
  }
}

}  // namespace
}  // namespace holdfast::messaging
