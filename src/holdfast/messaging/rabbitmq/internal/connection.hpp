// Connection: one AMQP connection: TCP or TLS, login, channels, heartbeats, connection.blocked. Once lost it
// is over, with all that was under way on it; its owner makes the next one.
//
// Thread-safety: one loop.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/messaging/rabbitmq/internal/channel.hpp"
#include "holdfast/messaging/rabbitmq/internal/frames.hpp"
#include "holdfast/messaging/rabbitmq/internal/server_address.hpp"
#include "holdfast/messaging/rabbitmq/streams.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/offload.hpp"
#include "holdfast/runtime/stream_socket.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::messaging::rabbitmq {

class Connection final : private runtime::IoHandler {
 public:
  /// `options` and `changed` outlive it; `changed` is notified when it is lost, blocked or unblocked.
  Connection(runtime::Loop& loop, const Options& options, const char* purpose, runtime::Signal& changed);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Throws Error: failed_precondition where trying again is no use, else unavailable.
  void connect(const Context& ctx, const ServerAddress& server, const runtime::TlsContext& tls,
               runtime::OffloadPool& resolver);
  /// Says goodbye, and waits for the answer for a moment. Idempotent.
  void close(const Context& ctx) noexcept;
  bool open() const noexcept { return state_ == State::open; }
  /// Why the server takes no messages now; empty where it does.
  const std::string& blocked() const noexcept { return blocked_; }
  std::uint32_t frame_max() const noexcept { return frame_max_; }

  /// Throws Error(unavailable).
  std::shared_ptr<Channel> open_channel(const Context& ctx);
  /// Gives it back. Its waits end.
  void close_channel(const std::shared_ptr<Channel>& channel) noexcept;

  // For Channel.

  /// Written at the end of this turn of the loop. Throws Error(unavailable) where too much waits already.
  void send(std::string_view frames);
  /// Throws Error(unavailable) where it is blocked to the end.
  void wait_unblocked(const Context& ctx);

 private:
  enum class State : std::uint8_t { closed, connecting, shaking_hands, open, closing };

  void on_ready(bool readable, bool writable, bool hung_up) override;
  void on_tick();
  void read_all();
  void flush();
  void take(Frame&& frame);
  void take_for_all(Frame&& frame);
  void lose(const Error& why) noexcept;
  void wait_for(const Context& ctx, const std::function<bool()>& holds);
  Frame next_of_handshake(const Context& ctx);
  void shake_hands(const Context& ctx);
  void log_in(const Context& ctx);
  Error failure_of_socket() const;
  Error away(std::string_view reason, std::string why) const;

  runtime::Loop& loop_;
  const Options& options_;
  const char* const purpose_;
  runtime::Signal& changed_;
  runtime::Signal progress_;
  State state_ = State::closed;
  ServerAddress server_;
  std::unique_ptr<runtime::StreamSocket> socket_;
  bool socket_ready_ = false;
  std::optional<FrameReader> reader_;
  bool heard_ = false;            // anything since the connection was made
  std::deque<Frame> handshake_;   // what came until it is open
  std::optional<Error> failure_;  // why it was lost
  std::string blocked_;
  std::uint32_t frame_max_ = FrameReader::kMostBytes;
  std::uint16_t channel_max_ = 0;
  Duration heartbeat_{};
  Instant received_at_{};
  Instant sent_at_{};
  runtime::Timer tick_;
  std::map<std::uint16_t, std::shared_ptr<Channel>> channels_;  // null: closed by us, not confirmed yet
  std::string output_;
  bool flush_posted_ = false;
  std::uint64_t epoch_ = 0;            // of the socket: a callback may have lost it
  std::shared_ptr<Connection*> self_;  // null inside once it is gone: for what is posted
};

}  // namespace holdfast::messaging::rabbitmq
