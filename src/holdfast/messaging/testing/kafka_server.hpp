// For tests: a Kafka cluster: librdkafka's mock of one broker in a process of its own (tests/kafka_mock),
// ended by its process id. The shared one is the real cluster at HOLDFAST_KAFKA (host:port,…) where that is
// set.
//
//   KafkaServer server;
//   server.make_topic("t1", 64);  server.down();  server.up();  server.lose_store();
//
// What the mock can't do: make topics when asked over the wire (so they are made here, and again after a
// restart), delete them, keep its store when its process is killed, TLS, SASL, ACLs, a limit on messages.
// A real one is neither stopped nor robbed of its store here: tests that need that are skipped with it.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/testing/free_port.hpp"
#include "holdfast/base/testing/stop_process.hpp"

namespace holdfast::messaging {

class KafkaServer {
 public:
  /// The real cluster's addresses; null where the mock is used.
  static const char* given() { return std::getenv("HOLDFAST_KAFKA"); }

  /// One for all tests of this process, started at the first use.
  static KafkaServer& shared() {
    // A forked child that exits as usual must leave it to its parent.
    struct Shared {
      std::unique_ptr<KafkaServer> server = std::make_unique<KafkaServer>(given());
      pid_t owner = ::getpid();
      ~Shared() {
        if (::getpid() != owner) static_cast<void>(server.release());
      }
    };
    static Shared shared;
    return *shared.server;
  }

  KafkaServer() { start(); }
  /// The one at `address`, if that is not null.
  explicit KafkaServer(const char* address) : real_(address) {
    if (real_ == nullptr) start();
  }
  ~KafkaServer() { kill_hard(); }
  KafkaServer(const KafkaServer&) = delete;
  KafkaServer& operator=(const KafkaServer&) = delete;

  std::string address() const { return real_ != nullptr ? real_ : "127.0.0.1:" + port_; }

  /// A real cluster is asked for its topics by whoever connects.
  void make_topic(const std::string& name, int partitions) {
    if (real_ != nullptr || std::ranges::find(topics_, std::pair(name, partitions)) != topics_.end()) return;
    topics_.emplace_back(name, partitions);
    if (pid_ > 0) tell("topic " + name + " " + std::to_string(partitions));
  }
  /// Takes no connections, as if the network were gone; it keeps its store.
  void down() {
    down_ = true;
    tell("down");
  }
  void up() {
    down_ = false;
    tell("up");
  }
  /// Another process at the same address, which knows nothing but the topics' names; down, if the former was.
  void lose_store() {
    kill_hard();
    start();
  }
  /// Each request takes so much longer.
  void slow(int milliseconds) { tell("rtt " + std::to_string(milliseconds)); }
  /// The next `times` requests of `api` (Kafka's number) fail so.
  void fail(int api, int error, int times) {
    tell("fail " + std::to_string(api) + " " + std::to_string(error) + " " + std::to_string(times));
  }
  void freeze() { holdfast::stop_process(pid_); }
  void thaw() {
    if (pid_ > 0) ::kill(pid_, SIGCONT);
  }
  /// With its store; start() makes an empty one.
  void kill_hard() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGCONT);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
    ::close(input_);
    ::close(output_);
  }
  void start() {
    spawn();
    static_cast<void>(line());  // its port: it is up
    for (const auto& [name, partitions] : topics_) tell("topic " + name + " " + std::to_string(partitions));
    if (!down_) tell("up");
  }

 private:
  static constexpr int kPatience = 20'000;  ///< milliseconds

  void spawn() {
    int to[2];
    int from[2];
    if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0) throw std::runtime_error("no pipes");
    ::signal(SIGPIPE, SIG_IGN);  // one that died is told by what it does not say
    const char* arguments[] = {HOLDFAST_KAFKA_MOCK, port_.c_str(), nullptr};
    pid_ = ::fork();
    if (pid_ == 0) {  // only what is safe after a fork
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(to[0], STDIN_FILENO);
      ::dup2(from[1], STDOUT_FILENO);
      ::execv(arguments[0], const_cast<char* const*>(arguments));
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    input_ = to[1];
    output_ = from[0];
  }

  void tell(const std::string& command) {
    const std::string text = command + "\n";
    if (::write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      throw std::runtime_error("the Kafka mock is gone");
    if (const std::string said = line(); said != "ok")
      throw std::runtime_error("Kafka mock: " + command + ": " + said);
  }

  std::string line() {
    std::string text;
    for (char c = 0;;) {
      pollfd readable{output_, POLLIN, 0};
      if (::poll(&readable, 1, kPatience) != 1 || ::read(output_, &c, 1) != 1)
        throw std::runtime_error("the Kafka mock says nothing");
      if (c == '\n') return text;
      text += c;
    }
  }

  const char* real_ = nullptr;
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string port_ = std::to_string(free_port());
  bool down_ = false;
  std::vector<std::pair<std::string, int>> topics_;
};

}  // namespace holdfast::messaging
