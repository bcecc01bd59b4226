// Notifications: tells customers about their orders by mail. An order that is confirmed gets a receipt, one
// that is shipped, rejected or cancelled a notice. Subscribed to the order events as the group
// `notifications`.
//
//   Maildir maildir(runtime, {.path = "data/mail"}, metrics);
//   Notifications notifications(db, maildir, {.from = "Holdfast <orders@shop.example>"});
//   broker.subscribe(notifications.subscription(), notifications.handler());
//
// Exactly one receipt an order in a maildir: a mail's name is made of the order and the kind, and is
// given at most once (mail_transport.hpp). Customers without an e-mail address are written to at
// <customerId>@customers.invalid, which no mail server will ever deliver (RFC 2606).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/reflect.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"
#include "orders/modules/notifications/mail.hpp"
#include "orders/modules/notifications/mail_transport.hpp"
#include "orders/modules/notifications/maildir.hpp"
#include "orders/modules/notifications/smtp.hpp"
#include "orders/modules/ordering/ordering.hpp"
#include "orders/shared/paging.hpp"

namespace holdfast::orders::notifications {

/// The subscription's group.
inline constexpr std::string_view kGroup = "notifications";

enum class MailKind : std::uint8_t { receipt, cancellation, rejection, shipment };
HOLDFAST_DESCRIBE_ENUM(MailKind, receipt, cancellation, rejection, shipment)

/// What the customer is written about that event of `order`; nothing for an order that still waits for its
/// payment, and for events that nobody is written to about.
std::optional<MailKind> kind_for(const ordering::Order& order, std::string_view event_type);

/// The mail for an event of an order; nothing for events nobody is written to about.
std::optional<Mail> mail_for(const ordering::Order& order, std::string_view event_type,
                             const std::string& from);

/// A mail that went out, as GET /v1/outbox-mail lists it.
struct SentMail {
  std::string id;  ///< "ord_….receipt"
  std::string order_id;
  MailKind kind = MailKind::receipt;
  std::string recipient;
  std::string subject;
  std::string transport;  ///< "maildir" or "smtp"
  WallTime sent_at;
};
HOLDFAST_DESCRIBE(SentMail, (id, order_id, kind, recipient, subject, transport, sent_at))

struct MailQuery {
  std::string order_id;  ///< empty: any
  std::string cursor;
  std::int64_t limit = kDefaultLimit;
};

/// The newest first. Throws Error(invalid_argument, "bad_cursor").
Page<SentMail> list(sql::Queries& db, const MailQuery& query);
std::optional<SentMail> find(sql::Queries& db, std::string_view id);

struct MailCounts {
  std::int64_t receipts = 0;
  std::int64_t cancellations = 0;
  std::int64_t rejections = 0;
  std::int64_t shipments = 0;
};
HOLDFAST_DESCRIBE(MailCounts, (receipts, cancellations, rejections, shipments))
MailCounts count(sql::Queries& db);

class Notifications {
 public:
  struct Options {
    std::string from = "Holdfast Orders <orders@holdfast.invalid>";
    std::size_t concurrency = 64;  ///< mails at a time; a maildir makes them durable together
  };

  /// Both are borrowed.
  Notifications(sql::Database& database, MailTransport& transport, Options options);

  messaging::SubscriptionOptions subscription() const;
  messaging::Handler handler();

  /// Sends the mail for that event and records it; what the handler does.
  void handle(const Context& ctx, const messaging::Message& message);

 private:
  sql::Database& database_;
  MailTransport& transport_;
  Options options_;
};

/// This module's steps of the schema; their numbers are given out in orders/migrations.cpp.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::orders::notifications
