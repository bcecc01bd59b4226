// Places orders over HTTP as fast as answers come back (closed loop): one thread, plain epoll, so that it
// takes little of the machine that it measures. Every request has an idempotency key of its own.
//
//   order_load --port 8080 --key hf_… --connections 256 --seconds 10 --skus 1000
//   order_load … --skus 1                        the hot-sku case
//   order_load … --rate 8000                     open loop: latency from when a request was due
//   order_load … --with '"shippingAddress":{…}'   members that each order has besides
//   order_load … --log orders.txt                 for each order its id, and when it was due (Unix,
//   microseconds) order_load --port 8080 --get /hello          a GET instead
//
// Prints one line of figures a run; exit code 1 when an answer was not 2xx.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Steady = std::chrono::steady_clock;

struct Arguments {
  int port = 8080;
  std::string key;
  std::string get;  // empty: place orders
  std::size_t connections = 256;
  double seconds = 10;
  double warmup = 1;
  unsigned skus = 1000;
  double rate = 0;  // 0: closed loop
  std::string prefix = "P";
  std::string with;  // further members of an order, as JSON
  std::string run = std::to_string(::getpid());
  std::string log;  // a file; none if empty
};

[[noreturn]] void usage() {
  std::fputs(
      "order_load --port N [--key K] [--get PATH] [--connections N] [--seconds S] [--warmup S]\n"
      "           [--skus N] [--rate R] [--prefix P] [--run NAME] [--with JSON] [--log FILE]\n",
      stderr);
  std::exit(2);
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  if (argc % 2 == 0) usage();
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--port")
      a.port = std::atoi(value);
    else if (name == "--key")
      a.key = value;
    else if (name == "--get")
      a.get = value;
    else if (name == "--connections")
      a.connections = std::strtoul(value, nullptr, 10);
    else if (name == "--seconds")
      a.seconds = std::atof(value);
    else if (name == "--warmup")
      a.warmup = std::atof(value);
    else if (name == "--skus")
      a.skus = static_cast<unsigned>(std::atoi(value));
    else if (name == "--rate")
      a.rate = std::atof(value);
    else if (name == "--prefix")
      a.prefix = value;
    else if (name == "--run")
      a.run = value;
    else if (name == "--with")
      a.with = value;
    else if (name == "--log")
      a.log = value;
    else
      usage();
  }
  return a;
}

struct Connection {
  int fd = -1;
  std::string out;
  std::string in;
  Steady::time_point due{};
};

class Load {
 public:
  explicit Load(Arguments arguments) : a_(std::move(arguments)), connections_(a_.connections) {}

