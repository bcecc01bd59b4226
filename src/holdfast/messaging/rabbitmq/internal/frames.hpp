// Frames of AMQP 0-9-1, written and read by librabbitmq's encoder and decoder. It never sees a socket.
//
//   FrameReader reader;  reader.feed(bytes);  while (auto frame = reader.next()) …
//   std::string out;     write_queue_bind(out, channel, queue, exchange, key);
//
// Thread-safety: a reader belongs to one thread; the functions are pure.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/messaging/internal/wire.hpp"

struct amqp_connection_state_t_;

namespace holdfast::messaging::rabbitmq {

/// Class and method, as on the wire.
enum class Method : std::uint32_t {
  none = 0,
  connection_start = 0x000A000A,
  connection_tune = 0x000A001E,
  connection_open_ok = 0x000A0029,
  connection_close = 0x000A0032,
  connection_close_ok = 0x000A0033,
  connection_blocked = 0x000A003C,
  connection_unblocked = 0x000A003D,
  channel_open_ok = 0x0014000B,
  channel_close = 0x00140028,
  channel_close_ok = 0x00140029,
  exchange_declare_ok = 0x0028000B,
  queue_declare_ok = 0x0032000B,
  queue_bind_ok = 0x00320015,
  queue_delete_ok = 0x00320029,
  basic_qos_ok = 0x003C000B,
  basic_consume_ok = 0x003C0015,
  basic_cancel = 0x003C001E,
  basic_return = 0x003C0032,
  basic_deliver = 0x003C003C,
  basic_ack = 0x003C0050,
  basic_nack = 0x003C0078,
  confirm_select_ok = 0x0055000B,
};

/// What came: which members mean something depends on kind and method.
struct Frame {
  enum class Kind : std::uint8_t { method, header, body, heartbeat, protocol_header };
  Kind kind = Kind::method;
  std::uint16_t channel = 0;
  Method method = Method::none;
  std::uint16_t code = 0;     ///< of a close or a return
  std::string text = {};      ///< of a close or a return; why it is blocked; login mechanisms
  std::string consumer = {};  ///< of a deliver or a cancel
  std::uint64_t tag = 0;      ///< of a deliver, an ack or a nack
  bool multiple = false;
  std::uint16_t channel_max = 0;  ///< of a tune
  std::uint32_t frame_max = 0;
  std::uint16_t heartbeat = 0;      ///< seconds
  std::uint64_t body_size = 0;      ///< of a header
  WireHeaders headers = {};         ///< those that are texts
  std::int64_t stream_offset = -1;  ///< "x-stream-offset" among them
  std::string message_id = {};
  std::string body = {};  ///< a piece of it
};

/// Puts frames together from bytes in any pieces.
class FrameReader {
 public:
  static constexpr std::uint32_t kMostBytes = 131'072;  ///< a frame's; more is none
  FrameReader();

  void feed(std::string_view bytes) { input_ += bytes; }
  /// None until there is a whole one. Throws Error(unavailable, "amqp_broken") for what is no AMQP.
  std::optional<Frame> next();

 private:
  struct Freed {
    void operator()(amqp_connection_state_t_* state) const noexcept;
  };
  std::unique_ptr<amqp_connection_state_t_, Freed> state_;
  std::string input_;
  std::size_t taken_ = 0;  // of input_
  bool begun_ = false;
};

/// A field table, as arguments and headers are.
using Table = std::vector<std::pair<std::string, std::variant<std::string, std::int64_t, bool>>>;

struct Content {
  WireHeaders headers = {};
  std::string message_id = {};
  std::string type = {};
  std::uint64_t seconds = 0;  ///< since 1970
  std::string_view body = {};
};

// Each appends whole frames to `out`. Names longer than 255 bytes throw Error(invalid_argument).

void write_protocol_header(std::string& out);
void write_heartbeat(std::string& out);
void write_start_ok(std::string& out, const std::string& user, const std::string& password,
                    const std::string& connection_name);
void write_tune_ok(std::string& out, std::uint16_t channel_max, std::uint32_t frame_max,
                   std::uint16_t heartbeat);
void write_open(std::string& out, const std::string& vhost);
void write_close(std::string& out);
void write_close_ok(std::string& out);
void write_channel_open(std::string& out, std::uint16_t channel);
void write_channel_close(std::string& out, std::uint16_t channel);
void write_channel_close_ok(std::string& out, std::uint16_t channel);
void write_confirm_select(std::string& out, std::uint16_t channel);
void write_exchange_declare(std::string& out, std::uint16_t channel, const std::string& name,
                            const std::string& type);
void write_queue_declare(std::string& out, std::uint16_t channel, const std::string& name,
                         const Table& arguments);
void write_queue_bind(std::string& out, std::uint16_t channel, const std::string& queue,
                      const std::string& exchange, const std::string& key);
void write_queue_delete(std::string& out, std::uint16_t channel, const std::string& name);
void write_qos(std::string& out, std::uint16_t channel, std::uint16_t prefetch);
void write_consume(std::string& out, std::uint16_t channel, const std::string& queue,
                   const std::string& consumer, const Table& arguments);
void write_cancel(std::string& out, std::uint16_t channel, const std::string& consumer);
void write_ack(std::string& out, std::uint16_t channel, std::uint64_t tag);
/// Persistent and mandatory; the body in pieces of `frame_max`.
void write_publish(std::string& out, std::uint16_t channel, const std::string& exchange,
                   const std::string& key, const Content& content, std::uint32_t frame_max);

}  // namespace holdfast::messaging::rabbitmq
