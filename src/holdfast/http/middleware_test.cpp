#include <brotli/decode.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

#include "holdfast/http/compression.hpp"
#include "holdfast/http/conditional.hpp"
#include "holdfast/http/cors.hpp"
#include "holdfast/http/identity.hpp"
#include "holdfast/http/observed.hpp"
#include "holdfast/http/security_headers.hpp"

namespace holdfast::http {
namespace {

class MiddlewareTest : public ::testing::Test {
 protected:
  Response run(const Middleware& middleware, const Response& answer) {
    return middleware(ctx, request, [&](const Context&, Request&) {
      ++handled;
      return answer;
    });
  }

  ManualClock clock;
  Context ctx = Context(clock).with_request_id("req-1");
  Request request;
  int handled = 0;
};

std::string gunzipped(const std::string& bytes) {
  std::string out(1 << 20, '\0');
  z_stream stream{};
  inflateInit2(&stream, 15 + 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST_F(MiddlewareTest, ChoosesTheCodingByWeight) {
  const std::pair<std::string_view, Coding> cases[] = {
      {"", Coding::identity},
      {"gzip", Coding::gzip},
      {"br", Coding::brotli},
      {"gzip, deflate, br", Coding::brotli},
      {"gzip;q=1.0, br;q=0.5", Coding::gzip},
      {"br;q=0, gzip;q=0.1", Coding::gzip},
      {"*", Coding::brotli},
      {"*;q=0", Coding::identity},
      {"br;q=0, *", Coding::gzip},
      {"deflate", Coding::identity},
      {"gzip;q=0.5, identity;q=1", Coding::identity},
      {"GZIP ; q=1", Coding::gzip},
      {"gzip;q=nonsense", Coding::identity},
      {",,gzip,", Coding::gzip},
  };
  for (const auto& [header, coding] : cases) EXPECT_EQ(choose_coding(header), coding) << header;
}

TEST_F(MiddlewareTest, CompressesWhatIsWorthIt) {
  const std::string large = "[" + std::string(5000, '1') + "]";
  request.headers = {{"Accept-Encoding", "gzip"}};
  Response response = run(compression(), Response::json(200, large));
  EXPECT_EQ(response.header("Content-Encoding"), "gzip");
  EXPECT_EQ(response.header("Vary"), "Accept-Encoding");
  EXPECT_EQ(gunzipped(response.body), large);

  request.headers = {{"Accept-Encoding", "br"}};
  response = run(compression(), Response::json(200, large));
  EXPECT_EQ(response.header("Content-Encoding"), "br");
  std::string plain(large.size(), '\0');
  std::size_t size = plain.size();
  EXPECT_EQ(BrotliDecoderDecompress(response.body.size(),
                                    reinterpret_cast<const std::uint8_t*>(response.body.data()), &size,
                                    reinterpret_cast<std::uint8_t*>(plain.data())),
            BROTLI_DECODER_RESULT_SUCCESS);
  EXPECT_EQ(plain, large);

  EXPECT_FALSE(run(compression(), Response::json(200, "[1]")).has_header("Content-Encoding")) << "small";
  EXPECT_FALSE(run(compression(), Response::of(200, "image/png", large)).has_header("Content-Encoding"));
  EXPECT_EQ(run(compression(), Response::json(200, large).set("Content-Encoding", "zstd")).body, large);
  EXPECT_EQ(run(compression(), Response::json(200, large).set("Cache-Control", "no-transform")).body, large);
  request.headers.clear();
  response = run(compression(), Response::json(200, large));
  EXPECT_EQ(response.body, large);
  EXPECT_EQ(response.header("Vary"), "Accept-Encoding") << "a cache must know that others get other bytes";
}

TEST_F(MiddlewareTest, ConditionalGetWorksThroughCompression) {
  const std::string large = "[" + std::string(5000, '1') + "]";
  const Middleware outer = compression();
  const Middleware inner = conditional_get();
  std::string seen_if_match;
  const auto ask = [&] {
    return outer(ctx, request, [&](const Context& c, Request& r) {
      return inner(c, r, [&](const Context&, Request& innermost) {
        seen_if_match = innermost.header("If-Match");
        return Response::json(200, large);
      });
    });
  };
  request.headers = {{"Accept-Encoding", "br"}};
  const Response first = ask();
  const std::string etag(first.header("ETag"));
  EXPECT_TRUE(etag.ends_with("-br\"")) << etag;

  request.headers = {{"Accept-Encoding", "br"}, {"If-None-Match", etag}, {"If-Match", etag}};
  const Response second = ask();
  EXPECT_EQ(second.status, 304);
  EXPECT_EQ(second.body, "");
  EXPECT_EQ(seen_if_match, etag_of(large)) << "the handler sees the tag it gave";
}

TEST_F(MiddlewareTest, ComparesEtags) {
  using enum EtagComparison;
  EXPECT_TRUE(names_etag("\"a\", \"b,c\" , W/\"d\"", "\"b,c\"", strong));
  EXPECT_TRUE(names_etag("W/\"d\"", "\"d\"", weak));
  EXPECT_FALSE(names_etag("W/\"d\"", "\"d\"", strong));
  EXPECT_FALSE(names_etag("\"a\"", "\"b\"", weak));
  EXPECT_FALSE(names_etag("unquoted", "\"unquoted\"", weak));
  EXPECT_TRUE(names_etag("*", "\"x\"", strong));
}

TEST_F(MiddlewareTest, ConditionalGetLeavesOtherMethodsAlone) {
  request.method = Method::post;
  EXPECT_FALSE(run(conditional_get(), Response::json(200, "{}")).has_header("ETag"));
  request.method = Method::get;
  EXPECT_FALSE(run(conditional_get(), Response::json(404, "{}")).has_header("ETag"));
  EXPECT_EQ(run(conditional_get(), Response::json(200, "{}").set("ETag", "\"v7\"")).header("ETag"), "\"v7\"");
}

TEST_F(MiddlewareTest, CorsAllowsOnlyWhatIsListed) {
  const Middleware middleware = cors({.origins = {"https://shop.example"}});
  request.headers = {{"Origin", "https://shop.example"}};
  EXPECT_EQ(run(middleware, Response(200)).header("Access-Control-Allow-Origin"), "https://shop.example");
  request.method = Method::options;
  request.headers.push_back({"Access-Control-Request-Method", "POST"});
  handled = 0;
  const Response preflight = run(middleware, Response(200));
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(handled, 0);
  EXPECT_NE(preflight.header("Access-Control-Allow-Headers").find("Idempotency-Key"), std::string::npos);
  request.headers[0].value = "https://evil.example";
  const Response refused = run(middleware, Response(200));
  EXPECT_FALSE(refused.has_header("Access-Control-Allow-Origin"));
  EXPECT_EQ(refused.header("Vary"), "Origin");
  EXPECT_THROW(cors({.origins = {"*"}, .credentials = true}), Error);
}

TEST_F(MiddlewareTest, SecurityHeadersYieldToTheHandler) {
  const Response json =
      run(security_headers(), Response::json(200, "{}").set("X-Frame-Options", "SAMEORIGIN"));
  EXPECT_EQ(json.header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(json.header("X-Frame-Options"), "SAMEORIGIN");
  EXPECT_TRUE(json.has_header("Content-Security-Policy"));
  EXPECT_FALSE(run(security_headers(), Response::html(200, "")).has_header("Content-Security-Policy"));
}

TEST_F(MiddlewareTest, ObservesAnswersAndFailures) {
  std::vector<std::string> told;
  const Middleware middleware = observed([&](const Context&, const RequestRecord& record) {
    told.push_back(
        std::string(record.method) + " " + std::string(record.route) + " " + std::to_string(record.status) +
        " " + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(record.took).count()));
  });
  middleware(ctx, request, [&](const Context&, Request&) {
    clock.advance(std::chrono::milliseconds(7));
    return Response(201);
  });
  EXPECT_THROW(
      middleware(ctx, request, [](const Context&, Request&) -> Response { throw std::runtime_error("x"); }),
      std::runtime_error);
  EXPECT_EQ(told, (std::vector<std::string>{"GET (none) 201 7", "GET (none) 500 0"}));
}

TEST_F(MiddlewareTest, CountsRequestsByRouteAndStatus) {
  observe::Metrics metrics;
  const Middleware middleware = observed(request_metrics(metrics));
  run(middleware, Response(200));
  run(middleware, Response(200));
  run(middleware, Response(404));
  EXPECT_EQ(metrics
                .counter("holdfast_http_requests_total", "Requests answered.",
                         {{"method", "GET"}, {"route", "(none)"}, {"status", "200"}})
                .value(),
            2U);
}

TEST_F(MiddlewareTest, NamesTheRequest) {
  EXPECT_EQ(run(request_identity(), Response(200)).header("x-request-id"), "req-1");
}

}  // namespace
}  // namespace holdfast::http
