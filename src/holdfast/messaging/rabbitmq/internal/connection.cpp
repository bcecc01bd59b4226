#include "holdfast/messaging/rabbitmq/internal/connection.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

constexpr std::uint16_t kMostChannels = 2047;
constexpr std::uint32_t kLeastFrame = 4096;  ///< AMQP's
constexpr Duration kGoodbye = std::chrono::milliseconds(500);
constexpr char kTlsAlert = 0x15;

constexpr std::uint16_t kAccessRefused = 403;
constexpr std::uint16_t kNotFound = 404;
constexpr std::uint16_t kPreconditionFailed = 406;
constexpr std::uint16_t kNotAllowed = 530;

[[noreturn]] void refuse(std::string what, std::string cause) {
  throw Error(ErrorCode::failed_precondition, std::move(what))
      .reason("rabbitmq_refused")
      .cause(std::move(cause));
}

/// Of a channel or connection that the server closes.
Error error_of(const Frame& close) {
  ErrorCode code = ErrorCode::unavailable;
  if (close.code == kNotFound && close.text.contains("no queue")) code = ErrorCode::not_found;
  if (close.code == kAccessRefused) code = ErrorCode::permission_denied;
  if (close.code == kPreconditionFailed && close.text.contains("inequivalent"))
    code = ErrorCode::failed_precondition;
  return Error(code, "RabbitMQ has closed the channel or the connection.")
      .reason("amqp_" + std::to_string(close.code))
      .cause(close.text);
}

}  // namespace

Connection::Connection(runtime::Loop& loop, const Options& options, const char* purpose,
                       runtime::Signal& changed)
    : loop_(loop),
      options_(options),
      purpose_(purpose),
      changed_(changed),
      tick_([this] { on_tick(); }),
      self_(std::make_shared<Connection*>(this)) {}

Connection::~Connection() {
  *self_ = nullptr;
  lose(away("rabbitmq_closed", "it is closed"));
}

Error Connection::away(std::string_view reason, std::string why) const {
  return Error(ErrorCode::unavailable,
               "RabbitMQ at " + server_.shown() + " can't be reached (broker.rabbitmq.servers).")
      .reason(std::string(reason))
      .cause(std::move(why));
}

// ---- connecting

void Connection::wait_for(const Context& ctx, const std::function<bool()>& holds) {
  for (;;) {
    const std::uint64_t seen = progress_.version();
    if (failure_) throw *failure_;
    if (holds()) return;
    const runtime::Woken woken = progress_.wait_past(ctx, seen, "connecting to RabbitMQ");
    if (woken == runtime::Woken::by_cancellation)
      runtime::throw_unless_event(woken, "connecting to RabbitMQ");
    if (woken == runtime::Woken::by_deadline)
      throw away("rabbitmq_unreachable", heard_ || socket_ready_
                                             ? "it accepts connections and does not answer"
                                             : "no connection in time");
  }
}

void Connection::connect(const Context& ctx, const ServerAddress& server, const runtime::TlsContext& tls,
                         runtime::OffloadPool& resolver) {
  lose(away("rabbitmq_closed", "it is connected anew"));
  server_ = server;
  failure_.reset();
  blocked_.clear();
  heard_ = false;
  socket_ready_ = false;
  handshake_.clear();
  reader_.emplace();
  const Context bounded = ctx.with_timeout(options_.connect_timeout);
  runtime::SocketAddress to;
  if (!runtime::numeric_address(server.host, server.port, to)) {
    bool found = false;
    resolver.run(bounded, [&] { found = runtime::resolved_address(server.host, server.port, to); });
    if (!found) throw away("rabbitmq_host_not_found", "no such host");
  }
  try {
    socket_ = std::make_unique<runtime::StreamSocket>(
        to, tls, options_.tls.server_name.empty() ? server.host : options_.tls.server_name);
    loop_.watch(socket_->fd(), *this);
    state_ = State::connecting;
    on_ready(false, true, false);
    wait_for(bounded, [&] { return socket_ready_; });
    shake_hands(bounded);
  } catch (const Error& error) {
    lose(error);
    if (error.reason() != "amqp_broken") throw;
    refuse("What listens at " + server_.shown() + " is no RabbitMQ: check broker.rabbitmq.servers.",
           error.cause());
  }
}

