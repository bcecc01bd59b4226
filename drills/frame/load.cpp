#include "drills/frame/load.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <string_view>
#include <thread>

namespace holdfast::drills {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t kMostWaiting = 100'000;  // requests due that no connection is free for
constexpr auto kRest = 50ms;                   // before a connection that was refused is tried again
constexpr std::size_t kMostAnswer = 4U << 20;  // bytes

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

struct Answer {
  int status = 0;
  std::string_view body;
  bool last = false;  ///< the server closes the connection
};

/// The answer at the beginning of `text`, once all of it is there.
std::optional<Answer> whole_answer(std::string_view text) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos || text.size() < 12) return std::nullopt;
  const std::string head = lower(text.substr(0, end + 2));
  Answer answer{
      .status = std::atoi(head.c_str() + 9), .body = {}, .last = head.contains("\r\nconnection: close")};
  std::string_view body = text.substr(end + 4);
  constexpr std::string_view kLength = "\r\ncontent-length: ";
  if (const std::size_t at = head.find(kLength); at != std::string::npos) {
    const std::size_t size = std::strtoul(head.c_str() + at + kLength.size(), nullptr, 10);
    if (body.size() < size) return std::nullopt;
    body = body.substr(0, size);
  } else if (head.contains("\r\ntransfer-encoding: chunked") && !body.ends_with("0\r\n\r\n")) {
    return std::nullopt;
  }
  answer.body = body;
  return answer;
}

}  // namespace

NextRequest orders(std::string name, const Shop& shop) {
  return [name = std::move(name), skus = shop.skus()](std::uint64_t number) {
    return LoadRequest{.target = "/v1/orders",
                       .order = OrderRequest{.customer = name + "-" + std::to_string(number),
                                             .lines = {{skus[number % skus.size()], 1}},
                                             .delivered = number % 2 == 0}};
  };
}

NextRequest browsing(const Shop& shop) {
  return [skus = shop.skus()](std::uint64_t number) {
    return LoadRequest{.target = "/v1/products/" + skus[number % skus.size()], .order = {}};
  };
}

double LoadFigures::p(double part) const {
  if (latencies.empty()) return 0;
  const auto at = static_cast<std::size_t>(part * static_cast<double>(latencies.size()));
  return 1000.0 * static_cast<double>(latencies[std::min(at, latencies.size() - 1)]);
}

void LoadFigures::add(const LoadFigures& other) {
  due += other.due;
  good += other.good;
  late += other.late;
  refused += other.refused;
  failed += other.failed;
  unanswered += other.unanswered;
  unsent += other.unsent;
  seconds += other.seconds;
  latencies.insert(latencies.end(), other.latencies.begin(), other.latencies.end());
  std::ranges::sort(latencies);
}

class Load::Loop {
 public:
  explicit Loop(LoadOptions options)
      : options_(std::move(options)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        connections_(options_.connections) {
    for (std::size_t i = 0; i < connections_.size(); ++i) idle_.push_back(i);
    thread_ = std::thread([this] { run(); });
  }
  ~Loop() {
    finish();
    ::close(epoll_);
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  LoadFigures finish() {
    finishing_ = true;
    if (thread_.joinable()) thread_.join();
    return figures_;
  }

 private:
  struct Connection {
    int fd = -1;
    bool busy = false;
    LoadRequest request;
    Steady::time_point due;
    std::string out;
    std::size_t sent = 0;
    std::string in;
  };

  void run() {
    constexpr int kHumble = 19;  // of this thread alone: on Linux, priorities are a thread's
    if (options_.humble) ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kHumble);
    const auto begun = Steady::now();
    next_due_ = begun;
    while (!finishing_) {
      dispatch();
      poll();
    }
    figures_.seconds = std::chrono::duration<double>(Steady::now() - begun).count();
    figures_.unsent += waiting_.size();
    waiting_.clear();
    options_.next = nullptr;
    while (idle_.size() + resting_.size() < connections_.size()) poll();
    for (Connection& connection : connections_) close(connection);
    std::ranges::sort(figures_.latencies);
  }

  void dispatch() {
    const auto now = Steady::now();
    while (!resting_.empty() && resting_.front().first <= now) {
      idle_.push_back(resting_.front().second);
      resting_.pop_front();
    }
    if (options_.rate > 0) {
      const auto gap =
          std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(1 / options_.rate));
      for (; next_due_ <= now; next_due_ += gap) {
        ++figures_.due;
        if (waiting_.size() < kMostWaiting) {
          waiting_.push_back(next_due_);
        } else {
          ++figures_.unsent;
        }
      }
      while (!idle_.empty() && !waiting_.empty()) {
        const auto due = waiting_.front();
        waiting_.pop_front();
        begin(due);
      }
    } else {
      for (std::size_t free = idle_.size(); free > 0; --free) {
        ++figures_.due;
        begin(now);
      }
    }
  }

