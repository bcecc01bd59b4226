#include "holdfast/http/client.hpp"

#include <curl/curl.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "holdfast/http/internal/curl_loop.hpp"
#include "holdfast/http/public_address.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::http {
namespace {

constexpr std::size_t kMaxSpareHandles = 64;
constexpr std::size_t kMaxHeaderBytes = 64 * 1024;

class HeaderList {
 public:
  ~HeaderList() { curl_slist_free_all(list_); }
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  void add(std::string_view name, std::string_view value) {
    std::string line(name);
    // curl takes "Name;" for an empty value; "Name:" would remove the header.
    line.append(value.empty() ? ";" : ": ").append(value);
    std::replace_if(
        line.begin(), line.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
    list_ = curl_slist_append(list_, line.c_str());
  }
  /// Keeps curl from adding a header of its own.
  void without(std::string_view name) {
    list_ = curl_slist_append(list_, std::string(name).append(":").c_str());
  }
  curl_slist* get() const noexcept { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

/// One request under way; lives on the stack of the fiber that waits for it.
struct Transfer {
  ClientResponse response;
  std::size_t max_response_bytes = 0;
  std::size_t header_bytes = 0;
  bool too_large = false;
  bool address_refused = false;
  bool repeatable = false;
  bool sent = false;
  bool too_late = false;
  bool done = false;
  const Clock* clock = nullptr;
  Instant until = kNever;  // nothing is sent from then on
  CURLcode result = CURLE_OK;
  char message[CURL_ERROR_SIZE] = "";
  runtime::Waker waiting;
};

std::size_t on_body(char* bytes, std::size_t, std::size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  if (transfer.response.body.size() + count > transfer.max_response_bytes) {
    transfer.too_large = true;
    return 0;  // ends the transfer
  }
  transfer.response.body.append(bytes, count);
  return count;
}

std::size_t on_header(char* bytes, std::size_t, std::size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  std::string_view line(bytes, count);
  transfer.header_bytes += count;
  if (transfer.header_bytes > kMaxHeaderBytes) {
    transfer.too_large = true;
    return 0;
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // a new head: the one before was a 100 or 103
    transfer.response.headers.clear();
    return count;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return count;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  transfer.response.headers.push_back({std::string(line.substr(0, colon)), std::string(value)});
  return count;
}

/// Asked by curl for a socket to each address it is about to try.
curl_socket_t on_open_public_only(void* user, curlsocktype, curl_sockaddr* address) {
  if (!is_public_address(address->addr)) {
    static_cast<Transfer*>(user)->address_refused = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/// Asked by curl before each sending. It sends once more by itself where a connection it used again ends
/// without an answer; but what was sent may have been done (RFC 9110, 9.2.2).
int on_send(void* user, char*, char*, int, int) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  if (transfer.sent && !transfer.repeatable) return CURL_PREREQFUNC_ABORT;
  // A process that stood still finds its connection ready before it is told that its time is over.
  transfer.too_late = transfer.clock->now() >= transfer.until;
  if (transfer.too_late) return CURL_PREREQFUNC_ABORT;
  transfer.sent = true;
  return CURL_PREREQFUNC_OK;
}

std::string_view host_of(std::string_view url) noexcept {
  const std::size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  const std::size_t at = url.rfind('@');  // never a password in a log
  return at == std::string_view::npos ? url : url.substr(at + 1);
}

std::string_view name_of(Priority priority) noexcept {
  switch (priority) {
    case Priority::critical: return "critical";
    case Priority::normal: return "normal";
    case Priority::background: return "background";
  }
  return "normal";
}

bool has_header(const ClientRequest& request, std::string_view name) noexcept {
  return std::any_of(request.headers.begin(), request.headers.end(),
                     [&](const ResponseHeader& header) { return equal_ignoring_case(header.name, name); });
}

/// Whether sending it twice does no more than sending it once.
bool repeatable(const ClientRequest& request) noexcept {
  return (request.method != Method::post && request.method != Method::patch) ||
         has_header(request, "Idempotency-Key");
}

void add_context_headers(HeaderList& list, const Context& ctx, const ClientRequest& request) {
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!has_header(request, name)) list.add(name, value);
  };
  if (ctx.trace().valid()) add("traceparent", ctx.trace().traceparent());
  if (!ctx.request_id().empty()) add("X-Request-Id", ctx.request_id());
  if (ctx.deadline() != kNever) {
    const WallTime deadline =
        ctx.clock().wall_now() + std::chrono::duration_cast<WallTime::duration>(ctx.remaining());
    add("X-Deadline",
        std::to_string(
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline.time_since_epoch()).count()));
  }
  if (ctx.priority() != Priority::normal) add("X-Priority", name_of(ctx.priority()));
}

Error unavailable(std::string_view reason, std::string_view what, const ClientRequest& request,
                  std::string_view why) {
  return Error(ErrorCode::unavailable, std::string(what))
      .reason(std::string(reason))
      .cause(std::string(to_string(request.method))
                 .append(" to ")
                 .append(host_of(request.url))
                 .append(": ")
                 .append(why));
}

Error failure_of(const Transfer& transfer, const ClientRequest& request) {
  const std::string_view why =
      transfer.message[0] != '\0' ? transfer.message : curl_easy_strerror(transfer.result);
  if (transfer.too_large) {
    return unavailable("response_too_large", "A service this depends on answered more than is taken.",
                       request, "over " + std::to_string(transfer.max_response_bytes) + " bytes");
  }
  if (transfer.address_refused && transfer.result == CURLE_COULDNT_CONNECT) {
    return Error(ErrorCode::permission_denied, "The URL leads to an address that is not public.")
        .reason("address_refused")
        .cause(std::string(host_of(request.url)));
  }
  switch (transfer.too_late ? CURLE_OPERATION_TIMEDOUT : transfer.result) {
    case CURLE_OPERATION_TIMEDOUT:
      return Error(ErrorCode::deadline_exceeded, "A service this depends on did not answer in time.")
          .reason("upstream_timeout")
          .cause(std::string(to_string(request.method))
                     .append(" to ")
                     .append(host_of(request.url))
                     .append(": ")
                     .append(why));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return Error(ErrorCode::invalid_argument, "The URL is not one of http or https.")
          .reason("bad_url")
          .cause(std::string(why));
    case CURLE_COULDNT_RESOLVE_HOST:
      return unavailable("host_not_found", "A service this depends on can't be found.", request, why);
    case CURLE_COULDNT_CONNECT:
      return unavailable("connection_failed", "A service this depends on can't be reached.", request, why);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return unavailable("tls_failed", "A service this depends on can't be trusted.", request, why);
    default: return unavailable("connection_lost", "A service this depends on broke off.", request, why);
  }
}

/// What belongs to one loop: its multi handle with its connections, and easy handles to use again.
struct LoopClient {
  LoopClient(runtime::Loop& loop, const CurlLimits& limits) : curl(loop, limits) {}
  ~LoopClient() {
    for (CURL* const easy : spare) curl_easy_cleanup(easy);
  }

  CURL* take() {
    if (spare.empty()) return curl_easy_init();
    CURL* const easy = spare.back();
    spare.pop_back();
    return easy;
  }

  void give_back(CURL* easy) {
    if (spare.size() == kMaxSpareHandles) return curl_easy_cleanup(easy);
    curl_easy_reset(easy);
    spare.push_back(easy);
  }

  CurlLoop curl;
  std::vector<CURL*> spare;
};

}  // namespace

struct Client::State {
  runtime::Runtime& runtime;
  const ClientOptions options;
  std::vector<std::unique_ptr<LoopClient>> loops;  // each made, used and destroyed on its loop

