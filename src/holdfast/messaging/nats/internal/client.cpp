#include "holdfast/messaging/nats/internal/client.hpp"

#include <nats/nats.h>

#include <charconv>
#include <cstdlib>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/messaging/nats/internal/delivery.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::nats {
namespace {

constexpr std::int64_t kLastFlush = 500;  ///< milliseconds

struct Freed {
  void operator()(natsOptions* options) const noexcept { natsOptions_Destroy(options); }
  void operator()(natsMsg* message) const noexcept { natsMsg_Destroy(message); }
};
using OptionsHandle = std::unique_ptr<natsOptions, Freed>;
using MessageHandle = std::unique_ptr<natsMsg, Freed>;

[[noreturn]] void refuse(const std::string& what, natsStatus status) {
  throw Error(ErrorCode::failed_precondition, what).reason("nats_refused").cause(natsStatus_GetText(status));
}

void require(natsStatus status, const char* setting) {
  if (status != NATS_OK) refuse(std::string("NATS does not take broker.nats.") + setting + ".", status);
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + text;
  return out;
}

/// What to change, for whoever started us.
[[noreturn]] void explain(natsStatus status, const Options& options, const std::string& last_error) {
  const std::string servers = joined(options.servers);
  switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
      refuse("NATS at " + servers +
                 " refuses who we are: check broker.nats.user and password, token or credentials_file.",
             status);
    case NATS_SECURE_CONNECTION_WANTED:
      refuse("NATS at " + servers + " has no TLS: turn broker.nats.tls.required off, or configure it there.",
             status);
    case NATS_SECURE_CONNECTION_REQUIRED:
      refuse("NATS at " + servers + " takes TLS only: turn broker.nats.tls.required on.", status);
    case NATS_SSL_ERROR:
      refuse("TLS with NATS at " + servers +
                 " failed: check broker.nats.tls.ca_file, certificate_file, key_file and server_name. " +
                 last_error,
             status);
    case NATS_ADDRESS_MISSING:
    case NATS_INVALID_ARG: refuse("broker.nats.servers is no list of URLs: " + servers + ".", status);
    default: break;
  }
  // With TLS 1.3 a server that misses a certificate hangs up only after the handshake.
  const bool anonymous = options.tls.required && options.tls.certificate_file.empty();
  const char* hint = anonymous && status == NATS_PROTOCOL_ERROR
                         ? " It may ask for a certificate: broker.nats.tls.certificate_file."
                         : "";
  throw Error(ErrorCode::unavailable,
              "NATS at " + servers + " can't be reached (broker.nats.servers)." + hint)
      .reason("nats_unavailable")
      .cause(std::string(natsStatus_GetText(status)) + (last_error.empty() ? "" : ": " + last_error));
}

OptionsHandle make_options(const Options& options) {
  natsOptions* made = nullptr;
  if (const natsStatus status = natsOptions_Create(&made); status != NATS_OK)
    refuse("NATS' library can't be used.", status);
  OptionsHandle handle(made);
  std::vector<const char*> servers;
  for (const std::string& server : options.servers) servers.push_back(server.c_str());
  require(natsOptions_SetServers(made, servers.data(), static_cast<int>(servers.size())), "servers");
  require(natsOptions_SetName(made, options.name.c_str()), "name");
  require(natsOptions_SetAllowReconnect(made, false), "servers");
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(options.connect_timeout);
  require(natsOptions_SetTimeout(made, timeout.count()), "connect_timeout");
  require(natsOptions_SetPingInterval(made, 2000), "pingInterval");  // half-open is noticed in six seconds
  require(natsOptions_SetMaxPingsOut(made, 2), "pingInterval");
  require(natsOptions_SetSendAsap(made, false), "sendAsap");
  if (!options.user.empty()) {
    require(natsOptions_SetUserInfo(made, options.user.c_str(), options.password.reveal().c_str()), "user");
  }
  if (!options.token.empty()) require(natsOptions_SetToken(made, options.token.reveal().c_str()), "token");
  if (!options.credentials_file.empty()) {
    require(natsOptions_SetUserCredentialsFromFiles(made, options.credentials_file.c_str(), nullptr),
            "credentials_file");
  }
  if (!options.tls.required) return handle;
  require(natsOptions_SetSecure(made, true), "tls.required");
  if (!options.tls.ca_file.empty())
    require(natsOptions_LoadCATrustedCertificates(made, options.tls.ca_file.c_str()), "tls.ca_file");
  if (!options.tls.certificate_file.empty()) {
    require(natsOptions_LoadCertificatesChain(made, options.tls.certificate_file.c_str(),
                                              options.tls.key_file.c_str()),
            "tls.certificate_file");
  }
  if (!options.tls.server_name.empty())
    require(natsOptions_SetExpectedHostname(made, options.tls.server_name.c_str()), "tls.server_name");
  return handle;
}