Frame Connection::next_of_handshake(const Context& ctx) {
  wait_for(ctx, [&] { return !handshake_.empty(); });
  Frame frame = std::move(handshake_.front());
  handshake_.pop_front();
  return frame;
}

void Connection::shake_hands(const Context& ctx) {
  state_ = State::shaking_hands;
  received_at_ = sent_at_ = loop_.clock().now();
  std::string hello;
  write_protocol_header(hello);
  send(hello);
  log_in(ctx);
  state_ = State::open;
  if (heartbeat_ > Duration(0)) tick_.arm(loop_.clock().now() + heartbeat_ / 2);
}

void Connection::log_in(const Context& ctx) {
  const Frame start = next_of_handshake(ctx);
  if (start.method != Method::connection_start || !start.text.contains("PLAIN"))
    refuse("RabbitMQ at " + server_.shown() + " does not speak AMQP 0-9-1 with PLAIN logins.", start.text);
  std::string answer;
  write_start_ok(answer, options_.user, options_.password.reveal(), options_.name + " (" + purpose_ + ")");
  send(answer);
  const Frame tune = next_of_handshake(ctx);
  if (tune.method == Method::connection_close && tune.code == kAccessRefused) {
    refuse("RabbitMQ at " + server_.shown() +
               " refuses who we are: check broker.rabbitmq.user and password (\"guest\" may come from the "
               "server's own machine only).",
           tune.text);
  }
  if (tune.method != Method::connection_tune) throw error_of(tune);
  const auto seconds = static_cast<std::uint16_t>(
      std::chrono::duration_cast<std::chrono::seconds>(options_.heartbeat).count());
  frame_max_ = tune.frame_max == 0 ? FrameReader::kMostBytes
                                   : std::clamp(tune.frame_max, kLeastFrame, FrameReader::kMostBytes);
  channel_max_ = tune.channel_max == 0 ? kMostChannels : std::min(tune.channel_max, kMostChannels);
  heartbeat_ = std::chrono::seconds(seconds);
  std::string open;
  write_tune_ok(open, channel_max_, frame_max_, seconds);
  write_open(open, options_.vhost);
  send(open);
  const Frame opened = next_of_handshake(ctx);
  if (opened.method == Method::connection_open_ok) return;
  if (opened.method == Method::connection_close && opened.code == kNotAllowed &&
      !opened.text.contains("limit")) {
    refuse("RabbitMQ at " + server_.shown() + " does not let " + options_.user + " into the virtual host " +
               options_.vhost + ": check broker.rabbitmq.vhost and the user's permissions there.",
           opened.text);
  }
  throw error_of(opened);
}

void Connection::close(const Context& ctx) noexcept {
  if (state_ == State::open) {
    try {
      state_ = State::closing;
      std::string goodbye;
      write_close(goodbye);
      send(goodbye);
      wait_for(ctx.detached().with_timeout(kGoodbye), [] { return false; });
    } catch (const std::exception&) {
      // lost by now, which was the aim, or silent
    }
  }
  lose(away("rabbitmq_closed", "it is closed"));
}

// ---- channels

