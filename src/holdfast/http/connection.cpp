#include "holdfast/http/internal/connection.hpp"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "holdfast/http/internal/shard.hpp"

namespace holdfast::http {
namespace {

constexpr std::size_t kCorkBytes = 64 * 1024;     // of pipelined answers, before they are sent anyway
constexpr std::size_t kBodyRoom = 4 * 1024;       // kept free behind a head for its body
constexpr std::size_t kMaxLingerBytes = 4 << 20;  // read after a refusal before giving up
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

Connection::Connection(Shard& shard, int fd, std::string_view remote_address, bool refused)
    : shard_(shard), timer_([this] { on_timeout(); }), fd_(fd), refused_(refused) {
  address_length_ = static_cast<std::uint8_t>(std::min(remote_address.size(), address_.size()));
  std::copy_n(remote_address.data(), address_length_, address_.data());
}

Connection::~Connection() {
  if (fd_ >= 0) ::close(fd_);
}

void Connection::start() {
  shard_.loop.watch(fd_, *this);
  set_deadline(shard_.loop.turn_started() + shard_.options.limits.idle_timeout);
}

void Connection::on_ready(bool readable, bool writable, bool hung_up) {
  if (phase_ == Phase::closed) return;
  readable_ = readable_ || readable || hung_up;
  hung_up_ = hung_up_ || hung_up;
  if (on_fiber_) {
    if (hung_up) client_gone_ = true;
    if (hung_up && exchange_->cancellation) exchange_->cancellation->cancel();
    if (writable && exchange_->has_output()) flush();
    waiting_.wake();
    return;
  }
  while (proceed()) {
    on_fiber_ = true;
    client_gone_ = false;
    if (shard_.begin(*this, priority())) return;
    on_fiber_ = false;
    shard_.counters.in_flight.subtract();
    shed(std::chrono::seconds(1));
  }
}

bool Connection::begin() {
  return shard_.loop.spawn("http request", [this] { run_fiber(); });
}

void Connection::turn_away(Duration for_now) {
  on_fiber_ = false;
  shard_.counters.in_flight.subtract();
  if (phase_ == Phase::closed) return shard_.remove(*this);
  shed(for_now);
  on_ready(false, false, false);
}

/// Of its request, as its route has it.
Priority Connection::priority() const noexcept {
  const Route* const route = exchange_->request.route;
  return route == nullptr ? Priority::normal : route->info.priority;
}

void Connection::on_timeout() {
  armed_for_ = kNever;
  const Instant now = shard_.loop.turn_started();
  if (phase_ == Phase::closed || deadline_ == kNever) return;
  if (now < deadline_) return set_deadline(deadline_);
  deadline_ = kNever;
  if (exchange_ && exchange_->has_output()) return abort();  // takes nothing we send
  const ServerLimits& limits = shard_.options.limits;
  if (phase_ == Phase::head) {
    refuse({408, "head_too_slow", "The request's head took too long to arrive."});
  } else if (phase_ == Phase::body) {
    const auto expected = static_cast<double>(limits.min_body_bytes_per_second) *
                          std::chrono::duration<double>(limits.body_rate_window).count();
    if (static_cast<double>(std::exchange(window_bytes_, 0)) >= expected) {
      return set_deadline(now + limits.body_rate_window);
    }
    refuse({408, "body_too_slow", "The request's body arrives too slowly."});
  } else if (phase_ != Phase::serving) {
    return close();
  }
  if (!on_fiber_) on_ready(false, false, false);
}

/// The timer is moved at once only towards an earlier instant; a later one waits until it goes off. So
/// a busy connection touches the loop's heap once a timeout, not once a request.
void Connection::set_deadline(Instant due) {
  deadline_ = due;
  if (due >= armed_for_) return;
  armed_for_ = due;
  timer_.arm(due);
}

bool Connection::proceed() {
  for (;;) {
    switch (step()) {
      case Step::again: break;
      case Step::wait: return false;
      case Step::serve: return true;
    }
  }
}

Connection::Step Connection::step() {
  if (phase_ == Phase::closed) return Step::wait;
  if (exchange_ && exchange_->has_output()) {
    const bool more_to_answer = phase_ == Phase::idle && !close_after_ && !exchange_->in.empty() &&
                                exchange_->out.size() < kCorkBytes && exchange_->tail.empty();
    if (!more_to_answer && !flush()) return Step::wait;
  }
  if (close_after_ && phase_ != Phase::lingering) {
    if (!linger_ || hung_up_) {
      close();
      return Step::wait;
    }
    ::shutdown(fd_, SHUT_WR);
    phase_ = Phase::lingering;
    window_bytes_ = 0;
    set_deadline(shard_.loop.turn_started() + shard_.options.limits.linger_timeout);
  }
  switch (phase_) {
    case Phase::idle:
    case Phase::head: return read_head();
    case Phase::body: return read_body();
    case Phase::discarding: return discard();
    case Phase::lingering: return linger();
    case Phase::serving:
    case Phase::closed: break;
  }
  return Step::wait;
}

Connection::Step Connection::read_head() {
  if (!exchange_) {
    if (!readable_) return Step::wait;
    exchange_ = shard_.take_exchange();
  }
  Exchange& x = *exchange_;
  for (;;) {
    if (!x.in.empty()) {
      switch (x.parser.parse_head(x.in.from_begin(), x.request)) {
        case Parsed::complete: return on_head();
        case Parsed::refused: return refuse(x.parser.refusal());
        case Parsed::need_more: break;
      }
    }
    if (x.has_output() && !flush()) return Step::wait;
    if (!readable_) {
      if (x.in.empty()) return fall_idle();
      if (phase_ == Phase::idle) {
        phase_ = Phase::head;
        set_deadline(shard_.loop.turn_started() + shard_.options.limits.head_timeout);
      }
      return Step::wait;
    }
    if (x.in.room() == 0) x.in.rebase();
    if (x.in.room() == 0) x.in.grow(x.in.capacity() * 2);  // the parser refuses what passes max_head_bytes
    if (receive() == Received::ended) {
      close();
      return Step::wait;
    }
  }
}

Connection::Step Connection::fall_idle() {
  shard_.give_back(std::move(exchange_));
  phase_ = Phase::idle;
  const ServerLimits& limits = shard_.options.limits;
  set_deadline(shard_.loop.turn_started() +
               (shard_.draining() ? limits.drain_idle_grace : limits.idle_timeout));
  return Step::wait;
}

/// Sees to it that the body has room behind its head, without moving the head later. Moves it now
/// where it has not; then the head has to be parsed again. True where that was done.
bool Connection::make_room_for_body() {
  Exchange& x = *exchange_;
  const std::uint64_t length = x.parser.content_length().value_or(kBodyRoom);
  const std::size_t wanted =
      x.parser.head_bytes() +
      (length <= InputBuffer::kInitialBytes ? static_cast<std::size_t>(length) : kBodyRoom);
  if (x.in.begin + wanted <= x.in.capacity()) return false;
  x.in.rebase();
  x.in.grow(wanted);
  x.parser.reset();
  x.request.clear();
  x.parser.parse_head(x.in.from_begin(), x.request);
  return true;
}

Connection::Step Connection::on_head() {
  Exchange& x = *exchange_;
  deadline_ = kNever;
  const bool has_body = x.parser.has_body();
  if (has_body) make_room_for_body();
  x.in.at = x.in.begin + x.parser.head_bytes();
  x.request.remote_address = {address_.data(), address_length_};
  if (refused_) return refuse({503, "too_many_connections", "The server has too many connections."});
  shard_.counters.started.add();
  shard_.router.match(x.request);
  if (!has_body) return hand_over();

  const RouteInfo* const info = x.request.route == nullptr ? nullptr : &x.request.route->info;
  x.max_body_bytes = shard_.options.limits.max_body_bytes;
  if (info != nullptr && info->max_body_bytes) x.max_body_bytes = *info->max_body_bytes;
  if (x.parser.content_length().value_or(0) > x.max_body_bytes) {
    x.refusal.emplace(Error(ErrorCode::too_large, "The request's body is larger than the " +
                                                      std::to_string(x.max_body_bytes) +
                                                      " bytes this path takes.")
                          .reason("body_too_large"));
    return hand_over();
  }
  if (info != nullptr && info->streaming_body) return hand_over();
  if (info == nullptr && x.parser.expects_continue()) return hand_over();  // told before it sends in vain
  x.store_body = info != nullptr;
  if (x.parser.expects_continue() && x.in.from_at().empty()) {
    x.out.append(kContinue);
    continue_sent_ = true;
  }
  phase_ = Phase::body;
  window_bytes_ = 0;
  set_deadline(shard_.loop.turn_started() + shard_.options.limits.body_rate_window);
  return Step::again;
}

Connection::Step Connection::read_body() {
  Exchange& x = *exchange_;
  for (;;) {
    const std::uint64_t length = x.parser.content_length().value_or(0);
    const bool in_one_piece = length > 0 && x.body_bytes == 0 && length <= x.in.capacity() - x.in.at;
    if (!in_one_piece || x.in.from_at().size() >= length) {
      const RequestParser::Piece piece = x.parser.next_piece(x.in.from_at());
      x.in.at += piece.consumed;
      if (piece.parsed == Parsed::refused) return refuse(x.parser.refusal());
      x.body_bytes += piece.data.size();
      if (x.body_bytes > x.max_body_bytes) {
        x.refusal.emplace(Error(ErrorCode::too_large, "The request's body is larger than the " +
                                                          std::to_string(x.max_body_bytes) +
                                                          " bytes this path takes.")
                              .reason("body_too_large"));
        return hand_over();
      }
      const bool complete = piece.parsed == Parsed::complete;
      if (complete && x.body.empty()) {
        if (x.store_body) x.request.body = piece.data;
        return hand_over();
      }
      if (x.store_body) x.body.append(piece.data);
      if (complete) {
        x.request.body = x.body;
        return hand_over();
      }
      if (piece.consumed > 0) continue;
    }
    if (!readable_) return Step::wait;
    if (x.in.room() == 0) x.in.compact(x.in.begin + x.parser.head_bytes());
    if (x.in.room() == 0) return refuse({400, "bad_chunk", "A chunk's head or the trailers are too long."});
    if (receive() == Received::ended) {
      close();
      return Step::wait;
    }
  }
}

/// Reads what is left of a body nobody wanted, so that the next request on this connection is found.
Connection::Step Connection::discard() {
  Exchange& x = *exchange_;
  for (;;) {
    const RequestParser::Piece piece = x.parser.next_piece(x.in.from_at());
    x.in.at += piece.consumed;
    x.body_bytes += piece.data.size();
    if (piece.parsed == Parsed::complete) {
      x.in.advance();
      x.next_request();
      phase_ = Phase::idle;
      return Step::again;
    }
    if (piece.parsed == Parsed::refused || x.body_bytes > shard_.options.limits.max_discarded_bytes) {
      close_after_ = linger_ = true;
      return Step::again;
    }
    if (piece.consumed > 0) continue;
    if (!readable_) return Step::wait;
    if (x.in.room() == 0) x.in.compact(x.in.begin);
    if (x.in.room() == 0 || receive() == Received::ended) {
      close();
      return Step::wait;
    }
  }
}

/// After a refusal the client may still be sending. A close with bytes unread would reset the
/// connection and could take our answer away from it (RFC 9112, 9.6).
Connection::Step Connection::linger() {
  while (readable_ && window_bytes_ < kMaxLingerBytes) {
    const ssize_t count = ::recv(fd_, shard_.scratch(), Shard::kScratchBytes, 0);
    if (count > 0) {
      window_bytes_ += static_cast<std::size_t>(count);
    } else if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      readable_ = false;
    } else if (count == 0 || errno != EINTR) {
      close();
      return Step::wait;
    }
  }
  if (readable_) close();
  return Step::wait;
}

Connection::Step Connection::hand_over() {
  deadline_ = kNever;
  if (!shard_.may_serve_one_more()) return shed(std::chrono::seconds(1));
  const Exchange& x = *exchange_;
  if (shard_.options.turns_away && x.request.route != nullptr && !x.refusal) {
    if (const auto for_now = shard_.options.turns_away(x.request)) return shed(*for_now);
  }
  if (const Duration wait = shard_.too_long_a_wait(priority()); wait > Duration::zero()) return shed(wait);
  phase_ = Phase::serving;
  shard_.counters.in_flight.add();
  return Step::serve;
}

/// Too many at once: said without a fiber or a Context, and the connection stays usable.
Connection::Step Connection::shed(Duration for_now) {
  shard_.counters.shed.add();
  Response response =
      refusal_response(503, "overloaded", "The server has too many requests at once. Try again later.");
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(for_now).count();
  response.set("Retry-After", std::to_string(std::max<std::int64_t>(1, seconds)));
  const bool closing = must_close(response);
  send_response(response, closing);
  finish_request(closing);
  return Step::again;
}

Connection::Step Connection::refuse(const Refusal& refusal) {
  shard_.refused(refusal.code, refusal.status);
  Response response = refusal_response(refusal);
  if (refusal.status == 503) response.set("Retry-After", "1");
  exchange_->request.method = Method::other;  // of which nothing is certain; the answer has a body
  send_response(response, true);
  phase_ = Phase::idle;
  close_after_ = linger_ = true;
  return Step::again;
}

Connection::Received Connection::receive() {
  InputBuffer& in = exchange_->in;
  for (;;) {
    const std::size_t room = in.room();
    const ssize_t count = ::recv(fd_, in.space(), room, 0);
    if (count > 0) {
      const auto bytes = static_cast<std::size_t>(count);
      in.end += bytes;
      window_bytes_ += bytes;
      shard_.counters.received.add(bytes);
      if (bytes < room && !hung_up_) readable_ = false;  // the next byte is a new edge
      return Received::some;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      readable_ = false;
      return Received::nothing;
    }
    hung_up_ = true;
    return Received::ended;
  }
}

bool Connection::flush() {
  if (phase_ == Phase::closed) return false;
  Exchange& x = *exchange_;
  while (x.has_output()) {
    ssize_t count = 0;
    if (x.tail.empty()) {
      count = ::send(fd_, x.out.data() + x.sent, x.out.size() - x.sent, MSG_NOSIGNAL);
    } else {
      std::array<iovec, 2> parts{};
      const std::size_t head = std::min(x.sent, x.out.size());
      const std::size_t tail = x.sent - head;
      parts[0] = {x.out.data() + head, x.out.size() - head};
      parts[1] = {x.tail.data() + tail, x.tail.size() - tail};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = parts.size();
      count = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    }
    if (count >= 0) {
      x.sent += static_cast<std::size_t>(count);
      shard_.counters.sent.add(static_cast<std::uint64_t>(count));
      if (deadline_ != kNever && x.has_output())
        set_deadline(shard_.loop.turn_started() + shard_.options.limits.write_timeout);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!write_blocked_) set_deadline(shard_.loop.turn_started() + shard_.options.limits.write_timeout);
      write_blocked_ = true;
      return false;
    } else if (errno != EINTR) {
      close();
      return false;
    }
  }
  x.output_was_sent();
  if (std::exchange(write_blocked_, false)) {
    deadline_ = kNever;
    if (phase_ != Phase::serving)
      set_deadline(shard_.loop.turn_started() + shard_.options.limits.head_timeout);
  }
  return true;
}

void Connection::flush_corked() {
  corked_ = false;
  if (phase_ != Phase::closed && exchange_ && exchange_->has_output()) flush();
}

void Connection::on_drain() {
  if (endless_ && exchange_ && exchange_->cancellation) exchange_->cancellation->cancel();
}

void Connection::close_if_idle() {
  if (phase_ == Phase::idle && !on_fiber_ && !exchange_) close();
}

void Connection::abort() {
  if (phase_ == Phase::closed) return;
  if (exchange_ && exchange_->cancellation) exchange_->cancellation->cancel();
  close();
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  shard_.loop.unwatch(fd_, *this);
  ::close(fd_);
  fd_ = -1;
  timer_.disarm();
  waiting_.wake();
  if (!on_fiber_) shard_.remove(*this);
}

}  // namespace holdfast::http