  LoopClient& here() {
    auto& client = loops[runtime.current_loop()];
    if (!client) {
      client = std::make_unique<LoopClient>(*runtime::Loop::current(),
                                            CurlLimits{static_cast<long>(options.max_connections),
                                                       static_cast<long>(options.max_connections_per_host),
                                                       static_cast<long>(options.max_idle_connections)});
    }
    return *client;
  }

  void configure(CURL* easy, const ClientRequest& request, Transfer& transfer, Duration timeout) const;
};

void Client::State::configure(CURL* easy, const ClientRequest& request, Transfer& transfer,
                              Duration timeout) const {
  const auto milliseconds = [](Duration duration) {
    return static_cast<long>(
        std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::milliseconds>(duration).count()));
  };
  const auto set = [easy](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, options.user_agent.c_str());
  set(CURLOPT_PROXY, options.proxy.c_str());
  set(CURLOPT_ACCEPT_ENCODING, "");  // all that this libcurl decodes
  set(CURLOPT_TIMEOUT_MS, milliseconds(timeout));
  set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(std::min(timeout, options.connect_timeout)));
  set(CURLOPT_HTTP_VERSION,
      options.http2 ? static_cast<long>(CURL_HTTP_VERSION_2TLS) : static_cast<long>(CURL_HTTP_VERSION_1_1));
  if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(transfer.message));
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, &transfer);
  transfer.repeatable = repeatable(request);
  set(CURLOPT_PREREQFUNCTION, &on_send);
  set(CURLOPT_PREREQDATA, &transfer);
  if (options.refuse_private_addresses) {
    set(CURLOPT_OPENSOCKETFUNCTION, &on_open_public_only);
    set(CURLOPT_OPENSOCKETDATA, &transfer);
  }
  const bool may_have_body = request.method != Method::get && request.method != Method::head;
  if (request.method == Method::head) set(CURLOPT_NOBODY, 1L);
  if (!request.body.empty() ||
      (may_have_body && request.method != Method::delete_ && request.method != Method::options)) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.data());  // not copied: the fiber waits here
  }
  if (request.method != Method::head) set(CURLOPT_CUSTOMREQUEST, to_string(request.method).data());
}

