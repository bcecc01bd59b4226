#include "orders/order_system.hpp"

#include <gmock/gmock.h>

#include "holdfast/http/client.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "orders/demo_catalog.hpp"
#include "orders/migrations.hpp"
#include "orders/open_database.hpp"
#include "orders/testing/running_system.hpp"

namespace holdfast::orders {
namespace {

using testing::Answer;
using ::testing::HasSubstr;
using testing::RunningSystem;
using testing::with_system;

const std::string kTwoMugs = R"({"customerId":"17850","items":[{"sku":"MUG","quantity":2}]})";

std::string fault_pointer(const Answer& answer, std::size_t index = 0) {
  const JsonDocument document = answer.json();
  const JsonValue* errors = document.root().find("errors");
  if (errors == nullptr || errors->items().size() <= index) return "(none)";
  return std::string(errors->items()[index].find("pointer")->as_string());
}

/// Waits for what another fiber brings about.
bool eventually(RunningSystem& s, const std::function<bool()>& holds) {
  for (int i = 0; i < 1000; ++i) {
    if (holds()) return true;
    runtime::sleep_for(s.ctx, std::chrono::milliseconds(5));
  }
  return false;
}

TEST(OrderSystem, PlacesAnOrderAndAnswersARetryWithTheSameBytes) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    const Answer first = s.order("k1", kTwoMugs);
    ASSERT_EQ(first.status, 201) << first.body;
    EXPECT_EQ(first.header("Location"), "/v1/orders/" + first.text("id"));
    EXPECT_EQ(first.json().root().find("total")->find("minor")->as_int64(), 1700);
    const Answer again = s.order("k1", kTwoMugs);
    EXPECT_EQ(again.status, 201);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
    EXPECT_EQ(s.stock("MUG"), 8);
    EXPECT_EQ(s.get("/v1/orders/" + first.text("id")).body, first.body);
    EXPECT_EQ(s.order("k1", R"({"customerId":"1","items":[{"sku":"MUG","quantity":2}]})").status, 422);
    EXPECT_EQ(s.post("/v1/orders", kTwoMugs).status, 400);  // no key
    EXPECT_EQ(s.count("orders"), 1);
  });
}

TEST(OrderSystem, SendsOneReceiptAnOrderAndShowsIt) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    const std::string id = s.order("k1", kTwoMugs).text("id");
    const std::string path = "/v1/outbox-mail/" + id + ".receipt";
    ASSERT_TRUE(eventually(s, [&] { return s.get(path).status == 200; }));
    EXPECT_THAT(s.get(path).body, HasSubstr("Your receipt for order " + id));
    EXPECT_THAT(s.get(path).body, HasSubstr("multipart/alternative"));
    EXPECT_EQ(s.post("/v1/orders/" + id + "/cancellation").status, 200);
    ASSERT_TRUE(
        eventually(s, [&] { return s.get("/v1/outbox-mail/" + id + ".cancellation").status == 200; }));
    const Answer listed = s.get("/v1/outbox-mail?orderId=" + id);
    EXPECT_EQ(listed.json().root().find("items")->items().size(), 2U);
    const Answer books = s.get("/v1/ops/reconciliation");
    EXPECT_THAT(books.body, HasSubstr(R"("balanced":true,"complete":true)"));
  });
}

TEST(OrderSystem, ARestartFindsWhatWasAcknowledgedAndSendsNothingTwice) {
  const sql::TemporaryFolder folder;
  const Settings settings = testing::test_settings(folder.path());
  std::string id;
  const auto in_a_new_process = [&](const std::function<void(RunningSystem&)>& body) {
    SystemClock clock;
    SystemRandom random;
    runtime::Runtime runtime({.loops = 1}, clock, random);
    runtime.run([&](const Context& ctx) {
      RunningSystem running(ctx, runtime, settings);
      body(running);
    });
  };
  in_a_new_process([&](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    id = s.order("k1", kTwoMugs).text("id");
  });
  in_a_new_process([&](RunningSystem& s) {
    const std::string key = s.key;
    EXPECT_EQ(s.get("/v1/orders/" + id).status, 200);
    ASSERT_TRUE(eventually(s, [&] { return s.get("/v1/outbox-mail/" + id + ".receipt").status == 200; }));
  });
  in_a_new_process([&](RunningSystem& s) {
    EXPECT_EQ(s.stock("MUG"), 8);
    std::size_t mails = 0;
    for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator(settings.data + "/mail/new"))
      ++mails;
    EXPECT_EQ(mails, 1U);
  });
}