Incoming read(natsMsg* message) {
  Incoming out;
  out.subject = natsMsg_GetSubject(message);
  if (const char* reply = natsMsg_GetReply(message)) out.reply = reply;
  out.body.assign(natsMsg_GetData(message), static_cast<std::size_t>(natsMsg_GetDataLength(message)));
  const char** names = nullptr;
  int count = 0;
  if (natsMsgHeader_Keys(message, &names, &count) != NATS_OK) return out;
  for (int i = 0; i < count; ++i) {
    const char* value = nullptr;
    if (natsMsgHeader_Get(message, names[i], &value) != NATS_OK) continue;
    const std::string_view name = names[i];
    const std::string_view text = value == nullptr ? "" : value;
    if (name == "Status" && out.body.empty()) {
      std::from_chars(text.data(), text.data() + text.size(), out.status);
    } else if (name == "Description" && out.body.empty()) {
      out.description = text;
    } else {
      out.headers.emplace_back(name, text);
    }
  }
  std::free(names);  // libnats allocates the array, not what it points to
  return out;
}

}  // namespace

/// What libnats' threads and our fibers share.
struct Client::Link {
  struct Asking {
    runtime::Waker waker;
    Incoming answer;
    bool answered = false;
    bool lost = false;
  };

  std::mutex mutex;
  std::uint64_t next_id = 1;
  std::unordered_map<std::uint64_t, Asking*> asking;  // on the stacks of fibers that wait
  std::unordered_map<std::uint64_t, std::shared_ptr<Mailbox>> mailboxes;
  std::uint64_t alive = 0;  // the generation that is connected; 0: none
  runtime::Signal changed;

  void arrived(Incoming&& message, std::uint64_t id) {
    // Under the lock to the end: a mailbox that is closed is not touched any more, nor is its signal.
    const std::lock_guard lock(mutex);
    if (const auto found = asking.find(id); found != asking.end()) {
      found->second->answer = std::move(message);
      found->second->answered = true;
      found->second->waker.wake();
    } else if (const auto box = mailboxes.find(id); box != mailboxes.end()) {
      box->second->arrived.push_back(std::move(message));
      box->second->signal.notify();
    }
  }

  void lost(std::uint64_t generation) {
    {
      const std::lock_guard lock(mutex);
      if (alive != generation) return;
      alive = 0;
      for (auto& [id, one] : asking) {
        one->lost = true;
        one->waker.wake();
      }
    }
    changed.notify();
  }
};

/// One connection. Its callbacks hold on to the Link until libnats says that they are over.
struct Client::Libnats {
  struct Closure {
    std::shared_ptr<Link> link;
    std::string inbox;
    std::uint64_t generation;
  };

  natsConnection* connection = nullptr;
  natsSubscription* subscription = nullptr;

  ~Libnats() {
    if (connection != nullptr) {
      natsConnection_FlushTimeout(connection, kLastFlush);
      natsConnection_Close(connection);
    }
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
  }

  /// Answers, and what the server says about a request, come to a subject of our inbox. Messages of a stream
  /// come under their own; the consumer's name, which ends with our address, is in the reply subject.
  static std::uint64_t address_of(const Incoming& incoming, const std::string& inbox) {
    std::string_view text = incoming.subject;
    if (text.starts_with(inbox)) {
      text.remove_prefix(inbox.size());
    } else {
      const auto delivery = parse_delivery(incoming.reply);
      if (!delivery) return 0;
      text = delivery->consumer.substr(delivery->consumer.rfind('-') + 1);
    }
    std::uint64_t id = 0;
    std::from_chars(text.data(), text.data() + text.size(), id);
    return id;
  }

  static void on_message(natsConnection* /*connection*/, natsSubscription* /*subscription*/, natsMsg* message,
                         void* closure) {
    const MessageHandle owned(message);
    const auto& to = *static_cast<Closure*>(closure);
    Incoming incoming = read(message);
    const std::uint64_t id = address_of(incoming, to.inbox);
    to.link->arrived(std::move(incoming), id);
  }
  static void on_complete(void* closure) { delete static_cast<Closure*>(closure); }
  static void on_closed(natsConnection* /*connection*/, void* closure) {
    const std::unique_ptr<Closure> own(static_cast<Closure*>(closure));
    own->link->lost(own->generation);
  }
};

Client::Client(runtime::Runtime& runtime, const Options& options)
    : runtime_(runtime),
      options_(options),
      inbox_("_INBOX." + IdGenerator(runtime.clock(), runtime.random()).make<Id<"nat">>().text() + "."),
      link_(std::make_shared<Link>()),
      connecting_(runtime, {.name = "nats", .threads = 1, .max_queue = 4}) {}

Client::~Client() { disconnect(); }