std::shared_ptr<Channel> Connection::open_channel(const Context& ctx) {
  if (state_ != State::open) throw failure_.value_or(away("rabbitmq_unreachable", "not connected"));
  std::uint16_t id = 1;
  for (const auto& [used, channel] : channels_) {
    if (used != id) break;
    ++id;
  }
  if (id > channel_max_) {
    throw Error(ErrorCode::unavailable, "RabbitMQ gives this connection no more channels (channel_max).")
        .reason("rabbitmq_channels_exhausted");
  }
  auto channel = std::make_shared<Channel>(*this, id);  // shared with the reader that uses it
  channels_.emplace(id, channel);
  std::string frames;
  write_channel_open(frames, id);
  channel->call(ctx, frames, Method::channel_open_ok);
  return channel;
}

void Connection::close_channel(const std::shared_ptr<Channel>& channel) noexcept {
  if (!channel || !channel->open()) return;
  const auto found = channels_.find(channel->id());
  if (found == channels_.end() || found->second != channel) return;
  found->second.reset();
  channel->fail(Error(ErrorCode::unavailable, "The channel was given back.").reason("rabbitmq_closed"));
  try {
    std::string frames;
    write_channel_close(frames, channel->id());
    send(frames);
  } catch (const std::exception&) {
    // the connection is about to be lost
  }
}

// ---- bytes

void Connection::send(std::string_view frames) {
  if (!socket_) throw failure_.value_or(away("rabbitmq_unreachable", "not connected"));
  if (output_.size() + frames.size() > Streams::kMaxOutputBytes)
    throw Error(ErrorCode::unavailable, "Too much waits for RabbitMQ already.").reason("rabbitmq_busy");
  output_ += frames;
  if (std::exchange(flush_posted_, true)) return;
  loop_.post([self = self_] {
    Connection* const connection = *self;
    if (connection == nullptr) return;
    connection->flush_posted_ = false;
    if (connection->socket_ && connection->socket_ready_) connection->flush();
  });
}

void Connection::wait_unblocked(const Context& ctx) {
  while (!blocked_.empty() && state_ == State::open) {
    const std::uint64_t seen = changed_.version();
    const runtime::Woken woken = changed_.wait_past(ctx, seen, "waiting for RabbitMQ to take messages");
    if (woken == runtime::Woken::by_event) continue;
    if (woken == runtime::Woken::by_cancellation)
      runtime::throw_unless_event(woken, "waiting for RabbitMQ to take messages");
    throw Error(ErrorCode::unavailable, "RabbitMQ takes no messages now: " + blocked_ + ".")
        .reason("rabbitmq_blocked");
  }
}

/// With TLS 1.3 a server tells only after the handshake that it wanted a client's certificate.
Error Connection::failure_of_socket() const {
  const std::string& why = socket_->failure();
  if (heard_ || !why.starts_with("TLS")) return away(heard_ ? "rabbitmq_lost" : "rabbitmq_unreachable", why);
  return Error(ErrorCode::failed_precondition,
               "TLS with RabbitMQ at " + server_.shown() +
                   " failed: check broker.rabbitmq.tls.ca_file, certificate_file, key_file and server_name; "
                   "where "
                   "its port has no TLS, turn broker.rabbitmq.tls.required off.")
      .reason("rabbitmq_refused")
      .cause(why);
}

void Connection::flush() {
  std::size_t written = 0;
  while (written < output_.size()) {
    const auto moved = socket_->write(std::string_view(output_).substr(written));
    if (moved.state == runtime::StreamSocket::State::failed) return lose(failure_of_socket());
    if (moved.state == runtime::StreamSocket::State::would_block) break;
    written += moved.bytes;
  }
  if (written > 0) sent_at_ = loop_.clock().now();
  output_.erase(0, written);
}

void Connection::on_ready(bool, bool, bool) {
  if (!socket_) return;
  if (!socket_ready_) {
    switch (socket_->advance()) {
      case runtime::StreamSocket::State::would_block: return;
      case runtime::StreamSocket::State::failed: return lose(failure_of_socket());
      case runtime::StreamSocket::State::ready: break;
    }
    socket_ready_ = true;
    progress_.notify();
  }
  const std::uint64_t epoch = epoch_;
  if (!output_.empty()) flush();
  if (epoch_ == epoch) read_all();
}

