#include "holdfast/http/internal/shard.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "holdfast/http/internal/connection.hpp"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;

constexpr int kAcceptsATurn = 256;
constexpr std::size_t kSpareExchanges = 128;
constexpr std::size_t kPoliteRefusals = 64;  // connections over the limit that still get their 503
constexpr Duration kAcceptRetry = 100ms;     // out of descriptors or over all limits
constexpr Duration kHandshakeGrace = 20ms;   // between the last SYN let in and the listener's close

/// Closing a listener resets the connections in its queue that nobody has accepted, and one may come
/// in between the last accept() and the close(). So first this filter drops SYNs at the socket: no new
/// handshake begins, those under way finish and are accepted; a client turned away tries its SYN again
/// and reaches the next process, or is refused.
void drop_new_handshakes(int listener) noexcept {
  constexpr std::uint32_t kFlagsOffset = 13;  // in the TCP header
  constexpr std::uint32_t kSyn = 0x02;
  constexpr std::uint32_t kSynAck = 0x12;
  sock_filter code[] = {
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, kFlagsOffset},
      {BPF_ALU | BPF_AND | BPF_K, 0, 0, kSynAck},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, kSyn},
      {BPF_RET | BPF_K, 0, 0, 0},
      {BPF_RET | BPF_K, 0, 0, 0xFFFFFFFF},
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  // Where the kernel refuses, the short gap stays: nothing else to be done about it.
  ::setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

std::string_view format_address(const sockaddr_storage& address,
                                std::array<char, INET6_ADDRSTRLEN>& out) noexcept {
  const void* source = nullptr;
  if (address.ss_family == AF_INET) source = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  if (address.ss_family == AF_INET6) source = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (source == nullptr || ::inet_ntop(address.ss_family, source, out.data(), out.size()) == nullptr)
    return {};
  return out.data();
}

}  // namespace

Shard::Shard(runtime::Loop& loop_, const Router& router_, const ServerOptions& options_, std::uint64_t seed,
             std::function<void()> on_change)
    : loop(loop_),
      router(router_),
      options(options_),
      root(loop_.clock()),
      random(seed),
      parser_limits_{options_.limits.max_target_bytes, options_.limits.max_head_bytes,
                     options_.limits.max_headers},
      on_change_(std::move(on_change)),
      accept_timer_([this] {
        accept_some();
        if (stopping_) close_listener();
      }),
      idle_grace_([this] {
        for (std::size_t i = connections_.size(); i-- > 0;) connections_[i]->close_if_idle();
      }),
      queue_(options_.limits.max_start_wait) {}

Shard::~Shard() {
  if (listener_ >= 0) close_listener();
}

void Shard::listen(int fd) {
  listener_ = fd;
  listening_.store(true, std::memory_order_release);
  loop.watch(fd, *this);
}

void Shard::on_ready(bool, bool, bool) { accept_some(); }

void Shard::accept_some() {
  for (int accepted = 0; listener_ >= 0; ++accepted) {
    if (accepted == kAcceptsATurn && !stopping_) return accept_timer_.arm(loop.turn_started());
    if (connections_.size() >= options.limits.max_connections_per_loop + kPoliteRefusals) {
      return accept_timer_.arm(loop.turn_started() + kAcceptRetry);  // the kernel's queue is the last bound
    }
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    const int fd =
        ::accept4(listener_, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      std::array<char, INET6_ADDRSTRLEN> text{};
      take_in(fd, format_address(address, text));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return accept_timer_.arm(loop.turn_started() + kAcceptRetry);
    }
  }
}

void Shard::take_in(int fd, std::string_view remote_address) {
  const bool over = connections_.size() >= options.limits.max_connections_per_loop;
  counters.accepted.add();
  if (over) counters.connections_refused.add();
  auto connection = std::make_unique<Connection>(*this, fd, remote_address, over);
  connection->place = connections_.size();
  connections_.push_back(std::move(connection));
  counters.open.add();
  connections_.back()->start();
}

void Shard::stop_accepting() {
  if (listener_ < 0 || stopping_) return;
  stopping_ = true;
  drop_new_handshakes(listener_);
  accept_timer_.arm(loop.clock().now() + kHandshakeGrace);
}

