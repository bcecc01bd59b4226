#include "orders/modules/notifications/notifications.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "holdfast/base/encoding.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"
#include "orders/testing/domain.hpp"

namespace holdfast::orders::notifications {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

Mail a_mail(std::string id = "ord_1.receipt") {
  Mail mail;
  mail.id = std::move(id);
  mail.order_id = "ord_1";
  mail.from = "Shop <orders@shop.example>";
  mail.to = "ada@example.org";
  mail.subject = "Receipt";
  mail.text = "Hello";
  mail.html = "<p>Hello</p>";
  return mail;
}

ordering::Order an_order() {
  ordering::Order order;
  order.id = ordering::OrderId::parse("ord_01jz3s4m5e6f7g8h9jakbmcndp").value();
  order.customer_id = "17850";
  const Currency gbp = Currency::of("GBP");
  order.items = {{"MUG", "Mug <b>\"Größe\"</b> & more", 2, {850, gbp}, {1700, gbp}},
                 {"PIN", "Pin", 1, {5, gbp}, {5, gbp}}};
  order.total = {1705, gbp};
  return order;
}

TEST(Mail, HasTheHeadersAndPartsThatReadersExpect) {
  const std::string wire = encode(a_mail());
  EXPECT_THAT(wire, HasSubstr("From: \"Shop\" <orders@shop.example>\r\n"));
  EXPECT_THAT(wire, HasSubstr("Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"));
  EXPECT_THAT(wire, HasSubstr("Message-ID: <ord_1.receipt@shop.example>\r\n"));
  EXPECT_THAT(wire,
              HasSubstr("Content-Type: multipart/alternative; boundary=\"=_holdfast_ord_1.receipt\"\r\n"));
  EXPECT_LT(wire.find("text/plain"), wire.find("text/html"));
  EXPECT_TRUE(wire.ends_with("--=_holdfast_ord_1.receipt--\r\n"));
  EXPECT_EQ(encode(a_mail()), wire) << "the same mail is the same bytes";
}

TEST(Mail, NoValueCanEndAHeader) {
  Mail mail = a_mail();
  mail.subject = "Hi\r\nBcc: everyone@example.org";
  mail.to = "a@example.org\r\nX-Evil: 1";
  mail.from = "A\r\nX-Evil: 2 <orders@shop.example>";
  const std::string wire = encode(mail);
  EXPECT_THAT(wire, Not(HasSubstr("\nBcc:")));
  EXPECT_THAT(wire, Not(HasSubstr("\nX-Evil")));
}

TEST(Mail, EncodesHeadersBeyondAscii) {
  EXPECT_EQ(encode_header_text("plain"), "plain");
  EXPECT_EQ(encode_header_text("Größe"), "=?UTF-8?B?R3LDtsOfZQ==?=");
  EXPECT_EQ(encode_header_text("=?UTF-8?B?eA==?="), "=?UTF-8?B?PT9VVEYtOD9CP2VBPT0/PQ==?=");
  std::string umlauts;
  for (int i = 0; i < 60; ++i) umlauts += "ä";
  const std::string encoded = encode_header_text(umlauts);
  std::string decoded;
  std::size_t at = 0;
  while (at < encoded.size()) {
    const std::size_t end = std::min(encoded.find("\r\n ", at), encoded.size());
    const std::string word = encoded.substr(at, end - at);
    EXPECT_LE(word.size(), 75U);
    const std::string bytes = decode_base64(word.substr(10, word.size() - 12)).value();
    EXPECT_EQ(bytes.size() % 2, 0U) << "no character is cut in two";
    decoded += bytes;
    at = end + 3;
  }
  EXPECT_EQ(decoded, umlauts);
}

TEST(Mail, EncodesQuotedPrintable) {
  EXPECT_EQ(encode_quoted_printable("a=b\n"), "a=3Db\r\n");
  EXPECT_EQ(encode_quoted_printable("x \ny\t\n"), "x=20\r\ny=09\r\n");
  EXPECT_EQ(encode_quoted_printable("ä"), "=C3=A4");
  EXPECT_EQ(encode_quoted_printable(".\r\n.."), "=2E\r\n=2E.") << "no line is a dot alone";
  const std::string wrapped = encode_quoted_printable(std::string(200, 'x') + "ä");
  std::string joined;
  for (std::size_t at = 0; at < wrapped.size();) {
    const std::size_t end = std::min(wrapped.find("\r\n", at), wrapped.size());
    EXPECT_LE(end - at, 76U);
    std::string line = wrapped.substr(at, end - at);
    if (line.back() == '=') line.pop_back();
    joined += line;
    at = end + 2;
  }
  EXPECT_EQ(joined, std::string(200, 'x') + "=C3=A4");
}

TEST(Receipt, SaysWhatWasOrderedAndEscapesIt) {
  const Mail mail = mail_for(an_order(), "order.placed", "Shop <orders@shop.example>").value();
  EXPECT_EQ(mail.id, "ord_01jz3s4m5e6f7g8h9jakbmcndp.receipt");
  EXPECT_EQ(mail.to, "17850@customers.invalid");
  EXPECT_THAT(mail.text, HasSubstr("2 x Mug <b>\"Größe\"</b> & more (MUG) at 8.50 GBP: 17.00 GBP"));
  EXPECT_THAT(mail.text, HasSubstr("at 0.05 GBP: 0.05 GBP"));
  EXPECT_THAT(mail.text, HasSubstr("Total: 17.05 GBP"));
  EXPECT_THAT(mail.html, HasSubstr("Mug &lt;b&gt;&quot;Größe&quot;&lt;/b&gt; &amp; more"));
  EXPECT_THAT(mail.html, Not(HasSubstr("<b>")));
}

TEST(Receipt, WritesToTheAddressThatWasGivenAndTellsOfCancellations) {
  ordering::Order order = an_order();
  order.customer_email = "ada@example.org";
  EXPECT_EQ(mail_for(order, "order.placed", "x@y").value().to, "ada@example.org");
  EXPECT_THAT(mail_for(order, "order.cancelled", "x@y").value().subject, HasSubstr("was cancelled"));
  EXPECT_THAT(mail_for(order, "order.shipped", "x@y").value().subject, HasSubstr("on its way"));
  EXPECT_FALSE(mail_for(order, "order.somethingNew", "x@y").has_value());
}

TEST(Receipt, WaitsForThePaymentAndSaysWhyThereIsNone) {
  ordering::Order order = an_order();
  order.status = ordering::OrderStatus::pending;
  EXPECT_FALSE(mail_for(order, "order.placed", "x@y").has_value());
  order.status = ordering::OrderStatus::confirmed;
  EXPECT_EQ(mail_for(order, "order.confirmed", "x@y").value().id, order.id.text() + ".receipt");
  order.status = ordering::OrderStatus::rejected;
  order.status_reason = "card_declined";
  EXPECT_THAT(mail_for(order, "order.rejected", "x@y").value().text, HasSubstr("card declined"));
}

TEST(Receipt, ShowsMoneyInItsCurrencysDigits) {
  ordering::Order order = an_order();
  order.total = {1705, Currency::of("JPY")};
  EXPECT_THAT(mail_for(order, "order.placed", "x@y").value().text, HasSubstr("Total: 1705 JPY"));
  order.total = {5, Currency::of("KWD")};
  EXPECT_THAT(mail_for(order, "order.placed", "x@y").value().text, HasSubstr("Total: 0.005 KWD"));
}

// ---- maildir --------------------------------------------------------------------------------------

struct Post {
  sql::TemporaryFolder folder;
  SystemClock clock;
  SeededRandom random{11};
  runtime::Runtime runtime{{.loops = 1}, clock, random};
  observe::Metrics metrics;
  std::string path = (folder.path() / "mail").string();

