// utf8, encoding, digest, time_text, id, money: the small forms in which values are written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/base/utf8.hpp"

namespace holdfast {
namespace {

using namespace std::chrono_literals;

TEST(Utf8, AcceptsWhatRfc3629DefinesAndNothingElse) {
  for (const std::string_view good :
       {"", "plain ascii, long enough", "naïve", "\U0010FFFF", "\xEE\x80\x80", "\xED\x9F\xBF"}) {
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  }
  for (const std::string_view bad :
       {"\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
        "\xF8\x88\x80\x80\x80", "\xC3", "12345678\xFF", "\xE2\x82"}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << encode_hex(as_bytes(bad));
  }
  EXPECT_EQ(code_points("naïve\U0001F600"), 6U);
  EXPECT_TRUE(has_control_characters("a\tb"));
  EXPECT_TRUE(has_control_characters("a\xC2\x85"));
  EXPECT_TRUE(has_control_characters("\x7F"));
  EXPECT_FALSE(has_control_characters("aé\xC2\xA0"));
}

TEST(Utf8, APrefixCutsNoSequenceInTwo) {
  EXPECT_EQ(utf8_prefix("short", 5), "short");
  EXPECT_EQ(utf8_prefix("longer", 4), "long");
  const std::string_view text = "aé\U0001F600z";  // 1 + 2 + 4 + 1 bytes
  const std::size_t ends[] = {0, 1, 1, 3, 3, 3, 3, 7, 8, 8};
  for (std::size_t most = 0; most < std::size(ends); ++most) {
    EXPECT_EQ(utf8_prefix(text, most), text.substr(0, ends[most])) << most;
  }
  EXPECT_EQ(utf8_prefix("\x80\x80\x80\x80\x80\x80", 5).size(), 5U);
}

TEST(Encoding, Base64MeetsTheVectorsOfRfc4648) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    EXPECT_EQ(encode_base64(as_bytes(plain)), coded);
    EXPECT_EQ(decode_base64(coded), plain);
    EXPECT_EQ(decode_base64url(encode_base64url(as_bytes(plain))), plain);
  }
  EXPECT_EQ(encode_base64url(as_bytes("\xFB\xFF")), "-_8");
  for (const std::string_view bad : {"Zg", "Zg=", "Zh==", "Zm 9", "Z===", "====", "Zm9v\n", "-_8="}) {
    EXPECT_FALSE(decode_base64(bad)) << bad;
  }
  for (const std::string_view bad : {"Zg==", "Zh", "+/8", "Z"}) EXPECT_FALSE(decode_base64url(bad)) << bad;
}

