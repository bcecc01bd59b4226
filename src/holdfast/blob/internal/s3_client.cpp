#include "holdfast/blob/internal/s3_client.hpp"

#include <algorithm>

#include "holdfast/blob/internal/checks.hpp"
#include "holdfast/blob/internal/sigv4.hpp"
#include "holdfast/blob/internal/xml.hpp"

namespace holdfast::blob {
namespace {

constexpr std::size_t kMaxErrorBytes = 64 * 1024;
constexpr std::size_t kMaxQuotedBytes = 300;

[[noreturn]] void refuse(std::string what) {
  throw Error(ErrorCode::invalid_argument, "The blob store's settings are wrong: " + std::move(what))
      .reason("blob_store_settings_invalid");
}

void check(const S3Options& options) {
  const auto plain = [](std::string_view text, std::string_view more) {
    return std::ranges::all_of(text, [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
    });
  };
  if (options.bucket.size() < 3 || options.bucket.size() > 63 || !plain(options.bucket, ".-"))
    refuse("a bucket has 3 to 63 of a-z, 0-9, '.' and '-'.");
  if (options.region.empty() || !plain(options.region, "-")) refuse("a region is such as eu-central-1.");
  if (options.access_key_id.empty() || options.secret_access_key.empty())
    refuse("there is no access key, or no secret one.");
  if (options.prefix.size() > 256 || (!options.prefix.empty() && !listable(options.prefix)))
    refuse("the prefix is no beginning of a name of at most 256 bytes.");
  if (options.part_bytes < 1024 || options.part_bytes > 1024 * 1024 * 1024)
    refuse("a part has 1 KiB to 1 GiB.");
}

struct Words {
  std::string code;
  std::string message;
};

/// What the store says of its refusal; it may be a proxy's page instead.
Words words_of(const http::ClientResponse& answer) {
  try {
    const XmlElement root = parse_xml(answer.body, {.max_bytes = kMaxErrorBytes});
    if (root.name == "Error")
      return {std::string(root.text_of("Code").substr(0, kMaxQuotedBytes)),
              std::string(root.text_of("Message").substr(0, kMaxQuotedBytes))};
  } catch (const Error&) {
    // an answer to HEAD has no body, and others need not be XML
  }
  return {};
}

std::string describe(const S3Request& request, int status, const Words& words) {
  return std::string(http::to_string(request.method)) + ' ' + request.key + ": " + std::to_string(status) +
         ' ' + words.code + ' ' + words.message;
}

/// What another try may get past: S3's "Error responses" say so of these.
bool passing(int status, std::string_view code) {
  return status >= 500 || status == 429 || status == 408 || code == "RequestTimeout" || code == "SlowDown" ||
         code == "OperationAborted" || code == "ConditionalRequestConflict" || code == "InternalError";
}

}  // namespace

S3Client::S3Client(http::Client& client, resilience::Pipeline& pipeline, S3Options options)
    : client_(client), pipeline_(pipeline), options_(std::move(options)) {
  check(options_);
  std::string_view endpoint = options_.endpoint;
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (endpoint.starts_with(scheme)) scheme_ = scheme;
  }
  if (scheme_.empty()) refuse("the endpoint begins with neither https:// nor http://.");
  endpoint.remove_prefix(scheme_.size());
  if (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  if (endpoint.empty() || endpoint.find_first_of("/?#@ ") != std::string_view::npos)
    refuse("the endpoint is a host and perhaps a port, without a path.");
  const std::string_view usual = scheme_ == "https://" ? ":443" : ":80";  // left out of Host headers
  if (endpoint.ends_with(usual)) endpoint.remove_suffix(usual.size());
  host_ = (options_.path_style ? "" : options_.bucket + '.') + std::string(endpoint);
}

http::ClientResponse S3Client::call(const Context& ctx, S3Request request) {
  http::ClientRequest sending;
  sending.method = request.method;
  sending.body = std::move(request.body);
  sending.max_response_bytes = request.max_answer_bytes;
  if (request.body_sha256.empty()) request.body_sha256 = sha256_of(sending.body);
  address(request, sending);
  http::ClientResponse answer =
      pipeline_.call(ctx,
                     [&](const Context& attempt) {
                       sending.timeout = attempt.remaining();
                       sign_for_now(attempt, request, sending);
                       http::ClientResponse got = client_.send(attempt, sending);
                       if (got.status < 300 && !request.late_error) return got;
                       const Words words = words_of(got);
                       if (passing(got.status, words.code))
                         throw Error(ErrorCode::unavailable, "The blob store can't be used now.")
                             .reason("blob_store_failed")
                             .cause(describe(request, got.status, words));
                       return got;
                     },
                     {.idempotent = true});
  if (answer.status >= 200 && answer.status < 300 && !request.late_error) return answer;
  const Words words = words_of(answer);
  const bool good = answer.status >= 200 && answer.status < 300 && words.code.empty();
  const bool of_object =
      (answer.status == 404 && words.code != "NoSuchBucket") || answer.status == 412 || answer.status == 416;
  if (good || of_object) return answer;
  throw Error(ErrorCode::unavailable, "The blob store refuses what it is asked.")
      .reason("blob_store_refused")
      .cause(describe(request, answer.status, words));
}

void S3Client::address(const S3Request& request, http::ClientRequest& sending) const {
  const std::string path = (options_.path_style ? '/' + options_.bucket : std::string()) + '/' + request.key;
  sending.url = scheme_ + host_ + escape_path(path);
  const std::string query = canonical_query(request.query);
  if (!query.empty()) sending.url += '?' + query;
}

void S3Client::sign_for_now(const Context& ctx, const S3Request& request,
                            http::ClientRequest& sending) const {
  const WallTime now = ctx.clock().wall_now();
  SignedRequest signing{.method = std::string(http::to_string(request.method)),
                        .path = {},
                        .query = request.query,
                        .headers = request.headers,
                        .payload_sha256 = request.body_sha256};
  signing.path =
      escape_path((options_.path_style ? '/' + options_.bucket : std::string()) + '/' + request.key);
  signing.headers.emplace_back("x-amz-date", amz_date(now));
  signing.headers.emplace_back("x-amz-content-sha256", request.body_sha256);
  if (!options_.session_token.empty())
    signing.headers.emplace_back("x-amz-security-token", options_.session_token.reveal());
  sending.headers.clear();
  for (const auto& [name, value] : signing.headers) sending.headers.push_back({name, value});
  signing.headers.emplace_back("host", host_);
  sending.headers.push_back(
      {"Authorization", sign(signing, {options_.access_key_id, options_.secret_access_key.reveal()},
                             {options_.region, "s3"}, now)
                            .authorization});
  sending.headers.push_back({"Accept-Encoding", "identity"});  // the bytes as they are stored
}

}  // namespace holdfast::blob
