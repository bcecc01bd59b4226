// Mails through an SMTP server (libcurl, which stays in smtp.cpp). STARTTLS is used where the server
// offers it and required where `require_tls` says so; smtps:// by port 465. (Part of notifications.hpp.)
//
// At least once: between the server's 250 and our own record lies a window, some milliseconds long (the
// way back of the answer and one commit), in which a crash can't be told from a loss; the mail is then
// sent again, with the same Message-ID, by which the receiving side can know it.
//
// Thread-safety: any fiber.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "holdfast/config/secret.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "orders/modules/notifications/mail_transport.hpp"

namespace holdfast::orders::notifications {

class Smtp final : public MailTransport {
 public:
  struct Options {
    std::string host;
    std::uint16_t port = 587;
    std::string user;  ///< empty: no authentication
    config::Secret password;
    bool require_tls = false;
    std::size_t connections = 2;                  ///< each with a thread; kept open between mails
    std::size_t max_queue = 256;                  ///< mails waiting for one
    Duration timeout = std::chrono::seconds(20);  ///< of one mail; the Context's deadline if nearer
  };

  Smtp(runtime::Runtime& runtime, Options options, observe::Metrics& metrics);
  ~Smtp() override;

  void deliver(const Context& ctx, const Mail& mail) override;
  /// Nothing: a server does not give mails back.
  std::optional<std::string> read(const Context& ctx, std::string_view id) override;
  std::string_view name() const noexcept override { return "smtp"; }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders::notifications
