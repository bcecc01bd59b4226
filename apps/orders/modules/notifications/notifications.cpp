#include "orders/modules/notifications/notifications.hpp"

#include "holdfast/base/fault.hpp"

namespace holdfast::orders::notifications {

Notifications::Notifications(sql::Database& database, MailTransport& transport, Options options)
    : database_(database), transport_(transport), options_(std::move(options)) {}

messaging::SubscriptionOptions Notifications::subscription() const {
  messaging::SubscriptionOptions subscription;
  subscription.group = std::string(kGroup);
  subscription.topics = {std::string(ordering::kTopic)};
  subscription.concurrency = options_.concurrency;
  return subscription;
}

messaging::Handler Notifications::handler() {
  return messaging::external(
      [this](const Context& ctx, const messaging::Message& message) { handle(ctx, message); });
}

void Notifications::handle(const Context& ctx, const messaging::Message& message) {
  // Events may grow members that this does not know yet.
  const auto order = from_json<ordering::Order>(message.payload, {.limits = {}, .ignore_unknown = true});
  const auto mail = mail_for(order, message.type, options_.from);
  if (!mail) return;
  const bool recorded =
      database_.read(ctx, [&](sql::Snapshot& db) { return find(db, mail->id).has_value(); });
  if (recorded) return;
  transport_.deliver(ctx, *mail);
  HOLDFAST_FAULT("notifications.before_record");
  const MailKind kind = kind_for(order, message.type).value();
  database_.transact(ctx, "record mail", [&](sql::Transaction& tx) {
    tx.execute(
        "insert into sent_mails(id, order_id, kind, recipient, subject, transport, sent_at) "
        "values($1, $2, $3, $4, $5, $6, $7) on conflict(id) do nothing",
        mail->id, mail->order_id, kind, mail->to, mail->subject, transport_.name(), ctx.clock().wall_now());
  });
}

Page<SentMail> list(sql::Queries& db, const MailQuery& query) {
  // Ids begin with their order's, which ascend with time; '~' sorts above them all.
  std::string before = query.order_id.empty() ? "ord_~" : query.order_id + ".~";
  if (!query.cursor.empty()) before = std::min(before, read_cursor(query.cursor, "mails", 1).keys[0]);
  const std::string from = query.order_id.empty() ? std::string() : query.order_id + ".";
  Page<SentMail> page;
  page.items = db.query<SentMail>(
      "select id, order_id, kind, recipient, subject, transport, sent_at from sent_mails "
      "where id < $1 and id >= $2 order by id desc limit $3",
      before, from, query.limit + 1);
  if (static_cast<std::int64_t>(page.items.size()) > query.limit) {
    page.items.pop_back();
    page.next_cursor = write_cursor({"mails", {page.items.back().id}});
  }
  return page;
}

std::optional<SentMail> find(sql::Queries& db, std::string_view id) {
  return db.query_one<SentMail>(
      "select id, order_id, kind, recipient, subject, transport, sent_at from sent_mails where id = $1", id);
}

MailCounts count(sql::Queries& db) {
  return db
      .query_one<MailCounts>(
          "select coalesce(sum(case when kind = 'receipt' then 1 else 0 end), 0) as receipts, "
          "coalesce(sum(case when kind = 'cancellation' then 1 else 0 end), 0) as cancellations, "
          "coalesce(sum(case when kind = 'rejection' then 1 else 0 end), 0) as rejections, "
          "coalesce(sum(case when kind = 'shipment' then 1 else 0 end), 0) as shipments from sent_mails")
      .value();
}

std::vector<sql::Migration> migrations() {
  return {{.version = 50,
           .name = "sent_mails",
           .up_sql = R"sql(
create table sent_mails(
  id text not null primary key,
  order_id text not null,
  kind text not null,
  recipient text not null,
  subject text not null,
  transport text not null,
  sent_at integer not null
) without rowid;
)sql",
           .down_sql = "drop table sent_mails;"}};
}

}  // namespace holdfast::orders::notifications
