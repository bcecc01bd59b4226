#include "holdfast/webhooks/subscribers.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/http/public_address.hpp"

namespace holdfast::webhooks {
namespace {

/// As it stands in its table.
struct SubscriberRow {
  std::string id;
  std::string url;
  std::string description;
  JsonText event_types;
  SubscriberStatus status = SubscriberStatus::enabled;
  std::optional<std::string> disabled_reason;
  std::optional<WallTime> disabled_at;
  std::optional<WallTime> failing_since;
  std::int64_t consecutive_failures = 0;
  std::optional<WallTime> previous_secret_until;
  WallTime created_at{};
  WallTime updated_at{};
};
HOLDFAST_DESCRIBE(SubscriberRow,
                  (id, url, description, event_types, status, disabled_reason, disabled_at, failing_since,
                   consecutive_failures, previous_secret_until, created_at, updated_at))

#define HOLDFAST_SUBSCRIBER_COLUMNS                                                                 \
  "select id, url, description, event_types, status, disabled_reason, disabled_at, failing_since, " \
  "consecutive_failures, previous_secret_until, created_at, updated_at from webhook_subscribers "

Subscriber subscriber_of(SubscriberRow row) {
  return {.id = std::move(row.id),
          .url = std::move(row.url),
          .description = std::move(row.description),
          .event_types = from_json<std::vector<std::string>>(row.event_types.text()),
          .status = row.status,
          .disabled_reason = std::move(row.disabled_reason),
          .disabled_at = row.disabled_at,
          .failing_since = row.failing_since,
          .consecutive_failures = row.consecutive_failures,
          .previous_secret_until = row.previous_secret_until,
          .created_at = row.created_at,
          .updated_at = row.updated_at};
}

[[noreturn]] void refuse_url(std::string what) {
  throw Error(ErrorCode::invalid_argument, "The URL " + what)
      .reason("bad_url")
      .violations({{"/url", "bad_url", what}});
}

/// The host of "//user@host:port/path", without the brackets of IPv6.
std::string host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    return std::string(authority.substr(1, std::min(authority.find(']'), authority.size()) - 1));
  }
  return std::string(authority.substr(0, authority.find(':')));
}