TEST(OrderSystem, CancelsOnceAndRefusesWhatIsNoOrder) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    const std::string id = s.order("k1", kTwoMugs).text("id");
    const Answer cancelled = s.post("/v1/orders/" + id + "/cancellation");
    EXPECT_EQ(cancelled.status, 200);
    EXPECT_EQ(cancelled.text("status"), "cancelled");
    EXPECT_EQ(s.post("/v1/orders/" + id + "/cancellation").body, cancelled.body);
    EXPECT_EQ(s.stock("MUG"), 10);
    EXPECT_EQ(s.post("/v1/orders/ord_00000000000000000000000000/cancellation").status, 404);
    EXPECT_EQ(s.post("/v1/orders/nonsense/cancellation").status, 400);
  });
}

TEST(OrderSystem, ABatchAnswersForEachOrderOnItsOwn) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 5);
    s.add_product("BOWL", 1200, 5);  // taken before the mugs are found to be too few, and given back
    const std::string batch =
        R"({"orders":[)" + kTwoMugs + "," + kTwoMugs + "," + kTwoMugs +
        R"(,{"customerId":"1","items":[{"sku":"BOWL","quantity":1},{"sku":"MUG","quantity":9}]},{"customerId":"1","items":[]},{"customerId":"1","items":[{"sku":"NONE","quantity":1}]}]})";
    const Answer answer = s.post("/v1/orders/batch", batch, {{"Idempotency-Key", "b1"}});
    ASSERT_EQ(answer.status, 200) << answer.body;
    const JsonDocument document = answer.json();
    std::vector<std::int64_t> statuses;
    for (const auto& result : document.root().find("results")->items())
      statuses.push_back(result.find("status")->as_int64());
    EXPECT_THAT(statuses, ::testing::ElementsAre(201, 201, 409, 409, 400, 422));
    EXPECT_EQ(document.root().find("placed")->as_int64(), 2);
    EXPECT_EQ(s.stock("MUG"), 1);
    EXPECT_EQ(s.stock("BOWL"), 5);
    EXPECT_EQ(s.count("orders"), 2);
    EXPECT_EQ(s.post("/v1/orders/batch", batch, {{"Idempotency-Key", "b1"}}).body, answer.body);
    EXPECT_EQ(s.count("orders"), 2);
    EXPECT_THAT(s.get("/v1/ops/reconciliation").body, HasSubstr(R"("balanced":true)"));
  });
}

TEST(OrderSystem, RefusesABatchOfMoreThanAThousand) {
  with_system([](RunningSystem& s) {
    std::string batch = R"({"orders":[)";
    for (int i = 0; i < 1001; ++i) batch += (i == 0 ? "" : ",") + kTwoMugs;
    const Answer answer = s.post("/v1/orders/batch", batch + "]}", {{"Idempotency-Key", "b1"}});
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(fault_pointer(answer), "/orders");
  });
}

TEST(OrderSystem, ProductsCanBeReadByAnybodyAndChangedByWriters) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 5);
    const std::string read_key = s.make_key(access::Scope::read);
    const std::string write_key = s.make_key(access::Scope::write);
    s.key = "";
    EXPECT_EQ(s.get("/v1/products/MUG").status, 200);
    EXPECT_EQ(s.get("/v1/products").status, 200);
    const Answer anonymous = s.get("/v1/orders");
    EXPECT_EQ(anonymous.status, 401);
    EXPECT_THAT(anonymous.header("WWW-Authenticate"), HasSubstr("Bearer"));
    EXPECT_EQ(s.order("k", kTwoMugs).status, 401);
    s.key = read_key;
    EXPECT_EQ(s.get("/v1/orders").status, 200);
    EXPECT_EQ(s.order("k", kTwoMugs).status, 403);
    s.key = write_key;
    EXPECT_EQ(s.order("k", kTwoMugs).status, 201);
    EXPECT_EQ(s.get("/v1/api-keys").status, 403);
    s.key = "hf_wrong";
    EXPECT_EQ(s.get("/v1/products/MUG").status, 401);
  });
}

