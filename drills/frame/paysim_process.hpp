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

#include <string>

#include "drills/frame/simulator_process.hpp"

namespace holdfast::drills {

using PaysimOptions = SimulatorOptions;

class PaysimProcess : public SimulatorProcess {
 public:
  static constexpr const char* kSecretKey = "sk_test_paysim";
  static constexpr const char* kWebhookSecret = "whsec_paysim";

  explicit PaysimProcess(PaysimOptions options = {}) : SimulatorProcess("paysim", std::move(options)) {}

  void send_webhooks_to(const std::string& url) {
    control("PUT", "/webhook",
            R"({"url":")" + url + R"(","secret":")" + std::string(kWebhookSecret) + R"("})");
  }
  /// As GET /paysim/requests answers.
  std::string requests() { return control("GET", "/requests"); }
};

}  // namespace holdfast::drills
