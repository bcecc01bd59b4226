#include "holdfast/observe/redact.hpp"

#include <gtest/gtest.h>

namespace holdfast::observe {
namespace {

TEST(Redact, KnowsSecretsByName) {
  for (const char* name :
       {"password", "userPassword", "DB_PASSWORD", "api-key", "apiKey", "X-API-Key", "Authorization",
        "set-cookie", "accessToken", "client_secret", "privateKey", "passphrase", "credentials"}) {
    EXPECT_TRUE(names_a_secret(name)) << name;
  }
  for (const char* name :
       {"", "orderId", "path", "key", "idempotencyKey", "author", "pass", "status", "sku", "toke"}) {
    EXPECT_FALSE(names_a_secret(name)) << name;
  }
}

TEST(Redact, MasksCredentialsAndAddresses) {
  EXPECT_EQ(redact("Authorization: Bearer abc.DEF-1_~+/= rest"), "Authorization: Bearer *** rest");
  EXPECT_EQ(redact("basic dXNlcjpw"), "basic ***");
  EXPECT_EQ(redact("to jane.doe+x@mail.example.com, cc x@y.org."),
            "to j***@mail.example.com, cc x***@y.org.");
  EXPECT_EQ(redact("a@b.c@d.e"), "a***@b.c@d.e");
}

TEST(Redact, LeavesOtherTextsAlone) {
  for (const char* text :
       {"", "@", "a@", "@b.c", "user@localhost", "forbearer x", "bearer", "bearer  ", "5 @ 3.20"}) {
    EXPECT_FALSE(needs_redaction(text)) << text;
    EXPECT_EQ(redact(text), text);
  }
}

TEST(Redact, AgreesWithItsOwnTest) {
  for (const char* text : {"Bearer x", "a b@c.d", "plain", "x@y.z"}) {
    EXPECT_EQ(needs_redaction(text), redact(text) != text) << text;
  }
}

}  // namespace
}  // namespace holdfast::observe