TEST(OrderSystem, KeysAreMadeListedAndRevoked) {
  with_system([](RunningSystem& s) {
    const Answer made = s.post("/v1/api-keys", R"({"name":"till","scope":"read"})");
    ASSERT_EQ(made.status, 201) << made.body;
    const std::string id = std::string(made.json().root().find("key")->find("id")->as_string());
    s.key = made.text("text");
    EXPECT_EQ(s.get("/v1/orders").status, 200);
    s.key = s.admin;
    EXPECT_THAT(s.get("/v1/api-keys").body, HasSubstr(id));
    EXPECT_EQ(s.ask(http::Method::delete_, "/v1/api-keys/" + id).status, 200);
    s.key = made.text("text");
    EXPECT_EQ(s.get("/v1/orders").status, 401);
  });
}

TEST(OrderSystem, ChangesProductsUnderTheirEntityTag) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 5);
    const Answer read = s.get("/v1/products/MUG");
    EXPECT_EQ(read.header("ETag"), "\"1\"");
    EXPECT_EQ(s.get("/v1/products/MUG", {{"If-None-Match", "\"1\""}}).status, 304);
    const auto patch = [&](std::string body, std::string if_match) {
      return s.ask(http::Method::patch, "/v1/products/MUG", std::move(body),
                   {{"If-Match", std::move(if_match)}, {"Content-Type", "application/merge-patch+json"}});
    };
    const Answer patched = patch(R"({"price":{"minor":900}})", "\"1\"");
    EXPECT_EQ(patched.status, 200) << patched.body;
    EXPECT_EQ(patched.header("ETag"), "\"2\"");
    EXPECT_EQ(patch(R"({"price":{"minor":1}})", "\"1\"").status, 412);
    EXPECT_EQ(patch(R"({"price":{"minor":950}})", "\"7\", \"2\"").status, 200);
    EXPECT_EQ(patch(R"({"price":{"minor":950}})", "W/\"3\"").status, 412) << "weak tags never match";
    EXPECT_EQ(s.ask(http::Method::delete_, "/v1/products/MUG").text("status"), "archived");
    EXPECT_EQ(s.order("k", kTwoMugs).status, 422);
  });
}

TEST(OrderSystem, ListsProductsSparselyByPageAndByCursor) {
  with_system([](RunningSystem& s) {
    for (const char* sku : {"A", "B", "C"}) s.add_product(sku, 100, 0);
    EXPECT_EQ(s.get("/v1/products/A?fields=sku,price").body,
              R"({"sku":"A","price":{"minor":100,"currency":"GBP"}})");
    const Answer page = s.get("/v1/products?page=2&limit=2&fields=sku");
    EXPECT_EQ(page.body, R"({"items":[{"sku":"C"}],"page":2,"total":3})");
    const Answer first = s.get("/v1/products?limit=2&sort=-sku&fields=sku");
    const Answer second =
        s.get("/v1/products?limit=2&sort=-sku&fields=sku&cursor=" + first.text("nextCursor"));
    EXPECT_EQ(second.body, R"({"items":[{"sku":"A"}]})");
    for (const char* bad :
         {"?fields=nothing", "?limit=0", "?limit=201", "?sort=colour", "?page=1&cursor=x", "?unknown=1",
          "?cursor=zzz", "?minPrice=-1", "?status=gone", "?currency=pounds"}) {
      EXPECT_EQ(s.get(std::string("/v1/products") + bad).status, 400) << bad;
    }
  });
}

