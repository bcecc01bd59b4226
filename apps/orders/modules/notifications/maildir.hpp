// Mails as files of a maildir (https://cr.yp.to/proto/maildir.html): written to tmp/, made durable, then
// linked into new/ under a name made of the mail's id, which a link gives at most once. A mail that a
// reader has moved to cur/ counts as delivered too. Mails that come together are made durable together:
// their data is handed to the disk side by side, and one fsync of the folder serves them all.
// (Part of notifications.hpp.)
//
// Thread-safety: any fiber. Several processes may share a maildir.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "orders/modules/notifications/mail_transport.hpp"

namespace holdfast::orders::notifications {

class Maildir final : public MailTransport {
 public:
  struct Options {
    std::string path;              ///< made where it is missing, with tmp/, new/ and cur/
    std::size_t max_batch = 64;    ///< mails made durable together
    std::size_t max_queue = 1024;  ///< mails waiting for the disk; more are refused
  };

  /// Makes the folders and clears tmp/ of what a crash left. Throws Error(unavailable) naming the path
  /// where that can't be done.
  Maildir(runtime::Runtime& runtime, Options options, observe::Metrics& metrics);
  ~Maildir() override;

  void deliver(const Context& ctx, const Mail& mail) override;
  std::optional<std::string> read(const Context& ctx, std::string_view id) override;
  std::string_view name() const noexcept override { return "maildir"; }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders::notifications
