// For this room's tests: as much of S3 as S3Store speaks, in memory, strict about what it is sent: every
// signature and payload hash is checked. Answers can be made to fail before or after the work was done.
// Keys with "discard" in them keep their size only and are read as zeros: for streams larger than memory
// should see. Thread-safety: the counters and fail_next() from any thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/blob/internal/sigv4.hpp"
#include "holdfast/blob/internal/xml.hpp"
#include "holdfast/http/testing/test_server.hpp"

namespace holdfast::blob {

class S3Server {
 public:
  static constexpr const char* kBucket = "shop";
  static constexpr const char* kKey = "AKIAIOSFODNN7EXAMPLE";
  static constexpr const char* kSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
  static constexpr const char* kRegion = "eu-test-1";

  S3Server() : server_(router(), options()) {}
  std::uint16_t port() const { return server_.port(); }

  enum class Failure { none, busy_before, lost_after };
  /// The next `count` requests whose "METHOD query" contains `what`.
  void fail_next(int count, Failure how, std::string what) {
    const std::lock_guard lock(mutex_);
    failures_ = count;
    failure_ = how;
    failing_ = std::move(what);
  }
  void tamper(const std::string& key) {
    const std::lock_guard lock(mutex_);
    objects_.at(key).bytes.at(0) ^= 1;
  }
  std::size_t uploads() {
    const std::lock_guard lock(mutex_);
    return uploads_.size();
  }
  /// "PUT partNumber=1&uploadId=u1", in their order.
  std::vector<std::string> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  std::atomic<int> refused_signatures{0};

 private:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  struct Object {
    std::string bytes;
    std::uint64_t size = 0;
    Headers headers;
    std::string etag;
    WallTime modified{};
  };
  struct Upload {
    std::string key;
    Headers headers;
    std::map<std::uint64_t, std::pair<std::string, std::uint64_t>> parts;  // bytes, size
  };

  static http::ServerOptions options() {
    http::ServerOptions made;
    made.limits.max_body_bytes = 64 * 1024 * 1024;
    return made;
  }

  http::Router router() {
    http::Router made;
    const auto handle = [this](const Context&, http::Request& request) { return answer(request); };
    for (const char* pattern : {"/", "/{rest...}"}) {
      made.get(pattern, handle);
      made.put(pattern, handle);
      made.post(pattern, handle);
      made.remove(pattern, handle);
    }
    return made;
  }

  static http::Response fault(int status, const char* code) {
    return http::Response::of(status, "application/xml",
                              "<?xml version=\"1.0\"?><Error><Code>" + std::string(code) +
                                  "</Code><Message>As it is said.</Message></Error>");
  }

  http::Response answer(http::Request& request) {
    if (!genuine(request)) {
      ++refused_signatures;
      return fault(403, "SignatureDoesNotMatch");
    }
    std::string key(request.path.substr(1));
    if (!request.header("Host").starts_with(std::string(kBucket) + '.')) {  // the bucket is in the path
      const std::size_t slash = key.find('/');
      if (key.substr(0, slash) != kBucket) return fault(404, "NoSuchBucket");
      key = slash == std::string::npos ? "" : key.substr(slash + 1);
    }
    const std::lock_guard lock(mutex_);
    const std::string what = std::string(request.method_name) + ' ' + std::string(request.query_string);
    seen_.push_back(what);
    const bool failing = failures_ > 0 && what.find(failing_) != std::string::npos;
    if (failing) --failures_;
    if (failing && failure_ == Failure::busy_before) return fault(503, "SlowDown");
    http::Response made = key.empty() ? list(request) : of_object(request, key);
    return failing ? http::Response::dropped() : made;
  }

