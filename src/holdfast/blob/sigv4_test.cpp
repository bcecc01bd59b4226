// The vectors that AWS publishes: "Signature Calculations for the Authorization Header" of the S3 API
// reference, and the aws-sig-v4-test-suite.
#include <gtest/gtest.h>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/blob/internal/sigv4.hpp"

namespace holdfast::blob {
namespace {

using namespace std::chrono;

constexpr SigningKey kS3Key{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
constexpr SigningScope kS3{"us-east-1", "s3"};
constexpr WallTime kS3Day{sys_days(2013y / May / 24)};
constexpr SigningKey kSuiteKey{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
constexpr SigningScope kSuite{"us-east-1", "service"};
constexpr WallTime kSuiteTime{sys_days(2015y / August / 30) + 12h + 36min};

SignedRequest s3_request(std::string method, std::string path, std::string_view body = "") {
  SignedRequest request{.method = std::move(method),
                        .path = std::move(path),
                        .query = {},
                        .headers = {},
                        .payload_sha256 = encode_hex(sha256(body))};
  request.headers = {{"Host", "examplebucket.s3.amazonaws.com"},
                     {"x-amz-date", amz_date(kS3Day)},
                     {"x-amz-content-sha256", request.payload_sha256}};
  return request;
}

SignedRequest suite_request(std::string method) {
  return {.method = std::move(method),
          .path = "/",
          .query = {},
          .headers = {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}},
          .payload_sha256 = encode_hex(sha256(""))};
}

TEST(SigV4, S3GetObject) {
  SignedRequest request = s3_request("GET", "/test.txt");
  request.headers.emplace_back("Range", "bytes=0-9");
  const Signed made = sign(request, kS3Key, kS3, kS3Day);
  EXPECT_EQ(made.signature, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(made.authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, S3PutObject) {
  SignedRequest request = s3_request("PUT", escape_path("/test$file.text"), "Welcome to Amazon S3.");
  request.headers.emplace_back("Date", "Fri, 24 May 2013 00:00:00 GMT");
  request.headers.emplace_back("x-amz-storage-class", "REDUCED_REDUNDANCY");
  EXPECT_EQ(sign(request, kS3Key, kS3, kS3Day).signature,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(SigV4, S3QueryWithoutValue) {
  SignedRequest request = s3_request("GET", "/");
  request.query = {{"lifecycle", ""}};
  EXPECT_EQ(sign(request, kS3Key, kS3, kS3Day).signature,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(SigV4, S3ListObjects) {
  SignedRequest request = s3_request("GET", "/");
  request.query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_EQ(sign(request, kS3Key, kS3, kS3Day).signature,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, SuiteVanilla) {
  EXPECT_EQ(sign(suite_request("GET"), kSuiteKey, kSuite, kSuiteTime).signature,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  EXPECT_EQ(sign(suite_request("POST"), kSuiteKey, kSuite, kSuiteTime).signature,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

TEST(SigV4, SuiteQueryIsSorted) {
  SignedRequest request = suite_request("GET");
  request.query = {{"Param2", "value2"}, {"Param1", "value1"}};
  EXPECT_EQ(sign(request, kSuiteKey, kSuite, kSuiteTime).signature,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

TEST(SigV4, EscapesAllButTheUnreserved) {
  EXPECT_EQ(escape_path("/a b/ü~.-_+"), "/a%20b/%C3%BC~.-_%2B");
  EXPECT_EQ(escape_query("a/b=c&d"), "a%2Fb%3Dc%26d");
  EXPECT_EQ(amz_date(kSuiteTime + 999999us), "20150830T123600Z");
}

}  // namespace
}  // namespace holdfast::blob
