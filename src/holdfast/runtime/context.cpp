#include "holdfast/runtime/context.hpp"

#include <algorithm>
#include <utility>

namespace holdfast {

struct Context::Contents {
  const Clock* clock;
  Instant deadline = kNever;
  runtime::CancellationToken cancellation;
  observe::TraceContext trace;
  std::shared_ptr<const Principal> principal;  // shared: most derived contexts keep their parent's
  std::string request_id;
  Priority priority = Priority::normal;
};

namespace {

const std::shared_ptr<const Principal>& nobody() {
  static const auto principal = std::make_shared<const Principal>();
  return principal;
}

}  // namespace

Context::Context(const Clock& clock) {
  auto contents = std::make_shared<Contents>();
  contents->clock = &clock;
  contents->principal = nobody();
  contents_ = std::move(contents);
}

Context::Context(std::shared_ptr<const Contents> contents) : contents_(std::move(contents)) {}

Context Context::with_timeout(Duration timeout) const {
  const Instant now = this->now();
  return with_deadline(timeout > kNever - now ? kNever : now + timeout);
}

Context Context::with_deadline(Instant deadline) const {
  if (deadline >= contents_->deadline) return *this;
  auto contents = std::make_shared<Contents>(*contents_);
  contents->deadline = deadline;
  return Context(std::move(contents));
}

Context Context::with_cancellation(runtime::CancellationToken token) const {
  auto contents = std::make_shared<Contents>(*contents_);
  contents->cancellation = std::move(token);
  return Context(std::move(contents));
}

Context Context::with_trace(const observe::TraceContext& trace) const {
  auto contents = std::make_shared<Contents>(*contents_);
  contents->trace = trace;
  return Context(std::move(contents));
}

Context Context::with_principal(Principal principal) const {
  auto contents = std::make_shared<Contents>(*contents_);
  contents->principal = std::make_shared<const Principal>(std::move(principal));
  return Context(std::move(contents));
}

Context Context::with_request_id(std::string request_id) const {
  auto contents = std::make_shared<Contents>(*contents_);
  contents->request_id = std::move(request_id);
  return Context(std::move(contents));
}

Context Context::with_priority(Priority priority) const {
  auto contents = std::make_shared<Contents>(*contents_);
  contents->priority = priority;
  return Context(std::move(contents));
}

Context Context::for_request(Request request) const {
  auto contents = std::make_shared<Contents>(*contents_);
  contents->deadline = std::min(contents->deadline, request.deadline);
  contents->cancellation = std::move(request.cancellation);
  contents->trace = request.trace;
  contents->request_id = std::move(request.request_id);
  contents->priority = request.priority;
  return Context(std::move(contents));
}

Context Context::detached() const {
  auto contents = std::make_shared<Contents>(*contents_);
  contents->deadline = kNever;
  contents->cancellation = {};
  return Context(std::move(contents));
}

const Clock& Context::clock() const noexcept { return *contents_->clock; }
Instant Context::deadline() const noexcept { return contents_->deadline; }
const runtime::CancellationToken& Context::cancellation() const noexcept { return contents_->cancellation; }
const observe::TraceContext& Context::trace() const noexcept { return contents_->trace; }
const Principal& Context::principal() const noexcept { return *contents_->principal; }
const std::string& Context::request_id() const noexcept { return contents_->request_id; }
Priority Context::priority() const noexcept { return contents_->priority; }

Duration Context::remaining() const noexcept {
  if (contents_->deadline == kNever) return Duration::max();
  return std::max(Duration::zero(), contents_->deadline - now());
}

void Context::check(std::string_view doing) const {
  if (cancelled()) {
    throw Error(ErrorCode::cancelled,
                "The caller stopped waiting before this was done: " + std::string(doing));
  }
  if (contents_->deadline != kNever && now() >= contents_->deadline) {
    throw Error(ErrorCode::deadline_exceeded,
                "The time allowed ran out before this was done: " + std::string(doing));
  }
}

}  // namespace holdfast
