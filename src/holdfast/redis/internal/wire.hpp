// Wire: a connection that comes back. Finds, connects, shakes hands (TLS, AUTH, SELECT), moves bytes, and
// when it is lost tries again with growing, jittered waits. What is sent and what answers mean is its owner's
// matter.
//
// Lives on one loop, and only there.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "holdfast/base/error.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/redis/connection.hpp"
#include "holdfast/redis/internal/reply_reader.hpp"
#include "holdfast/redis/internal/socket.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/offload.hpp"

namespace holdfast::redis::internal {

/// What all wires of a client share.
struct WireParts {
  ConnectionOptions options;
  TlsContext tls;
  std::unique_ptr<runtime::OffloadPool> resolver;  ///< only where the host is a name
  Random& random;
  observe::Logger logger;
};
std::shared_ptr<const WireParts> make_wire_parts(runtime::Runtime& runtime, ConnectionOptions options,
                                                 observe::Logger logger);

class Wire final : private runtime::IoHandler {
 public:
  class Owner {
   public:
    virtual void on_ready() = 0;
    virtual void on_reply(Reply&& reply) = 0;
    /// What was sent and not answered will not be. It is tried again by itself.
    virtual void on_lost(const Error& why) = 0;

   protected:
    ~Owner() = default;
  };

  Wire(runtime::Loop& loop, std::shared_ptr<const WireParts> parts, Owner& owner);
  ~Wire() override;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  /// Begins, the first time; after that it keeps itself open.
  void open();
  bool ready() const noexcept { return state_ == State::ready; }
  /// Whether on_ready() or on_lost() can be expected soon: it is being connected, and has not just failed.
  bool coming() const noexcept { return state_ != State::ready && failures_ == 0; }
  /// Why it is not ready, as far as that is known.
  const Error& last_failure() const noexcept { return last_failure_; }

  /// While ready. Written at the end of this turn of the loop, with what others send until then. False where
  /// max_output_bytes wait already.
  [[nodiscard]] bool send(std::string_view bytes);
  /// Takes what has arrived, without waiting to be told.
  void look() { read_all(); }
  /// It is of no use any more. `hung`: nobody should wait for the next one.
  void lose(Error why, bool hung = false);

 private:
  enum class State : std::uint8_t { closed, waiting, connecting, ready };

  void on_ready(bool readable, bool writable, bool hung_up) override;
  void on_due();
  void resolve();
  void connect(const SocketAddress& to);
  void advance();
  void begin_handshake();
  void on_handshake_reply(const Reply& reply);
  void read_all();
  void flush();
  void post_flush();
  void drop_socket() noexcept;

  runtime::Loop& loop_;
  const std::shared_ptr<const WireParts> parts_;  // shared with the client and with work on its way here
  Owner& owner_;
  State state_ = State::closed;
  runtime::Timer timer_;
  resilience::Backoff backoff_;
  std::uint32_t failures_ = 0;  // in a row
  Error last_failure_;
  std::unique_ptr<Socket> socket_;
  std::optional<ReplyReader> reader_;
  int handshake_left_ = 0;  // answers until it is ready; 0 while there is no handshake
  std::string output_;
  bool flush_posted_ = false;
  bool told_lost_ = false;
  std::uint64_t epoch_ = 0;      // of the socket: a callback may have lost it
  std::shared_ptr<Wire*> self_;  // null inside once it is gone: for what is posted
};

}  // namespace holdfast::redis::internal
