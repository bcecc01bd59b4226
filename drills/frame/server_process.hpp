// The real `holdfast serve` on a free port, with a data folder of the test's own.
//
//   ServerProcess server({.arguments = {"--demo"}});          // returns once it is ready
//   HttpConnection http(server.port());
//   http.authorize(server.create_key("admin"));
//   server.kill();  server.start();                           // the same port and data
//
// Thread-safety: one thread; others may talk to the server.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drills/frame/http_connection.hpp"
#include "drills/frame/kept_port.hpp"
#include "drills/frame/process.hpp"

namespace holdfast::drills {

/// Where one of the project's programs is: as <NAME>_BINARY says (HOLDFAST_BINARY), else beside this one
/// or in a folder above, as in a build tree (build/holdfast, build/apps/paysim/paysim). Throws
/// std::runtime_error where it is nowhere.
std::filesystem::path binary(const std::string& name);
std::string holdfast_binary();

struct ServerProcessOptions {
  std::vector<std::string> arguments;              ///< after `serve`
  std::map<std::string, std::string> environment;  ///< e.g. {"HOLDFAST_FAULT_KILL", "outbox.before_mark"}
  bool start = true;
  std::chrono::milliseconds ready_within = std::chrono::seconds(60);
  std::filesystem::path folder;      ///< for data and logs; a temporary one of its own where empty
  Belongings* belongings = nullptr;  ///< as ProcessOptions'
};

class ServerProcess {
 public:
  explicit ServerProcess(ServerProcessOptions options = {});

  /// Starts it (again) on the port it had, and waits until it is ready. Throws std::runtime_error with
  /// what it wrote where it ends instead, or takes too long.
  void start();
  /// start() without the wait: then wait_until_ready().
  void launch();
  void wait_until_ready();

  ExitStatus kill() { return process_->kill(); }
  /// SIGTERM, then waits for its end.
  ExitStatus stop(std::chrono::milliseconds at_most = std::chrono::seconds(30));

  Process& process() { return *process_; }
  bool running() { return process_ && process_->running(); }
  std::uint16_t port() const noexcept { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  const std::filesystem::path& folder() const noexcept {
    return own_folder_ ? own_folder_->path() : options_.folder;
  }
  std::filesystem::path data() const { return folder() / "data"; }
  ServerProcessOptions& options() noexcept { return options_; }

  /// Runs another `holdfast` command on the same data folder to its end.
  Finished run(std::vector<std::string> arguments,
               std::chrono::milliseconds at_most = std::chrono::seconds(60)) const;
  /// Starts one, e.g. a worker.
  std::unique_ptr<Process> spawn(std::vector<std::string> arguments) const;
  /// A worker, once it is ready: before that it ends where its database does. Throws as start() does.
  std::unique_ptr<Process> start_worker() const;
  /// `keys create`. Works while it runs and while it doesn't.
  std::string create_key(const std::string& scope) const;

 private:
  ProcessOptions process_options(std::vector<std::string> arguments) const;
  /// Until the file is there, which is renamed into place: whole once it is there.
  void wait_for(const std::filesystem::path& ready, Process& process, const char* what) const;

  ServerProcessOptions options_;
  std::optional<TemporaryFolder> own_folder_;
  std::unique_ptr<Process> process_;
  std::uint16_t port_ = 0;
  KeptPort kept_;
};

}  // namespace holdfast::drills