std::string_view ClientResponse::header(std::string_view name) const noexcept {
  for (const ResponseHeader& header : headers) {
    if (equal_ignoring_case(header.name, name)) return header.value;
  }
  return {};
}

Client::Client(runtime::Runtime& runtime, ClientOptions options)
    : state_(std::make_unique<State>(State{runtime, std::move(options), {}})) {
  curl_global_init(CURL_GLOBAL_DEFAULT);  // counted; safe from several threads since 7.84
  state_->loops.resize(runtime.loop_count());
}

Client::~Client() {
  struct Progress {
    explicit Progress(std::size_t count) : left(count) {}
    runtime::Signal changed;
    std::atomic<std::size_t> left;
  };
  State& state = *state_;
  const auto progress = std::make_shared<Progress>(state.loops.size());
  for (std::size_t i = 0; i < state.loops.size(); ++i) {
    state.runtime.post(i, [&client = state.loops[i], progress] {
      client.reset();
      progress->left.fetch_sub(1, std::memory_order_acq_rel);
      progress->changed.notify();
    });
  }
  for (;;) {
    const std::uint64_t seen = progress->changed.version();
    if (progress->left.load(std::memory_order_acquire) == 0) break;
    progress->changed.wait_past(state.runtime.context(), seen, "closing an HTTP client");
  }
  curl_global_cleanup();
}

ClientResponse Client::send(const Context& ctx, const ClientRequest& request) {
  ctx.check("sending an HTTP request");
  if (request.method == Method::other) {
    throw Error(ErrorCode::invalid_argument, "The HTTP client sends the usual methods only.");
  }
  const Duration timeout =
      std::min(ctx.remaining(), request.timeout.value_or(state_->options.default_timeout));
  LoopClient& here = state_->here();
  Transfer transfer;
  transfer.clock = &ctx.clock();
  transfer.until = ctx.now() + timeout;
  transfer.max_response_bytes = request.max_response_bytes.value_or(state_->options.max_response_bytes);
  HeaderList headers;
  for (const ResponseHeader& header : request.headers) headers.add(header.name, header.value);
  add_context_headers(headers, ctx, request);
  if (!has_header(request, "Expect")) headers.without("Expect");  // no extra round trip for larger bodies

  CURL* const easy = here.take();
  state_->configure(easy, request, transfer, timeout);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
  here.curl.add(easy, [&transfer](CURLcode result) {
    transfer.done = true;
    transfer.result = result;
    transfer.waiting.wake();
  });
  runtime::Woken woken = runtime::Woken::by_event;
  while (!transfer.done && woken == runtime::Woken::by_event) {
    transfer.waiting = runtime::prepare_wait("http request to another service");
    woken = runtime::park(ctx, "http request to another service");
  }
  if (!transfer.done) here.curl.remove(easy);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  here.give_back(easy);
  if (!transfer.done) runtime::throw_unless_event(woken, "http request to another service");
  if (transfer.result != CURLE_OK) throw failure_of(transfer, request);
  transfer.response.status = static_cast<int>(status);
  return std::move(transfer.response);
}

}  // namespace holdfast::http