TEST(OrderSystem, ImportsProductsAndReportsWhatItRejected) {
  with_system([](RunningSystem& s) {
    const Answer answer = s.post("/v1/products/import?initialStock=7", "sku,name,price\nA,Apple,1.20\nB,,1\n",
                                 {{"Content-Type", "text/csv; charset=utf-8"}});
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_THAT(answer.body, HasSubstr(R"("rejectedByReason":{"missing_name":1})"));
    EXPECT_THAT(answer.body, HasSubstr(R"("rejectedLines":[{"line":3,"sku":"B","reason":"missing_name")"));
    EXPECT_EQ(s.stock("A"), 7);
    EXPECT_EQ(s.post("/v1/products/import", "sku,name,price\n").status, 415);
    EXPECT_EQ(s.post("/v1/products/import", "a,b\n", {{"Content-Type", "text/csv"}}).status, 400);
    std::string many = "sku,name,price\n";
    for (int i = 0; i < 1500; ++i) many += ",x,1\n";
    const Answer bounded = s.post("/v1/products/import", many, {{"Content-Type", "text/csv"}});
    EXPECT_EQ(bounded.json().root().find("rejectedLines")->items().size(), 1000U);
    EXPECT_EQ(bounded.json().root().find("rejectedLinesOmitted")->as_int64(), 500);
  });
}

TEST(OrderSystem, AdjustsStockWithAReason) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 5);
    EXPECT_EQ(s.post("/v1/stock/MUG/adjustments", R"({"delta":-2,"reason":"damaged"})").status, 200);
    EXPECT_EQ(s.stock("MUG"), 3);
    EXPECT_EQ(s.post("/v1/stock/MUG/adjustments", R"({"delta":-4,"reason":"lost"})").status, 409);
    EXPECT_EQ(s.post("/v1/stock/MUG/adjustments", R"({"delta":4,"reason":"sold"})").status, 400);
    EXPECT_EQ(s.post("/v1/stock/NONE/adjustments", R"({"delta":4,"reason":"received"})").status, 404);
    const Answer ledger = s.get("/v1/stock/MUG/movements?limit=1");
    EXPECT_THAT(ledger.body, HasSubstr(R"("delta":-2,"reason":"damaged")"));
    EXPECT_FALSE(ledger.text("nextCursor").empty());
    EXPECT_THAT(s.get("/v1/stock/MUG/movements?limit=1&cursor=" + ledger.text("nextCursor")).body,
                HasSubstr(R"("reason":"opening")"));
  });
}

// ---- through a socket -----------------------------------------------------------------------------

TEST(OrderSystem, ServesOverHttp) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    http::Client client(s.runtime, {});
    const std::string base = "http://127.0.0.1:" + std::to_string(s.system.http_port());
    const auto placed = client.send(s.ctx, {.method = http::Method::post,
                                            .url = base + "/v1/orders",
                                            .headers = {{"Authorization", "Bearer " + s.key},
                                                        {"Content-Type", "application/json"},
                                                        {"Idempotency-Key", "\"k1\""}},
                                            .body = kTwoMugs});
    EXPECT_EQ(placed.status, 201) << placed.body;
    EXPECT_FALSE(placed.header("X-Request-Id").empty());
    const auto refused = client.send(s.ctx, {.method = http::Method::post,
                                             .url = base + "/v1/orders",
                                             .headers = {{"Authorization", "Bearer " + s.key}},
                                             .body = std::string(2 << 20, 'x')});
    EXPECT_EQ(refused.status, 413);
    std::string csv = "sku,name,price\n";
    for (int i = 0; i < 60'000; ++i) csv += "S" + std::to_string(i) + ",A product with a name,1.00\n";
    EXPECT_GT(csv.size(), std::size_t{1} << 20) << "more than a buffered body may have";
    const auto imported =
        client.send(s.ctx.with_timeout(std::chrono::seconds(60)),
                    {.method = http::Method::post,
                     .url = base + "/v1/products/import",
                     .headers = {{"Authorization", "Bearer " + s.key}, {"Content-Type", "text/csv"}},
                     .body = csv,
                     .timeout = std::chrono::seconds(60)});
    EXPECT_EQ(imported.status, 200) << imported.body.substr(0, 500);
    EXPECT_THAT(imported.body, HasSubstr("\"created\":60000"));
  });
}

