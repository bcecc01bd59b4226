// Access: who may do what. An API key is `hf_<id>_<secret>`; the secret is 32 random bytes of which only
// the SHA-256 is stored: with so much randomness there is nothing to stretch or to guess.
//
//   const CreatedKey made = access::create_key(ctx, tx, ids, random, Scope::write, "storefront");
//   print(made.text);                                  // this once
//   const Principal who = authenticator.authenticate(ctx, made.text);
//
// Thread-safety: functions as the Transaction's; an Authenticator from any fiber.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"

namespace holdfast::orders::access {

using KeyId = Id<"key">;

/// Each may do what the one before it may.
enum class Scope : std::uint8_t { read, write, admin };
HOLDFAST_DESCRIBE_ENUM(Scope, read, write, admin)

struct ApiKey {
  KeyId id;
  std::string name;
  Scope scope = Scope::read;
  WallTime created_at;
  std::optional<WallTime> revoked_at;
};
HOLDFAST_DESCRIBE(ApiKey, (id, name, scope, created_at, revoked_at))

struct CreatedKey {
  ApiKey key;
  std::string text;  ///< the key itself; nobody can tell it again
};
HOLDFAST_DESCRIBE(CreatedKey, (key, text))

struct NewKey {
  std::string name;
  Scope scope = Scope::read;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&NewKey::name>().length(1, 100).printable().doc("What it is for.").example("\"storefront\""),
        field<&NewKey::scope>().example("\"write\""));
  }
};
HOLDFAST_DESCRIBE(NewKey, (name, scope))

CreatedKey create_key(const Context& ctx, sql::Transaction& tx, IdGenerator& ids, Random& random,
                      const NewKey& key);

/// From now on it opens nothing (elsewhere within Authenticator::Options::remember). Revoking again
/// changes nothing. Throws Error(not_found, "unknown_key").
ApiKey revoke_key(const Context& ctx, sql::Transaction& tx, const KeyId& id);

/// The newest first, at most `limit`.
std::vector<ApiKey> list_keys(sql::Queries& db, std::int64_t limit = 1000);

/// "read" for Scope::read; "read", "write", "admin" for Scope::admin.
std::vector<std::string> scopes_of(Scope scope);

class Authenticator {
 public:
  struct Options {
    Duration remember = std::chrono::seconds(5);  ///< a verified key, without asking the database
    /// The same while the database can't be asked, so that operators can look at what is wrong: for so long
    /// a key revoked elsewhere still opens.
    Duration remember_while_away = std::chrono::minutes(5);
    std::size_t max_remembered = 4096;  ///< keys
  };

  /// `database` and `metrics` are borrowed.
  Authenticator(sql::Database& database, observe::Metrics& metrics, Options options);
  Authenticator(sql::Database& database, observe::Metrics& metrics)
      : Authenticator(database, metrics, Options{}) {}
  ~Authenticator();
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  /// Who has that key. Throws Error(unauthenticated, "bad_credentials"), the same for a key that is
  /// malformed, unknown, wrong or revoked.
  Principal authenticate(const Context& ctx, std::string_view key_text);

  /// Who has that key, if it has been verified within Options::remember: never asks the database, never
  /// throws.
  std::optional<Principal> recall(const Context& ctx, std::string_view key_text);

  /// After a revocation in this process: asks the database again.
  void forget(const KeyId& id);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// This module's steps of the schema; their numbers are given out in orders/migrations.cpp.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::orders::access
