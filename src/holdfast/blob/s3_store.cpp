#include "holdfast/blob/s3_store.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/blob/internal/checks.hpp"
#include "holdfast/blob/internal/s3_client.hpp"
#include "holdfast/blob/internal/xml.hpp"

namespace holdfast::blob {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;
using http::ClientResponse;
using http::Method;

constexpr std::string_view kMeta = "x-amz-meta-";
constexpr std::string_view kSha256Meta = "x-amz-meta-holdfast-sha256";
constexpr std::string_view kPutMeta = "x-amz-meta-holdfast-put";  ///< which put() it was
constexpr std::size_t kMaxParts = 10'000;
constexpr std::size_t kMaxListBytes = 4 * 1024 * 1024;
constexpr Duration kAbortTimeout = std::chrono::seconds(10);

[[noreturn]] void malformed(std::string why) {
  throw Error(ErrorCode::unavailable, "The blob store's answer can't be read.")
      .reason("blob_store_answer_malformed")
      .cause(std::move(why));
}

std::uint64_t number_of(std::string_view text, const char* what) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    malformed(std::string(what) + " is no number");
  return number;
}

struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t size = 0;
};

/// "bytes 0-9/443".
ContentRange parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (!text.starts_with(kUnit) || dash == std::string_view::npos || slash == std::string_view::npos ||
      slash < dash)
    malformed("there is no Content-Range");
  const ContentRange range{
      .first = number_of(text.substr(kUnit.size(), dash - kUnit.size()), "a Content-Range"),
      .last = number_of(text.substr(dash + 1, slash - dash - 1), "a Content-Range"),
      .size = number_of(text.substr(slash + 1), "a Content-Range")};
  if (range.first > range.last || range.last >= range.size) malformed("a Content-Range that is none");
  return range;
}

Info info_of(std::string_view name, const ClientResponse& answer, std::uint64_t size) {
  Info info{.name = std::string(name),
            .size = size,
            .sha256 = std::string(answer.header(kSha256Meta)),
            .content_type = std::string(answer.header("Content-Type")),
            .metadata = {},
            .modified_at = parse_http_date(answer.header("Last-Modified")).value_or(WallTime{})};
  for (const auto& [full, value] : answer.headers) {
    std::string lower = full;
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (lower.starts_with(kMeta) && !lower.starts_with("x-amz-meta-holdfast-"))
      info.metadata.emplace(lower.substr(kMeta.size()), value);
  }
  return info;
}

/// Cuts what a Reader gives into parts of one size, and measures it.
class Parts {
 public:
  Parts(Reader& reader, std::size_t part_bytes) : reader_(reader), part_bytes_(part_bytes) {}

  /// The next: shorter than part_bytes only where it is the last; empty behind it.
  std::string next(const Context& ctx) {
    std::string part;
    while (part.size() < part_bytes_) {
      if (piece_.empty() && (ended_ || (piece_ = reader_.read(ctx)).empty())) {
        ended_ = true;
        break;
      }
      const std::string_view taken = piece_.substr(0, std::min(part_bytes_ - part.size(), kPieceBytes));
      if (part.empty()) part.reserve(std::min(part_bytes_, std::max(taken.size(), kPieceBytes)));
      measured.add(taken);
      part.append(taken);
      piece_.remove_prefix(taken.size());
    }
    return part;
  }

  Measured measured;

 private:
  Reader& reader_;
  const std::size_t part_bytes_;
  std::string_view piece_;
  bool ended_ = false;
};

}  // namespace

struct S3Store::State {
  S3Client s3;
  Random& random;

  std::string key_of(std::string_view name) const { return s3.options().prefix + std::string(name); }

  /// What a put sends along with the object.
  Pairs headers_for(const PutOptions& options, const std::string& mark) const {
    Pairs headers{{"content-type", options.content_type}, {std::string(kPutMeta), mark}};
    for (const auto& [name, value] : options.metadata) headers.emplace_back(std::string(kMeta) + name, value);
    if (options.sha256) headers.emplace_back(kSha256Meta, *options.sha256);
    return headers;
  }