  int run() {
    epoll_ = ::epoll_create1(0);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      open(i);
      idle_.push_back(i);
    }
    next_due_ = Steady::now();
    measure_from_ = next_due_ + to_duration(a_.warmup);
    const auto end = measure_from_ + to_duration(a_.seconds);
    while (Steady::now() < end) {
      dispatch();
      poll();
    }
    while (idle_.size() < connections_.size()) poll();  // whatever was sent is answered and counted
    report();
    return refused_ == 0 ? 0 : 1;
  }

 private:
  static Steady::duration to_duration(double seconds) {
    return std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(seconds));
  }

  void open(std::size_t index) {
    Connection& c = connections_[index];
    c.fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(a_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(c.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      std::perror("connecting");
      std::exit(1);
    }
    const int one = 1;
    ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event);
  }

  void build(Connection& c) {
    ++serial_;
    if (!a_.get.empty()) {
      c.out = "GET " + a_.get + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
      return;
    }
    char items[256];
    std::snprintf(items, sizeof items, R"({"customerId":"c-%llu","items":[{"sku":"%s%05llu","quantity":1}])",
                  static_cast<unsigned long long>(serial_ % 5000), a_.prefix.c_str(),
                  static_cast<unsigned long long>(serial_ * 7919 % a_.skus));
    const std::string body = items + (a_.with.empty() ? std::string() : "," + a_.with) + "}";
    c.out =
        "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Authorization: Bearer " +
        a_.key + "\r\nIdempotency-Key: load-" + a_.run + "-" + std::to_string(serial_) +
        "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  void dispatch() {
    const auto now = Steady::now();
    while (!idle_.empty() && (a_.rate <= 0 || next_due_ <= now)) {
      Connection& c = connections_[idle_.back()];
      idle_.pop_back();
      build(c);
      c.due = now;
      if (a_.rate > 0) {
        c.due = next_due_;
        next_due_ += to_duration(1 / a_.rate);
      }
      c.in.clear();
      if (::send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(c.out.size())) {
        std::perror("sending");
        std::exit(1);
      }
    }
  }

  void poll() {
    epoll_event events[256];
    timespec patience{0, 100'000'000};
    if (a_.rate > 0 &&
        !idle_.empty()) {  // not a moment longer than until the next one is due, and no spinning
      const auto left = std::max<Steady::duration>(next_due_ - Steady::now(), Steady::duration::zero());
      patience.tv_nsec = std::min<long>(patience.tv_nsec, std::chrono::nanoseconds(left).count());
    }
    const int count = ::epoll_pwait2(epoll_, events, 256, &patience, nullptr);
    for (int i = 0; i < count; ++i) receive(events[i].data.u64);
  }

  void receive(std::size_t index) {
    Connection& c = connections_[index];
    char buffer[8192];
    const ssize_t got = ::recv(c.fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
      std::fprintf(stderr, "the server closed a connection\n");
      std::exit(1);
    }
    c.in.append(buffer, static_cast<std::size_t>(got));
    const auto head = c.in.find("\r\n\r\n");
    if (head == std::string::npos) return;
    const auto at = c.in.find("Content-Length: ");
    const std::size_t length = at < head ? std::strtoull(c.in.c_str() + at + 16, nullptr, 10) : 0;
    if (c.in.size() < head + 4 + length) return;
    count(c);
    idle_.push_back(index);
  }

  void count(const Connection& c) {
    const bool good = c.in.size() > 9 && c.in[9] == '2';
    if (!good && refused_++ == 0) std::fprintf(stderr, "first refusal: %s\n", c.in.substr(0, 600).c_str());
    if (good) ++acknowledged_;
    const auto now = Steady::now();
    if (good && log_ != nullptr) note(c, now);
    if (now < measure_from_) return;
    latencies_.push_back(static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(now - c.due).count()));
  }

  void note(const Connection& c, Steady::time_point now) {
    const auto id = c.in.find("\"id\":\"");
    if (id == std::string::npos) return;
    const std::string order = c.in.substr(id + 6, c.in.find('"', id + 6) - id - 6);
    const auto due = std::chrono::system_clock::now() - (now - c.due);
    std::fprintf(log_, "%s %lld\n", order.c_str(),
                 static_cast<long long>(
                     std::chrono::duration_cast<std::chrono::microseconds>(due.time_since_epoch()).count()));
  }

  double percentile(double share) const {
    if (latencies_.empty()) return 0;
    const auto at = static_cast<std::size_t>(share * static_cast<double>(latencies_.size()));
    return latencies_[std::min(latencies_.size() - 1, at)] / 1000.0;
  }

  void report() {
    if (log_ != nullptr) std::fclose(log_);
    std::sort(latencies_.begin(), latencies_.end());
    std::printf("%.0f requests/s  p50 %.2f ms  p99 %.2f ms  p99.9 %.2f ms  acknowledged %llu  refused %llu\n",
                static_cast<double>(latencies_.size()) / a_.seconds, percentile(0.5), percentile(0.99),
                percentile(0.999), static_cast<unsigned long long>(acknowledged_),
                static_cast<unsigned long long>(refused_));
  }

  Arguments a_;
  std::FILE* log_ = a_.log.empty() ? nullptr : std::fopen(a_.log.c_str(), "w");
  int epoll_ = -1;
  std::vector<Connection> connections_;
  std::vector<std::size_t> idle_;
  Steady::time_point measure_from_, next_due_;
  std::uint64_t serial_ = 0, acknowledged_ = 0, refused_ = 0;
  std::vector<std::uint32_t> latencies_;
};

}  // namespace

int main(int argc, char** argv) { return Load(parse(argc, argv)).run(); }
