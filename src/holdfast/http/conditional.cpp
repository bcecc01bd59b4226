#include "holdfast/http/conditional.hpp"

#include <array>
#include <span>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"

namespace holdfast::http {
namespace {

constexpr std::size_t kTagBytes = 16;

std::string_view without_weak(std::string_view tag) noexcept {
  return tag.starts_with("W/") ? tag.substr(2) : tag;
}

/// What a 304 repeats of the 200 it stands for (RFC 9110, 15.4.5).
constexpr std::array<std::string_view, 6> kKept = {"ETag",    "Cache-Control", "Content-Location",
                                                   "Expires", "Vary",          "Last-Modified"};

Response not_modified(const Response& full) {
  Response response(304);
  for (const std::string_view name : kKept) {
    if (full.has_header(name)) response.add(name, full.header(name));
  }
  return response;
}

}  // namespace

std::string etag_of(std::string_view bytes) {
  const Sha256Digest digest = sha256(bytes);
  return "\"" + encode_hex(std::span(digest).first(kTagBytes)) + "\"";
}

bool names_etag(std::string_view list, std::string_view etag, EtagComparison comparison) noexcept {
  if (list == "*") return true;
  const bool strong = comparison == EtagComparison::strong;
  if (strong && etag.starts_with("W/")) return false;
  while (!list.empty()) {  // tags are quoted and may contain commas
    list.remove_prefix(std::min(list.find_first_not_of(", \t"), list.size()));
    const std::size_t open = list.find('"');
    const std::size_t close = open == std::string_view::npos ? open : list.find('"', open + 1);
    if (close == std::string_view::npos) return false;
    const std::string_view tag = list.substr(0, close + 1);
    list.remove_prefix(tag.size());
    if (strong ? tag == etag : without_weak(tag) == without_weak(etag)) return true;
  }
  return false;
}

Middleware conditional_get(ConditionalOptions options) {
  return [options](const Context& ctx, Request& request, const Next& next) {
    Response response = next(ctx, request);
    const bool reads = request.method == Method::get || request.method == Method::head;
    if (!reads || response.status != 200 || response.stream) return response;
    if (!response.has_header("ETag")) {
      if (response.body.size() > options.max_bytes) return response;
      response.add("ETag", etag_of(response.body));
    }
    const std::string_view wanted = request.header("If-None-Match");
    if (wanted.empty() || !names_etag(wanted, response.header("ETag"), EtagComparison::weak)) return response;
    return not_modified(response);
  };
}

}  // namespace holdfast::http
