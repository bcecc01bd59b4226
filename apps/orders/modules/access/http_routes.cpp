#include "orders/modules/access/http_routes.hpp"

#include <algorithm>

#include "orders/shared/http.hpp"

namespace holdfast::orders::access {
namespace {

struct KeyPath {
  KeyId id;
};
HOLDFAST_DESCRIBE(KeyPath, (id))

struct KeyList {
  std::vector<ApiKey> items;
};
HOLDFAST_DESCRIBE(KeyList, (items))

/// The key in "Bearer <key>"; the scheme's case does not count (RFC 9110, 11.1).
std::string_view bearer_key(std::string_view authorization) {
  const std::size_t space = authorization.find(' ');
  if (space == std::string_view::npos || !http::equal_ignoring_case(authorization.substr(0, space), "Bearer"))
    return {};
  authorization.remove_prefix(space);
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization;
}

void require_scope(const Principal& principal, const std::string& scope) {
  if (scope.empty()) return;
  if (principal.anonymous()) {
    throw Error(ErrorCode::unauthenticated, "This takes an API key: Authorization: Bearer hf_…")
        .reason("credentials_required");
  }
  if (std::find(principal.scopes.begin(), principal.scopes.end(), scope) != principal.scopes.end()) return;
  throw Error(ErrorCode::permission_denied, "This takes an API key with the scope '" + scope + "'.")
      .reason("insufficient_scope");
}

}  // namespace

http::Middleware authentication(Authenticator& authenticator) {
  return
      [&authenticator](const Context& ctx, http::Request& request, const http::Next& next) -> http::Response {
        static const std::string kNone;
        const std::string& scope = request.route == nullptr ? kNone : request.route->info.scope;
        if (!request.has_header("Authorization")) {
          require_scope({}, scope);
          return next(ctx, request);
        }
        Principal principal = authenticator.authenticate(ctx, bearer_key(request.header("Authorization")));
        require_scope(principal, scope);
        return next(ctx.with_principal(std::move(principal)), request);
      };
}

bool is_remembered_admin(const Context& ctx, Authenticator& authenticator, const http::Request& request) {
  const auto known = authenticator.recall(ctx, bearer_key(request.header("Authorization")));
  return known && std::find(known->scopes.begin(), known->scopes.end(), "admin") != known->scopes.end();
}

void add_routes(http::Router& router, sql::Database& database, Authenticator& authenticator, IdGenerator& ids,
                Random& random) {
  http::route(
      router, http::Method::post, "/v1/api-keys",
      {.name = "createApiKey",
       .summary = "Makes an API key; its text is told this once",
       .tags = {"access"},
       .scope = "admin"},
      [&database, &ids, &random](const Context& ctx, http::Body<NewKey> body) -> http::Created<CreatedKey> {
        CreatedKey made = database.transact(ctx, "create API key", [&](sql::Transaction& tx) {
          return create_key(ctx, tx, ids, random, body.value);
        });
        std::string location = "/v1/api-keys/" + made.key.id.text();
        return {std::move(made), std::move(location)};
      });
  http::route(router, http::Method::get, "/v1/api-keys",
              {.name = "listApiKeys",
               .summary = "Lists API keys, newest first",
               .tags = {"access"},
               .scope = "admin"},
              [&database](const Context& ctx) -> KeyList {
                return {database.read(ctx, [](sql::Snapshot& db) { return list_keys(db); })};
              });
  http::route(router, http::Method::delete_, "/v1/api-keys/{id}",
              {.name = "revokeApiKey", .summary = "Revokes an API key", .tags = {"access"}, .scope = "admin"},
              [&database, &authenticator](const Context& ctx, http::Path<KeyPath> path) -> ApiKey {
                ApiKey revoked = database.transact(ctx, "revoke API key", [&](sql::Transaction& tx) {
                  return revoke_key(ctx, tx, path->id);
                });
                authenticator.forget(path->id);
                return revoked;
              });
}

}  // namespace holdfast::orders::access
