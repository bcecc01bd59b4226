#include "holdfast/webhooks/subscribers.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/testing/test_database.hpp"
#include "holdfast/webhooks/internal/attempts.hpp"
#include "holdfast/webhooks/schema.hpp"

namespace holdfast::webhooks {
namespace {

using namespace std::chrono_literals;

class SubscribersTest : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, sql::Database&)>& test) {
    runtime::Runtime runtime(sql::by_hand(clock), clock, random);
    runtime.run([&](const Context& ctx) {
      {
        const auto database = database_.open_alone(runtime);
        sql::Migrator(*database, migrations()).up(ctx);
        test(ctx, *database);
      }
      // The database's own fibers see that it is closed.
      if (runtime.simulated()) runtime::sleep_for(ctx, 1ms);
    });
  }
  SubscriberWithSecret create(const Context& ctx, sql::Database& db, std::string url,
                              SubscriberOptions options = {}) {
    Subscribers subscribers(ids, random, options);
    return db.transact(ctx, [&](sql::Transaction& tx) { return subscribers.create(ctx, tx, {.url = url}); });
  }
  std::string refusal(const Context& ctx, sql::Database& db, std::string url,
                      SubscriberOptions options = {}) {
    try {
      create(ctx, db, std::move(url), options);
      return "";
    } catch (const Error& error) {
      return std::string(error.reason());
    }
  }

  sql::TestDatabase database_;
  ManualClock clock;
  SeededRandom random{5};
  IdGenerator ids{clock, random};
};

TEST(EventTypes, AreExactOrABeginning) {
  EXPECT_TRUE(wants({}, "order.placed"));
  EXPECT_TRUE(wants({"*"}, "order.placed"));
  EXPECT_TRUE(wants({"stock.low", "order.placed"}, "order.placed"));
  EXPECT_TRUE(wants({"order.*"}, "order.placed"));
  EXPECT_FALSE(wants({"order.*"}, "orders.placed"));
  EXPECT_FALSE(wants({"order"}, "order.placed"));
  EXPECT_FALSE(wants({"order.placed"}, "order.placed.late"));
}

TEST_F(SubscribersTest, HaveASecretOfTheirOwnThatIsShownOnce) {
  run([&](const Context& ctx, sql::Database& db) {
    const auto first = create(ctx, db, "https://a.example/hooks");
    const auto second = create(ctx, db, "https://b.example:8443/hooks?shop=1");
    EXPECT_TRUE(StandardSecret::parse(first.secret));
    EXPECT_NE(first.secret, second.secret);
    const auto listed = db.read(ctx, [](sql::Snapshot& q) { return Subscribers::list(q); });
    ASSERT_EQ(listed.size(), 2U);
    EXPECT_EQ(to_json(listed).find("whsec_"), std::string::npos);
    EXPECT_EQ(listed[0].id, first.subscriber.id);
    EXPECT_EQ(listed[0].status, SubscriberStatus::enabled);
  });
}

TEST_F(SubscribersTest, TakeUrlsOfTheInternetOnly) {
  run([&](const Context& ctx, sql::Database& db) {
    for (const char* url :
         {"http://a.example/", "ftp://a.example/", "https://", "https:///x", "https://user:pw@a.example/",
          "https://localhost/", "https://127.0.0.1/", "https://10.0.0.1:443/", "https://[::1]/",
          "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest/meta-data", "https://2130706433/",
          "https://a.example/a b", "https://a.example\\@b.example/", "https://a.example/#part", "a.example",
          "https://:443/", "HTTPS://a.example/"}) {
      EXPECT_EQ(refusal(ctx, db, url), "bad_url") << url;
    }
    EXPECT_EQ(refusal(ctx, db, "https://8.8.8.8/hooks"), "");
    EXPECT_EQ(refusal(ctx, db, "http://127.0.0.1:9999/", {.allow_private_addresses = true}), "");
    EXPECT_EQ(refusal(ctx, db, "ftp://127.0.0.1/", {.allow_private_addresses = true}), "bad_url");
  });
}

TEST_F(SubscribersTest, AreBoundedInNumber) {
  run([&](const Context& ctx, sql::Database& db) {
    const SubscriberOptions two{.max_subscribers = 2};
    const auto first = create(ctx, db, "https://a.example/", two);
    create(ctx, db, "https://b.example/", two);
    EXPECT_EQ(refusal(ctx, db, "https://c.example/", two), "too_many_subscribers");
    Subscribers subscribers(ids, random, two);
    db.transact(ctx, [&](sql::Transaction& tx) { subscribers.remove(tx, first.subscriber.id); });
    EXPECT_EQ(refusal(ctx, db, "https://c.example/", two), "");
  });
}

