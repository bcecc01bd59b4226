// One of the simulators, `paysim` or `carriersim`, as a process on a free port, with a data folder of its
// own.
//
//   SimulatorProcess carrier("carriersim");                    // returns once it is ready
//   carrier.behave(R"({"rules":[{"action":"drop_after","operation":"book","rate":0.1}]})");
//   carrier.kill();  carrier.start();                          // the same port and data
//
// Thread-safety: one thread; others may talk to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drills/frame/http_connection.hpp"
#include "drills/frame/kept_port.hpp"
#include "drills/frame/process.hpp"

namespace holdfast::drills {

struct SimulatorOptions {
  std::vector<std::string> arguments = {};
  bool start = true;
  std::chrono::milliseconds ready_within = std::chrono::seconds(20);
  std::filesystem::path folder = {};  ///< for data and logs; a temporary one of its own where empty
  Belongings* belongings = nullptr;   ///< as ProcessOptions'
};

class SimulatorProcess {
 public:
  /// `name` is its program's, its database's and its controls'.
  explicit SimulatorProcess(std::string name, SimulatorOptions options = {});

  /// Starts it (again) on the port it had, and waits until it is ready. Throws std::runtime_error with
  /// what it wrote where it ends instead, or takes too long.
  void start();
  ExitStatus kill() { return process_->kill(); }
  /// SIGTERM, then waits for its end.
  ExitStatus stop(std::chrono::milliseconds at_most = std::chrono::seconds(30));

  Process& process() { return *process_; }
  bool running() { return process_ && process_->running(); }
  std::uint16_t port() const noexcept { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::filesystem::path data() const { return folder() / "data"; }
  std::filesystem::path database_file() const { return data() / (name_ + ".db"); }

  // Its controls. Each throws std::runtime_error where it refuses, NoAnswer where it is gone.

  void behave(const std::string& json);
  void reset();
  /// Everything it has done, as GET /<name>/book answers.
  std::string book();

 protected:
  std::string control(const char* method, const std::string& path, const std::string& body = {});

 private:
  const std::filesystem::path& folder() const noexcept {
    return own_folder_ ? own_folder_->path() : options_.folder;
  }

  const std::string name_;
  const SimulatorOptions options_;
  std::optional<TemporaryFolder> own_folder_;
  std::unique_ptr<Process> process_;
  std::uint16_t port_ = 0;
  KeptPort kept_;
};

}  // namespace holdfast::drills