  std::vector<std::string> files(std::string_view in) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(fs::path(path) / in))
      names.push_back(entry.path().filename());
    return names;
  }
};

TEST(Maildir, DeliversAMailOnce) {
  Post post;
  post.runtime.run([&](const Context& ctx) {
    Maildir maildir(post.runtime, {.path = post.path}, post.metrics);
    maildir.deliver(ctx, a_mail());
    maildir.deliver(ctx, a_mail());
    EXPECT_THAT(post.files("new"), ::testing::ElementsAre("ord_1.receipt"));
    EXPECT_TRUE(post.files("tmp").empty());
    EXPECT_EQ(maildir.read(ctx, "ord_1.receipt"), encode(a_mail()));
    EXPECT_FALSE(maildir.read(ctx, "ord_2.receipt").has_value());
  });
}

TEST(Maildir, AMailThatWasReadIsDelivered) {
  Post post;
  post.runtime.run([&](const Context& ctx) {
    Maildir maildir(post.runtime, {.path = post.path}, post.metrics);
    maildir.deliver(ctx, a_mail());
    fs::rename(post.path + "/new/ord_1.receipt", post.path + "/cur/ord_1.receipt:2,S");
    maildir.deliver(ctx, a_mail());
    EXPECT_TRUE(post.files("new").empty());
    EXPECT_EQ(maildir.read(ctx, "ord_1.receipt"), encode(a_mail()));
    // Another process, which has never seen it, knows it too.
    Maildir other(post.runtime, {.path = post.path}, post.metrics);
    other.deliver(ctx, a_mail());
    EXPECT_TRUE(post.files("new").empty());
  });
}

TEST(Maildir, ManyAtOnceAreMadeDurableTogether) {
  Post post;
  post.runtime.run([&](const Context& ctx) {
    Maildir maildir(post.runtime, {.path = post.path}, post.metrics);
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 100; ++i) {
      group.spawn("deliver",
                  [&, i](const Context& each) { maildir.deliver(each, a_mail("m" + std::to_string(i))); });
    }
    group.wait();
  });
  EXPECT_EQ(post.files("new").size(), 100U);
  const auto batches = post.metrics.counter("holdfast_maildir_batches_total", "").value();
  EXPECT_LT(batches, 100U);
}

