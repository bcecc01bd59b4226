// For tests: a real nats-server of Debian's package with JetStream, on a free port, with its store in a
// temporary folder; ended by its process id.
//
//   if (!NatsServer::installed()) GTEST_SKIP() << NatsServer::kMissing;   // only with
//   HOLDFAST_EMBEDDED_ONLY=1 NatsServer& server = NatsServer::shared(); server.kill_hard(); server.start();
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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

class NatsServer {
 public:
  static constexpr const char* kMissing =
      "nats-server is not installed: apt-get install --no-install-recommends nats-server";
  static constexpr const char* kBinary = "/usr/sbin/nats-server";

  /// False too where no engines are wanted.
  static bool installed() {
    return std::getenv("HOLDFAST_EMBEDDED_ONLY") == nullptr && std::filesystem::exists(kBinary);
  }

  /// One for all tests of this process, started at the first use.
  static NatsServer& shared() {
    // A forked child that exits as usual must leave it to its parent.
    struct Shared {
      std::unique_ptr<NatsServer> server = std::make_unique<NatsServer>();
      pid_t owner = ::getpid();
      ~Shared() {
        if (::getpid() != owner) static_cast<void>(server.release());
      }
    };
    static Shared shared;
    return *shared.server;
  }

  /// `more` goes into its configuration: accounts, TLS …
  explicit NatsServer(std::string more = "jetstream { store_dir: \"store\" }")
      : more_(std::move(more)), port_(free_port()) {
    start();
  }
  ~NatsServer() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGCONT);
    ::kill(pid_, SIGKILL);  // its store goes with it
    ::waitpid(pid_, nullptr, 0);
  }
  NatsServer(const NatsServer&) = delete;
  NatsServer& operator=(const NatsServer&) = delete;

  void start() {
    std::ofstream(folder_.path() / "server.conf")
        << "host: \"127.0.0.1\"\nport: " << port_ << "\nports_file_dir: \"" << folder_.path().string()
        << "\"\n"
        << more_ << "\n";
    const int changes = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    ::inotify_add_watch(changes, folder_.path().c_str(), IN_CREATE | IN_CLOSE_WRITE);
    pid_ = spawn();
    // It writes its ports to a file once it listens.
    const auto ports = folder_.path() / ("nats-server_" + std::to_string(pid_) + ".ports");
    bool up = false;
    for (int looks = 0; looks < kMostLooks && !(up = std::filesystem::exists(ports)); ++looks) {
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
      pollfd changed{changes, POLLIN, 0};
      ::poll(&changed, 1, 1000);
      char events[4096];
      while (::read(changes, events, sizeof events) > 0) {
      }
    }
    ::close(changes);
    if (up) return;
    throw std::runtime_error("nats-server does not start:\n" + log());
  }
  void kill_hard() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  /// While it is down: everything it was told is gone.
  void lose_store() { std::filesystem::remove_all(folder_.path() / "store"); }
  void freeze() { holdfast::stop_process(pid_); }
  void thaw() {
    if (pid_ > 0) ::kill(pid_, SIGCONT);
  }

  std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  std::uint16_t port() const { return port_; }
  std::string log() const {
    std::ifstream file(folder_.path() / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  static constexpr int kMostLooks = 60;

  pid_t spawn() const {
    const std::string folder = folder_.path();
    const std::string log = folder + "/log";
    const std::string binary = kBinary;
    const std::string configuration = folder + "/server.conf";
    const char* arguments[] = {binary.c_str(), "-c", configuration.c_str(), nullptr};
    const pid_t child = ::fork();
    if (child != 0) return child;
    // Only what is safe after a fork.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(output, 1);
    ::dup2(output, 2);
    if (::chdir(folder.c_str()) != 0) ::_exit(126);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(arguments[0], const_cast<char**>(arguments));
    ::_exit(127);
  }

  sql::TemporaryFolder folder_;
  const std::string more_;
  const std::uint16_t port_;
  pid_t pid_ = -1;
};

}  // namespace holdfast::messaging
