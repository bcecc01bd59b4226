// carriersim as its callers meet it, over HTTP.
#include "carriersim/carriersim.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <optional>

#include "holdfast/base/json.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/http/client.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::carriersim {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

/// One that runs in a folder of its own.
class Running {
 public:
  Running(const Context& context, runtime::Runtime& the_runtime, Settings given)
      : ctx(context),
        runtime(the_runtime),
        settings(std::move(given)),
        log({.level = observe::LogLevel::off}, the_runtime.clock()),
        client(the_runtime, {}) {
    start();
  }
  ~Running() { stop(); }
  void start() {
    carrier.emplace(settings, runtime, log);
    carrier->start(ctx);
  }
  void stop() {
    if (carrier) carrier->stop(ctx);
    carrier.reset();
  }

  http::ClientResponse send(http::Method method, const std::string& target, std::string body,
                            std::vector<http::ResponseHeader> headers, Duration timeout = 20s) {
    return client.send(ctx, {.method = method,
                             .url = carrier->url() + target,
                             .headers = std::move(headers),
                             .body = std::move(body),
                             .timeout = timeout});
  }
  std::string form(const std::string& path, const std::string& text, const std::string& password = {}) {
    return send(http::Method::post, "/cgi-bin/" + path, text,
                {{"Content-Type", "text/plain"}, {"X-Kennwort", password}})
        .body;
  }
  std::string book(const std::string& reference, const std::string& street = "1 St") {
    return form("sendung", "FORM=SNDNEU\nKUNNR=0000004711\nXREF=" + reference +
                               "\nNAME1=Ada\nNAME2=\nADRESSE=" + street +
                               "|London|LDN|N1\nLAND1=GB\nNETWR=17.00\nWAERK=GBP\nX_FLAG_2=X\nANZPOS=2\n"
                               "MATNR=MUG\nMENGE=2\nMATNR=PLATE\nMENGE=1\n");
  }
  std::string ask(const std::string& reference) {
    return form("auskunft", "FORM=SNDAUS\nKUNNR=0000004711\nXREF=" + reference + "\n");
  }
  std::string cancel(const std::string& number) {
    return form("storno", "FORM=SNDSTO\nKUNNR=0000004711\nSNDNR=" + number + "\n");
  }
  http::ClientResponse control(http::Method method, const std::string& path, std::string body = "{}") {
    return send(method, "/carriersim/" + path, method == http::Method::get ? "" : std::move(body),
                {{"Content-Type", "application/json"}});
  }
  void behave(const std::string& json) {
    const auto answer = control(http::Method::put, "behaviour", json);
    ASSERT_EQ(answer.status, 200) << answer.body;
  }

  Context ctx;
  runtime::Runtime& runtime;
  Settings settings;
  observe::Log log;
  http::Client client;
  std::optional<Carriersim> carrier;
};

void with_carrier(const std::function<void(Running&)>& body, Settings settings = {}) {
  const sql::TemporaryFolder folder;
  settings.address = "127.0.0.1:0";
  settings.data = (folder.path() / "data").string();
  SystemClock clock;
  SeededRandom random(5);
  runtime::Runtime runtime({.loops = 1}, clock, random);
  runtime.run([&](const Context& ctx) {
    Running running(ctx, runtime, settings);
    body(running);
  });
}

std::string line_of(const std::string& form, const std::string& field) {
  const std::size_t at = form.find("\n" + field + "=");
  if (at == std::string::npos) return "";
  const std::size_t from = at + field.size() + 2;
  return form.substr(from, form.find('\r', from) - from);
}

