// For tests: a real rabbitmq-server of Debian's package: its own node on free loopback ports, its data in a
// temporary folder, an epmd of its own; both ended by their process ids. It takes seconds to start: share it.
//
//   if (!RabbitServer::installed()) GTEST_SKIP() << RabbitServer::kMissing;   // only with
//   HOLDFAST_EMBEDDED_ONLY=1 RabbitServer& server = RabbitServer::shared(); server.kill_hard();
//   server.start();
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "holdfast/base/testing/free_port.hpp"
#include "holdfast/base/testing/stop_process.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::messaging {

class RabbitServer {
 public:
  static constexpr const char* kMissing =
      "rabbitmq-server is not installed: apt-get install --no-install-recommends rabbitmq-server";
  /// Mnesia's log is written every two seconds.
  static constexpr std::chrono::milliseconds kWritesWithin{2500};
  static constexpr const char* kBinary = "/usr/lib/rabbitmq/bin/rabbitmq-server";
  static constexpr const char* kEpmd = "/usr/bin/epmd";

  /// False too where no engines are wanted.
  static bool installed() {
    return std::getenv("HOLDFAST_EMBEDDED_ONLY") == nullptr && std::filesystem::exists(kBinary);
  }

  /// One for all tests of this process, started at the first use.
  static RabbitServer& shared() {
    // A forked child that exits as usual must leave it to its parent.
    struct Shared {
      std::unique_ptr<RabbitServer> server = std::make_unique<RabbitServer>();
      pid_t owner = ::getpid();
      ~Shared() {
        if (::getpid() != owner) static_cast<void>(server.release());
      }
    };
    static Shared shared;
    return *shared.server;
  }

  /// `more` goes into its rabbitmq.conf: users, TLS, limits …
  explicit RabbitServer(std::string more = "") : more_(std::move(more)) {
    for (std::uint16_t* port : {&port_, &node_port_, &epmd_port_, &tls_port_}) *port = free_port();
    std::filesystem::create_directories(folder_.path() / "data");
    std::ofstream(folder_.path() / "plugins") << "[].\n";
    epmd_ = spawn({kEpmd, "-port", std::to_string(epmd_port_), "-address", "127.0.0.1"}, "epmd.log");
    start();
  }
  ~RabbitServer() {
    thaw();
    end(pid_);  // its data goes with it
    end(epmd_);
  }
  RabbitServer(const RabbitServer&) = delete;
  RabbitServer& operator=(const RabbitServer&) = delete;

  /// Returns once it listens.
  void start() {
    std::ofstream(folder_.path() / "rabbitmq.conf") << "listeners.tcp.1 = 127.0.0.1:" << port_ << "\n"
                                                    << more_ << "\n";
    pid_ = spawn({kBinary}, "log");
    for (int looks = 0; looks < kMostLooks; ++looks) {
      if (listens()) return;
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = -1;
        break;
      }
      ::poll(nullptr, 0, 20);
    }
    throw std::runtime_error("rabbitmq-server does not start:\n" + log());
  }
  /// What it was told to make (not: messages) within kWritesWithin may be half gone: then a stream's node "is
  /// down" until somebody deletes it.
  void kill_hard() { end(pid_); }
  /// While it is down: everything it was told is gone.
  void lose_store() {
    std::filesystem::remove_all(folder_.path() / "data");
    std::filesystem::create_directories(folder_.path() / "data");
  }
  void freeze() { holdfast::stop_process(pid_); }
  void thaw() {
    if (pid_ > 0) ::kill(pid_, SIGCONT);
  }

  std::string url() const { return "amqp://127.0.0.1:" + std::to_string(port_); }
  std::uint16_t port() const { return port_; }
  std::uint16_t tls_port() const { return tls_port_; }  ///< free, for "listeners.ssl.1"
  const std::filesystem::path& folder() const { return folder_.path(); }
  /// As an operator does who changes its configuration.
  void restart_with(std::string more) {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    more_ = std::move(more);
    start();
  }
  std::string log() const {
    std::ifstream file(folder_.path() / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  static constexpr int kMostLooks = 9000;  ///< of 20 ms; a node takes seconds, of a busy machine many

  static void end(pid_t& pid) {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    pid = -1;
  }

  bool listens() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    const bool up = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return up;
  }

  std::vector<std::string> environment() const {
    const std::string folder = folder_.path();
    return {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=" + folder,
            "LANG=C.UTF-8",
            "RABBITMQ_MNESIA_BASE=" + folder + "/data",
            "RABBITMQ_LOG_BASE=" + folder,
            "RABBITMQ_LOGS=-",
            "RABBITMQ_NODENAME=holdfast" + std::to_string(node_port_) + "@localhost",
            "RABBITMQ_DIST_PORT=" + std::to_string(node_port_),
            "ERL_EPMD_PORT=" + std::to_string(epmd_port_),
            "ERL_EPMD_ADDRESS=127.0.0.1",
            "RABBITMQ_CONFIG_FILE=" + folder + "/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE=/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE=" + folder + "/plugins",
            "RABBITMQ_PLUGINS_EXPAND_DIR=" + folder + "/plugins-expand",
            "RABBITMQ_ALLOW_INPUT=1",  // then the script becomes the server itself, with one process id
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput +sbwt none +sbwtdcpu none +sbwtdio none"};
  }

  pid_t spawn(std::vector<std::string> words, const std::string& log_name) const {
    std::vector<std::string> variables = environment();
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::vector<char*> settings;
    for (std::string& variable : variables) settings.push_back(variable.data());
    settings.push_back(nullptr);
    const std::string log = folder_.path() / log_name;
    const pid_t child = ::fork();
    if (child != 0) return child;
    // Only what is safe after a fork.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setsid();
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int input = ::open("/dev/null", O_RDONLY);
    const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(input, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::execve(arguments[0], arguments.data(), settings.data());
    ::_exit(127);
  }

  std::string more_;
  std::uint16_t port_ = 0;
  std::uint16_t node_port_ = 0;
  std::uint16_t epmd_port_ = 0;
  std::uint16_t tls_port_ = 0;
  pid_t pid_ = -1;
  pid_t epmd_ = -1;
  sql::TemporaryFolder folder_;
};

}  // namespace holdfast::messaging