  ClientResponse head(const Context& ctx, std::string_view name) {
    return s3.call(ctx, {.method = Method::head, .key = key_of(name)});
  }

  /// Whether what is there now is what this put put there, its answer having got lost.
  bool is_ours(const Context& ctx, std::string_view name, const std::string& mark) {
    const ClientResponse answer = head(ctx, name);
    return answer.status == 200 && answer.header(kPutMeta) == mark;
  }

  void put_whole(const Context& ctx, std::string_view name, std::string bytes, const PutOptions& options,
                 const std::string& mark);
  void put_parts(const Context& ctx, std::string_view name, std::string first, Parts& parts,
                 const PutOptions& options, const std::string& mark);
  Pairs send_parts(const Context& ctx, const std::string& key, const std::string& upload, std::string part,
                   Parts& parts);
  void complete(const Context& ctx, std::string_view name, const std::string& upload, const Pairs& sent,
                const PutOptions& options, const std::string& mark);
  void abort(const Context& ctx, const std::string& key, const std::string& upload) noexcept;
};

S3Store::S3Store(http::Client& client, resilience::Pipeline& pipeline, Random& random, S3Options options)
    : state_(std::make_unique<State>(State{S3Client(client, pipeline, std::move(options)), random})) {}

S3Store::~S3Store() = default;

Info S3Store::put(const Context& ctx, std::string_view name, Reader& bytes, const PutOptions& options) {
  require_put(name, options);
  State& state = *state_;
  const std::size_t part_bytes = state.s3.options().part_bytes;
  std::array<std::byte, 16> unique{};
  for (std::size_t i = 0; i < unique.size(); i += 8) {
    for (std::uint64_t bits = state.random.next(), j = 0; j < 8; ++j, bits >>= 8)
      unique[i + j] = static_cast<std::byte>(bits & 0xFF);
  }
  const std::string mark =
      encode_hex(as_bytes(std::string_view(reinterpret_cast<const char*>(unique.data()), unique.size())));
  Info info{.name = std::string(name),
            .size = 0,
            .sha256 = {},
            .content_type = options.content_type,
            .metadata = options.metadata,
            .modified_at = ctx.clock().wall_now()};
  Parts parts(bytes, part_bytes);
  std::string first = parts.next(ctx);
  if (first.size() < part_bytes) {
    PutOptions known = options;
    known.sha256 = info.sha256 = parts.measured.finish(options);
    info.size = parts.measured.size();
    state.put_whole(ctx, name, std::move(first), known, mark);
    return info;
  }
  // Rather than after gigabytes; complete() looks once more, then for good.
  if (options.if_absent && state.head(ctx, name).status == 200) throw exists(name);
  state.put_parts(ctx, name, std::move(first), parts, options, mark);
  info.size = parts.measured.size();
  info.sha256 = options.sha256.value_or("");
  return info;
}

void S3Store::State::put_whole(const Context& ctx, std::string_view name, std::string bytes,
                               const PutOptions& options, const std::string& mark) {
  S3Request request{.method = Method::put,
                    .key = key_of(name),
                    .headers = headers_for(options, mark),
                    .body = std::move(bytes),
                    .body_sha256 = *options.sha256};
  if (options.if_absent) request.headers.emplace_back("if-none-match", "*");
  const ClientResponse answer = s3.call(ctx, std::move(request));
  if (answer.status == 412 && !is_ours(ctx, name, mark)) throw exists(name);
  if (answer.status == 404 || answer.status == 416) malformed("a put that finds nothing");
}

