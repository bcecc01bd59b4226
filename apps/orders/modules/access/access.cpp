#include "orders/modules/access/access.hpp"

#include <mutex>
#include <unordered_map>

namespace holdfast::orders::access {
namespace {

constexpr std::string_view kPrefix = "hf_";
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kSecretLength = 2 * kSecretBytes;  // in hex
constexpr std::size_t kKeyLength = kPrefix.size() + kBase32Length + 1 + kSecretLength;

struct KeyRow {
  Sha256Digest secret_sha256;
  Scope scope = Scope::read;
  std::optional<WallTime> revoked_at;
};
HOLDFAST_DESCRIBE(KeyRow, (secret_sha256, scope, revoked_at))

struct Presented {
  KeyId id;
  std::string_view secret;
};

std::optional<Presented> parse(std::string_view text) {
  if (text.size() != kKeyLength || !text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  const auto id = decode_base32(text.substr(0, kBase32Length));
  if (!id || text[kBase32Length] != '_') return std::nullopt;
  return Presented{KeyId(*id), text.substr(kBase32Length + 1)};
}

[[noreturn]] void refuse() {
  throw Error(ErrorCode::unauthenticated, "The API key is not valid.").reason("bad_credentials");
}

}  // namespace

CreatedKey create_key(const Context& ctx, sql::Transaction& tx, IdGenerator& ids, Random& random,
                      const NewKey& key) {
  std::array<std::uint8_t, kSecretBytes> bytes;
  random.fill_secret(std::as_writable_bytes(std::span(bytes)));
  const std::string secret = encode_hex(bytes);
  CreatedKey made{
      {.id = ids.make<KeyId>(), .name = key.name, .scope = key.scope, .created_at = ctx.clock().wall_now()},
      std::string(kPrefix)};
  append_base32(made.text, made.key.id.bytes());
  made.text.append("_").append(secret);
  tx.execute("insert into api_keys(id, name, scope, secret_sha256, created_at) values($1, $2, $3, $4, $5)",
             made.key.id, key.name, key.scope, sha256(secret), made.key.created_at);
  return made;
}

ApiKey revoke_key(const Context& ctx, sql::Transaction& tx, const KeyId& id) {
  tx.execute("update api_keys set revoked_at = $2 where id = $1 and revoked_at is null", id,
             ctx.clock().wall_now());
  auto key =
      tx.query_one<ApiKey>("select id, name, scope, created_at, revoked_at from api_keys where id = $1", id);
  if (!key) throw Error(ErrorCode::not_found, "There is no API key " + id.text() + ".").reason("unknown_key");
  return std::move(*key);
}

std::vector<ApiKey> list_keys(sql::Queries& db, std::int64_t limit) {
  return db.query<ApiKey>(
      "select id, name, scope, created_at, revoked_at from api_keys order by id desc limit $1", limit);
}

std::vector<std::string> scopes_of(Scope scope) {
  std::vector<std::string> scopes{"read"};
  if (scope >= Scope::write) scopes.emplace_back("write");
  if (scope >= Scope::admin) scopes.emplace_back("admin");
  return scopes;
}

struct Authenticator::State {
  struct Remembered {
    Sha256Digest secret_sha256;
    Scope scope;
    Instant asked_at;
  };

  State(sql::Database& db, observe::Metrics& metrics, Options given)
      : database(db),
        options(given),
        refused(
            metrics.counter("holdfast_auth_refusals_total", "Requests with an API key that opens nothing.")),
        asked(metrics.counter("holdfast_auth_lookups_total", "API keys looked up in the database.")) {}

  std::optional<Remembered> recall(const KeyId& id, Instant now, Duration for_so_long) {
    const std::lock_guard lock(mutex);
    const auto found = remembered.find(id);
    if (found == remembered.end() || found->second.asked_at + for_so_long <= now) return std::nullopt;
    return found->second;
  }

  /// The stored key; what is remembered of it where the database is away.
  std::optional<KeyRow> look_up(const Context& ctx, const KeyId& id, bool& away) {
    asked.add();
    try {
      auto found = database.query_one<KeyRow>(
          ctx, "select secret_sha256, scope, revoked_at from api_keys where id = $1", id);
      if (!found || found->revoked_at) forget(id);
      return found;
    } catch (const Error& failure) {
      const auto stale = recall(id, ctx.now(), options.remember_while_away);
      if (failure.code() != ErrorCode::unavailable || !stale) throw;
      away = true;
      return KeyRow{.secret_sha256 = stale->secret_sha256, .scope = stale->scope, .revoked_at = {}};
    }
  }

  void forget(const KeyId& id) {
    const std::lock_guard lock(mutex);
    remembered.erase(id);
  }

  // When full everything is forgotten, which costs a lookup each; that many keys at once are rare.
  void remember(const KeyId& id, const Remembered& key) {
    const std::lock_guard lock(mutex);
    if (remembered.size() >= options.max_remembered) remembered.clear();
    remembered.insert_or_assign(id, key);
  }

  sql::Database& database;
  Options options;
  observe::Counter refused;
  observe::Counter asked;
  std::mutex mutex;
  std::unordered_map<KeyId, Remembered> remembered;  // verified ones only
};

Authenticator::Authenticator(sql::Database& database, observe::Metrics& metrics, Options options)
    : state_(std::make_unique<State>(database, metrics, options)) {}
Authenticator::~Authenticator() = default;

Principal Authenticator::authenticate(const Context& ctx, std::string_view key_text) {
  const auto presented = parse(key_text);
  // An unknown id is compared too, with a digest nothing has, so that it takes as long as a wrong secret.
  KeyRow row{.secret_sha256 = {}, .scope = Scope::read, .revoked_at = {}};
  bool known = false;
  bool away = false;
  const Instant now = ctx.now();
  const auto recalled =
      presented ? state_->recall(presented->id, now, state_->options.remember) : std::nullopt;
  if (recalled) {
    row = {recalled->secret_sha256, recalled->scope, {}};
    known = true;
  } else if (presented) {
    const auto found = state_->look_up(ctx, presented->id, away);
    known = found.has_value();
    if (found) row = *found;
  }
  const bool matches =
      equal_in_constant_time(sha256(presented ? presented->secret : std::string_view()), row.secret_sha256);
  if (!known || !matches || row.revoked_at) {
    state_->refused.add();
    refuse();
  }
  if (!recalled && !away) state_->remember(presented->id, {row.secret_sha256, row.scope, now});
  return {.subject = presented->id.text(), .scopes = scopes_of(row.scope), .tenant = {}};
}

std::optional<Principal> Authenticator::recall(const Context& ctx, std::string_view key_text) {
  const auto presented = parse(key_text);
  if (!presented) return std::nullopt;
  const auto recalled = state_->recall(presented->id, ctx.now(), state_->options.remember);
  if (!recalled || !equal_in_constant_time(sha256(presented->secret), recalled->secret_sha256))
    return std::nullopt;
  return Principal{.subject = presented->id.text(), .scopes = scopes_of(recalled->scope), .tenant = {}};
}

void Authenticator::forget(const KeyId& id) { state_->forget(id); }

std::vector<sql::Migration> migrations() {
  return {{.version = 10,
           .name = "api_keys",
           .up_sql = R"sql(
create table api_keys(
  id text not null primary key,
  name text not null,
  scope text not null check (scope in ('read', 'write', 'admin')),
  secret_sha256 blob not null,
  created_at integer not null,
  revoked_at integer
) without rowid;
)sql",
           .down_sql = "drop table api_keys;"}};
}

}  // namespace holdfast::orders::access
