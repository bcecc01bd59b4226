#include "orders/modules/notifications/http_routes.hpp"

#include "orders/modules/notifications/notifications.hpp"
#include "orders/shared/http.hpp"

namespace holdfast::orders::notifications {
namespace {

struct MailPath {
  std::string id;
  static constexpr auto rules() {
    return holdfast::rules(field<&MailPath::id>().length(1, 100).pattern_chars("a-z0-9_."));
  }
};
HOLDFAST_DESCRIBE(MailPath, (id))

struct ListQuery {
  std::optional<ordering::OrderId> order_id;
  std::optional<std::string> cursor;
  std::int64_t limit = kDefaultLimit;
  static constexpr auto rules() {
    return holdfast::rules(field<&ListQuery::order_id>().doc("Mails about this order only."),
                           field<&ListQuery::cursor>().length(1, 2048).doc("nextCursor of the page before."),
                           field<&ListQuery::limit>().range(1, kMaxLimit).defaulted().doc("Mails a page."));
  }
};
HOLDFAST_DESCRIBE(ListQuery, (order_id, cursor, limit))

struct ShownMail {
  SentMail mail;
  std::optional<std::string> source;  ///< the message as it was delivered; absent over SMTP
};
HOLDFAST_DESCRIBE(ShownMail, (mail, source))

}  // namespace

void add_routes(http::Router& router, sql::Database& database, MailTransport& transport) {
  http::route(router, http::Method::get, "/v1/outbox-mail",
              {.name = "listMails",
               .summary = "Lists the mails that went out, newest first",
               .tags = {"notifications"},
               .scope = "read"},
              [&database](const Context& ctx, http::Query<ListQuery> query) {
                return database.read(ctx, [&](sql::Snapshot& db) {
                  return list(db, {.order_id = query->order_id ? query->order_id->text() : "",
                                   .cursor = query->cursor.value_or(""),
                                   .limit = query->limit});
                });
              });
  http::route(
      router, http::Method::get, "/v1/outbox-mail/{id}",
      {.name = "getMail",
       .summary = "Shows a mail that went out",
       .tags = {"notifications"},
       .scope = "read"},
      [&database, &transport](const Context& ctx, http::Path<MailPath> path) -> ShownMail {
        auto mail = database.read(ctx, [&](sql::Snapshot& db) { return find(db, path->id); });
        if (!mail)
          throw Error(ErrorCode::not_found, "There is no mail " + path->id + ".").reason("unknown_mail");
        return {std::move(*mail), transport.read(ctx, path->id)};
      });
}

}  // namespace holdfast::orders::notifications
