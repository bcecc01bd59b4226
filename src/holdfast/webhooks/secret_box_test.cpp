#include "holdfast/webhooks/secret_box.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"

namespace holdfast::webhooks {
namespace {

std::string key(const std::string& id, char fill) {
  return id + ":" + encode_base64(as_bytes(std::string(32, fill)));
}

std::string reason_of(const std::vector<std::string>& keys) {
  try {
    const SecretBox box(keys);
    return "";
  } catch (const Error& error) {
    for (const std::string& each : keys) {
      if (each.size() > 40) {
        EXPECT_EQ(std::string(error.what()).find(each.substr(each.find(':') + 1)), std::string::npos);
      }
    }
    return std::string(error.reason());
  }
}

TEST(SecretBox, OpensWhatItSealed) {
  SeededRandom random(1);
  const SecretBox box({key("a", 'a')});
  const std::string sealed = box.seal(random, "whs_1", "whsec_secret");
  EXPECT_TRUE(sealed.starts_with("enc1.a."));
  EXPECT_EQ(sealed.find("whsec_"), std::string::npos);
  EXPECT_EQ(box.open("whs_1", sealed), "whsec_secret");
  EXPECT_NE(box.seal(random, "whs_1", "whsec_secret"), sealed) << "a nonce is used once";
  EXPECT_EQ(box.open("whs_1", box.seal(random, "whs_1", "")), "");
}

// Test case 14 of McGrew and Viega, "The Galois/Counter Mode of Operation".
TEST(SecretBox, IsAes256Gcm) {
  const SecretBox box({key("k", '\0')});
  const std::string sealed =
      decode_hex("000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
          .value();
  EXPECT_EQ(box.open("", "enc1.k." + encode_base64url(as_bytes(sealed))), std::string(16, '\0'));
}

TEST(SecretBox, OpensNothingThatWasTouchedOrMoved) {
  SeededRandom random(1);
  const SecretBox box({key("a", 'a')});
  const std::string sealed = box.seal(random, "whs_1", "whsec_secret");
  EXPECT_EQ(box.open("whs_2", sealed), std::nullopt) << "it is of another row";
  const std::string raw = decode_base64url(sealed.substr(7)).value();
  for (std::size_t i = 0; i < raw.size(); ++i) {
    std::string touched = raw;
    touched[i] = static_cast<char>(touched[i] ^ 1);
    EXPECT_EQ(box.open("whs_1", "enc1.a." + encode_base64url(as_bytes(touched))), std::nullopt) << i;
  }
  for (const char* torn : {"enc1.", "enc1.a", "enc1.a.", "enc1.a.AAAA", "enc1.a.!", "enc1..x"})
    EXPECT_EQ(box.open("whs_1", torn), std::nullopt) << torn;
  EXPECT_EQ(SecretBox({key("a", 'b')}).open("whs_1", sealed), std::nullopt) << "another key of that id";
  EXPECT_EQ(SecretBox({key("b", 'a')}).open("whs_1", sealed), std::nullopt) << "a key it does not know";
}

TEST(SecretBox, ItsKeyIsChangedByPuttingTheNewOneInFront) {
  SeededRandom random(1);
  const SecretBox before({key("old", 'o')});
  const SecretBox after = SecretBox::parse(key("new", 'n') + " , " + key("old", 'o'));
  const std::string sealed = before.seal(random, "whs_1", "secret");
  EXPECT_EQ(after.open("whs_1", sealed), "secret");
  EXPECT_TRUE(after.is_outdated(sealed));
  EXPECT_TRUE(after.is_outdated("whsec_plain"));
  const std::string anew = after.seal(random, "whs_1", "secret");
  EXPECT_TRUE(anew.starts_with("enc1.new."));
  EXPECT_FALSE(after.is_outdated(anew));
}

TEST(SecretBox, WithoutAKeySecretsStayAsTheyAre) {
  SeededRandom random(1);
  const SecretBox none = SecretBox::parse("  ");
  EXPECT_FALSE(none.has_key());
  EXPECT_EQ(none.seal(random, "whs_1", "whsec_plain"), "whsec_plain");
  EXPECT_EQ(none.open("whs_1", "whsec_plain"), "whsec_plain");
  EXPECT_EQ(SecretBox({key("a", 'a')}).open("whs_1", "whsec_plain"), "whsec_plain") << "from before";
  EXPECT_FALSE(none.is_outdated("whsec_plain"));
}

TEST(SecretBox, RefusesKeysThatAreNone) {
  EXPECT_EQ(reason_of({key("a", 'a'), key("b", 'b')}), "");
  const std::string invalid = "secret_key_invalid";
  EXPECT_EQ(reason_of({"a"}), invalid);
  EXPECT_EQ(reason_of({":" + key("", 'a')}), invalid);
  EXPECT_EQ(reason_of({key("a.b", 'a')}), invalid);
  EXPECT_EQ(reason_of({key("a", 'a'), key("a", 'b')}), invalid);
  EXPECT_EQ(reason_of({"a:" + encode_base64(as_bytes(std::string(31, 'a')))}), invalid);
  EXPECT_EQ(reason_of({"a:not base64, and far too long to be mistaken for one"}), invalid);
  EXPECT_EQ(reason_of(std::vector<std::string>(17, "a:")), invalid);
}

}  // namespace
}  // namespace holdfast::webhooks