TEST(Maildir, AFolderThatCantBeWrittenIsUnavailableNow) {
  Post post;
  post.runtime.run([&](const Context& ctx) {
    Maildir maildir(post.runtime, {.path = post.path}, post.metrics);
    fs::remove_all(post.path + "/tmp");
    const Error error = testing::error_of([&] { maildir.deliver(ctx, a_mail()); });
    EXPECT_EQ(error.code(), ErrorCode::unavailable);
    fs::create_directory(post.path + "/tmp");
    maildir.deliver(ctx, a_mail());
    EXPECT_EQ(post.files("new").size(), 1U);
  });
}

TEST(Maildir, NoIdLeavesTheFolder) {
  Post post;
  post.runtime.run([&](const Context& ctx) {
    Maildir maildir(post.runtime, {.path = post.path}, post.metrics);
    for (const char* id : {"../escape", ".hidden", "", "a/b"}) {
      EXPECT_EQ(testing::error_of([&] { maildir.deliver(ctx, a_mail(id)); }).code(), ErrorCode::internal)
          << id;
    }
  });
}

// ---- the subscription -----------------------------------------------------------------------------

/// Keeps what is delivered; fails as often as it is told to.
class FakeTransport final : public MailTransport {
 public:
  void deliver(const Context&, const Mail& mail) override {
    if (failures > 0) {
      --failures;
      throw Error(ErrorCode::unavailable, "not now");
    }
    delivered.push_back(mail);
  }
  std::optional<std::string> read(const Context&, std::string_view) override { return std::nullopt; }
  std::string_view name() const noexcept override { return "fake"; }
  std::vector<Mail> delivered;
  int failures = 0;
};

messaging::Message message_of(const ordering::Order& order, std::string type) {
  messaging::Message message;
  message.type = std::move(type);
  message.key = order.id.text();
  message.payload = to_json(order);
  return message;
}

TEST(Notifications, SendsAndRecordsAMailOnceHoweverOftenTheEventComes) {
  testing::with_domain([](testing::Domain& d) {
    FakeTransport transport;
    Notifications notifications(d.db, transport, {});
    transport.failures = 1;
    const auto placed = message_of(an_order(), "order.placed");
    EXPECT_THROW(notifications.handle(d.ctx, placed), Error);
    notifications.handle(d.ctx, placed);
    notifications.handle(d.ctx, placed);
    notifications.handle(d.ctx, message_of(an_order(), "order.cancelled"));
    notifications.handle(d.ctx, message_of(an_order(), "order.something_new"));
    ASSERT_EQ(transport.delivered.size(), 2U);
    const auto mails =
        d.read([&](sql::Snapshot& db) { return list(db, {.order_id = an_order().id.text()}); });
    ASSERT_EQ(mails.items.size(), 2U);
    EXPECT_EQ(mails.items[0].kind, MailKind::receipt);
    EXPECT_EQ(mails.items[1].kind, MailKind::cancellation);
    EXPECT_EQ(d.read([](sql::Snapshot& db) { return count(db).receipts; }), 1);
  });
}

TEST(Notifications, ACrashBetweenTheMailAndItsRecordSendsNothingTwice) {
  Post post;
  const auto db = sql::sqlite::open_memory(post.runtime);
  post.runtime.run([&](const Context& ctx) {
    sql::Migrator(*db, testing::domain_migrations()).up(ctx);
    const auto placed = message_of(an_order(), "order.placed");
    Maildir maildir(post.runtime, {.path = post.path}, post.metrics);
    Notifications(*db, maildir, {}).handle(ctx, placed);
    db->transact(ctx, [](sql::Transaction& tx) { tx.execute("delete from sent_mails"); });  // never written
    Notifications(*db, maildir, {}).handle(ctx, placed);
    EXPECT_EQ(post.files("new").size(), 1U);
    EXPECT_EQ(db->read(ctx, [](sql::Snapshot& snapshot) { return count(snapshot).receipts; }), 1);
  });
}

TEST(Notifications, ListsMailsByCursorAndByOrder) {
  testing::with_domain([](testing::Domain& d) {
    FakeTransport transport;
    Notifications notifications(d.db, transport, {});
    SeededRandom random(5);
    IdGenerator ids(d.clock, random);
    std::vector<std::string> orders;
    for (int i = 0; i < 5; ++i) {
      ordering::Order order = an_order();
      order.id = ids.make<ordering::OrderId>();
      orders.push_back(order.id.text());
      notifications.handle(d.ctx, message_of(order, "order.placed"));
    }
    MailQuery query;
    query.limit = 2;
    std::vector<std::string> seen;
    do {
      const auto page = d.read([&](sql::Snapshot& db) { return list(db, query); });
      for (const auto& mail : page.items) seen.push_back(mail.order_id);
      query.cursor = page.next_cursor.value_or("");
    } while (!query.cursor.empty());
    EXPECT_EQ(seen, std::vector<std::string>(orders.rbegin(), orders.rend()));
    const auto one = d.read([&](sql::Snapshot& db) { return list(db, {.order_id = orders[2]}); });
    ASSERT_EQ(one.items.size(), 1U);
    EXPECT_EQ(one.items[0].order_id, orders[2]);
  });
}

}  // namespace
}  // namespace holdfast::orders::notifications