/// Collects what a stream writes; stops it once `wanted` has come.
class StreamReader final : public http::BodyWriter {
 public:
  explicit StreamReader(std::string wanted) : wanted_(std::move(wanted)) {}
  void write(const Context&, std::string_view piece) override { text.append(piece); }
  void flush(const Context&) override {}
  bool stopping() const noexcept override { return text.find(wanted_) != std::string::npos; }
  std::string text;

 private:
  std::string wanted_;
};

TEST(OrderSystem, StreamsAnOrdersEventsAsTheyHappen) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    const std::string id = s.order("k1", kTwoMugs).text("id");
    const auto stream = s.stream("/v1/orders/" + id + "/events");
    StreamReader live("order.cancelled");
    runtime::FiberGroup group(s.ctx.with_timeout(std::chrono::seconds(10)));
    group.spawn("watch", [&](const Context& ctx) { stream(ctx, live); });
    ASSERT_TRUE(eventually(s, [&] { return live.text.find("order.placed") != std::string::npos; }));
    s.post("/v1/orders/" + id + "/cancellation");
    group.wait();
    EXPECT_THAT(live.text, HasSubstr("id: 1\nevent: order.placed\ndata: {\"id\":\"" + id));
    EXPECT_THAT(live.text, HasSubstr("id: 2\nevent: order.cancelled\ndata: {"));

    StreamReader resumed("order.cancelled");
    s.stream("/v1/orders/" + id + "/events", {{"Last-Event-ID", "1"}})(
        s.ctx.with_timeout(std::chrono::seconds(10)), resumed);
    EXPECT_THAT(resumed.text, ::testing::Not(HasSubstr("order.placed")));

    EXPECT_EQ(s.get("/v1/orders/" + id + "/events", {{"Last-Event-ID", "x"}}).status, 400);
    EXPECT_EQ(s.get("/v1/orders/ord_00000000000000000000000000/events").status, 404);
  });
}

TEST(OrderSystem, StopsWhileOrdersComeWithoutFailingOne) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 1'000'000);
    http::Client client(s.runtime, {});
    const std::string url = "http://127.0.0.1:" + std::to_string(s.system.http_port()) + "/v1/orders";
    std::int64_t acknowledged = 0;
    std::int64_t failed = 0;
    runtime::FiberGroup group(s.ctx);
    for (int c = 0; c < 8; ++c) {
      group.spawn("client", [&, c](const Context& ctx) {
        for (int i = 0;; ++i) {
          try {
            const auto answer = client.send(
                ctx, {.method = http::Method::post,
                      .url = url,
                      .headers = {{"Authorization", "Bearer " + s.key},
                                  {"Content-Type", "application/json"},
                                  {"Idempotency-Key", std::to_string(c) + "-" + std::to_string(i)}},
                      .body = kTwoMugs});
            ++(answer.status == 201 ? acknowledged : failed);
          } catch (const Error& error) {
            if (error.reason() != "connection_failed") ++failed;
            return;
          }
        }
      });
    }
    ASSERT_TRUE(eventually(s, [&] { return acknowledged > 50; }));
    EXPECT_TRUE(s.system.stop(s.ctx));
    group.wait();
    EXPECT_EQ(failed, 0);
    EXPECT_EQ(s.count("orders"), acknowledged);
  });
}

// What bad input gets: a precise problem, and nothing written.
struct BadInput {
  const char* what;
  std::string body;
  int status;
  const char* code;
  const char* pointer;
};