void Connection::read_all() {
  const std::uint64_t epoch = epoch_;
  std::array<char, 64 * 1024> buffer;
  for (;;) {
    const auto moved = socket_->read(buffer.data(), buffer.size());
    if (moved.state == runtime::StreamSocket::State::would_block) return;
    if (moved.state == runtime::StreamSocket::State::failed) return lose(failure_of_socket());
    received_at_ = loop_.clock().now();
    if (!std::exchange(heard_, true) && buffer[0] == kTlsAlert) {
      return lose(
          Error(ErrorCode::failed_precondition,
                "RabbitMQ at " + server_.shown() + " takes TLS only: turn broker.rabbitmq.tls.required on.")
              .reason("rabbitmq_refused"));
    }
    try {
      reader_->feed({buffer.data(), moved.bytes});
      while (std::optional<Frame> frame = reader_->next()) {
        take(std::move(*frame));
        if (epoch_ != epoch) return;
      }
    } catch (const Error& error) {
      return lose(error);
    }
  }
}

void Connection::take(Frame&& frame) {
  if (frame.kind == Frame::Kind::heartbeat) return;
  if (state_ == State::shaking_hands) {
    handshake_.push_back(std::move(frame));
    return progress_.notify();
  }
  if (frame.channel == 0) return take_for_all(std::move(frame));
  const auto found = channels_.find(frame.channel);
  if (found == channels_.end()) return;
  if (frame.kind == Frame::Kind::method && frame.method == Method::channel_close_ok) {
    channels_.erase(found);
    return;
  }
  if (frame.kind == Frame::Kind::method && frame.method == Method::channel_close) {
    const std::shared_ptr<Channel> closed = std::move(found->second);
    if (closed) channels_.erase(found);  // else our own close is under way, and will be answered
    std::string answer;
    write_channel_close_ok(answer, frame.channel);
    send(answer);
    if (closed) closed->fail(error_of(frame));
    return;
  }
  if (found->second) found->second->take(std::move(frame));
}

void Connection::take_for_all(Frame&& frame) {
  switch (frame.method) {
    case Method::connection_close: {
      std::string answer;
      write_close_ok(answer);
      send(answer);
      flush();
      return lose(away("rabbitmq_lost", std::to_string(frame.code) + " " + frame.text));
    }
    case Method::connection_close_ok: return lose(away("rabbitmq_closed", "it is closed"));
    case Method::connection_blocked:
      blocked_ = frame.text.empty() ? "it is blocked" : frame.text;
      return changed_.notify();
    case Method::connection_unblocked: blocked_.clear(); return changed_.notify();
    default: return;
  }
}

void Connection::on_tick() {
  if (!socket_) return;
  // Where this loop itself was held up, what came may lie there unread.
  const std::uint64_t epoch = epoch_;
  read_all();
  if (epoch_ != epoch) return;
  const Instant now = loop_.clock().now();
  if (now - received_at_ > 2 * heartbeat_)
    return lose(away("rabbitmq_silent", "nothing was heard for two heartbeats"));
  if (now - sent_at_ >= heartbeat_ / 2 && output_.empty()) {
    write_heartbeat(output_);
    flush();
    if (epoch_ != epoch) return;
  }
  tick_.arm(now + heartbeat_ / 2);
}

void Connection::lose(const Error& why) noexcept {
  ++epoch_;
  tick_.disarm();
  if (socket_) loop_.unwatch(socket_->fd(), *this);
  const bool was_there = socket_ != nullptr;
  socket_.reset();
  output_.clear();
  state_ = State::closed;
  if (!failure_) failure_ = why;
  for (const auto& [id, channel] : std::exchange(channels_, {})) {
    if (channel) channel->fail(why);
  }
  progress_.notify();
  if (was_there) changed_.notify();
}

}  // namespace holdfast::messaging::rabbitmq
