// Paysim: the payment provider that can be broken, as a process of the drill's own.
//
//   Paysim paysim({.folder = folder, .belongings = belongings});    // returns once it answers
//   paysim.behave(R"({"rules":[{"action":"hang","operation":"authorize"}]})");
//   paysim.kill();  paysim.start();                                 // the same port and data
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "drills/frame/http_connection.hpp"
#include "drills/frame/process.hpp"

namespace holdfast::drills {

struct PaysimOptions {
  std::filesystem::path folder;  ///< for data and logs
  Belongings* belongings = nullptr;
};

class Paysim {
 public:
  static constexpr const char* kSecretKey = "sk_test_drill";
  static constexpr const char* kWebhookSecret = "whsec_drill";

  explicit Paysim(PaysimOptions options);

  void start();
  void kill() { process_->kill(); }
  /// SIGTERM, then waits for its end.
  void stop();
  Process& process() { return *process_; }
  std::uint16_t port() const noexcept { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::filesystem::path database_file() const { return options_.folder / "data" / "paysim.db"; }

  /// Takes orders to misbehave (PUT /paysim/behaviour); `{}` is good behaviour.
  void behave(const std::string& rules_json);
  /// Where it sends its webhooks.
  void send_webhooks_to(const std::string& url);
  HttpConnection connect() const;

 private:
  bool answers() const;

  PaysimOptions options_;
  std::unique_ptr<Process> process_;
  std::uint16_t port_ = 0;
};

/// A port that nobody listens at now.
std::uint16_t free_port();

}  // namespace holdfast::drills
