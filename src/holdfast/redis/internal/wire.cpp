#include "holdfast/redis/internal/wire.hpp"

#include <array>
#include <utility>

#include "holdfast/redis/commands.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::redis::internal {
namespace {

Error away(std::string_view reason, std::string why, const Address& address) {
  return Error(ErrorCode::unavailable, "Redis can't be reached.")
      .reason(std::string(reason))
      .cause(address.shown() + ": " + std::move(why));
}

}  // namespace

std::shared_ptr<const WireParts> make_wire_parts(runtime::Runtime& runtime, ConnectionOptions options,
                                                 observe::Logger logger) {
  auto parts = std::make_shared<WireParts>(WireParts{.options = std::move(options),
                                                     .tls = {},
                                                     .resolver = {},
                                                     .random = runtime.random(),
                                                     .logger = logger});
  if (parts->options.address.tls) parts->tls = make_tls_context(parts->options.ca_file);
  SocketAddress ignored;
  if (!numeric_address(parts->options.address, ignored)) {
    parts->resolver = std::make_unique<runtime::OffloadPool>(
        runtime, runtime::OffloadPool::Options{.name = "redis-dns", .threads = 1, .max_queue = 64});
  }
  return parts;
}

Wire::Wire(runtime::Loop& loop, std::shared_ptr<const WireParts> parts, Owner& owner)
    : loop_(loop),
      parts_(std::move(parts)),
      owner_(owner),
      timer_([this] { on_due(); }),
      backoff_({.base = parts_->options.reconnect_base,
                .cap = parts_->options.reconnect_cap,
                .jitter = resilience::Jitter::equal}),
      last_failure_(away("redis_connecting", "not connected yet", parts_->options.address)),
      self_(std::make_shared<Wire*>(this)) {}

Wire::~Wire() {
  *self_ = nullptr;
  drop_socket();
}

void Wire::open() {
  if (state_ == State::closed) resolve();
}

void Wire::resolve() {
  state_ = State::connecting;
  timer_.arm(loop_.clock().now() + parts_->options.connect_timeout);
  SocketAddress found;
  if (numeric_address(parts_->options.address, found)) return connect(found);
  const std::uint64_t epoch = epoch_;
  // The resolver's thread knows the address only; the answer comes back to the loop.
  const bool asked =
      parts_->resolver->post([address = parts_->options.address, self = self_, epoch, &loop = loop_] {
        auto answer = std::make_shared<SocketAddress>();
        const bool known = resolved_address(address, *answer);
        loop.post([self, epoch, answer, known] {
          Wire* const wire = *self;
          if (wire == nullptr || wire->epoch_ != epoch || wire->state_ != State::connecting) return;
          if (known) return wire->connect(*answer);
          wire->lose(away("redis_host_not_found", "no such host", wire->parts_->options.address));
        });
      });
  if (!asked) lose(away("redis_host_not_found", "too many look-ups wait", parts_->options.address));
}

void Wire::connect(const SocketAddress& to) {
  try {
    socket_ = std::make_unique<Socket>(to, parts_->tls, parts_->options.address.host);
    loop_.watch(socket_->fd(), *this);
  } catch (const std::exception& failure) {  // no descriptors left
    socket_.reset();
    return lose(away("redis_unreachable", failure.what(), parts_->options.address));
  }
  advance();
}

void Wire::advance() {
  switch (socket_->advance()) {
    case Socket::State::would_block: return;
    case Socket::State::failed:
      return lose(away("redis_unreachable", socket_->failure(), parts_->options.address));
    case Socket::State::ready: break;
  }
  if (!reader_) begin_handshake();
}

void Wire::begin_handshake() {
  const Address& address = parts_->options.address;
  reader_.emplace(parts_->options.max_reply_bytes);
  Commands hello;
  if (!address.password.empty()) {
    if (address.user.empty()) {
      hello.add({"AUTH", address.password.reveal()});
    } else {
      hello.add({"AUTH", address.user, address.password.reveal()});
    }
  }
  if (address.database != 0) hello.add({"SELECT", std::to_string(address.database)});
  hello.add({"CLIENT", "SETNAME", "holdfast-" + parts_->options.name});
  hello.add({"PING"});  // answers only once it can serve: "LOADING …" before
  handshake_left_ = static_cast<int>(hello.count());
  output_ = hello.bytes();
  flush();
  if (state_ == State::connecting && socket_) read_all();
}

