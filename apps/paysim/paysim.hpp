// paysim, wired: a payment provider to develop against and to break. Its own database, Stripe's API, the
// webhooks, the controls, and a page that shows what it has charged.
//
//   Paysim paysim({.address = "127.0.0.1:0", .data = folder}, runtime, log);
//   paysim.start(ctx);                     // ready when it returns
//   … paysim.url() …
//   paysim.stop(ctx);
//
// Thread-safety: start(), stop() and the destructor from one fiber of the runtime.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "holdfast/observe/log.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::paysim {

struct Settings {
  std::string address = "127.0.0.1:4242";           ///< host:port; port 0 takes a free one
  std::string data = "paysim-data";                 ///< folder, made where it is missing
  std::string secret_key = "sk_test_paysim";        ///< what callers must show
  std::string webhook_url;                          ///< empty: that of the last run, or none
  std::string webhook_secret = "whsec_paysim";      ///< signs webhooks
  std::vector<std::string> webhook_events = {"*"};  ///< types that are sent to webhook_url; "*" is any
  std::string behaviour = "{}";                     ///< as PUT /paysim/behaviour takes it
};

class Paysim {
 public:
  /// `runtime` and `log` are borrowed and must outlive it.
  Paysim(Settings settings, runtime::Runtime& runtime, observe::Log& log);
  /// Stops at once what still runs.
  ~Paysim();
  Paysim(const Paysim&) = delete;
  Paysim& operator=(const Paysim&) = delete;

  /// Throws Error(unavailable) with the remedy where the folder can't be used or the port is taken, and
  /// Error(invalid_argument) for settings that make no sense.
  void start(const Context& ctx);
  /// Answers what has arrived, then closes. True where all of it was answered. Idempotent.
  bool stop(const Context& ctx);

  /// From start() on.
  std::uint16_t port() const noexcept;
  std::string url() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::paysim
