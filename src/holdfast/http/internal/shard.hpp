// The part of a Server that lives on one loop: its listener, its connections, and what they share
// (spare exchanges, the Date header, counters). Everything here runs on that loop's thread.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/random.hpp"
#include "holdfast/http/internal/exchange.hpp"
#include "holdfast/http/internal/start_queue.hpp"
#include "holdfast/http/router.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/runtime/loop.hpp"

namespace holdfast::http {

class Connection;

/// Written by one loop, read by any thread.
class LoopCounter {
 public:
  void add(std::uint64_t amount = 1) noexcept { set(value() + amount); }
  void subtract(std::uint64_t amount = 1) noexcept { set(value() - amount); }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  std::atomic<std::uint64_t> value_{0};
};

struct ShardCounters {
  LoopCounter accepted, open, connections_refused, started, waiting, in_flight, shed, refused, gone, ghosts,
      received, sent;
};

class Shard final : public runtime::IoHandler {
 public:
  /// `on_change` is called when the shard stops accepting and when its last connection ends.
  Shard(runtime::Loop& loop, const Router& router, const ServerOptions& options, std::uint64_t seed,
        std::function<void()> on_change);
  ~Shard() override;

  /// Takes over a listening, non-blocking socket.
  void listen(int fd);
  /// Lets the kernel begin no further handshakes, takes in the finished ones, closes the listener.
  void stop_accepting();
  bool accepting() const noexcept { return listening_.load(std::memory_order_acquire); }

  /// From now on answers say `Connection: close`; endless streams are cancelled; idle connections are
  /// closed after the grace period.
  void drain();
  /// Cancels what runs, closes everything.
  void abort();
  bool draining() const noexcept { return draining_; }

  // For connections.
  std::unique_ptr<Exchange> take_exchange();
  void give_back(std::unique_ptr<Exchange> exchange) noexcept;
  void remove(Connection& connection);       ///< ends its life, after the current callback
  void flush_later(Connection& connection);  ///< sends what it has corked before this turn's I/O ends
  std::string_view common_headers();         ///< Date and Server, made once a second
  void refused(std::string_view reason, int status);
  bool may_serve_one_more() const noexcept {
    return counters.in_flight.value() < options.limits.max_requests_in_flight_per_loop;
  }
  /// How long a request of `priority` would wait for this loop's time, where that is too long; else 0.
  Duration too_long_a_wait(Priority priority) const noexcept { return queue_.too_long_a_wait(priority); }
  /// Has `connection` served on a fiber, at once or when its turn comes. False where no fiber can be had.
  bool begin(Connection& connection, Priority priority);
  char* scratch() noexcept { return scratch_.data(); }
  static constexpr std::size_t kScratchBytes = 16 * 1024;

  runtime::Loop& loop;
  const Router& router;
  const ServerOptions& options;
  const Context root;
  SeededRandom random;
  ShardCounters counters;

 private:
  void on_ready(bool readable, bool writable, bool hung_up) override;
  void accept_some();
  void take_in(int fd, std::string_view remote_address);
  void close_listener() noexcept;
  void do_later();
  void begin_those_who_wait();

  const ParserLimits parser_limits_;
  const std::function<void()> on_change_;
  int listener_ = -1;
  std::atomic<bool> listening_{false};
  bool stopping_ = false;
  bool draining_ = false;
  runtime::Timer accept_timer_;  // out of descriptors, or the last look before closing
  runtime::Timer idle_grace_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> removed_;
  std::vector<Connection*> to_flush_;
  bool later_posted_ = false;
  StartQueue queue_;
  std::vector<std::unique_ptr<Exchange>> spare_;
  std::array<char, kScratchBytes> scratch_;
  std::string common_headers_;
  Instant common_headers_until_{};
  bool common_headers_made_ = false;
};

}  // namespace holdfast::http
