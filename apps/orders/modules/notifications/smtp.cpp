#include "orders/modules/notifications/smtp.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "holdfast/base/encoding.hpp"
#include "holdfast/runtime/offload.hpp"

namespace holdfast::orders::notifications {
namespace {

using Easy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

/// What is left to send of a mail.
struct Upload {
  std::string_view rest;
  static std::size_t read(char* out, std::size_t size, std::size_t count, void* self) {
    auto& upload = *static_cast<Upload*>(self);
    const std::size_t taken = std::min(size * count, upload.rest.size());
    std::memcpy(out, upload.rest.data(), taken);
    upload.rest.remove_prefix(taken);
    return taken;
  }
};

Error smtp_error(CURLcode code, long answer, std::string cause) {
  // 5yz: the server will not take it however often it is tried (RFC 5321, 4.2.1), but a person may help.
  const bool permanent = answer >= 500 && answer < 600;
  cause += ": " + std::string(curl_easy_strerror(code)) + ", last answer " + std::to_string(answer);
  return Error(permanent ? ErrorCode::conflict : ErrorCode::unavailable,
               "The mail server did not take the mail.")
      .reason(permanent ? "mail_refused" : "mail_server_unavailable")
      .cause(std::move(cause));
}

}  // namespace

struct Smtp::State {
  State(runtime::Runtime& runtime, Options given, observe::Metrics& metrics)
      : options(std::move(given)),
        delivered(metrics.counter("holdfast_smtp_delivered_total", "Mails the mail server accepted.")),
        failed(
            metrics.counter("holdfast_smtp_failures_total", "Attempts that the mail server did not accept.")),
        pool(runtime, {.name = "smtp", .threads = options.connections, .max_queue = options.max_queue}) {}

  Easy take() {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return Easy(curl_easy_init(), &curl_easy_cleanup);
    Easy easy = std::move(idle.back());
    idle.pop_back();
    return easy;
  }

  void give_back(Easy easy) {
    const std::lock_guard lock(mutex);
    if (idle.size() < options.connections) idle.push_back(std::move(easy));
  }

  void send(const Mail& mail, const std::string& content, Duration timeout) {
    Easy easy = take();
    CURL* curl = easy.get();
    if (curl == nullptr) throw smtp_error(CURLE_OUT_OF_MEMORY, 0, "preparing");
    curl_easy_reset(curl);  // keeps the connection
    const std::string scheme = options.port == 465 ? "smtps://" : "smtp://";
    const std::string url = scheme + options.host + ":" + std::to_string(options.port);
    const std::string sender = "<" + std::string(address_of(mail.from)) + ">";
    const std::string recipient = "<" + std::string(address_of(mail.to)) + ">";
    const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> recipients(
        curl_slist_append(nullptr, recipient.c_str()), &curl_slist_free_all);
    Upload upload{content};
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USE_SSL, options.require_tls ? CURLUSESSL_ALL : CURLUSESSL_TRY);
    curl_easy_setopt(curl, CURLOPT_MAIL_FROM, sender.c_str());
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients.get());
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, &Upload::read);
    curl_easy_setopt(curl, CURLOPT_READDATA, &upload);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(milliseconds, 1)));
    if (!options.user.empty()) {
      curl_easy_setopt(curl, CURLOPT_USERNAME, options.user.c_str());
      curl_easy_setopt(curl, CURLOPT_PASSWORD, options.password.reveal().c_str());
    }
    const CURLcode code = curl_easy_perform(curl);
    long answer = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    if (code != CURLE_OK) {
      failed.add();
      throw smtp_error(code, answer, "sending " + mail.id + " by " + url);
    }
    delivered.add();
    give_back(std::move(easy));
  }

  const Options options;
  observe::Counter delivered;
  observe::Counter failed;
  std::mutex mutex;
  std::vector<Easy> idle;
  runtime::OffloadPool pool;  // last: its threads use the rest
};

Smtp::Smtp(runtime::Runtime& runtime, Options options, observe::Metrics& metrics)
    : state_(std::make_unique<State>(runtime, std::move(options), metrics)) {}
Smtp::~Smtp() = default;

void Smtp::deliver(const Context& ctx, const Mail& mail) {
  const std::string content = encode(mail);
  const Duration timeout = std::min(state_->options.timeout, ctx.remaining());
  state_->pool.run(ctx, [&] { state_->send(mail, content, timeout); });
}

std::optional<std::string> Smtp::read(const Context&, std::string_view) { return std::nullopt; }

}  // namespace holdfast::orders::notifications
