#include "orders/modules/access/access.hpp"

#include <gmock/gmock.h>

#include "orders/testing/domain.hpp"

namespace holdfast::orders::access {
namespace {

using testing::Domain;
using testing::error_of;

struct Keys {
  explicit Keys(Domain& domain) : d(domain) {}

  CreatedKey create(Scope scope) {
    return d.write([&](sql::Transaction& tx) { return create_key(d.ctx, tx, ids, random, {"test", scope}); });
  }
  std::string refusal(std::string_view text) {
    return std::string(error_of([&] { authenticator.authenticate(d.ctx, text); }).what());
  }

  Domain& d;
  SeededRandom random{3};
  IdGenerator ids{d.clock, random};
  observe::Metrics metrics;
  Authenticator authenticator{d.db, metrics};
};

TEST(Access, AKeyOpensWhatItsScopeSays) {
  testing::with_domain([](Domain& d) {
    Keys keys(d);
    const CreatedKey made = keys.create(Scope::write);
    EXPECT_TRUE(made.text.starts_with("hf_"));
    const Principal who = keys.authenticator.authenticate(d.ctx, made.text);
    EXPECT_EQ(who.subject, made.key.id.text());
    EXPECT_THAT(who.scopes, ::testing::ElementsAre("read", "write"));
    EXPECT_THAT(scopes_of(Scope::admin), ::testing::ElementsAre("read", "write", "admin"));
    EXPECT_THAT(scopes_of(Scope::read), ::testing::ElementsAre("read"));
  });
}

TEST(Access, ErrorsNeverTellWhichHalfWasWrong) {
  testing::with_domain([](Domain& d) {
    Keys keys(d);
    const std::string good = keys.create(Scope::admin).text;
    std::string wrong_secret = good;
    wrong_secret.back() = wrong_secret.back() == '0' ? '1' : '0';
    std::string wrong_id = good;
    wrong_id[10] = wrong_id[10] == '0' ? '1' : '0';
    const CreatedKey revoked = keys.create(Scope::admin);
    d.write([&](sql::Transaction& tx) { return revoke_key(d.ctx, tx, revoked.key.id); });
    const std::string refusal = keys.refusal(wrong_secret);
    EXPECT_EQ(refusal, "bad_credentials: The API key is not valid.");
    for (const std::string& text : {wrong_id, revoked.text, good + "0", std::string("hf_"), std::string()}) {
      EXPECT_EQ(keys.refusal(text), refusal) << text;
    }
    EXPECT_NO_THROW(keys.authenticator.authenticate(d.ctx, good));
    EXPECT_EQ(keys.refusal(wrong_secret), refusal) << "also when the right one is remembered";
  });
}

TEST(Access, StoresNoSecret) {
  testing::with_domain([](Domain& d) {
    Keys keys(d);
    const CreatedKey made = keys.create(Scope::admin);
    const std::string secret = made.text.substr(made.text.size() - 64);
    const auto stored = d.read([](sql::Snapshot& db) {
      return db.query_value<std::vector<std::byte>>("select secret_sha256 from api_keys");
    });
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(stored.data()), stored.size()).find(secret),
              std::string::npos);
    EXPECT_EQ(stored.size(), 32U);
  });
}

TEST(Access, RemembersVerifiedKeysForAWhileOnly) {
  testing::with_domain([](Domain& d) {
    Keys keys(d);
    const CreatedKey made = keys.create(Scope::read);
    keys.authenticator.authenticate(d.ctx, made.text);
    d.write(
        [&](sql::Transaction& tx) { return revoke_key(d.ctx, tx, made.key.id); });  // by another process, say
    EXPECT_NO_THROW(keys.authenticator.authenticate(d.ctx, made.text));
    d.clock.advance(std::chrono::seconds(6));
    EXPECT_THAT(keys.refusal(made.text), ::testing::HasSubstr("bad_credentials"));
  });
}

TEST(Access, ForgettingARevokedKeyClosesItAtOnce) {
  testing::with_domain([](Domain& d) {
    Keys keys(d);
    const CreatedKey made = keys.create(Scope::read);
    keys.authenticator.authenticate(d.ctx, made.text);
    d.write([&](sql::Transaction& tx) { return revoke_key(d.ctx, tx, made.key.id); });
    keys.authenticator.forget(made.key.id);
    EXPECT_THAT(keys.refusal(made.text), ::testing::HasSubstr("bad_credentials"));
    const auto listed = d.read([](sql::Snapshot& db) { return list_keys(db); });
    ASSERT_EQ(listed.size(), 1U);
    EXPECT_TRUE(listed[0].revoked_at.has_value());
  });
}

TEST(Access, RevokingAnUnknownKeyIsAnError) {
  testing::with_domain([](Domain& d) {
    Keys keys(d);
    EXPECT_EQ(error_of([&] {
                d.write([&](sql::Transaction& tx) { return revoke_key(d.ctx, tx, KeyId{}); });
              }).reason(),
              "unknown_key");
  });
}

}  // namespace
}  // namespace holdfast::orders::access
