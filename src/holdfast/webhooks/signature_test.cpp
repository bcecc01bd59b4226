#include "holdfast/webhooks/signature.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"

namespace holdfast::webhooks {
namespace {

using namespace std::chrono_literals;

WallTime at(std::int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

// ---- Stripe: the text signed is "t.body", the key the secret's text; the value was made with Python's hmac.

constexpr std::string_view kStripeBody = R"({"id":"evt_test_webhook","object":"event"})";
constexpr std::string_view kStripeMac = "88a022085c6bdb887b02cb26ff76dd681234d9675c0f22844059f55552a8883a";
const WallTime kStripeTime = at(1492774577);
const std::vector<std::string> kStripeSecrets = {"whsec_test_secret"};
const std::string kStripeHeader = "t=1492774577,v1=" + std::string(kStripeMac);

Verdict stripe(std::string_view header, WallTime now = kStripeTime) {
  return verify_stripe(kStripeSecrets, header, kStripeBody, now);
}

TEST(StripeSignature, SignsAsStripeDoes) {
  EXPECT_EQ(sign_stripe("whsec_test_secret", kStripeBody, kStripeTime), kStripeHeader);
  EXPECT_EQ(stripe(kStripeHeader), Verdict::genuine);
}

TEST(StripeSignature, RefusesAnotherBodyTimeOrSecret) {
  EXPECT_EQ(verify_stripe(kStripeSecrets, kStripeHeader, "{}", kStripeTime), Verdict::bad_signature);
  EXPECT_EQ(stripe("t=1492774578,v1=" + std::string(kStripeMac)), Verdict::bad_signature);
  EXPECT_EQ(verify_stripe(std::vector<std::string>{"other"}, kStripeHeader, kStripeBody, kStripeTime),
            Verdict::bad_signature);
  EXPECT_EQ(verify_stripe({}, kStripeHeader, kStripeBody, kStripeTime), Verdict::bad_signature);
}

TEST(StripeSignature, AnEmptySecretMatchesNothing) {
  const std::string forged = sign_stripe("", kStripeBody, kStripeTime);
  EXPECT_EQ(verify_stripe(std::vector<std::string>{""}, forged, kStripeBody, kStripeTime),
            Verdict::bad_signature);
}

TEST(StripeSignature, TakesEitherSecretWhileTheyAreRotated) {
  const std::vector<std::string> both = {"whsec_new", "whsec_test_secret"};
  EXPECT_EQ(verify_stripe(both, kStripeHeader, kStripeBody, kStripeTime), Verdict::genuine);
  const std::string signed_twice =
      sign_stripe("whsec_old", kStripeBody, kStripeTime) + ",v1=" + std::string(kStripeMac);
  EXPECT_EQ(stripe(signed_twice), Verdict::genuine);
}

TEST(StripeSignature, IsStaleAfterFiveMinutesEitherWay) {
  EXPECT_EQ(stripe(kStripeHeader, kStripeTime + 5min), Verdict::genuine);
  EXPECT_EQ(stripe(kStripeHeader, kStripeTime + 5min + 1s), Verdict::stale);
  EXPECT_EQ(stripe(kStripeHeader, kStripeTime - 5min - 1s), Verdict::stale);
  EXPECT_EQ(verify_stripe(kStripeSecrets, kStripeHeader, "{}", kStripeTime + 1h), Verdict::bad_signature);
}

TEST(StripeSignature, PassesOverOtherSchemes) {
  EXPECT_EQ(stripe(kStripeHeader + ",v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"),
            Verdict::genuine);
  EXPECT_EQ(stripe("t=1492774577,v0=" + std::string(kStripeMac)), Verdict::malformed);
}

TEST(StripeSignature, IsReadStrictly) {
  const std::string mac(kStripeMac);
  for (const std::string& header :
       {std::string(), std::string("t=1492774577"), "v1=" + mac, "t=01492774577,v1=" + mac,
        "t=+1492774577,v1=" + mac, "t=-1492774577,v1=" + mac, "t=1492774577 ,v1=" + mac, "t=,v1=" + mac,
        "t=149277457700,v1=" + mac, "t=1492774577,t=1492774577,v1=" + mac, kStripeHeader + ",",
        kStripeHeader + ",junk", "t=1492774577,v1=" + mac.substr(2), "t=1492774577,v1=zz" + mac.substr(2),
        "t=1492774577, v1=" + mac, kStripeHeader + ",v0=" + std::string(kMaxSignatureHeaderBytes, '0')}) {
    EXPECT_EQ(stripe(header), Verdict::malformed) << header;
  }
  std::string many = "t=1492774577";
  for (std::size_t i = 0; i < kMaxSignatures; ++i) many += ",v1=" + mac;
  EXPECT_EQ(stripe(many), Verdict::genuine);
  EXPECT_EQ(stripe(many + ",v1=" + mac), Verdict::malformed);
}

// ---- Standard Webhooks: the vector of the reference libraries.

constexpr std::string_view kStandardBody = R"({"test": 2432232314})";
const WallTime kStandardTime = at(1614265330);
const StandardHeaders kStandard = {.id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                   .timestamp = "1614265330",
                                   .signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="};
std::vector<StandardSecret> standard_secrets() {
  return {*StandardSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")};
}

Verdict standard(StandardHeaders headers, WallTime now = kStandardTime) {
  return verify_standard(standard_secrets(), headers, kStandardBody, now);
}

StandardHeaders with_signature(std::string signature) {
  StandardHeaders headers = kStandard;
  headers.signature = std::move(signature);
  return headers;
}

TEST(StandardSignature, SignsAsTheReferenceLibrariesDo) {
  const StandardHeaders made = sign_standard(standard_secrets(), kStandard.id, kStandardBody, kStandardTime);
  EXPECT_EQ(made.id, kStandard.id);
  EXPECT_EQ(made.timestamp, kStandard.timestamp);
  EXPECT_EQ(made.signature, kStandard.signature);
  EXPECT_EQ(standard(kStandard), Verdict::genuine);
}

TEST(StandardSignature, RefusesAnotherIdTimeBodyOrSecret) {
  StandardHeaders other_id = kStandard;
  other_id.id = "msg_other";
  EXPECT_EQ(standard(other_id), Verdict::bad_signature);
  StandardHeaders other_time = kStandard;
  other_time.timestamp = "1614265331";
  EXPECT_EQ(standard(other_time), Verdict::bad_signature);
  EXPECT_EQ(verify_standard(standard_secrets(), kStandard, "{}", kStandardTime), Verdict::bad_signature);
  SeededRandom random(1);
  const std::vector<StandardSecret> others = {StandardSecret::make(random)};
  EXPECT_EQ(verify_standard(others, kStandard, kStandardBody, kStandardTime), Verdict::bad_signature);
}

TEST(StandardSignature, IsStaleAfterFiveMinutesEitherWay) {
  EXPECT_EQ(standard(kStandard, kStandardTime + 5min), Verdict::genuine);
  EXPECT_EQ(standard(kStandard, kStandardTime + 5min + 1s), Verdict::stale);
  EXPECT_EQ(standard(kStandard, kStandardTime - 5min - 1s), Verdict::stale);
}

TEST(StandardSignature, IsMadeByEachSecretWhileTheyAreRotated) {
  SeededRandom random(1);
  const std::vector<StandardSecret> both = {StandardSecret::make(random), standard_secrets()[0]};
  const StandardHeaders made = sign_standard(both, "msg_1", kStandardBody, kStandardTime);
  for (const StandardSecret& one : both) {
    EXPECT_EQ(verify_standard(std::vector{one}, made, kStandardBody, kStandardTime), Verdict::genuine);
  }
}

TEST(StandardSignature, IsReadStrictly) {
  const std::string good = kStandard.signature;
  EXPECT_EQ(standard(with_signature("v1a,bm9wZQ== " + good)), Verdict::genuine);
  for (const std::string& bad :
       {std::string(), std::string("v1"), std::string("v1,"), std::string("v2,") + good.substr(3), good + " ",
        " " + good, good + "  " + good, good + " junk", good.substr(0, good.size() - 1)}) {
    EXPECT_EQ(standard(with_signature(bad)), Verdict::malformed) << bad;
  }
  StandardHeaders dotted = kStandard;
  dotted.id = "msg.1";
  EXPECT_EQ(standard(dotted), Verdict::malformed);
  dotted.id.clear();
  EXPECT_EQ(standard(dotted), Verdict::malformed);
  StandardHeaders timeless = kStandard;
  timeless.timestamp = "1614265330.0";
  EXPECT_EQ(standard(timeless), Verdict::malformed);
}

TEST(StandardSignature, WillNotSignWhatCanBeReadInTwoWays) {
  EXPECT_THROW(sign_standard(standard_secrets(), "a.b", "", kStandardTime), Error);
  EXPECT_THROW(sign_standard({}, "a", "", kStandardTime), Error);
}

TEST(StandardSecret, IsWrittenAndReadBack) {
  SystemRandom random;
  const StandardSecret made = StandardSecret::make(random);
  const auto read = StandardSecret::parse(made.text());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->key(), made.key());
  EXPECT_EQ(made.key().size(), 32U);
  EXPECT_FALSE(StandardSecret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
  EXPECT_FALSE(StandardSecret::parse("whsec_AAAA"));
  EXPECT_FALSE(StandardSecret::parse("whsec_" + std::string(100, 'A')));
}

}  // namespace
}  // namespace holdfast::webhooks