TEST(OrderSystem, BadOrdersGetAPreciseProblemAndWriteNothing) {
  const auto with_quantity = [](const std::string& quantity) {
    return R"({"customerId":"1","items":[{"sku":"MUG","quantity":)" + quantity + "}]}";
  };
  const std::string nested =
      R"({"customerId":"1","items":)" + std::string(10'000, '[') + std::string(10'000, ']') + "}";
  const BadInput cases[] = {
      {"nothing", " ", 400, "malformed_json", "(none)"},
      {"no JSON", "{\"customerId\":", 400, "malformed_json", "(none)"},
      {"trailing text", with_quantity("1") + "x", 400, "malformed_json", "(none)"},
      {"10,000 deep", nested, 400, "malformed_json", "(none)"},
      {"invalid UTF-8", "{\"customerId\":\"\xff\xfe\",\"items\":[]}", 400, "malformed_json", "(none)"},
      {"a lone surrogate", R"({"customerId":"\ud800","items":[]})", 400, "malformed_json", "(none)"},
      {"a duplicate member", R"({"customerId":"1","customerId":"2","items":[]})", 400, "malformed_json",
       "(none)"},
      {"an array", "[]", 400, "validation_failed", ""},
      {"a wrong type", R"({"customerId":1,"items":[{"sku":"MUG","quantity":1}]})", 400, "validation_failed",
       "/customerId"},
      {"an unknown member", R"({"customerId":"1","items":[{"sku":"MUG","quantity":1,"price":1}]})", 400,
       "validation_failed", "/items/0/price"},
      {"no customer", R"({"items":[{"sku":"MUG","quantity":1}]})", 400, "validation_failed", "/customerId"},
      {"no items", R"({"customerId":"1","items":[]})", 400, "validation_failed", "/items"},
      {"zero pieces", with_quantity("0"), 400, "validation_failed", "/items/0/quantity"},
      {"minus pieces", with_quantity("-1"), 400, "validation_failed", "/items/0/quantity"},
      {"too many pieces", with_quantity("1000001"), 400, "validation_failed", "/items/0/quantity"},
      {"half a piece", with_quantity("0.5"), 400, "validation_failed", "/items/0/quantity"},
      {"beyond 64 bits", with_quantity("99999999999999999999999"), 400, "validation_failed",
       "/items/0/quantity"},
      {"beyond doubles", with_quantity("1e400"), 400, "malformed_json", "(none)"},
      {"pieces as text", with_quantity("\"1\""), 400, "validation_failed", "/items/0/quantity"},
      {"null pieces", with_quantity("null"), 400, "validation_failed", "/items/0/quantity"},
      {"duplicate lines",
       R"({"customerId":"1","items":[{"sku":"MUG","quantity":1},{"sku":"MUG","quantity":1}]})", 400,
       "validation_failed", "/items/1/sku"},
      {"an unknown sku", R"({"customerId":"1","items":[{"sku":"NONE","quantity":1}]})", 422, "unknown_sku",
       "/items/0/sku"},
      {"an archived sku", R"({"customerId":"1","items":[{"sku":"OLD","quantity":1}]})", 422, "archived_sku",
       "/items/0/sku"},
      {"mixed currencies",
       R"({"customerId":"1","items":[{"sku":"MUG","quantity":1},{"sku":"TASSE","quantity":1}]})", 422,
       "mixed_currencies", "/items/1/sku"},
      {"too little stock", with_quantity("11"), 409, "insufficient_stock", "/items/0/quantity"},
      {"an overlong sku",
       R"({"customerId":"1","items":[{"sku":")" + std::string(65, 'A') + R"(","quantity":1}]})", 400,
       "validation_failed", "/items/0/sku"},
      {"an overlong customer",
       R"({"customerId":")" + std::string(65, '1') + R"(","items":[{"sku":"MUG","quantity":1}]})", 400,
       "validation_failed", "/customerId"},
      {"a bad address",
       R"({"customerId":"1","items":[{"sku":"MUG","quantity":1}],"shippingAddress":{"name":"A","line1":"B","city":"C","postalCode":"D","country":"gb"}})",
       400, "validation_failed", "/shippingAddress/country"},
      {"a header in a name",
       R"({"customerId":"1","customerEmail":"a@b.c\r\nBcc: x@y.z","items":[{"sku":"MUG","quantity":1}]})",
       400, "validation_failed", "/customerEmail"},
  };
  with_system([&](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    s.add_product("TASSE", 850, 10, "EUR");
    s.add_product("OLD", 850, 10);
    s.ask(http::Method::delete_, "/v1/products/OLD");
    const auto movements = s.count("stock_movements");
    const auto told = s.count("outbox");
    int number = 0;
    for (const BadInput& bad : cases) {
      const Answer answer = s.order("bad-" + std::to_string(number++), bad.body);
      EXPECT_EQ(answer.status, bad.status) << bad.what << ": " << answer.body;
      EXPECT_EQ(answer.header("Content-Type"), "application/problem+json") << bad.what;
      EXPECT_EQ(answer.text("code"), bad.code) << bad.what << ": " << answer.body;
      EXPECT_EQ(fault_pointer(answer), bad.pointer) << bad.what << ": " << answer.body;
    }
    EXPECT_EQ(s.count("orders"), 0);
    EXPECT_EQ(s.count("order_lines"), 0);
    EXPECT_EQ(s.count("outbox"), told);
    EXPECT_EQ(s.count("stock_movements"), movements);
    EXPECT_EQ(s.stock("MUG"), 10);
    EXPECT_EQ(s.order("good", kTwoMugs).status, 201) << "and service goes on";
  });
}

TEST(OrderSystem, OtherBadRequestsGetTheirStatus) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    EXPECT_EQ(
        s.post("/v1/orders", kTwoMugs, {{"Idempotency-Key", "k"}, {"Content-Type", "text/plain"}}).status,
        415);
    EXPECT_EQ(s.order(std::string(256, 'k'), kTwoMugs).status, 400);
    EXPECT_EQ(s.order("", kTwoMugs).status, 400);
    EXPECT_EQ(s.get("/v1/nothing").status, 404);
    const Answer wrong_method = s.ask(http::Method::put, "/v1/orders", kTwoMugs);
    EXPECT_EQ(wrong_method.status, 405);
    EXPECT_THAT(wrong_method.header("Allow"), HasSubstr("POST"));
    EXPECT_EQ(s.get("/v1/orders?createdFrom=yesterday").status, 400);
    EXPECT_EQ(s.get("/v1/orders?cursor=eyJ4Ijox").status, 400);
    EXPECT_EQ(s.get("/v1/orders/ord_1").status, 400);
    EXPECT_EQ(s.get("/v1/outbox-mail/..%2fescape").status, 400);
    EXPECT_EQ(s.post("/v1/products", R"({"sku":"A","name":"a","price":{"minor":1,"currency":"XXX"}})").status,
              400);
    EXPECT_EQ(
        s.post("/v1/products", R"({"sku":"MUG","name":"a","price":{"minor":1,"currency":"GBP"}})").status,
        409);
    EXPECT_EQ(s.count("products"), 1);
  });
}