  static bool genuine(http::Request& request) {
    const std::string_view authorization = request.header("Authorization");
    const auto field = [&](std::string_view name) {
      const std::size_t at = authorization.find(name);
      if (at == std::string_view::npos) return std::string();
      const std::string_view rest = authorization.substr(at + name.size());
      return std::string(rest.substr(0, rest.find(',')));
    };
    SignedRequest signing{.method = std::string(request.method_name),
                          .path = std::string(request.raw_path),
                          .query = {},
                          .headers = {},
                          .payload_sha256 = std::string(request.header("x-amz-content-sha256"))};
    if (encode_hex(sha256(request.body)) != signing.payload_sha256) return false;
    for (const auto& [name, value] : request.query_parameters()) signing.query.emplace_back(name, value);
    bool host = false;
    std::string names = field("SignedHeaders=") + ';';
    for (std::size_t end; (end = names.find(';')) != std::string::npos; names.erase(0, end + 1)) {
      const std::string name = names.substr(0, end);
      host |= name == "host";
      signing.headers.emplace_back(name, request.header(name));
    }
    for (const http::Header& header : request.headers) {  // S3 insists on these
      std::string name(header.name);
      std::ranges::transform(name, name.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
      if (name.starts_with("x-amz-") &&
          !std::ranges::count(signing.headers, name, [](auto& h) { return h.first; }))
        return false;
    }
    std::string date(request.header("x-amz-date"));
    if (date.size() != 16 || !host) return false;
    for (const auto& [at, c] : {std::pair{4, '-'}, {7, '-'}, {13, ':'}, {16, ':'}})
      date.insert(static_cast<std::size_t>(at), 1, c);
    const auto when = parse_rfc3339(date);
    return when && sign(signing, {kKey, kSecret}, {kRegion, "s3"}, *when).authorization == authorization;
  }

  http::Response of_object(http::Request& request, const std::string& key) {
    const auto upload_id = request.query("uploadId");
    switch (request.method) {
      case http::Method::put: return upload_id ? put_part(request, key, *upload_id) : put(request, key);
      case http::Method::post:
        return upload_id ? complete(request, key, *upload_id) : begin_upload(request, key);
      case http::Method::delete_:
        if (upload_id) {
          uploads_.erase(*upload_id);
        } else {
          objects_.erase(key);
        }
        return http::Response(204);
      default: return get(request, key);
    }
  }

  static bool discards(const std::string& key) { return key.find("discard") != std::string::npos; }

  static Headers headers_of(const http::Request& request) {
    Headers kept;
    for (const http::Header& header : request.headers) {
      const std::string_view name = header.name;
      if (http::equal_ignoring_case(name.substr(0, 11), "x-amz-meta-") ||
          http::equal_ignoring_case(name, "content-type"))
        kept.emplace_back(name, header.value);
    }
    return kept;
  }

  bool taken(const http::Request& request, const std::string& key) const {
    return request.header("If-None-Match") == "*" && objects_.contains(key);
  }

  http::Response store(const std::string& key, std::string bytes, std::uint64_t size, Headers headers) {
    Object made{.bytes = std::move(bytes),
                .size = size,
                .headers = std::move(headers),
                .etag = '"' + std::to_string(++tags_) + "-etag\"",
                .modified = clock_.wall_now()};
    http::Response response(200);
    response.set("ETag", made.etag);
    objects_.insert_or_assign(key, std::move(made));
    return response;
  }

  http::Response put(const http::Request& request, const std::string& key) {
    if (taken(request, key)) return fault(412, "PreconditionFailed");
    return store(key, std::string(request.body), request.body.size(), headers_of(request));
  }

  http::Response begin_upload(const http::Request& request, const std::string& key) {
    const std::string id = "u" + std::to_string(++tags_);
    uploads_[id] = {.key = key, .headers = headers_of(request), .parts = {}};
    return http::Response::of(
        200, "application/xml",
        "<InitiateMultipartUploadResult><UploadId>" + id + "</UploadId></InitiateMultipartUploadResult>");
  }

  http::Response put_part(const http::Request& request, const std::string& key, const std::string& id) {
    const auto at = uploads_.find(id);
    if (at == uploads_.end() || at->second.key != key) return fault(404, "NoSuchUpload");
    const std::uint64_t number = std::stoul(*request.query("partNumber"));
    at->second.parts[number] = {discards(key) ? std::string() : std::string(request.body),
                                request.body.size()};
    return http::Response(200).set("ETag", "\"part-" + std::to_string(number) + '"');
  }

  http::Response complete(const http::Request& request, const std::string& key, const std::string& id) {
    const auto at = uploads_.find(id);
    if (at == uploads_.end() || at->second.key != key) return fault(404, "NoSuchUpload");
    if (taken(request, key)) return fault(412, "PreconditionFailed");
    const XmlElement body = parse_xml(request.body);
    std::string bytes;
    std::uint64_t size = 0;
    for (const XmlElement& part : body.children) {
      const std::string number(part.text_of("PartNumber"));
      const auto found = at->second.parts.find(std::stoul(number));
      if (found == at->second.parts.end() || part.text_of("ETag") != "\"part-" + number + '"')
        return fault(400, "InvalidPart");
      bytes += found->second.first;
      size += found->second.second;
    }
    store(key, std::move(bytes), size, at->second.headers);
    uploads_.erase(at);
    return http::Response::of(200, "application/xml", "<CompleteMultipartUploadResult/>");
  }

  http::Response get(const http::Request& request, const std::string& key) {
    const auto at = objects_.find(key);
    if (at == objects_.end()) return fault(404, "NoSuchKey");
    const Object& object = at->second;
    const std::string_view condition = request.header("If-Match");
    if (!condition.empty() && condition != object.etag) return fault(412, "PreconditionFailed");
    http::Response response(200);
    std::uint64_t first = 0;
    std::uint64_t last = object.size - 1;
    if (const std::string range(request.header("Range")); !range.empty()) {
      const std::size_t dash = range.find('-');
      first = std::stoull(range.substr(6, dash - 6));
      if (first >= object.size) return fault(416, "InvalidRange");
      last = std::min<std::uint64_t>(std::stoull(range.substr(dash + 1)), object.size - 1);
      response.status = 206;
      response.set("Content-Range", "bytes " + std::to_string(first) + '-' + std::to_string(last) + '/' +
                                        std::to_string(object.size));
    }
    if (request.method_name == "HEAD" || object.size > 0)
      response.body =
          discards(key) ? std::string(last + 1 - first, '\0') : object.bytes.substr(first, last + 1 - first);
    for (const auto& [name, value] : object.headers) response.set(name, value);
    response.set("ETag", object.etag);
    response.set("Last-Modified", format_http_date(object.modified));
    return response;
  }

  http::Response list(const http::Request& request) {
    const std::string prefix = request.query("prefix").value_or("");
    const std::size_t most = std::stoul(request.query("max-keys").value_or("1000"));
    std::string body = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/\">";
    std::size_t count = 0;
    bool more = false;
    for (auto at = objects_.upper_bound(request.query("start-after").value_or("")); at != objects_.end();
         ++at) {
      if (!at->first.starts_with(prefix)) continue;
      if ((more = count == most)) break;
      ++count;
      body += "<Contents><Key>" + escape_xml(at->first) + "</Key><LastModified>" +
              format_rfc3339(at->second.modified) + "</LastModified><Size>" +
              std::to_string(at->second.size) + "</Size></Contents>";
    }
    body += std::string("<IsTruncated>") + (more ? "true" : "false") + "</IsTruncated></ListBucketResult>";
    return http::Response::of(200, "application/xml", body);
  }

  SystemClock clock_;
  std::mutex mutex_;
  std::map<std::string, Object> objects_;
  std::map<std::string, Upload> uploads_;
  std::vector<std::string> seen_;
  std::uint64_t tags_ = 0;
  int failures_ = 0;
  Failure failure_ = Failure::none;
  std::string failing_;
  http::testing::TestServer server_;  // last: it stops before the rest goes
};

}  // namespace holdfast::blob
