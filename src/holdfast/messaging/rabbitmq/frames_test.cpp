#include "holdfast/messaging/rabbitmq/internal/frames.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

/// All frames of `bytes`, fed in pieces of `piece`.
std::vector<Frame> frames_of(std::string_view bytes, std::size_t piece) {
  FrameReader reader;
  std::vector<Frame> frames;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    reader.feed(bytes.substr(0, piece));
    while (auto frame = reader.next()) frames.push_back(std::move(*frame));
  }
  return frames;
}

TEST(RabbitFrames, AMessageIsCutIntoFramesAndReadFromAnyPieces) {
  const std::string body(10'000, 'x');
  std::string bytes;
  write_publish(bytes, 3, "exchange", "log.5.orders",
                {.headers = {{"ce-id", "msg_1"}, {"hf-a", "b"}},
                 .message_id = "msg_1",
                 .type = "order.placed",
                 .seconds = 1,
                 .body = body},
                4096);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, bytes.size()}) {
    const std::vector<Frame> frames = frames_of(bytes, piece);
    ASSERT_EQ(frames.size(), 5u) << "the method, the header, and 4088 bytes a frame";
    EXPECT_EQ(frames[0].kind, Frame::Kind::method);
    EXPECT_EQ(frames[1].kind, Frame::Kind::header);
    EXPECT_EQ(frames[1].body_size, body.size());
    EXPECT_EQ(frames[1].message_id, "msg_1");
    EXPECT_THAT(frames[1].headers, ElementsAre(Pair("ce-id", "msg_1"), Pair("hf-a", "b")));
    EXPECT_EQ(frames[2].body + frames[3].body + frames[4].body, body);
    for (const Frame& frame : frames) EXPECT_EQ(frame.channel, 3);
  }
}

TEST(RabbitFrames, AcknowledgementsAndHeartbeatsAreWhatTheDecoderTakesThemFor) {
  std::string bytes;
  write_ack(bytes, 2, 0x1122334455667788u);
  write_heartbeat(bytes);
  const std::vector<Frame> frames = frames_of(bytes, bytes.size());
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].method, Method::basic_ack);
  EXPECT_EQ(frames[0].tag, 0x1122334455667788u);
  EXPECT_FALSE(frames[0].multiple);
  EXPECT_EQ(frames[1].kind, Frame::Kind::heartbeat);
}

TEST(RabbitFrames, WhatIsNoAmqpIsRefused) {
  for (const std::string_view bytes :
       {"HTTP/1.1 400 Bad Request\r\n\r\n", "INFO {\"server_id\":\"x\"}\r\n"}) {
    try {
      frames_of(bytes, bytes.size());
      ADD_FAILURE() << bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "amqp_broken");
    }
  }
  std::string unmarked;
  write_ack(unmarked, 1, 1);
  unmarked.back() = 'x';
  EXPECT_THROW(frames_of(unmarked, unmarked.size()), Error);
}

TEST(RabbitFrames, WhatAmqpHasNoRoomForIsRefusedBeforeItIsSent) {
  std::string bytes;
  try {
    write_publish(bytes, 1, "e", std::string(256, 'k'), {}, 4096);
    ADD_FAILURE() << "a routing key has one byte for its length";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  }
  try {
    write_publish(bytes, 1, "e", "k", {.headers = {{"a", std::string(5000, 'h')}}}, 4096);
    ADD_FAILURE() << "headers are in one frame";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::too_large);
  }
  EXPECT_EQ(bytes, "");
}

}  // namespace
}  // namespace holdfast::messaging::rabbitmq
