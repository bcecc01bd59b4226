// Bad input over a real socket against the real binary: each a precise 4xx problem, or a closed
// connection where HTTP says so. Never a 500, nothing written, memory bounded, and the server goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "drills/frame/raw_connection.hpp"
#include "drills/frame/server_process.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* kGood = R"({"customerId":"ada","items":[{"sku":"MUG-GULL","quantity":1}]})";
constexpr std::int64_t kMaxMemoryMiB = 200;

/// One server for all of these, so that each also shows that those before it broke nothing.
class BadInput : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = std::make_unique<ServerProcess>(
        ServerProcessOptions{.arguments = {"--demo"},
                             .environment = {{"HOLDFAST_HTTP_HEAD_TIMEOUT", "1500ms"},
                                             {"HOLDFAST_HTTP_IDLE_TIMEOUT", "4s"},
                                             {"HOLDFAST_HTTP_REQUEST_TIMEOUT", "5s"},
                                             {"HOLDFAST_HTTP_ACCESS_LOG", "false"}}});
    key_ = server_->create_key("admin");
    HttpConnection http(server_->port(), 10s, key_);
    http.post("/v1/products", R"({"sku":"YEN","name":"In yen","price":{"minor":100,"currency":"JPY"}})");
    http.post("/v1/products", R"({"sku":"GONE","name":"Gone","price":{"minor":100,"currency":"GBP"}})");
    http.request("DELETE", "/v1/products/GONE");
    for (const char* sku : {"YEN", "GONE"}) {
      http.post("/v1/stock/" + std::string(sku) + "/adjustments", R"({"delta":10,"reason":"received"})");
    }
    before_ = books();
    ASSERT_THAT(before_, HasSubstr(R"("balanced":true)"));
  }
  static void TearDownTestSuite() {
    if (server_ == nullptr) return;  // it did not start, which is told
    EXPECT_EQ(server_->stop().code, 0);
    server_.reset();
  }

  void TearDown() override {
    ASSERT_TRUE(server_->running()) << server_->process().err();
    const std::string now = books();
    EXPECT_EQ(now, std::exchange(before_, now)) << "something was written";
    EXPECT_LT(memory_mib(), kMaxMemoryMiB);
    HttpConnection http(server_->port(), 10s, key_);
    EXPECT_EQ(http.get("/v1/products/MUG-GULL").status, 200) << "it serves no more";
  }

  /// Orders, mails, and the stock of what is ordered here: what bad input must leave alone.
  static std::string books() {
    HttpConnection http(server_->port(), 10s, key_);
    return http.get("/v1/ops/reconciliation").body + http.get("/v1/stock/MUG-GULL").body +
           http.get("/v1/stock/YEN").body + http.get("/v1/orders").body;
  }

  static std::int64_t memory_mib() {
    std::ifstream status("/proc/" + std::to_string(server_->process().pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) / 1024;
    }
    return -1;
  }

  static HttpAnswer place(const std::string& body, HttpHeaders headers = {}) {
    static int placed = 0;
    HttpConnection http(server_->port(), 15s, key_);
    headers.try_emplace("Idempotency-Key", "bad-" + std::to_string(++placed));
    headers.try_emplace("Content-Type", "application/json");
    return http.post("/v1/orders", body, headers);
  }

  static void expect_problem(const HttpAnswer& answer, int status, const std::string& says) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_EQ(answer.header("content-type"), "application/problem+json");
    EXPECT_THAT(answer.body, HasSubstr(says));
    EXPECT_THAT(answer.body, HasSubstr("\"code\":\""));
    EXPECT_THAT(answer.body, HasSubstr("\"status\":" + std::to_string(status)));
  }

  /// Sends the bytes; what comes back is `status` (or nothing) and then the end of the connection.
  static RawAnswer expect_refused(const std::string& bytes, int status) {
    RawConnection raw(server_->port());
    raw.send(bytes);
    const RawAnswer answer = raw.receive(5s);
    EXPECT_EQ(answer.status, status) << answer.text;
    EXPECT_TRUE(answer.closed) << "the connection can't be trusted any more";
    EXPECT_EQ(answer.answers, 1) << answer.text;
    EXPECT_THAT(answer.text, HasSubstr("application/problem+json"));
    return answer;
  }

  static std::string head(const std::string& more) {
    return "POST /v1/orders HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + key_ +
           "\r\nIdempotency-Key: raw\r\nContent-Type: application/json\r\n" + more;
  }
  static std::string with_length(const std::string& body) {
    return head("Content-Length: " + std::to_string(body.size()) + "\r\n\r\n") + body;
  }

  static inline std::unique_ptr<ServerProcess> server_;
  static inline std::string key_;
  static inline std::string before_;
};

