#include "holdfast/messaging/rabbitmq/internal/channel.hpp"

#include <charconv>
#include <utility>

#include "holdfast/messaging/rabbitmq/internal/connection.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

constexpr std::size_t kLargestBody = 256 * 1024 * 1024;  ///< of what comes; RabbitMQ's own limit is 512 MiB

/// Parks until `done`, a deadline or a cancellation; then whoever `leave`s is not written to any more.
template <class Done, class Leave>
void wait_until(const Context& ctx, const char* where, runtime::Waker& waker, Done done, Leave leave) {
  runtime::Woken woken = runtime::park(ctx, where);
  while (!done() && woken == runtime::Woken::by_event) {
    waker = runtime::prepare_wait(where);
    woken = runtime::park(ctx, where);
  }
  if (done()) return;
  leave();
  if (woken == runtime::Woken::by_cancellation) runtime::throw_unless_event(woken, where);
  throw Error(ErrorCode::unavailable, "RabbitMQ does not answer in time.")
      .reason("rabbitmq_silent")
      .cause(where);
}

/// What it says about a message that it does not take: "… message size 70000 is larger than configured …".
std::optional<std::size_t> refused_size(const Error& why) {
  constexpr std::string_view kBefore = "message size ";
  const std::string& text = why.cause();
  const std::size_t at = text.find(kBefore);
  if (at == std::string::npos || !text.contains("larger than")) return std::nullopt;
  std::size_t size = 0;
  std::from_chars(text.data() + at + kBefore.size(), text.data() + text.size(), size);
  return size;
}

}  // namespace

void Channel::call(const Context& ctx, std::string_view frames, Method reply, std::size_t count) {
  if (!open()) throw failure_;
  Call call{.waker = runtime::prepare_wait("asking RabbitMQ"), .left = count};
  connection_->send(frames);
  expected_.push_back({.call = &call, .reply = reply, .left = count});
  wait_until(
      ctx, "waiting for RabbitMQ", call.waker, [&] { return call.left == 0 || call.failed; },
      [&] {
        for (Expected& one : expected_) {
          if (one.call == &call) one.call = nullptr;
        }
      });
  if (call.failed) throw failure_;
}

void Channel::post(std::string_view frames) {
  if (open()) connection_->send(frames);
}

bool Channel::publish(const Context& ctx, const std::string& exchange, const std::string& key,
                      const Content& content) {
  if (open()) connection_->wait_unblocked(ctx);
  if (!open()) throw failure_;
  std::string frames;
  write_publish(frames, id_, exchange, key, content, connection_->frame_max());
  Publication publication{.waker = runtime::prepare_wait("publishing to RabbitMQ"),
                          .message_id = content.message_id,
                          .size = content.body.size()};
  connection_->send(frames);
  const std::uint64_t tag = ++published_;
  publications_.emplace(tag, &publication);
  wait_until(
      ctx, "waiting for a confirm of RabbitMQ", publication.waker,
      [&] { return publication.fate != Publication::Fate::waiting; }, [&] { publications_.erase(tag); });
  switch (publication.fate) {
    case Publication::Fate::taken: return !publication.returned;
    case Publication::Fate::refused:
      throw Error(ErrorCode::unavailable, "RabbitMQ could not store the message now (basic.nack).")
          .reason("rabbitmq_refused");
    default: break;
  }
  if (refused_size(failure_) == content.body.size()) {
    throw Error(ErrorCode::too_large, "RabbitMQ does not take a message of " +
                                          std::to_string(content.body.size()) +
                                          " bytes (max_message_size). Raise that, or use a claim check.")
        .reason("message_too_large")
        .cause(failure_.cause());
  }
  throw failure_;
}

void Channel::settle(const Frame& frame, Publication::Fate fate) {
  auto first = frame.multiple ? publications_.begin() : publications_.find(frame.tag);
  while (first != publications_.end() && first->first <= frame.tag) {
    first->second->fate = fate;
    first->second->waker.wake();
    first = publications_.erase(first);
    if (!frame.multiple) return;
  }
}

void Channel::arrived() {
  const Arriving whole = std::move(*arriving_);
  arriving_.reset();
  if (whole.method.method == Method::basic_return) {
    for (auto& [tag, publication] : publications_) {
      if (publication->message_id == whole.header.message_id) publication->returned = true;
    }
    return;
  }
  const auto box = mailboxes_.find(whole.method.consumer);
  if (box == mailboxes_.end()) return;  // detached meanwhile
  box->second->arrived.push_back({.tag = whole.method.tag,
                                  .offset = whole.header.stream_offset,
                                  .headers = std::move(whole.header.headers),
                                  .body = std::move(whole.body)});
  box->second->signal.notify();
}

void Channel::take(Frame&& frame) {
  if (frame.kind == Frame::Kind::header && arriving_ && !arriving_->headed) {
    if (frame.body_size > kLargestBody)
      throw Error(ErrorCode::unavailable, "RabbitMQ sends a message that is too large.")
          .reason("amqp_broken");
    arriving_->header = std::move(frame);
    arriving_->headed = true;
    if (arriving_->header.body_size == 0) arrived();
    return;
  }
  if (frame.kind == Frame::Kind::body && arriving_ && arriving_->headed) {
    arriving_->body += frame.body;
    if (arriving_->body.size() >= arriving_->header.body_size) arrived();
    return;
  }
  if (frame.kind != Frame::Kind::method || arriving_)
    throw Error(ErrorCode::unavailable, "RabbitMQ's frames are in no order.").reason("amqp_broken");
  switch (frame.method) {
    case Method::basic_ack: return settle(frame, Publication::Fate::taken);
    case Method::basic_nack: return settle(frame, Publication::Fate::refused);
    case Method::basic_deliver:
    case Method::basic_return: arriving_ = Arriving{.method = std::move(frame)}; return;
    case Method::basic_cancel: {
      const auto box = mailboxes_.find(frame.consumer);
      if (box == mailboxes_.end()) return;
      box->second->gone = true;
      box->second->signal.notify();
      return;
    }
    default: break;
  }
  if (expected_.empty() || expected_.front().reply != frame.method) return;  // of nobody's interest
  Expected& first = expected_.front();
  if (first.call != nullptr) --first.call->left;
  if (--first.left > 0) return;
  if (first.call != nullptr) first.call->waker.wake();
  expected_.pop_front();
}

void Channel::fail(const Error& why) noexcept {
  connection_ = nullptr;
  failure_ = why;
  for (const Expected& one : std::exchange(expected_, {})) {
    if (one.call == nullptr) continue;
    one.call->failed = true;
    one.call->waker.wake();
  }
  for (const auto& [tag, publication] : std::exchange(publications_, {})) {
    publication->fate = Publication::Fate::lost;
    publication->waker.wake();
  }
  for (const auto& [consumer, mailbox] : mailboxes_) mailbox->signal.notify();
}

}  // namespace holdfast::messaging::rabbitmq