void Wire::on_handshake_reply(const Reply& reply) {
  if (reply.error()) {
    const Error refused = to_error(reply);
    const bool ours = refused.code() == ErrorCode::unavailable;
    return lose(away(ours ? refused.reason() : "redis_auth_failed", reply.text, parts_->options.address));
  }
  if (--handshake_left_ > 0) return;
  state_ = State::ready;
  failures_ = 0;
  backoff_.reset();
  timer_.disarm();
  if (std::exchange(told_lost_, false)) {
    parts_->logger.info("Redis is back",
                        {{"connection", parts_->options.name}, {"address", parts_->options.address.shown()}});
  }
  owner_.on_ready();
}

void Wire::on_ready(bool, bool, bool) {
  if (!socket_) return;
  const std::uint64_t epoch = epoch_;
  if (state_ == State::connecting && !reader_) {
    advance();
    if (epoch_ != epoch || !reader_) return;
  }
  if (!output_.empty()) flush();
  if (epoch_ == epoch) read_all();
}

void Wire::read_all() {
  if (!socket_ || !reader_) return;
  const std::uint64_t epoch = epoch_;
  std::array<char, 32 * 1024> buffer;
  for (;;) {
    const Socket::Moved moved = socket_->read(buffer.data(), buffer.size());
    if (moved.state == Socket::State::would_block) return;
    if (moved.state == Socket::State::failed) {
      return lose(away("redis_connection_lost", socket_->failure(), parts_->options.address));
    }
    try {
      reader_->feed({buffer.data(), moved.bytes});
      while (std::optional<Reply> reply = reader_->next()) {
        if (state_ == State::ready) {
          owner_.on_reply(std::move(*reply));
        } else {
          on_handshake_reply(*reply);
        }
        if (epoch_ != epoch) return;  // what it did with the reply lost the connection
      }
    } catch (const Error& broken) {
      return lose(broken);
    }
  }
}

bool Wire::send(std::string_view bytes) {
  if (output_.size() + bytes.size() > parts_->options.max_output_bytes) return false;
  output_ += bytes;
  post_flush();
  return true;
}

void Wire::post_flush() {
  if (std::exchange(flush_posted_, true)) return;
  loop_.post([self = self_] {
    Wire* const wire = *self;
    if (wire == nullptr) return;
    wire->flush_posted_ = false;
    if (wire->socket_) wire->flush();
  });
}

void Wire::flush() {
  std::size_t written = 0;
  while (written < output_.size()) {
    const Socket::Moved moved = socket_->write(std::string_view(output_).substr(written));
    if (moved.state == Socket::State::failed) {
      return lose(away("redis_connection_lost", socket_->failure(), parts_->options.address));
    }
    if (moved.state == Socket::State::would_block) break;
    written += moved.bytes;
  }
  output_.erase(0, written);
}

void Wire::on_due() {
  if (state_ == State::waiting) return resolve();
  if (state_ == State::connecting) {
    lose(away("redis_unreachable",
              reader_ ? "it accepts connections and does not answer" : "no connection in time",
              parts_->options.address));
  }
}

void Wire::drop_socket() noexcept {
  ++epoch_;
  if (socket_) loop_.unwatch(socket_->fd(), *this);
  socket_.reset();
  reader_.reset();
  handshake_left_ = 0;
  output_.clear();
}

void Wire::lose(Error why, bool hung) {
  // A server that was restarted is mostly there again: the first try comes soon, and callers wait for it.
  const bool worth_waiting = state_ == State::ready && !hung;
  drop_socket();
  last_failure_ = std::move(why);
  state_ = State::waiting;
  failures_ = worth_waiting ? 0 : failures_ + 1;
  const auto base = static_cast<std::uint64_t>(parts_->options.reconnect_base.count());
  timer_.arm(loop_.clock().now() +
             (worth_waiting ? Duration(parts_->random.below(base + 1)) : backoff_.next(parts_->random)));
  if (!worth_waiting && !std::exchange(told_lost_, true)) {
    parts_->logger.warn("Redis is away; it is tried again by itself",
                        {{"connection", parts_->options.name},
                         {"error", last_failure_.what()},
                         {"remedy", "check that it runs, and the address and password in its URL"}});
  }
  owner_.on_lost(last_failure_);
}

}  // namespace holdfast::redis::internal