TEST(Carriersim, BooksTellsAndCancels) {
  with_carrier([](Running& c) {
    const std::string booked = c.book("r1");
    EXPECT_EQ(line_of(booked, "RC"), "00") << booked;
    EXPECT_EQ(line_of(booked, "STATUS"), "A");
    const std::string number = line_of(booked, "SNDNR");
    EXPECT_EQ(line_of(booked, "BOLNR"), "LC" + number);
    EXPECT_EQ(line_of(c.ask("r1"), "SNDNR"), number);
    EXPECT_EQ(line_of(c.ask("r2"), "ANZSND"), "0");
    EXPECT_EQ(line_of(c.cancel(number), "STATUS"), "S");
    EXPECT_EQ(line_of(c.cancel(number), "RC"), "00") << "again changes nothing";
    EXPECT_EQ(line_of(c.cancel("0000000001"), "RC"), "08");
    EXPECT_EQ(line_of(c.ask("r1"), "STATUS"), "S");
  });
}

TEST(Carriersim, BooksTwiceWhatIsSentTwice) {
  with_carrier([](Running& c) {
    c.book("r1");
    c.book("r1");
    EXPECT_EQ(line_of(c.ask("r1"), "ANZSND"), "2");
    EXPECT_THAT(c.control(http::Method::get, "book").body, HasSubstr(R"("duplicated":1)"));
  });
}

TEST(Carriersim, WhatHasArrivedCantBeCancelled) {
  with_carrier([](Running& c) {
    const std::string number = line_of(c.book("r1"), "SNDNR");
    EXPECT_EQ(c.control(http::Method::post, "deliver/" + std::to_string(std::stoll(number))).status, 204);
    EXPECT_EQ(line_of(c.ask("r1"), "STATUS"), "Z");
    EXPECT_EQ(line_of(c.cancel(number), "RC"), "07");
  });
}

TEST(Carriersim, AnswersWhatIsNoFormOrNoCustomerWithACode) {
  Settings settings;
  settings.password = "open sesame";
  with_carrier(
      [](Running& c) {
        const std::string ask = "FORM=SNDAUS\nKUNNR=0000004711\nXREF=r\n";
        EXPECT_EQ(line_of(c.form("auskunft", ask), "RC"), "05") << "without a password";
        EXPECT_EQ(line_of(c.form("auskunft", ask, "open sesame"), "RC"), "00");
        EXPECT_EQ(line_of(c.form("auskunft", "FORM=SNDAUS\nKUNNR=0000000001\nXREF=r\n", "open sesame"), "RC"),
                  "05");
        for (const char* bad : {"FORM=", "{}", "FORM=SNDAUS\n", "FORM=SNDNEU\nKUNNR=0000004711\nXREF=r\n"})
          EXPECT_EQ(line_of(c.form("auskunft", bad, "open sesame"), "RC"), "06") << bad;
        EXPECT_EQ(line_of(c.form("sendung", "FORM=SNDNEU\nKUNNR=0000004711\nXREF=\n", "open sesame"), "RC"),
                  "06");
      },
      settings);
}

TEST(Carriersim, RemembersOverARestart) {
  with_carrier([](Running& c) {
    const std::string number = line_of(c.book("r1"), "SNDNR");
    c.stop();
    c.start();
    EXPECT_EQ(line_of(c.ask("r1"), "SNDNR"), number);
    EXPECT_NE(line_of(c.book("r2"), "SNDNR"), number);
  });
}

TEST(Carriersim, MisbehavesAsToldAndDoesWhatItSays) {
  with_carrier([](Running& c) {
    const auto bookings = [&](const char* reference) {
      c.behave("{}");
      return line_of(c.ask(reference), "ANZSND");
    };
    c.behave(R"({"rules":[{"action":"drop_after"}]})");
    EXPECT_THROW(c.book("after"), Error);
    EXPECT_EQ(bookings("after"), "1");
    c.behave(R"({"rules":[{"action":"drop_before"}]})");
    EXPECT_THROW(c.book("before"), Error);
    EXPECT_EQ(bookings("before"), "0");
    c.behave(R"({"rules":[{"action":"busy"}]})");
    EXPECT_EQ(line_of(c.book("busy"), "RC"), "12");
    EXPECT_EQ(bookings("busy"), "0");
    c.behave(R"({"rules":[{"action":"refuse"}]})");
    EXPECT_EQ(line_of(c.book("refused"), "RC"), "04");
    EXPECT_EQ(bookings("refused"), "0");
    c.behave(R"({"rules":[{"action":"malformed"}]})");
    EXPECT_THAT(c.book("malformed"), Not(HasSubstr("SNDNR")));
    EXPECT_EQ(bookings("malformed"), "1");
    c.behave(R"({"rules":[{"action":"error","status":503}]})");
    EXPECT_THAT(c.book("error"), HasSubstr("told to fail"));
    EXPECT_EQ(bookings("error"), "0");
  });
}