struct BadOrder {
  const char* name;
  std::string body;
  int status;
  const char* says;  ///< a part of the problem
};

std::string order_with(const std::string& items) { return R"({"customerId":"ada","items":[)" + items + "]}"; }

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::string too_many_items() {
  std::string items = R"({"sku":"S0","quantity":1})";
  for (int i = 1; i < 600; ++i) items += R"(,{"sku":"S)" + std::to_string(i) + R"(","quantity":1})";
  return order_with(items);
}

const std::vector<BadOrder>& bad_orders() {
  static const std::vector<BadOrder> all = {
      {"Empty", "", 400, "malformed_json"},
      {"CutShort", R"({"customerId":"ada","items":[{"sku")", 400, "malformed_json"},
      {"NotJson", "customerId=ada", 400, "malformed_json"},
      {"SomethingAfter", std::string(kGood) + "{}", 400, "malformed_json"},
      {"TrailingComma", R"({"customerId":"ada","items":[],})", 400, "malformed_json"},
      {"Comment", "/* */" + std::string(kGood), 400, "malformed_json"},
      {"SingleQuotes", "{'customerId':'ada'}", 400, "malformed_json"},
      {"NotANumber", order_with(R"({"sku":"MUG-GULL","quantity":NaN})"), 400, "malformed_json"},
      {"LeadingZero", order_with(R"({"sku":"MUG-GULL","quantity":01})"), 400, "malformed_json"},
      {"DuplicateMember",
       R"({"customerId":"ada","customerId":"bob","items":[{"sku":"MUG-GULL","quantity":1}]})", 400,
       "malformed_json"},
      {"InvalidUtf8", "{\"customerId\":\"\xC3\x28\",\"items\":[{\"sku\":\"MUG-GULL\",\"quantity\":1}]}", 400,
       "malformed_json"},
      {"OverlongUtf8", "{\"customerId\":\"\xC0\xAF\",\"items\":[]}", 400, "malformed_json"},
      {"LoneSurrogate", R"({"customerId":"\ud800","items":[{"sku":"MUG-GULL","quantity":1}]})", 400,
       "malformed_json"},
      {"ControlCharacter", "{\"customerId\":\"a\x01\",\"items\":[]}", 400, "malformed_json"},
      {"ByteOrderMark", "\xEF\xBB\xBF" + std::string(kGood), 400, "malformed_json"},
      {"DeepArrays", std::string(10'000, '['), 400, "malformed_json"},
      {"DeepArraysClosed", std::string(10'000, '[') + std::string(10'000, ']'), 400, "malformed_json"},
      {"DeepObjects", repeated(R"({"a":)", 10'000) + "1" + std::string(10'000, '}'), 400, "malformed_json"},
      {"DeepInAMember", R"({"customerId":)" + std::string(10'000, '[') + std::string(10'000, ']') + "}", 400,
       "malformed_json"},
      {"AnArray", "[" + std::string(kGood) + "]", 400, ""},
      {"JustNull", "null", 400, ""},
      {"NothingInIt", "{}", 400, "/customerId"},
      {"CustomerANumber", R"({"customerId":17,"items":[{"sku":"MUG-GULL","quantity":1}]})", 400,
       "/customerId"},
      {"ItemsAString", R"({"customerId":"ada","items":"MUG-GULL"})", 400, "/items"},
      {"ItemNull", order_with("null"), 400, "/items/0"},
      {"UnknownField", R"({"customerId":"ada","items":[{"sku":"MUG-GULL","quantity":1}],"price":1})", 400,
       "/price"},
      {"PriceOfTheClient", order_with(R"({"sku":"MUG-GULL","quantity":1,"unitPrice":1})"), 400,
       "/items/0/unitPrice"},
      {"NoItems", order_with(""), 400, "/items"},
      {"TooManyItems", too_many_items(), 400, "/items"},
      {"QuantityZero", order_with(R"({"sku":"MUG-GULL","quantity":0})"), 400, "/items/0/quantity"},
      {"QuantityNegative", order_with(R"({"sku":"MUG-GULL","quantity":-1})"), 400, "/items/0/quantity"},
      {"QuantityHuge", order_with(R"({"sku":"MUG-GULL","quantity":1000000000000})"), 400,
       "/items/0/quantity"},
      {"QuantityBeyond64Bits", order_with(R"({"sku":"MUG-GULL","quantity":99999999999999999999999})"), 400,
       "/items/0/quantity"},
      {"QuantityBeyondADouble", order_with(R"({"sku":"MUG-GULL","quantity":1e999})"), 400, ""},
      {"QuantityFraction", order_with(R"({"sku":"MUG-GULL","quantity":1.5})"), 400, "/items/0/quantity"},
      {"QuantityText", order_with(R"({"sku":"MUG-GULL","quantity":"1"})"), 400, "/items/0/quantity"},
      {"QuantityTrue", order_with(R"({"sku":"MUG-GULL","quantity":true})"), 400, "/items/0/quantity"},
      {"SkuTwice", order_with(R"({"sku":"MUG-GULL","quantity":1},{"sku":"MUG-GULL","quantity":1})"), 400,
       "duplicate_sku"},
      {"SkuUnknown", order_with(R"({"sku":"NO-SUCH","quantity":1})"), 422, "unknown_sku"},
      {"SkuArchived", order_with(R"({"sku":"GONE","quantity":1})"), 422, "archived_sku"},
      {"SkuWithSql", order_with(R"({"sku":"'; drop table orders; --","quantity":1})"), 400, "/items/0/sku"},
      {"SkuWithNul", order_with(R"({"sku":"MUG\u0000OAK","quantity":1})"), 400, "/items/0/sku"},
      {"SkuTooLong", order_with(R"({"sku":")" + std::string(65, 'A') + R"(","quantity":1})"), 400,
       "/items/0/sku"},
      {"MixedCurrencies", order_with(R"({"sku":"MUG-GULL","quantity":1},{"sku":"YEN","quantity":1})"), 422,
       "mixed_currencies"},
      {"CustomerTooLong",
       R"({"customerId":")" + std::string(65, 'a') + R"(","items":[{"sku":"MUG-GULL","quantity":1}]})", 400,
       "/customerId"},
      {"CustomerEmpty", R"({"customerId":"","items":[{"sku":"MUG-GULL","quantity":1}]})", 400, "/customerId"},
      {"CustomerWithNewline", R"({"customerId":"ada\r\nBcc: all","items":[{"sku":"MUG-GULL","quantity":1}]})",
       400, "/customerId"},
      {"EmailThatEndsAHeader",
       R"({"customerId":"ada","customerEmail":"a@b\r\nBcc: x@y","items":[{"sku":"MUG-GULL","quantity":1}]})",
       400, "/customerEmail"},
      {"StringOfAMegabyte", R"({"customerId":")" + std::string(900'000, 'a') + R"(","items":[]})", 400,
       "/customerId"},
      {"TenMegabytes", R"({"customerId":")" + std::string(10'000'000, 'a') + R"(","items":[]})", 413, ""},
  };
  return all;
}

class BadOrders : public BadInput, public ::testing::WithParamInterface<BadOrder> {};

TEST_P(BadOrders, GetAPreciseProblem) {
  const BadOrder& bad = GetParam();
  if (bad.body.size() > 1'000'000) {  // the answer comes before all of it is sent
    const RawAnswer answer = expect_refused(with_length(bad.body), bad.status);
    EXPECT_THAT(answer.text, HasSubstr(bad.says));
  } else {
    expect_problem(place(bad.body), bad.status, bad.says);
  }
}

INSTANTIATE_TEST_SUITE_P(BadInput, BadOrders, ::testing::ValuesIn(bad_orders()),
                         [](const auto& each) { return each.param.name; });

TEST_F(BadInput, EveryFaultIsListedAtOnce) {
  const HttpAnswer answer = place(R"({"customerId":"","items":[{"sku":"","quantity":0}],"price":1})");
  expect_problem(answer, 400, "/customerId");
  for (const char* pointer : {"/items/0/sku", "/items/0/quantity", "/price"}) {
    EXPECT_THAT(answer.body, HasSubstr(pointer));
  }
}

TEST_F(BadInput, HeadersThatAreMissingOrWrong) {
  HttpConnection http(server_->port(), 10s, key_);
  expect_problem(http.post("/v1/orders", kGood), 400, "idempotency");
  expect_problem(place(kGood, {{"Idempotency-Key", std::string(256, 'k')}}), 400, "idempotency");
  expect_problem(place(kGood, {{"Idempotency-Key", "tab\tin it"}}), 400, "idempotency");
  expect_problem(place(kGood, {{"Content-Type", "text/plain"}}), 415, "");
  expect_problem(place(kGood, {{"Content-Encoding", "gzip"}}), 415, "");
  expect_problem(place(kGood, {{"Expect", "a miracle"}}), 417, "");
  HttpConnection nobody(server_->port(), 10s, "hf_nobody");
  expect_problem(nobody.post("/v1/orders", kGood, {{"Idempotency-Key", "k"}}), 401, "");
}

TEST_F(BadInput, PathsAndMethods) {
  HttpConnection http(server_->port(), 10s, key_);
  expect_problem(http.get("/v1/orders/ord_nonsense"), 400, "");
  expect_problem(http.get("/v1/orders/ord_00000000000000000000000000"), 404, "unknown_order");
  expect_problem(http.get("/v1/orders?limit=100000"), 400, "limit");
  expect_problem(http.get("/v1/orders?limit=ten"), 400, "limit");
  expect_problem(http.get("/v1/orders?colour=red"), 400, "colour");
  expect_problem(http.get("/v1/orders?cursor=AAAA"), 400, "cursor");
  expect_problem(http.get("/v1/products/%00"), 400, "");
  expect_problem(http.get("/v1/products/%zz"), 400, "");
  expect_problem(http.get("/v1/products/..%2f..%2fetc"), 400, "");
  expect_problem(http.get("/nowhere"), 404, "");
  const HttpAnswer method = http.request("DELETE", "/v1/orders");
  expect_problem(method, 405, "");
  EXPECT_THAT(method.header("allow"), HasSubstr("POST"));
}

TEST_F(BadInput, RequestsThatTwoServersWouldReadDifferently) {
  const std::string chunked = "1\r\n{\r\n0\r\n\r\n";
  expect_refused(head("Content-Length: 3\r\nContent-Length: 4\r\n\r\n{}  "), 400);
  expect_refused(head("Content-Length: 3, 4\r\n\r\n{}  "), 400);
  expect_refused(head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n") + chunked, 400);
  expect_refused(head("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n") + chunked, 400);
  expect_refused(head("Transfer-Encoding: chunked, identity\r\n\r\n") + chunked, 501);
  expect_refused(head("Transfer-Encoding: xchunked\r\n\r\n") + chunked, 501);  // RFC 9112, 6.1
  expect_refused(head("Content-Length: -1\r\n\r\n"), 400);
  expect_refused(head("Content-Length: +2\r\n\r\n{}"), 400);
  expect_refused(head("Content-Length: 0x2\r\n\r\n{}"), 400);
  expect_refused(head("Content-Length: 99999999999999999999\r\n\r\n"), 400);
  expect_refused(head("Content-Length : 2\r\n\r\n{}"), 400);
  expect_refused(head("Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), 400);
  expect_refused(head("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n"), 400);
}

TEST_F(BadInput, NothingSmuggledBehindARefusedRequestIsServed) {
  const std::string hidden = with_length(kGood);
  RawConnection raw(server_->port());
  raw.send(head("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + hidden);
  const RawAnswer answer = raw.receive(5s);
  EXPECT_EQ(answer.status, 400) << answer.text;
  EXPECT_EQ(answer.answers, 1);
  EXPECT_TRUE(answer.closed);
}

TEST_F(BadInput, HeadsThatAreNoHttp) {
  expect_refused("GARBAGE\r\n\r\n", 400);
  expect_refused("GET / HTTP/9.9\r\nHost: h\r\n\r\n", 505);
  expect_refused("GET / HTTP/1.1\r\n\r\n", 400);  // without Host
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400);  // folded
  expect_refused(std::string("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 39), 400);
  expect_refused("GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400);
  RawConnection tls(server_->port());  // somebody speaks TLS to it
  tls.send(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(500, 'x'));
  EXPECT_TRUE(tls.receive(5s).closed);
}

TEST_F(BadInput, FloodsOfHeaders) {
  expect_refused("GET / HTTP/1.1\r\nHost: h\r\n" + repeated("X-Flood: y\r\n", 5'000) + "\r\n", 431);
  expect_refused("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(1'000'000, 'y') + "\r\n\r\n", 431);
  RawConnection target(server_->port());
  target.send("GET /" + std::string(1'000'000, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n");
  const RawAnswer answer = target.receive(5s);
  EXPECT_TRUE(answer.status == 414 || answer.status == 431) << answer.text;
  EXPECT_TRUE(answer.closed);
}

TEST_F(BadInput, BodiesWithoutAnEnd) {
  RawConnection endless(server_->port());  // chunks for ever
  endless.send(head("Transfer-Encoding: chunked\r\n\r\n"));
  const std::string chunk = "10000\r\n" + std::string(65'536, ' ') + "\r\n";
  for (int i = 0; i < 400 && endless.send(chunk); ++i) {
  }
  const RawAnswer refused = endless.receive(5s);
  EXPECT_TRUE(refused.status == 413 || refused.reset) << refused.text;
  EXPECT_TRUE(refused.closed);

  RawConnection truncated(server_->port());  // promises 1,000 bytes, sends some, and hangs up
  truncated.send(head("Content-Length: 1000\r\n\r\n") + kGood);
  truncated.finish_sending();
  const RawAnswer answer = truncated.receive(5s);
  EXPECT_TRUE(answer.closed);
  EXPECT_TRUE(answer.status == 400 || answer.status == 0) << answer.text;
}

TEST_F(BadInput, SlowSenders) {
  RawConnection silent(server_->port());
  EXPECT_TRUE(silent.receive(15s).closed) << "a connection that never says anything";

  RawConnection drip(server_->port());  // a byte of the head at a time
  const std::string request = head("Content-Length: 2\r\n\r\n{}");
  const auto begun = std::chrono::steady_clock::now();
  for (const char byte : request) {
    if (!drip.send({&byte, 1})) break;
    std::this_thread::sleep_for(30ms);
    if (std::chrono::steady_clock::now() - begun > 5s) break;
  }
  const RawAnswer answer = drip.receive(5s);
  EXPECT_TRUE(answer.closed);
  EXPECT_TRUE(answer.status == 408 || answer.reset) << answer.text;

  RawConnection body(server_->port());  // a head at once, and then a body that never ends
  body.send(head("Content-Length: 100\r\n\r\n{"));
  const RawAnswer late = body.receive(20s);
  EXPECT_TRUE(late.closed);
  EXPECT_TRUE(late.status == 408 || late.status == 0) << late.text;
}

TEST_F(BadInput, ManyAtOnceAreServedBesideGoodOnes) {
  std::vector<std::unique_ptr<RawConnection>> slow;
  for (int i = 0; i < 300; ++i) {
    slow.push_back(std::make_unique<RawConnection>(server_->port()));
    slow.back()->send("POST /v1/orders HTTP/1.1\r\nHost");
  }
  HttpConnection http(server_->port(), 10s, key_);
  EXPECT_EQ(http.get("/v1/products/MUG-GULL").status, 200);
  for (auto& connection : slow) EXPECT_TRUE(connection->receive(10s).closed);
}

TEST_F(BadInput, ABatchSaysWhatIsWrongWithEachAndPlacesNothingOfAWrongOne) {
  HttpConnection http(server_->port(), 10s, key_);
  const HttpAnswer answer = http.post(
      "/v1/orders/batch",
      R"({"orders":[{"customerId":"","items":[]},{"customerId":"a","items":[{"sku":"NO-SUCH","quantity":1}]},7]})",
      {{"Idempotency-Key", "batch"}});
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_THAT(answer.body, HasSubstr(R"("placed":0,"refused":3)"));
  expect_problem(http.post("/v1/orders/batch", R"({"orders":[]})", {{"Idempotency-Key", "batch-2"}}), 400,
                 "/orders");
}

}  // namespace
}  // namespace holdfast::drills