TEST(OrderSystem, TellsOperatorsHowItIs) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    s.order("k", kTwoMugs);
    s.key = "";
    EXPECT_EQ(s.get("/health/live").status, 200);
    EXPECT_EQ(s.get("/health/ready").status, 200);
    EXPECT_THAT(s.get("/metrics").body, HasSubstr("holdfast_sql_transactions_total"));
    EXPECT_THAT(s.get("/openapi.json").body, HasSubstr("\"placeOrder\""));
    EXPECT_EQ(s.get("/docs").status, 200);
    EXPECT_EQ(s.get("/v1/ops/requests").status, 401);
    s.key = s.admin;
    EXPECT_THAT(s.get("/v1/ops/requests").body, HasSubstr("\"total\":"));
    EXPECT_THAT(s.get("/v1/ops/subscriptions").body, HasSubstr("\"group\":\"notifications\""));
    EXPECT_EQ(s.ask(http::Method::put, "/v1/ops/log-level", R"({"logger":"sql","level":"debug"})").body,
              R"({"levels":{"":"warn","sql":"debug"}})");
    EXPECT_EQ(s.ask(http::Method::put, "/v1/ops/log-level", R"({"level":"loud"})").status, 400);
    EXPECT_EQ(s.get("/v1/dead-letters").body, R"({"items":[]})");
    EXPECT_EQ(s.get("/v1/dead-letters/dlq_1").status, 404);
    EXPECT_EQ(s.post("/v1/dead-letters/redrive", R"({"dryRun":true})").body, R"({"matched":0,"redriven":0})");
  });
}

