// The real `paysim` on a free port, with a data folder of its own.
//
//   PaysimProcess paysim;                                     // returns once it is ready
//   paysim.behave(R"({"rules":[{"action":"drop_after","operation":"authorize","rate":0.1}]})");
//   paysim.send_webhooks_to(server.url() + "/v1/webhooks/payments");
//   paysim.kill();  paysim.start();                           // the same port and data
//   paysim.book();                                            // JSON: what it has charged
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
#include "drills/frame/process.hpp"

namespace holdfast::drills {

struct PaysimOptions {
  std::vector<std::string> arguments;
  bool start = true;
  std::chrono::milliseconds ready_within = std::chrono::seconds(20);
  std::filesystem::path folder;      ///< for data and logs; a temporary one of its own where empty
  Belongings* belongings = nullptr;  ///< as ProcessOptions'
};

class PaysimProcess {
 public:
  static constexpr const char* kSecretKey = "sk_test_paysim";
  static constexpr const char* kWebhookSecret = "whsec_paysim";

  explicit PaysimProcess(PaysimOptions options = {});

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
  std::filesystem::path database_file() const { return data() / "paysim.db"; }

  // Its controls. Each throws std::runtime_error where paysim refuses, NoAnswer where it is gone.

  void behave(const std::string& json);
  void send_webhooks_to(const std::string& url);
  void reset();
  /// Everything it has charged, as GET /paysim/book answers.
  std::string book();
  /// As GET /paysim/requests answers.
  std::string requests();

 private:
  std::string control(const char* method, const std::string& path, const std::string& body = {});

  const std::filesystem::path& folder() const noexcept {
    return own_folder_ ? own_folder_->path() : options_.folder;
  }

  PaysimOptions options_;
  std::optional<TemporaryFolder> own_folder_;
  std::unique_ptr<Process> process_;
  std::uint16_t port_ = 0;
};

}  // namespace holdfast::drills
