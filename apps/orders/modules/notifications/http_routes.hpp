// Sent mails over HTTP: /v1/outbox-mail.
#pragma once

#include "holdfast/http/router.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/modules/notifications/mail_transport.hpp"

namespace holdfast::orders::notifications {

/// Both are borrowed by the routes.
void add_routes(http::Router& router, sql::Database& database, MailTransport& transport);

}  // namespace holdfast::orders::notifications
