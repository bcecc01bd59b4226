// One client's connection. A state machine driven by callbacks (step() never waits) that starts a fiber
// when a request can be served; the fiber goes on with pipelined requests while there are any.
//
//   idle -> head -> body -> serving -> (discarding) -> idle …        lingering -> closed
//
// Runs on its Shard's loop only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "holdfast/http/internal/exchange.hpp"
#include "holdfast/http/refusal.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"

namespace holdfast::http {

class Shard;
class StreamWriter;
class StreamReader;

class Connection final : public runtime::IoHandler {
 public:
  Connection(Shard& shard, int fd, std::string_view remote_address, bool refused);
  ~Connection() override;

  void start();
  void flush_corked();
  void on_drain();                   ///< the server drains
  void close_if_idle();              ///< the grace period is over
  void abort();                      ///< cancel, close
  bool begin();                      ///< serves its request, on a fiber; false where there is none to be had
  void turn_away(Duration for_now);  ///< 503 instead, for its request has waited too long

  std::size_t place = 0;  ///< in its shard's list

 private:
  friend class Shard;
  friend class StreamWriter;
  friend class StreamReader;

  enum class Phase : std::uint8_t { idle, head, body, serving, discarding, lingering, closed };
  enum class Step : std::uint8_t { again, wait, serve };
  enum class Received : std::uint8_t { some, nothing, ended };

  void on_ready(bool readable, bool writable, bool hung_up) override;
  void on_timeout();

  bool proceed();  ///< takes steps until a request is to be served (true) or there is nothing to do
  Step step();
  Step read_head();
  Step on_head();
  Step read_body();
  Step discard();
  Step linger();
  Step hand_over();
  Step fall_idle();
  Step refuse(const Refusal& refusal);
  Step shed(Duration for_now);
  bool make_room_for_body();
  Priority priority() const noexcept;

  Received receive();
  bool flush();  ///< false where something is left to send, or the connection has been closed
  void close();
  void set_deadline(Instant due);

  void run_fiber();
  void serve_one();
  Response answer(const Context& ctx);
  bool must_close(const Response& response) const;
  void send_response(Response& response, bool closing);
  bool send_stream(const Context& ctx, Response& response, bool closing);
  void finish_request(bool closing);
  bool wait_ready(const Context& ctx, Duration limit, const char* where);

  Shard& shard_;
  std::unique_ptr<Exchange> exchange_;
  runtime::Timer timer_;
  Instant deadline_ = kNever;     // of the present phase
  Instant armed_for_ = kNever;    // the timer is moved only towards earlier instants, else lazily
  std::size_t window_bytes_ = 0;  // received in this window of the body's rate
  runtime::Waker waiting_;        // a fiber that waits for this socket
  int fd_;
  Phase phase_ = Phase::idle;
  bool readable_ = false;       // as far as we know
  bool hung_up_ = false;        // the peer sends no more, or is gone
  bool on_fiber_ = false;       // a fiber runs on behalf of this connection
  bool close_after_ = false;    // once everything has been sent
  bool linger_ = false;         // then read on for a while before closing
  bool refused_ = false;        // over the limit of connections: gets one 503
  bool client_gone_ = false;    // hung up while its request was served
  bool endless_ = false;        // serves an endless stream
  bool write_blocked_ = false;  // the client doesn't take what we send
  bool corked_ = false;         // in the shard's list of connections to flush
  bool continue_sent_ = false;
  std::uint8_t address_length_ = 0;
  std::array<char, 46> address_;
};

}  // namespace holdfast::http