void Client::connect(const Context& ctx) {
  disconnect();
  const std::uint64_t generation = ++generation_;
  auto made = std::make_unique<Libnats>();
  natsStatus status = NATS_OK;
  std::string last_error;
  connecting_.run(ctx, [&] {
    const OptionsHandle options = make_options(options_);
    auto closed = std::make_unique<Libnats::Closure>(Libnats::Closure{link_, inbox_, generation});
    natsOptions_SetClosedCB(options.get(), Libnats::on_closed, closed.get());
    status = natsConnection_Connect(&made->connection, options.get());
    if (status != NATS_OK) {
      if (const char* text = nats_GetLastError(nullptr)) last_error = text;
      return;
    }
    static_cast<void>(closed.release());  // on_closed()'s
    auto messages = std::make_unique<Libnats::Closure>(Libnats::Closure{link_, inbox_, generation});
    status = natsConnection_Subscribe(&made->subscription, made->connection, (inbox_ + ">").c_str(),
                                      Libnats::on_message, messages.get());
    if (status != NATS_OK) return;
    natsSubscription_SetOnCompleteCB(made->subscription, Libnats::on_complete, messages.release());
    natsSubscription_SetPendingLimits(made->subscription, JetStream::kMaxWaitingMessages,
                                      static_cast<int>(JetStream::kMaxWaitingBytes));
  });
  if (status != NATS_OK) explain(status, options_, last_error);
  max_payload_ = natsConnection_GetMaxPayload(made->connection);
  {
    const std::lock_guard lock(link_->mutex);
    if (natsConnection_IsClosed(made->connection))
      status = NATS_CONNECTION_CLOSED;
    else
      link_->alive = generation;
  }
  if (status != NATS_OK) explain(status, options_, "it was lost at once");
  libnats_ = std::move(made);
  link_->changed.notify();
}

void Client::disconnect() noexcept {
  link_->lost(generation_);
  if (!libnats_) return;
  // Closing flushes and joins libnats' threads: not on a loop.
  if (runtime::on_fiber()) {
    // shared, since std::function copies
    static_cast<void>(connecting_.post([last = std::shared_ptr<Libnats>(std::move(libnats_))] {}));
    return;
  }
  libnats_.reset();
}

bool Client::connected() const noexcept {
  const std::lock_guard lock(link_->mutex);
  return link_->alive != 0;
}

std::string_view Client::tag() const noexcept {
  std::string_view tag = inbox_;
  tag.remove_suffix(1);
  return tag.substr(tag.size() - 8);  // the random end of its id
}

runtime::Signal& Client::changed() noexcept { return link_->changed; }

namespace {

MessageHandle make_message(const std::string& subject, const std::string& reply, const WireHeaders& headers,
                           std::string_view body) {
  natsMsg* made = nullptr;
  if (natsMsg_Create(&made, subject.c_str(), reply.c_str(), body.data(), static_cast<int>(body.size())) !=
      NATS_OK)
    throw Error(ErrorCode::internal, "A NATS message could not be made.").reason("nats_message");
  MessageHandle message(made);
  for (const auto& [name, value] : headers) natsMsgHeader_Set(made, name.c_str(), value.c_str());
  return message;
}

}  // namespace

Incoming Client::request(const Context& ctx, const std::string& subject, const WireHeaders& headers,
                         std::string_view body) {
  Link::Asking asking;
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(link_->mutex);
    if (link_->alive == 0)
      throw Error(ErrorCode::unavailable, "NATS is not connected.").reason("nats_unavailable");
    id = link_->next_id++;
    asking.waker = runtime::prepare_wait("asking NATS");
    link_->asking.emplace(id, &asking);
  }
  const MessageHandle message = make_message(subject, inbox_ + std::to_string(id), headers, body);
  const natsStatus status = natsConnection_PublishMsg(libnats_->connection, message.get());
  runtime::Woken woken = runtime::Woken::by_event;
  if (status == NATS_OK) woken = runtime::park(ctx, "waiting for NATS");
  {
    const std::lock_guard lock(link_->mutex);
    link_->asking.erase(id);
  }
  if (status != NATS_OK || asking.lost) {
    throw Error(status == NATS_MAX_PAYLOAD ? ErrorCode::too_large : ErrorCode::unavailable,
                "The connection to NATS was lost, or does not take this.")
        .reason("nats_unavailable")
        .cause(natsStatus_GetText(status));
  }
  if (!asking.answered) {
    if (woken == runtime::Woken::by_cancellation) runtime::throw_unless_event(woken, "waiting for NATS");
    throw Error(ErrorCode::unavailable, "NATS does not answer in time.").reason("nats_silent").cause(subject);
  }
  if (asking.answer.status == 503)
    throw Error(ErrorCode::unavailable, "Nobody answers at NATS' subject " + subject + ".")
        .reason("nats_no_responders");
  return std::move(asking.answer);
}

std::uint64_t Client::open_mailbox(std::shared_ptr<Mailbox> mailbox) {
  const std::lock_guard lock(link_->mutex);
  link_->mailboxes.emplace(link_->next_id, std::move(mailbox));
  return link_->next_id++;
}

void Client::close_mailbox(std::uint64_t id) noexcept {
  const std::lock_guard lock(link_->mutex);
  link_->mailboxes.erase(id);
}

std::deque<Incoming> Client::take(Mailbox& mailbox) {
  const std::lock_guard lock(link_->mutex);
  return std::exchange(mailbox.arrived, {});
}

bool Client::publish(const std::string& subject, std::uint64_t mailbox, std::string_view body) {
  if (!connected()) return false;
  const MessageHandle message = make_message(subject, inbox_ + std::to_string(mailbox), {}, body);
  return natsConnection_PublishMsg(libnats_->connection, message.get()) == NATS_OK;
}

}  // namespace holdfast::messaging::nats
