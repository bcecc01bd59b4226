#include "holdfast/http/compression.hpp"

#include <brotli/encode.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace holdfast::http {
namespace {

constexpr int kGzipWindowBits = 15 + 16;  // 16 asks zlib for gzip's frame
constexpr int kGzipMemoryLevel = 8;
constexpr std::string_view kGzipSuffix = "-gzip\"";
constexpr std::string_view kBrotliSuffix = "-br\"";

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// 0 to 1000; a malformed weight counts as 0: better uncompressed than not understood.
int weight_of(std::string_view parameters) noexcept {
  parameters = trimmed(parameters);
  if (parameters.empty()) return 1000;
  if (parameters.size() < 3 || (parameters[0] | 0x20) != 'q' || parameters[1] != '=') return 0;
  double value = 0;
  const std::string_view number = parameters.substr(2);
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != number.data() + number.size() || !(value >= 0 && value <= 1)) return 0;
  return static_cast<int>(value * 1000 + 0.5);
}

bool compressible(std::string_view type) noexcept {
  type = trimmed(type.substr(0, type.find(';')));
  constexpr std::array<std::string_view, 6> kTypes = {"application/json", "application/javascript",
                                                      "application/xml",  "application/yaml",
                                                      "image/svg+xml",    "application/x-ndjson"};
  return type.starts_with("text/") || type.ends_with("+json") || type.ends_with("+xml") ||
         std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

bool may_be_compressed(const Response& response, const CompressionOptions& options) {
  return !response.stream && !bodyless(response.status) && response.status != 206 &&
         response.body.size() >= options.min_bytes && response.body.size() <= options.max_bytes &&
         compressible(response.content_type()) && !response.has_header("Content-Encoding") &&
         response.header("Cache-Control").find("no-transform") == std::string_view::npos;
}

/// Takes the suffixes of our own compressed ETags off a header's value.
std::string without_suffixes(std::string_view value) {
  std::string plain(value);
  for (const std::string_view suffix : {kGzipSuffix, kBrotliSuffix}) {
    for (std::size_t at = 0; (at = plain.find(suffix, at)) != std::string::npos;)
      plain.replace(at, suffix.size(), "\"");
  }
  return plain;
}

void compress(Response& response, Coding coding, const CompressionOptions& options) {
  std::string smaller = coding == Coding::gzip ? gzip_compressed(response.body, options.gzip_level)
                                               : brotli_compressed(response.body, options.brotli_quality);
  if (smaller.empty() || smaller.size() >= response.body.size()) return;
  response.body = std::move(smaller);
  response.set("Content-Encoding", coding == Coding::gzip ? "gzip" : "br");
  const std::string etag(response.header("ETag"));
  if (!etag.starts_with('"') || !etag.ends_with('"') || etag.size() < 2) return;
  response.set("ETag",
               etag.substr(0, etag.size() - 1).append(coding == Coding::gzip ? kGzipSuffix : kBrotliSuffix));
}

}  // namespace

Coding choose_coding(std::string_view accept) noexcept {
  int gzip = -1;
  int brotli = -1;
  int any = 0;
  int identity = 1;  // acceptable unless said otherwise, and the last choice
  while (!accept.empty()) {
    const std::string_view item = accept.substr(0, accept.find(','));
    accept.remove_prefix(std::min(accept.size(), item.size() + 1));
    const std::size_t semicolon = item.find(';');
    const std::string_view name = trimmed(item.substr(0, semicolon));
    const int weight =
        weight_of(semicolon == std::string_view::npos ? std::string_view() : item.substr(semicolon + 1));
    if (equal_ignoring_case(name, "gzip") || equal_ignoring_case(name, "x-gzip"))
      gzip = weight;
    else if (equal_ignoring_case(name, "br"))
      brotli = weight;
    else if (equal_ignoring_case(name, "identity"))
      identity = weight;
    else if (name == "*")
      any = weight;
  }
  if (gzip < 0) gzip = any;
  if (brotli < 0) brotli = any;
  const int best = std::max(gzip, brotli);
  if (best <= 0 || identity > best) return Coding::identity;
  return brotli >= gzip ? Coding::brotli : Coding::gzip;
}

std::string gzip_compressed(std::string_view bytes, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindowBits, kGzipMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK)
    return {};
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return result == Z_STREAM_END ? out : std::string();
}

std::string brotli_compressed(std::string_view bytes, int quality) {
  std::size_t size = BrotliEncoderMaxCompressedSize(bytes.size());
  std::string out(size, '\0');
  const bool done = BrotliEncoderCompress(quality, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT, bytes.size(),
                                          reinterpret_cast<const std::uint8_t*>(bytes.data()), &size,
                                          reinterpret_cast<std::uint8_t*>(out.data())) == BROTLI_TRUE;
  out.resize(done ? size : 0);
  return out;
}

Middleware compression(CompressionOptions options) {
  return [options](const Context& ctx, Request& request, const Next& next) {
    std::string if_match;  // live across next(): the request has views
    std::string if_none_match;
    for (Header& header : request.headers) {
      std::string* const plain = equal_ignoring_case(header.name, "If-Match")        ? &if_match
                                 : equal_ignoring_case(header.name, "If-None-Match") ? &if_none_match
                                                                                     : nullptr;
      if (plain == nullptr || !plain->empty()) continue;
      *plain = without_suffixes(header.value);
      header.value = *plain;
    }
    const Coding coding = choose_coding(request.header("Accept-Encoding"));
    Response response = next(ctx, request);
    if (response.status == 304) {
      response.add_token("Vary", "Accept-Encoding");
      return response;
    }
    if (!may_be_compressed(response, options)) return response;
    response.add_token("Vary", "Accept-Encoding");
    if (coding != Coding::identity) compress(response, coding, options);
    return response;
  };
}

}  // namespace holdfast::http