TEST(Encoding, HexAndBase32AreStrict) {
  EXPECT_EQ(encode_hex(as_bytes("\x01\xAB")), "01ab");
  EXPECT_EQ(decode_hex("01aB"), "\x01\xAB");
  EXPECT_FALSE(decode_hex("1"));
  EXPECT_FALSE(decode_hex("0g"));

  Bytes16 bytes;
  bytes.fill(0xFF);
  std::string text;
  append_base32(text, bytes);
  EXPECT_EQ(text, "7zzzzzzzzzzzzzzzzzzzzzzzzz");
  EXPECT_EQ(decode_base32(text), bytes);
  EXPECT_FALSE(decode_base32("8zzzzzzzzzzzzzzzzzzzzzzzzz"));
  EXPECT_FALSE(decode_base32("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
  EXPECT_FALSE(decode_base32("7zzzzzzzzzzzzzzzzzzzzzzzzi"));
  EXPECT_FALSE(decode_base32("7zzzzzzzzzzzzzzzzzzzzzzzz"));
}

TEST(Digest, IsSha256) {
  EXPECT_EQ(encode_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  pieces.update("a").update("").update("bc");
  EXPECT_EQ(pieces.finish(), sha256("abc"));
  EXPECT_EQ(pieces.finish(), sha256(""));
  EXPECT_TRUE(equal_in_constant_time(sha256("a"), sha256("a")));
  EXPECT_FALSE(equal_in_constant_time(sha256("a"), sha256("b")));
  EXPECT_FALSE(equal_in_constant_time(as_bytes("a"), as_bytes("ab")));
}

TEST(TimeText, Rfc3339IsReadStrictlyAndWrittenInUtc) {
  const auto round = [](std::string_view text) {
    const auto at = parse_rfc3339(text);
    return at ? format_rfc3339(*at) : "refused";
  };
  EXPECT_EQ(round("2026-01-31T12:30:00Z"), "2026-01-31T12:30:00Z");
  EXPECT_EQ(round("2026-01-31t12:30:00.00025+02:00"), "2026-01-31T10:30:00.000250Z");
  EXPECT_EQ(round("1969-12-31T23:59:59.9999999Z"), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(round("2024-02-29T00:00:00-23:59"), "2024-02-29T23:59:00Z");
  EXPECT_EQ(round("2016-12-31T23:59:60Z"), "2017-01-01T00:00:00Z");
  for (const std::string_view bad :
       {"", "2026-01-31", "2026-01-31T12:30Z", "2026-01-31 12:30:00Z", "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T12:30:00", "2026-01-31T12:30:00.Z",
        "2026-01-31T12:30:00+24:00", "2026-01-31T12:30:00Zx", "+026-01-31T12:30:00Z", "2026-01-31T12:30:61Z",
        "2026-01-31T12:30:00+0200"}) {
    EXPECT_EQ(round(bad), "refused") << bad;
  }
}

TEST(TimeText, HttpDatesInAllThreeForms) {
  const auto at = parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT");
  ASSERT_TRUE(at);
  EXPECT_EQ(format_rfc3339(*at), "1994-11-06T08:49:37Z");
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"), at);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994"), at);
  EXPECT_EQ(format_http_date(*at + 1us), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_FALSE(parse_http_date("Sun, 06 Nov 1994 08:49:37"));
  EXPECT_FALSE(parse_http_date("Sun, 31 Feb 1994 08:49:37 GMT"));
}

using OrderId = Id<"ord">;

TEST(Id, TextIsStrictAndKeepsOrder) {
  ManualClock clock;
  SeededRandom random(1);
  IdGenerator ids(clock, random);
  const auto first = ids.make<OrderId>();
  clock.advance(1ms);
  const auto second = ids.make<OrderId>();
  EXPECT_LT(first, second);
  EXPECT_LT(first.text(), second.text());
  EXPECT_EQ(first.text().size(), OrderId::kTextLength);
  EXPECT_EQ(OrderId::parse(first.text()), first);
  EXPECT_FALSE(Id<"cus">::parse(first.text()));
  EXPECT_FALSE(OrderId::parse(first.text() + "0"));
  EXPECT_FALSE(OrderId::parse("ORD" + first.text().substr(3)));
  EXPECT_TRUE(OrderId().is_nil());
  EXPECT_EQ(TextForm<OrderId>::schema.pattern, "^ord_[0-7][0-9a-hjkmnp-tv-z]{25}$");
  EXPECT_TRUE(OrderId::parse(TextForm<OrderId>::schema.example));
  EXPECT_EQ(first.bytes()[6] >> 4, 7) << "version";
  EXPECT_EQ(first.bytes()[8] >> 6, 2) << "variant";
}

TEST(Id, AscendsWhileTheClockStandsStillOrGoesBack) {
  class GoingBack final : public Clock {
   public:
    Instant now() const noexcept override { return {}; }
    WallTime wall_now() const noexcept override { return WallTime(1h - std::chrono::milliseconds(calls_++)); }

   private:
    mutable int calls_ = 0;
  };
  GoingBack clock;
  SeededRandom random(2);
  IdGenerator ids(clock, random);
  auto last = ids.make<OrderId>();
  for (int i = 0; i < 10'000; ++i) {
    const auto next = ids.make<OrderId>();
    ASSERT_LT(last, next);
    last = next;
  }
}

TEST(Id, IsUniqueAcrossThreads) {
  SystemClock clock;
  SystemRandom random;
  IdGenerator ids(clock, random);
  std::vector<OrderId> made[2];
  {
    std::jthread a([&] {
      for (int i = 0; i < 5'000; ++i) made[0].push_back(ids.make<OrderId>());
    });
    std::jthread b([&] {
      for (int i = 0; i < 5'000; ++i) made[1].push_back(ids.make<OrderId>());
    });
  }
  std::set<OrderId> all(made[0].begin(), made[0].end());
  all.insert(made[1].begin(), made[1].end());
  EXPECT_EQ(all.size(), 10'000U);
}

TEST(Money, RefusesOverflowAndMixedCurrencies) {
  const Money pound{100, Currency::of("GBP")};
  EXPECT_EQ(pound + pound * 2 - pound, (Money{200, Currency::of("GBP")}));
  const auto reason = [](auto&& operation) -> std::string {
    try {
      operation();
    } catch (const Error& error) {
      return std::string(error.reason());
    }
    return "none";
  };
  EXPECT_EQ(reason([&] { (void)(pound + Money{1, Currency::of("EUR")}); }), "currency_mismatch");
  EXPECT_EQ(reason([&] { (void)(pound * INT64_MAX); }), "money_overflow");
  EXPECT_EQ(reason([&] { (void)(Money{INT64_MIN, pound.currency} - pound); }), "money_overflow");
  EXPECT_FALSE(Currency::parse("gbp"));
  EXPECT_FALSE(Currency::parse("GBPX"));
}

}  // namespace
}  // namespace holdfast