/// A caller that gives up does not keep it from being booked.
TEST(Carriersim, BooksLateWhatNobodyWaitsForAnyMore) {
  with_carrier([](Running& c) {
    c.behave(R"({"rules":[{"action":"delay","ms":1500,"operation":"book"}]})");
    EXPECT_THROW(
        c.send(http::Method::post, "/cgi-bin/sendung",
               "FORM=SNDNEU\nKUNNR=0000004711\nXREF=late\nNAME1=A\nNAME2=\nADRESSE=a|b|c|d\nLAND1=GB\n"
               "NETWR=1.00\nWAERK=GBP\nX_FLAG_2=\nANZPOS=0\n",
               {{"Content-Type", "text/plain"}}, 500ms),
        Error);
    for (int i = 0; i < 1000 && line_of(c.ask("late"), "ANZSND") == "0"; ++i) runtime::sleep_for(c.ctx, 10ms);
    EXPECT_EQ(line_of(c.ask("late"), "ANZSND"), "1");
  });
}

/// Stopping ends what hangs.
TEST(Carriersim, StopsWhileItHangs) {
  with_carrier([](Running& c) {
    c.behave(R"({"rules":[{"action":"hang","operation":"book"}]})");
    runtime::FiberGroup group(c.ctx);
    bool ended = false;
    group.spawn("caller", [&](const Context&) {
      EXPECT_THROW(c.book("hangs"), Error);
      ended = true;
    });
    runtime::sleep_for(c.ctx, 50ms);
    EXPECT_FALSE(ended);
    EXPECT_TRUE(c.carrier->stop(c.ctx));
    group.wait();
    EXPECT_TRUE(ended);
  });
}

TEST(Carriersim, ShowsItsBookAPageAtATimeAndForgetsItWhenTold) {
  with_carrier([](Running& c) {
    for (int i = 0; i < 3; ++i) c.book("r" + std::to_string(i));
    const auto first = c.control(http::Method::get, "book?limit=2");
    EXPECT_THAT(first.body, HasSubstr(R"("bookings":3)"));
    EXPECT_THAT(first.body, Not(HasSubstr(R"("reference":"r2")")));
    const std::int64_t next = JsonDocument::parse(first.body).root().find("next")->as_int64();
    EXPECT_THAT(c.control(http::Method::get, "book?after=" + std::to_string(next)).body,
                HasSubstr(R"("reference":"r2")"));
    EXPECT_EQ(c.send(http::Method::post, "/carriersim/reset", "{}", {{"Content-Type", "text/plain"}}).status,
              415)
        << "no form of a page sends JSON";
    EXPECT_EQ(c.control(http::Method::post, "reset").status, 200);
    EXPECT_THAT(c.control(http::Method::get, "book").body, HasSubstr(R"("bookings":0)"));
    EXPECT_EQ(c.control(http::Method::put, "behaviour", R"({"rules":[{"action":"explode"}]})").status, 400);
  });
}

TEST(Carriersim, RefusesSettingsThatMakeNoSense) {
  for (const char* number : {"", "x", "0", "12345678901"}) {
    Settings settings;
    settings.customer_number = number;
    EXPECT_THROW(with_carrier([](Running&) {}, settings), Error) << number;
  }
}

}  // namespace
}  // namespace holdfast::carriersim
