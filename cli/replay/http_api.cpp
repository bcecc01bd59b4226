#include "cli/replay/http_api.hpp"

#include <charconv>

#include "holdfast/base/error.hpp"
#include "holdfast/http/client.hpp"

namespace holdfast::cli {

namespace {

/// Seconds only: our servers send no dates here, and a date we can't read is no reason to fail.
std::optional<Duration> retry_after(std::string_view text) {
  std::uint32_t seconds = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::chrono::seconds(seconds);
}

}  // namespace

HttpApi::HttpApi(http::Client& client, std::string url, std::string api_key)
    : client_(client), url_(std::move(url)), authorization_(api_key.empty() ? "" : "Bearer " + api_key) {
  while (url_.ends_with('/')) url_.pop_back();
  if (!url_.starts_with("http://") && !url_.starts_with("https://")) {
    throw Error(ErrorCode::invalid_argument, "--url takes http://host:port; \"" + url_ + "\" is not that.")
        .reason("usage");
  }
}

ApiAnswer HttpApi::call(const Context& ctx, const ApiRequest& request) {
  http::ClientRequest out{
      .method = request.method, .url = url_ + request.target, .headers = {}, .body = request.body};
  out.timeout = ctx.remaining();
  if (!authorization_.empty()) out.headers.push_back({"Authorization", authorization_});
  if (!request.body.empty()) out.headers.push_back({"Content-Type", request.content_type});
  if (!request.idempotency_key.empty()) out.headers.push_back({"Idempotency-Key", request.idempotency_key});
  http::ClientResponse in = client_.send(ctx, out);
  return {.status = in.status,
          .body = std::move(in.body),
          .retry_after = retry_after(in.header("Retry-After")),
          .replayed = in.header("Idempotent-Replayed") == "true"};
}

}  // namespace holdfast::cli
