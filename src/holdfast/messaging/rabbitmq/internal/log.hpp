// Log: the exchange and the streams on two Connections (what publishes may be blocked by the server; what
// reads should not), kept connected and checked: what the Sink and the Readers share. Which streams they are
// is agreed on in a Roll; a stream that is gone makes the whole log a new one, with another identity.
//
// Thread-safety: one loop, but where it says so.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "holdfast/messaging/rabbitmq/internal/connection.hpp"
#include "holdfast/messaging/rabbitmq/internal/roll.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"

namespace holdfast::messaging::rabbitmq {

class Log {
 public:
  Log(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options);
  ~Log() { close(runtime_.context()); }

  void connect(const Context& ctx);
  void close(const Context& ctx) noexcept;

  /// "<prefix>@<the name it was made with>" once connected and checked; empty otherwise.
  const std::string& identity() const noexcept;
  /// Why there is none. Any thread.
  std::string problem() const;
  /// Grows with each connection.
  std::uint64_t generation() const noexcept { return generation_; }
  /// The highest position that was noted.
  std::int64_t position() const noexcept { return roll_.position(); }

  /// While there is an identity: of the stream of a bucket, and what it is published with.
  std::string stream(int bucket) const;
  std::string key(int bucket, const std::string& topic) const;
  const std::string& exchange() const noexcept { return options_.prefix; }

  /// With confirms. Throws Error; unavailable where it came to no stream.
  void publish(const Context& ctx, int bucket, const std::string& topic, const Content& content);
  /// What was published has come so far: written down now and then.
  void passed(const Context& ctx, std::int64_t position);
  /// For a reader. Throws Error(unavailable).
  std::shared_ptr<Channel> open_channel(const Context& ctx) { return reading_.open_channel(ctx); }
  void close_channel(const std::shared_ptr<Channel>& channel) noexcept { reading_.close_channel(channel); }
  /// A stream may be gone: it is looked after.
  void suspect() noexcept;
  /// The streams lack what a group needs: a new log is made, and filled again from the outbox.
  void abandon() noexcept;

  /// Notified at each change of identity().
  void add_listener(runtime::Signal* signal) { listeners_.push_back(signal); }
  void remove_listener(runtime::Signal* signal) { std::erase(listeners_, signal); }

  const Options& options() const noexcept { return options_; }
  runtime::Runtime& runtime() noexcept { return runtime_; }
  observe::Logger& logger() noexcept { return logger_; }

  observe::Counter malformed;  ///< messages of the streams that are none of ours
  observe::Counter resets;     ///< readers made anew

 private:
  void establish(const Context& ctx);
  void connect_to_any(const Context& ctx);
  void disconnect(const Context& ctx) noexcept;
  void open_publisher(const Context& ctx);
  void open_roll(const Context& ctx);
  void append(const Context& ctx, RollEntry::Kind kind, const std::string& log, std::int64_t position = 0);
  void read_roll();
  void wait_for_roll(const Context& ctx, const std::function<bool()>& holds);
  void check(const Context& ctx);
  void make_streams(const Context& ctx, const std::string& log);
  bool streams_are_there(const Context& ctx, const std::string& log);
  void keep();
  void look_after(const Context& ctx);
  void set_identity(std::string identity, std::string problem);
  std::string stream(const std::string& log, int bucket) const;

  runtime::Runtime& runtime_;
  observe::Logger logger_;
  const Options options_;
  std::vector<ServerAddress> servers_;
  std::size_t next_server_ = 0;
  runtime::TlsContext tls_;
  runtime::OffloadPool resolver_;
  runtime::Signal changed_;
  Connection publishing_;
  Connection reading_;
  std::shared_ptr<Channel> publisher_;
  std::shared_ptr<Channel> control_;
  std::shared_ptr<Mailbox> roll_box_;
  Roll roll_;
  observe::Gauge connected_;
  observe::Gauge blocked_;
  observe::Counter connections_;
  observe::Counter unrouted_;
  std::uint64_t generation_ = 0;
  std::string log_;  // that identity_ is of
  std::string identity_;
  std::int64_t highest_ = 0;  // position that was published
  std::int64_t noted_ = 0;
  Instant noted_at_{};
  bool suspected_ = false;
  bool useless_ = false;
  mutable std::mutex mutex_;
  std::string problem_ = "It is not connected yet.";  // guarded by mutex_
  std::vector<runtime::Signal*> listeners_;
  bool closing_ = false;
  bool keeping_ = false;
  runtime::Latch ended_;
};

}  // namespace holdfast::messaging::rabbitmq