  void begin(Steady::time_point due) {
    const std::size_t index = idle_.front();
    idle_.pop_front();
    Connection& c = connections_[index];
    c.busy = true;
    c.due = due;
    c.request = options_.next(number_++);
    c.in.clear();
    c.sent = 0;
    c.out.clear();
    write_request(c);
    if (c.request.order && options_.journal) options_.journal->asked(*c.request.order);
    if (c.fd < 0 && !open(index)) return lose(index);
    send(index);
  }

  void write_request(Connection& c) {
    const std::string key =
        options_.api_key.empty() ? "" : "Authorization: Bearer " + options_.api_key + "\r\n";
    if (!c.request.order) {
      c.out = "GET " + c.request.target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + key + "\r\n";
      return;
    }
    const std::string body = c.request.order->body();
    c.out = "POST " + c.request.target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + key +
            "Content-Type: application/json\r\nIdempotency-Key: " + c.request.order->customer +
            "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  bool open(std::size_t index) {
    Connection& c = connections_[index];
    c.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(c.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
    const int on = 1;
    ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = index;
    return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event) == 0;
  }

  static void close(Connection& c) {
    if (c.fd >= 0) ::close(c.fd);
    c.fd = -1;
  }

  void send(std::size_t index) {
    Connection& c = connections_[index];
    while (c.sent < c.out.size()) {
      const ssize_t sent =
          ::send(c.fd, c.out.data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) return;
      if (sent <= 0) return lose(index);
      c.sent += static_cast<std::size_t>(sent);
    }
  }

  void receive(std::size_t index) {
    Connection& c = connections_[index];
    char chunk[16 * 1024];
    for (;;) {
      const ssize_t got = ::recv(c.fd, chunk, sizeof chunk, MSG_DONTWAIT);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0 || c.in.size() > kMostAnswer) {
        if (c.busy) return lose(index);
        return close(c);  // an idle one: opened again when it is needed
      }
      c.in.append(chunk, static_cast<std::size_t>(got));
      if (!c.busy) continue;
      if (const auto answer = whole_answer(c.in)) {
        const bool last = answer->last;
        count(c, *answer);
        c.busy = false;
        idle_.push_back(index);
        if (last) return close(c);
        if (static_cast<std::size_t>(got) < sizeof chunk) return;
      }
    }
  }

  void count(const Connection& c, const Answer& answer) {
    if (c.request.order && options_.journal) {
      options_.journal->told(c.request.order->customer, answer.status, std::string(answer.body));
    }
    if (answer.status == 429 || answer.status == 503) {
      ++figures_.refused;
    } else if (answer.status >= 300) {
      ++figures_.failed;
    } else {
      const auto took = Steady::now() - c.due;
      figures_.latencies.push_back(std::chrono::duration<float>(took).count());
      ++(took <= options_.in_time ? figures_.good : figures_.late);
    }
  }

  /// No answer came. The connection rests a little: the server may be gone.
  void lose(std::size_t index) {
    Connection& c = connections_[index];
    close(c);
    c.busy = false;
    ++figures_.unanswered;
    resting_.emplace_back(Steady::now() + kRest, index);
  }

  void poll() {
    auto until = Steady::now() + 20ms;
    if (options_.rate > 0 && !finishing_) until = std::min(until, next_due_);
    const auto left = std::max(Steady::duration::zero(), until - Steady::now());
    const timespec time{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(left).count()};
    epoll_event events[128];
    const int ready = ::epoll_pwait2(epoll_, events, std::size(events), &time, nullptr);
    for (int i = 0; i < ready; ++i) {
      const auto index = static_cast<std::size_t>(events[i].data.u64);
      Connection& c = connections_[index];
      if (c.fd >= 0 && c.busy && (events[i].events & EPOLLOUT) != 0) send(index);
      if (c.fd >= 0 && (events[i].events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) receive(index);
    }
    give_up_on_the_slow();
  }

  void give_up_on_the_slow() {
    const auto now = Steady::now();
    if (now < next_look_) return;
    next_look_ = now + 100ms;
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (connections_[i].busy && now > connections_[i].due + options_.patience) lose(i);
    }
  }

  LoadOptions options_;
  int epoll_ = -1;
  std::vector<Connection> connections_;
  std::deque<std::size_t> idle_;
  std::deque<std::pair<Steady::time_point, std::size_t>> resting_;
  std::deque<Steady::time_point> waiting_;
  Steady::time_point next_due_;
  Steady::time_point next_look_;
  std::uint64_t number_ = 0;
  LoadFigures figures_;
  std::atomic<bool> finishing_{false};
  std::thread thread_;
};

Load::Load(LoadOptions options) : loop_(std::make_unique<Loop>(std::move(options))) {}
Load::~Load() = default;
LoadFigures Load::finish() { return loop_->finish(); }

}  // namespace holdfast::drills
