// A MailTransport behind a pipeline: while the mail server is down, or slow, mails are refused at once and
// tried again later by whoever sends them, instead of each waiting for it. (Part of notifications.hpp.)
//
//   GuardedTransport guarded(std::make_unique<Smtp>(…), dependencies.add("smtp"));
//
// Nothing is sent twice here: what failed may have been accepted, so the try after it is the subscription's,
// which looks first whether it was recorded. Thread-safety: as the transport's inside.
#pragma once

#include <memory>
#include <utility>

#include "holdfast/resilience/pipeline.hpp"
#include "orders/modules/notifications/mail_transport.hpp"

namespace holdfast::orders::notifications {

class GuardedTransport final : public MailTransport {
 public:
  /// `pipeline` is borrowed.
  GuardedTransport(std::unique_ptr<MailTransport> inside, resilience::Pipeline& pipeline)
      : inside_(std::move(inside)), pipeline_(pipeline) {}

  void deliver(const Context& ctx, const Mail& mail) override {
    pipeline_.call(ctx, [&](const Context& own) { inside_->deliver(own, mail); }, {.idempotent = false});
  }
  std::optional<std::string> read(const Context& ctx, std::string_view id) override {
    return inside_->read(ctx, id);
  }
  std::string_view name() const noexcept override { return inside_->name(); }

 private:
  const std::unique_ptr<MailTransport> inside_;
  resilience::Pipeline& pipeline_;
};

}  // namespace holdfast::orders::notifications