TEST_F(SubscribersTest, AreChangedDisabledAndEnabled) {
  run([&](const Context& ctx, sql::Database& db) {
    Subscribers subscribers(ids, random);
    const std::string id = create(ctx, db, "https://a.example/").subscriber.id;
    const auto change = [&](const SubscriberChange& given) {
      return db.transact(ctx, [&](sql::Transaction& tx) { return subscribers.change(ctx, tx, id, given); });
    };
    Subscriber seen = change({.description = "the shop", .event_types = {{"order.*"}}});
    EXPECT_EQ(seen.url, "https://a.example/");
    EXPECT_EQ(seen.description, "the shop");
    EXPECT_EQ(seen.event_types, std::vector<std::string>{"order.*"});
    seen = change({.status = SubscriberStatus::disabled});
    EXPECT_EQ(seen.disabled_reason, "on_request");
    EXPECT_EQ(change({.status = SubscriberStatus::enabled}).disabled_reason, std::nullopt);
    EXPECT_THROW(change({.url = "https://127.0.0.1/"}), Error);
    db.transact(ctx, [&](sql::Transaction& tx) { subscribers.remove(tx, id); });
    EXPECT_THROW(change({.description = "gone"}), Error);
    EXPECT_THROW(db.transact(ctx, [&](sql::Transaction& tx) { subscribers.rotate_secret(ctx, tx, id); }),
                 Error);
  });
}

TEST_F(SubscribersTest, SecretsAreSealedWhereThereIsAKey) {
  run([&](const Context& ctx, sql::Database& db) {
    const auto key = [](const std::string& id, char fill) {
      return id + ":" + encode_base64(as_bytes(std::string(32, fill)));
    };
    const auto stored = [&] {
      return db.query<std::string>(ctx,
                                   "select secret from webhook_subscribers union all select previous_secret "
                                   "from webhook_subscribers where previous_secret is not null");
    };
    const auto secrets_of = [&](const SecretBox& box) {
      const auto due = db.query<DueSubscriber>(
          ctx,
          "select id, url, secret, previous_secret, previous_secret_until, consecutive_failures, "
          "created_at as due from webhook_subscribers");
      std::vector<std::string> texts;
      for (const StandardSecret& secret : due.at(0).secrets(box, clock.wall_now()))
        texts.push_back(secret.text());
      return texts;
    };
    const SubscriberWithSecret plain = create(ctx, db, "https://a.example/");
    EXPECT_EQ(stored(), std::vector{plain.secret});

    Subscribers sealing(ids, random, {.secrets = SecretBox({key("first", 'f')})});
    const auto reseal = [&](Subscribers& by) {
      return db.transact(ctx, [&](sql::Transaction& tx) { return by.reseal(tx); });
    };
    EXPECT_EQ(reseal(sealing), 1U);
    EXPECT_EQ(reseal(sealing), 0U);
    const SubscriberWithSecret rotated = db.transact(
        ctx, [&](sql::Transaction& tx) { return sealing.rotate_secret(ctx, tx, plain.subscriber.id); });
    EXPECT_EQ(stored().size(), 2U);
    for (const std::string& text : stored()) EXPECT_TRUE(text.starts_with("enc1.first.")) << text;
    EXPECT_EQ(secrets_of(SecretBox({key("first", 'f')})), (std::vector{rotated.secret, plain.secret}));

    const SecretBox both({key("second", 's'), key("first", 'f')});
    Subscribers next(ids, random, {.secrets = both});
    EXPECT_EQ(reseal(next), 1U);
    EXPECT_EQ(secrets_of(SecretBox({key("second", 's')})), (std::vector{rotated.secret, plain.secret}))
        << "the old key may go";
    EXPECT_EQ(reseal(sealing), 0U) << "what it can't open it leaves alone";
    EXPECT_THROW(secrets_of(SecretBox()), Error);
    const SubscriberWithSecret made = db.transact(
        ctx, [&](sql::Transaction& tx) { return next.create(ctx, tx, {.url = "https://b.example/"}); });
    EXPECT_TRUE(made.secret.starts_with("whsec_"));
    for (const std::string& text : stored()) EXPECT_TRUE(text.starts_with("enc1.second.")) << text;
  });
}

}  // namespace
}  // namespace holdfast::webhooks