bool looks_like_an_address(std::string_view host) {
  return host.find(':') != std::string_view::npos ||
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

bool wants(const std::vector<std::string>& event_types, std::string_view type) noexcept {
  return event_types.empty() || std::ranges::any_of(event_types, [type](std::string_view wanted) {
           if (wanted == "*") return true;
           if (!wanted.ends_with(".*")) return wanted == type;
           return type.starts_with(wanted.substr(0, wanted.size() - 1));
         });
}

// The address that a name leads to is looked at when it is connected to (ClientOptions); here only what is
// plainly wrong is told to whoever typed it.
void Subscribers::require_url(const std::string& url) const {
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (options_.allow_private_addresses && rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    refuse_url("must begin with https://.");
  }
  const bool plain = std::ranges::all_of(url, [](char c) { return c > ' ' && c < '\x7f'; });
  if (!plain || url.find_first_of("\\#\"<>") != std::string::npos) refuse_url("holds what a URL can't.");
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  if (authority.find('@') != std::string_view::npos) refuse_url("must not name a user.");
  const std::string host = host_of(authority);
  if (host.empty()) refuse_url("names no host.");
  if (options_.allow_private_addresses) return;
  if (host == "localhost" || (looks_like_an_address(host) && !http::is_public_address(host))) {
    refuse_url("leads to an address that is not public.");
  }
}

SubscriberWithSecret Subscribers::create(const Context& ctx, sql::Transaction& tx,
                                         const NewSubscriber& given) {
  require_url(given.url);
  if (tx.query_value<std::int64_t>("select count(*) from webhook_subscribers where status <> 'removed'") >=
      static_cast<std::int64_t>(options_.max_subscribers)) {
    throw Error(ErrorCode::conflict, "There are " + std::to_string(options_.max_subscribers) +
                                         " subscribers already. Remove one first.")
        .reason("too_many_subscribers");
  }
  const std::string id = ids_.make<SubscriberId>().text();
  const std::string secret = StandardSecret::make(random_).text();
  const WallTime now = ctx.clock().wall_now();
  tx.execute(
      "insert into webhook_subscribers(id, url, description, event_types, secret, status, "
      "consecutive_failures, created_at, updated_at) values($1, $2, $3, $4, $5, 'enabled', 0, $6, $6)",
      id, given.url, given.description, to_json(given.event_types),
      options_.secrets.seal(random_, id, secret), now);
  return {.subscriber = get(tx, id), .secret = secret};
}

Subscriber Subscribers::change(const Context& ctx, sql::Transaction& tx, std::string_view id,
                               const SubscriberChange& change) {
  Subscriber present = get(tx, id);
  if (change.url) require_url(*change.url);
  const WallTime now = ctx.clock().wall_now();
  tx.execute(
      "update webhook_subscribers set url = $2, description = $3, event_types = $4, updated_at = $5 "
      "where id = $1",
      id, change.url.value_or(present.url), change.description.value_or(present.description),
      to_json(change.event_types.value_or(present.event_types)), now);
  if (change.status == SubscriberStatus::enabled) return enable(ctx, tx, id);
  if (change.status == SubscriberStatus::disabled && present.status == SubscriberStatus::enabled) {
    tx.execute(
        "update webhook_subscribers set status = 'disabled', disabled_reason = 'on_request', "
        "disabled_at = $2 where id = $1",
        id, now);
  }
  return get(tx, id);
}

void Subscribers::remove(sql::Transaction& tx, std::string_view id) {
  get(tx, id);
  // Its deliveries may be many: Deliveries::sweep takes them, then the row.
  tx.execute(
      "update webhook_subscribers set status = 'removed', secret = '', previous_secret = null where id = $1",
      id);
}

Subscriber Subscribers::enable(const Context& ctx, sql::Transaction& tx, std::string_view id) {
  tx.execute(
      "update webhook_subscribers set status = 'enabled', disabled_reason = null, disabled_at = null, "
      "failing_since = null, consecutive_failures = 0, updated_at = $2 where id = $1 and status = 'disabled'",
      id, ctx.clock().wall_now());
  return get(tx, id);
}

SubscriberWithSecret Subscribers::rotate_secret(const Context& ctx, sql::Transaction& tx,
                                                std::string_view id) {
  get(tx, id);
  const std::string secret = StandardSecret::make(random_).text();
  const WallTime now = ctx.clock().wall_now();
  const WallTime until = now + std::chrono::floor<std::chrono::microseconds>(options_.secret_overlap);
  tx.execute(
      "update webhook_subscribers set previous_secret = secret, previous_secret_until = $2, secret = $3, "
      "updated_at = $4 where id = $1",
      id, until, options_.secrets.seal(random_, id, secret), now);
  return {.subscriber = get(tx, id), .secret = secret};
}

std::size_t Subscribers::reseal(sql::Transaction& tx) {
  using Row = std::tuple<std::string, std::string, std::optional<std::string>>;
  const SecretBox& box = options_.secrets;
  const auto anew = [&](const std::string& id, const std::string& stored) {
    const auto secret = box.is_outdated(stored) ? box.open(id, stored) : std::nullopt;
    return secret ? box.seal(random_, id, *secret) : stored;
  };
  std::size_t resealed = 0;
  for (const auto& [id, secret, previous] : tx.query<Row>(
           "select id, secret, previous_secret from webhook_subscribers where status <> 'removed'")) {
    const std::string next = anew(id, secret);
    const std::optional<std::string> next_previous = previous ? std::optional(anew(id, *previous)) : previous;
    if (next == secret && next_previous == previous) continue;
    tx.execute("update webhook_subscribers set secret = $2, previous_secret = $3 where id = $1", id, next,
               next_previous);
    ++resealed;
  }
  return resealed;
}

Subscriber Subscribers::get(sql::Queries& db, std::string_view id) {
  auto found =
      db.query_one<SubscriberRow>(HOLDFAST_SUBSCRIBER_COLUMNS "where id = $1 and status <> 'removed'", id);
  if (found) return subscriber_of(std::move(*found));
  throw Error(ErrorCode::not_found, "There is no webhook subscriber " + std::string(id) + ".")
      .reason("unknown_subscriber");
}

std::vector<Subscriber> Subscribers::list(sql::Queries& db, std::string_view after, std::size_t limit) {
  std::vector<Subscriber> found;
  db.for_each<SubscriberRow>(
      HOLDFAST_SUBSCRIBER_COLUMNS "where id > $1 and status <> 'removed' order by id limit $2",
      [&](SubscriberRow&& row) { found.push_back(subscriber_of(std::move(row))); }, after,
      std::min(limit, kMaxPage));
  return found;
}

}  // namespace holdfast::webhooks
