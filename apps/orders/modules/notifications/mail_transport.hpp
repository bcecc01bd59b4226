// MailTransport: the port through which mails leave. (Part of notifications.hpp.)
//
// Delivering a mail whose id was delivered before must be harmless: after a crash it is asked for again.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "holdfast/runtime/context.hpp"
#include "orders/modules/notifications/mail.hpp"

namespace holdfast::orders::notifications {

class MailTransport {
 public:
  virtual ~MailTransport() = default;
  MailTransport(const MailTransport&) = delete;
  MailTransport& operator=(const MailTransport&) = delete;

  /// Returns once the mail is safe: durable on disk, or accepted by the next server. Throws Error
  /// (unavailable) where that can't be done now.
  virtual void deliver(const Context& ctx, const Mail& mail) = 0;

  /// What was delivered under that id, as far as this transport keeps it.
  virtual std::optional<std::string> read(const Context& ctx, std::string_view id) = 0;

  /// "maildir", "smtp".
  virtual std::string_view name() const noexcept = 0;

 protected:
  MailTransport() = default;
};

}  // namespace holdfast::orders::notifications