void S3Store::State::put_parts(const Context& ctx, std::string_view name, std::string first, Parts& parts,
                               const PutOptions& options, const std::string& mark) {
  const std::string key = key_of(name);
  const ClientResponse begun = s3.call(ctx, {.method = Method::post,
                                             .key = key,
                                             .query = {{"uploads", ""}},
                                             .headers = headers_for(options, mark)});
  if (begun.status != 200) malformed("an upload that can't begin");
  const std::string upload(parse_xml(begun.body).text_of("UploadId"));
  if (upload.empty() || upload.size() > 1024) malformed("an upload without an id");
  try {
    const Pairs sent = send_parts(ctx, key, upload, std::move(first), parts);
    parts.measured.finish(options);
    complete(ctx, name, upload, sent, options, mark);
  } catch (...) {
    abort(ctx, key, upload);
    throw;
  }
}

Pairs S3Store::State::send_parts(const Context& ctx, const std::string& key, const std::string& upload,
                                 std::string part, Parts& parts) {
  Pairs sent;  // number, tag
  for (; !part.empty(); part = parts.next(ctx)) {
    if (sent.size() == kMaxParts)
      throw Error(ErrorCode::too_large, "A blob has at most " + std::to_string(kMaxParts) + " parts of " +
                                            std::to_string(s3.options().part_bytes) + " bytes.")
          .reason("blob_too_large");
    std::string number = std::to_string(sent.size() + 1);
    const ClientResponse answer = s3.call(ctx, {.method = Method::put,
                                                .key = key,
                                                .query = {{"partNumber", number}, {"uploadId", upload}},
                                                .body = std::move(part)});
    const std::string_view tag = answer.header("ETag");
    if (answer.status != 200 || tag.empty() || tag.size() > 1024) malformed("a part that was not taken");
    sent.emplace_back(std::move(number), std::string(tag));
  }
  return sent;
}

void S3Store::State::complete(const Context& ctx, std::string_view name, const std::string& upload,
                              const Pairs& sent, const PutOptions& options, const std::string& mark) {
  std::string body = "<CompleteMultipartUpload>";
  for (const auto& [number, tag] : sent)
    body += "<Part><PartNumber>" + number + "</PartNumber><ETag>" + escape_xml(tag) + "</ETag></Part>";
  body += "</CompleteMultipartUpload>";
  S3Request request{.method = Method::post,
                    .key = key_of(name),
                    .query = {{"uploadId", upload}},
                    .headers = {{"content-type", "application/xml"}},
                    .body = std::move(body),
                    .late_error = true};
  if (options.if_absent) request.headers.emplace_back("if-none-match", "*");
  const ClientResponse answer = s3.call(ctx, std::move(request));
  if (answer.status == 200) return;
  // 404: the upload is over; by a try of ours whose answer got lost, or it was aborted.
  if (is_ours(ctx, name, mark)) return;
  if (answer.status == 412) throw exists(name);
  malformed("an upload that was ended by others");
}

void S3Store::State::abort(const Context& ctx, const std::string& key, const std::string& upload) noexcept {
  try {
    s3.call(ctx.detached().with_timeout(kAbortTimeout),
            {.method = Method::delete_, .key = key, .query = {{"uploadId", upload}}});
  } catch (const std::exception&) {
    // the bucket's rule for unfinished uploads will
  }
}

