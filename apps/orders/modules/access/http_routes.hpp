// Who asks, and whether they may: the authentication middleware, and /v1/api-keys for administrators.
#pragma once

#include "holdfast/base/id.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/http/router.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/modules/access/access.hpp"

namespace holdfast::orders::access {

/// Reads `Authorization: Bearer …` into the Context's Principal and lets the request pass where that has
/// the route's scope: 401 without a key where one is needed or with one that opens nothing (on any
/// route), 403 where the key's scope does not do.
http::Middleware authentication(Authenticator& authenticator);

/// Whether the request has the key of an administrator that was verified a moment ago; asks no database.
bool is_remembered_admin(const Context& ctx, Authenticator& authenticator, const http::Request& request);

/// All are borrowed by the routes.
void add_routes(http::Router& router, sql::Database& database, Authenticator& authenticator, IdGenerator& ids,
                Random& random);

}  // namespace holdfast::orders::access
