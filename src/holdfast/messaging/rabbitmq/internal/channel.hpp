// Channel: one channel of a Connection: calls that are answered, publishing with confirms, consumers. What
// the server closes it for, and the loss of the connection, ends every wait on it; it does not come back.
//
// Thread-safety: the connection's loop only.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/rabbitmq/internal/frames.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/runtime/waker.hpp"

namespace holdfast::messaging::rabbitmq {

class Connection;

/// A message as it came.
struct Delivery {
  std::uint64_t tag = 0;
  std::int64_t offset = -1;  ///< in its stream
  WireHeaders headers = {};
  std::string body = {};
};

/// Where the deliveries of a consumer arrive; bounded by its prefetch.
struct Mailbox {
  explicit Mailbox(runtime::Signal& the_signal) : signal(the_signal) {}
  runtime::Signal& signal;  ///< notified for each
  std::deque<Delivery> arrived;
  bool gone = false;  ///< the server has ended it: what it read was deleted
};

class Channel {
 public:
  Channel(Connection& connection, std::uint16_t id) : connection_(&connection), id_(id) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  std::uint16_t id() const noexcept { return id_; }
  bool open() const noexcept { return connection_ != nullptr; }

  /// Sends methods of this channel and waits for `count` answers, all `reply`. Throws Error: not_found where
  /// there is no such queue or exchange, failed_precondition where it is another than it should be,
  /// permission_denied, unavailable.
  void call(const Context& ctx, std::string_view frames, Method reply, std::size_t count = 1);
  /// Sends what is not answered; nothing where the channel is closed.
  void post(std::string_view frames);

  /// Publishes and waits until the server has it in all queues that it goes to; false where it goes to none.
  /// After confirm.select. Throws Error: too_large, invalid_argument (names), unavailable.
  [[nodiscard]] bool publish(const Context& ctx, const std::string& exchange, const std::string& key,
                             const Content& content);

  /// Deliveries to `consumer` arrive in `mailbox` until detach(). Before basic.consume is sent.
  void attach(const std::string& consumer, std::shared_ptr<Mailbox> mailbox) {
    mailboxes_.insert_or_assign(consumer, std::move(mailbox));
  }
  void detach(const std::string& consumer) noexcept { mailboxes_.erase(consumer); }

  // For Connection.
  void take(Frame&& frame);
  void fail(const Error& why) noexcept;

 private:
  struct Call {
    runtime::Waker waker;
    std::size_t left;
    bool failed = false;
  };
  struct Expected {
    Call* call;  // on the stack of the fiber that waits; null once it has left
    Method reply;
    std::size_t left;
  };
  struct Publication {
    runtime::Waker waker;
    std::string_view message_id;
    std::size_t size;
    enum class Fate : std::uint8_t { waiting, taken, refused, lost } fate = Fate::waiting;
    bool returned = false;
  };
  struct Arriving {
    Frame method;
    Frame header = {};
    std::string body = {};
    bool headed = false;
  };

  void settle(const Frame& frame, Publication::Fate fate);
  void arrived();

  Connection* connection_;  // null once it is closed
  const std::uint16_t id_;
  Error failure_{ErrorCode::unavailable, "The channel is closed."};
  std::deque<Expected> expected_;
  std::uint64_t published_ = 0;
  std::map<std::uint64_t, Publication*> publications_;  // on the stacks of fibers that wait
  std::optional<Arriving> arriving_;
  std::unordered_map<std::string, std::shared_ptr<Mailbox>> mailboxes_;
};

}  // namespace holdfast::messaging::rabbitmq