Info S3Store::get(const Context& ctx, std::string_view name, const Sink& sink, const GetOptions& options) {
  require_name(name);
  State& state = *state_;
  const std::uint64_t step = state.s3.options().part_bytes;
  Info info;
  Range range{.offset = options.offset, .length = options.length.value_or(step), .whole = false};
  std::string tag;
  Sha256 hash;
  std::uint64_t done = 0;
  for (bool known = false; !known || done < range.length;) {
    const std::uint64_t from = range.offset + done;
    const std::uint64_t wanted = std::min(step, range.length - done);
    ClientResponse answer;
    answer.status = 416;  // nothing is asked for: a range can't say so
    if (wanted > 0) {
      S3Request request{.key = state.key_of(name), .max_answer_bytes = step + 64 * 1024};
      request.headers.emplace_back("range",
                                   "bytes=" + std::to_string(from) + '-' + std::to_string(from + wanted - 1));
      if (!tag.empty()) request.headers.emplace_back("if-match", tag);
      answer = state.s3.call(ctx, std::move(request));
    }
    if (answer.status == 404) throw known ? changed(name) : not_found(name);
    if (answer.status == 412 || (answer.status == 416 && known)) throw changed(name);
    if (answer.status == 416) {  // an empty blob, or from its end on
      answer = state.head(ctx, name);
      if (answer.status != 200) throw not_found(name);
      info = info_of(name, answer, number_of(answer.header("Content-Length"), "a Content-Length"));
      range = range_of(options, info.size);
      if (range.length > 0 && wanted > 0) throw changed(name);
      break;
    }
    const ContentRange part = parse_content_range(answer.header("Content-Range"));
    if (answer.status != 206 || part.first != from || answer.body.size() != part.last - part.first + 1 ||
        answer.body.size() > wanted || (known && part.size != info.size))
      malformed("a range that was not asked for");
    if (!known) {
      info = info_of(name, answer, part.size);
      range = range_of(options, info.size);
      tag = answer.header("ETag");
      known = true;
    }
    for (std::string_view left = answer.body; !left.empty();) {
      const std::string_view piece = left.substr(0, kPieceBytes);
      hash.update(piece);
      sink(ctx, piece);
      left.remove_prefix(piece.size());
    }
    done += answer.body.size();
  }
  if (range.whole && !info.sha256.empty() && encode_hex(hash.finish()) != info.sha256)
    throw damaged(name, "its SHA-256 is another");
  return info;
}

std::optional<Info> S3Store::head(const Context& ctx, std::string_view name) {
  require_name(name);
  const ClientResponse answer = state_->head(ctx, name);
  if (answer.status != 200) return std::nullopt;
  return info_of(name, answer, number_of(answer.header("Content-Length"), "a Content-Length"));
}

void S3Store::remove(const Context& ctx, std::string_view name) {
  require_name(name);
  state_->s3.call(ctx, {.method = Method::delete_, .key = state_->key_of(name)});
}

Page S3Store::list(const Context& ctx, std::string_view prefix, std::string_view after, std::size_t limit) {
  Page page;
  if (!listable(prefix)) return page;
  limit = std::clamp<std::size_t>(limit, 1, kMaxPage);
  const std::string& own = state_->s3.options().prefix;
  S3Request request{.query = {{"list-type", "2"},
                              {"prefix", own + std::string(prefix)},
                              {"max-keys", std::to_string(limit)}},
                    .max_answer_bytes = kMaxListBytes};
  if (!after.empty()) request.query.emplace_back("start-after", own + std::string(after));
  const ClientResponse answer = state_->s3.call(ctx, std::move(request));
  if (answer.status != 200) malformed("a listing that finds nothing");
  const XmlElement root = parse_xml(answer.body, {.max_bytes = kMaxListBytes});
  std::string last;
  for (const XmlElement& one : root.children) {
    if (one.name != "Contents") continue;
    const std::string_view key = one.text_of("Key");
    if (!key.starts_with(own) || !key.substr(own.size()).starts_with(prefix)) malformed("a foreign key");
    last = key.substr(own.size());
    if (!is_name(last)) continue;  // put there by others, and nothing that can be asked for
    page.blobs.push_back({.name = last,
                          .size = number_of(one.text_of("Size"), "a Size"),
                          .modified_at = parse_rfc3339(one.text_of("LastModified")).value_or(WallTime{})});
  }
  if (root.text_of("IsTruncated") == "true") {
    if (last.empty()) malformed("a listing that goes on without having begun");
    page.next = last;
  }
  return page;
}

}  // namespace holdfast::blob