void Shard::close_listener() noexcept {
  accept_timer_.disarm();
  if (listener_ < 0) return;
  loop.unwatch(listener_, *this);
  ::close(listener_);
  listener_ = -1;
  listening_.store(false, std::memory_order_release);
  on_change_();
}

void Shard::drain() {
  if (draining_) return;
  draining_ = true;
  for (const auto& connection : connections_) connection->on_drain();
  idle_grace_.arm(loop.clock().now() + options.limits.drain_idle_grace);
}

void Shard::abort() {
  close_listener();
  draining_ = true;
  for (std::size_t i = connections_.size(); i-- > 0;) connections_[i]->abort();
}

std::unique_ptr<Exchange> Shard::take_exchange() {
  if (spare_.empty()) return std::make_unique<Exchange>(parser_limits_);
  std::unique_ptr<Exchange> exchange = std::move(spare_.back());
  spare_.pop_back();
  return exchange;
}

void Shard::give_back(std::unique_ptr<Exchange> exchange) noexcept {
  if (spare_.size() == kSpareExchanges || !exchange->worth_keeping()) return;
  exchange->next_request();
  exchange->output_was_sent();
  exchange->in.clear();
  spare_.push_back(std::move(exchange));
}

void Shard::remove(Connection& connection) {
  const std::size_t place = connection.place;
  std::swap(connections_[place], connections_.back());
  connections_[place]->place = place;
  removed_.push_back(std::move(connections_.back()));
  connections_.pop_back();
  if (!std::exchange(later_posted_, true)) loop.post([this] { do_later(); });
}

bool Shard::begin(Connection& connection, Priority priority) {
  const Instant now = loop.turn_started();
  if (queue_.begins_at_once(now)) return connection.begin();
  queue_.push(&connection, priority, now);
  counters.waiting.add();
  if (queue_.waiting() == 1) loop.post([this] { begin_those_who_wait(); });
  return true;
}

/// Once a turn, for as long as some wait.
void Shard::begin_those_who_wait() {
  const Instant now = loop.turn_started();
  while (Connection* const late = queue_.pop_expired(now)) {
    counters.waiting.subtract();
    late->turn_away(options.limits.max_start_wait);
  }
  for (std::size_t left = queue_.begin_turn(now); left > 0; --left) {
    Connection* const next = queue_.pop();
    counters.waiting.subtract();
    if (!next->begin()) next->turn_away(options.limits.max_start_wait);
  }
  if (queue_.waiting() > 0) loop.post([this] { begin_those_who_wait(); });
}

void Shard::flush_later(Connection& connection) {
  if (std::exchange(connection.corked_, true)) return;
  to_flush_.push_back(&connection);
  if (!std::exchange(later_posted_, true)) loop.post([this] { do_later(); });
}

void Shard::do_later() {
  later_posted_ = false;
  const std::vector<Connection*> to_flush = std::exchange(to_flush_, {});
  for (Connection* const connection : to_flush) connection->flush_corked();
  const auto removed = std::exchange(removed_, {});
  if (removed.empty()) return;
  counters.open.subtract(removed.size());
  if (connections_.empty()) on_change_();
}

std::string_view Shard::common_headers() {
  const Instant now = loop.turn_started();
  if (common_headers_made_ && now < common_headers_until_) return common_headers_;
  const WallTime wall = loop.clock().wall_now();
  const auto second = std::chrono::floor<std::chrono::seconds>(wall);
  const std::time_t time = second.time_since_epoch().count();
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  char text[64];
  const std::size_t length = std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
  common_headers_.assign(text, length);
  if (!options.server_name.empty())
    common_headers_.append("Server: ").append(options.server_name).append("\r\n");
  common_headers_until_ = now + (std::chrono::seconds(1) - (wall - second));
  common_headers_made_ = true;
  return common_headers_;
}

void Shard::refused(std::string_view reason, int status) {
  counters.refused.add();
  if (options.on_refused) options.on_refused(reason, status);
}

}  // namespace holdfast::http