TEST(OrderSystem, AWorkerOfItsOwnSendsTheMails) {
  with_system(
      [](RunningSystem& s) {
        s.add_product("MUG", 850, 10);
        const std::string id = s.order("k", kTwoMugs).text("id");
        EXPECT_EQ(s.get("/v1/outbox-mail/" + id + ".receipt").status, 404);
        observe::Metrics metrics;
        OrderSystem worker(s.settings, s.runtime, s.log, metrics, Role::worker);
        worker.start(s.ctx);
        EXPECT_EQ(worker.http_port(), 0);
        EXPECT_TRUE(eventually(s, [&] { return s.get("/v1/outbox-mail/" + id + ".receipt").status == 200; }));
        const std::string later = s.order("k2", kTwoMugs).text("id");
        EXPECT_TRUE(
            eventually(s, [&] { return s.get("/v1/outbox-mail/" + later + ".receipt").status == 200; }));
        EXPECT_TRUE(worker.stop(s.ctx));
      },
      [](Settings& settings) { settings.worker.enabled = false; });
}

TEST(OrderSystem, WhatCantListenStopsAgain) {
  with_system([](RunningSystem& s) {
    Settings settings = s.settings;
    settings.http.address = "256.0.0.1:1";
    observe::Metrics metrics;
    OrderSystem second(settings, s.runtime, s.log, metrics);
    EXPECT_THROW(second.start(s.ctx), Error);
    EXPECT_EQ(s.get("/health/ready").status, 200);
  });
}

TEST(OrderSystem, ReconciliationSeesWhatDoesNotAddUp) {
  with_system([](RunningSystem& s) {
    s.add_product("MUG", 850, 10);
    EXPECT_TRUE(s.system.balanced(s.ctx));
    s.system.database().transact(
        s.ctx, [](sql::Transaction& tx) { tx.execute("update stock_levels set quantity = 9"); });
    EXPECT_FALSE(s.system.balanced(s.ctx));
  });
}

TEST(OrderSystem, LimitsWhoAsksTooOften) {
  with_system(
      [](RunningSystem& s) {
        s.key = "";
        EXPECT_EQ(s.get("/v1/products").status, 200);
        EXPECT_EQ(s.get("/v1/products").status, 200);
        const Answer refused = s.get("/v1/products");
        EXPECT_EQ(refused.status, 429);
        EXPECT_FALSE(refused.header("Retry-After").empty());
        EXPECT_EQ(s.get("/health/live").status, 200);
        s.key = s.admin;
        EXPECT_EQ(s.get("/v1/products").status, 200);
      },
      [](Settings& settings) {
        settings.rate_limit.anonymous_requests = 2;
        settings.rate_limit.anonymous_burst = 2;
      });
}

TEST(OrderSystem, LoadsTheDemoCatalogOnce) {
  with_system([](RunningSystem& s) {
    EXPECT_EQ(load_demo_catalog(s.ctx, s.system.database()), 12U);
    EXPECT_EQ(load_demo_catalog(s.ctx, s.system.database()), 0U);
    EXPECT_EQ(s.order("k", R"({"customerId":"1","items":[{"sku":"KELP-TEA","quantity":1}]})").status, 201);
  });
}

TEST(OrderSystem, ItsSchemaGoesUpAndDown) {
  const sql::TemporaryFolder folder;
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  runtime.run([&](const Context& ctx) {
    const auto db = open_unmigrated(ctx, testing::test_settings(folder.path()), runtime, "test");
    const sql::Migrator migrator(*db, migrations());
    const std::size_t steps = migrator.up(ctx).size();
    EXPECT_EQ(migrator.down(ctx, steps).size(), steps);
    EXPECT_EQ(migrator.up(ctx).size(), steps);
  });
}

}  // namespace
}  // namespace holdfast::orders
