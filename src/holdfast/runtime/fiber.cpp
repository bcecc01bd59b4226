#include "holdfast/runtime/fiber.hpp"

#include <cxxabi.h>

#include <cstring>
#include <utility>

#include "holdfast/base/invariant.hpp"
#include "holdfast/runtime/internal/loop_state.hpp"

namespace holdfast::runtime {

namespace {

// The C++ runtime keeps the stack of exceptions being handled per thread. A fiber that waits inside a
// `catch` takes its part along; without this it would rethrow another fiber's exception.
class ExceptionState {
 public:
  ExceptionState() noexcept { std::memcpy(bytes_, globals(), sizeof bytes_); }
  void restore() const noexcept { std::memcpy(globals(), bytes_, sizeof bytes_); }
  static void clear() noexcept { std::memset(globals(), 0, kBytes); }

 private:
  // __cxa_eh_globals of the Itanium C++ ABI: { void* caughtExceptions; unsigned int uncaughtExceptions; }
  static constexpr std::size_t kBytes = sizeof(void*) + sizeof(unsigned int);
  static void* globals() noexcept { return abi::__cxa_get_globals(); }
  unsigned char bytes_[kBytes];
};

/// Hands boost::context a Stack that somebody else owns.
struct BorrowedStack {
  boost::context::stack_context allocate() { return {}; }
  void deallocate(boost::context::stack_context&) noexcept {}
};

thread_local const char* no_wait_reason = nullptr;

Fiber& current_fiber() noexcept {
  Loop* loop = Loop::current();
  require_invariant(loop && loop->state().current, "a wait outside of any fiber");
  return *loop->state().current;
}

}  // namespace

Fiber::Fiber(Loop::State& owner, std::size_t stack_bytes)
    : loop(owner), stack(stack_bytes), sanitized(stack.bottom(), stack.bytes()), deadline([this] {
        // Woken in this very turn, it is ready already; twice, it would run on past its end.
        if (waiting) loop.make_ready(*this, Woken::by_deadline);
      }) {
  boost::context::stack_context where;
  where.sp = stack.top();
  where.size = stack.bytes();
  context.value = boost::context::fiber(
      std::allocator_arg, boost::context::preallocated(stack.top(), stack.bytes(), where), BorrowedStack{},
      [this](boost::context::fiber&& back) { return run(std::move(back)); });
}

boost::context::fiber Fiber::run(boost::context::fiber&& loop_context) {
  sanitized.arrived(*loop.own_stack);
  loop.loop_context = std::move(loop_context);
  for (;;) {  // a stack is left for good only with its Loop, from outside
    body();
    body = nullptr;
    alive = false;
    name.store(nullptr, std::memory_order_relaxed);
    loop.idle.push_back(this);
    loop.fibers_alive.fetch_sub(1, std::memory_order_relaxed);
    loop.leave_fiber();
  }
}

bool Loop::State::spawn(const char* name, std::function<void()> body) {
  if (idle.empty()) {
    if (fibers.size() >= options.max_fibers_per_loop) return false;
    auto made = std::make_unique<Fiber>(*this, options.stack_bytes);
    idle.reserve(fibers.size() + 1);  // so that a fiber's end allocates nothing
    idle.push_back(made.get());
    const std::lock_guard lock(fibers_mutex);
    fibers.push_back(std::move(made));
  }
  Fiber& fiber = *idle.back();
  idle.pop_back();
  fiber.body = std::move(body);
  fiber.name.store(name, std::memory_order_relaxed);
  fiber.started.store(turn_started, std::memory_order_relaxed);
  fiber.alive = true;
  fibers_started.fetch_add(1, std::memory_order_relaxed);
  fibers_alive.fetch_add(1, std::memory_order_relaxed);
  ready.push_back(&fiber);
  return true;
}

void Loop::State::resume(Fiber& fiber) {
  current = &fiber;
  pulse(fiber.name.load(std::memory_order_relaxed));
  own_stack->leaving(fiber.sanitized);
  fiber.context.value = std::move(fiber.context.value).resume();
  own_stack->arrived(fiber.sanitized);
  current = nullptr;
}

void Loop::State::leave_fiber() noexcept {
  Fiber& fiber = *current;
  const ExceptionState exceptions;
  ExceptionState::clear();
  fiber.sanitized.leaving(*own_stack);
  loop_context = std::move(loop_context).resume();
  fiber.sanitized.arrived(*own_stack);
  exceptions.restore();
}

void Loop::State::make_ready(Fiber& fiber, Woken woken) noexcept {
  fiber.waiting = false;
  fiber.woken = woken;
  ready.push_back(&fiber);
}

void Loop::State::wake(const Waker& waker) noexcept {
  Fiber& fiber = *waker.fiber_;
  if (fiber.ticket != waker.ticket_) return;  // that wait is over
  if (fiber.waiting) {
    make_ready(fiber, Woken::by_event);
  } else if (current == &fiber) {
    fiber.woken_early = true;
  }
}

void Waker::wake() const noexcept {
  if (!fiber_) return;
  Loop::State& loop = fiber_->loop;
  if (Loop::current() == loop.self) {
    loop.wake(*this);
  } else {
    loop.wake_remote(this, 1);
  }
}

void wake_all(std::span<const Waker> wakers) noexcept {
  // Callers of one commit come from few loops: gather each loop's in turn.
  std::vector<Loop::State*> done;
  std::vector<Waker> same;
  for (std::size_t i = 0; i < wakers.size(); ++i) {
    if (!wakers[i].fiber_) continue;
    Loop::State& loop = wakers[i].fiber_->loop;
    if (std::find(done.begin(), done.end(), &loop) != done.end()) continue;
    done.push_back(&loop);
    same.clear();
    for (std::size_t j = i; j < wakers.size(); ++j) {
      if (wakers[j].fiber_ && &wakers[j].fiber_->loop == &loop) same.push_back(wakers[j]);
    }
    if (Loop::current() == loop.self) {
      for (const Waker& waker : same) loop.wake(waker);
    } else {
      loop.wake_remote(same.data(), same.size());
    }
  }
}

Waker prepare_wait(const char* doing) {
  if (no_wait_reason) {
    throw Error(ErrorCode::internal, "The service could not do this.")
        .cause(std::string(doing) + " is refused inside " + no_wait_reason + ": nothing else may wait there");
  }
  if (!on_fiber()) {
    throw Error(ErrorCode::internal, "The service could not do this.")
        .cause(std::string(doing) + " was called outside of a fiber, where nothing can wait");
  }
  Fiber& fiber = current_fiber();
  ++fiber.ticket;
  fiber.woken_early = false;
  return {&fiber, fiber.ticket};
}

Woken park(const Context& ctx, const char* where) noexcept {
  Fiber& fiber = current_fiber();
  if (fiber.woken_early) return Woken::by_event;
  if (ctx.cancelled()) {
    ++fiber.ticket;
    return Woken::by_cancellation;
  }
  fiber.waiting_at.store(where, std::memory_order_relaxed);
  fiber.waiting = true;
  if (ctx.deadline() != kNever) fiber.deadline.arm(ctx.deadline());
  if (ctx.cancellation().can_be_cancelled()) {
    const CancellationRegistration registration(ctx.cancellation(), Waker(&fiber, fiber.ticket));
    if (fiber.waiting)
      fiber.loop.leave_fiber();
    else
      std::erase(fiber.loop.ready, &fiber);  // cancelled while we registered, on this very thread
  } else {
    fiber.loop.leave_fiber();
  }
  fiber.deadline.disarm();
  fiber.waiting_at.store(nullptr, std::memory_order_relaxed);
  ++fiber.ticket;  // whatever still holds the Waker is late now
  if (fiber.woken == Woken::by_event && ctx.cancelled()) return Woken::by_cancellation;
  return fiber.woken;
}

void park_uninterruptible(const char* where) noexcept {
  Fiber& fiber = current_fiber();
  if (fiber.woken_early) return;
  fiber.waiting_at.store(where, std::memory_order_relaxed);
  fiber.waiting = true;
  fiber.loop.leave_fiber();
  fiber.waiting_at.store(nullptr, std::memory_order_relaxed);
  ++fiber.ticket;
}

void throw_unless_event(Woken woken, const char* where) {
  if (woken == Woken::by_deadline) {
    throw Error(ErrorCode::deadline_exceeded, "The time allowed for this request ran out.")
        .cause(std::string("while waiting: ") + where);
  }
  if (woken == Woken::by_cancellation) {
    throw Error(ErrorCode::cancelled, "The request was cancelled.")
        .cause(std::string("while waiting: ") + where);
  }
}

void sleep_for(const Context& ctx, Duration duration) {
  constexpr const char* kWhere = "sleep";
  if (duration <= Duration::zero()) return yield();
  ctx.check("sleeping");
  const Instant now = ctx.now();
  const Instant due = duration > kNever - now ? kNever : now + duration;
  if (ctx.deadline() < due) throw_unless_event(Woken::by_deadline, kWhere);
  prepare_wait(kWhere);
  const Woken woken = park(ctx.with_deadline(due), kWhere);
  if (woken == Woken::by_cancellation) throw_unless_event(woken, kWhere);
}

void yield() noexcept {
  Fiber& fiber = current_fiber();
  ++fiber.ticket;
  fiber.loop.ready.push_back(&fiber);
  fiber.loop.leave_fiber();
}

bool on_fiber() noexcept {
  Loop* loop = Loop::current();
  return loop && loop->state().current;
}

NoWaitScope::NoWaitScope(const char* reason) noexcept : previous_(std::exchange(no_wait_reason, reason)) {}
NoWaitScope::~NoWaitScope() { no_wait_reason = previous_; }
const char* NoWaitScope::current() noexcept { return no_wait_reason; }

struct FiberGroup::State {
  explicit State(const Context& parent)
      : source(parent.cancellation()), context(parent.with_cancellation(source.token())) {}

  CancellationSource source;
  Context context;
  std::size_t running = 0;
  std::exception_ptr first_failure;
  Waker waiting;

  void join() noexcept {
    while (running > 0) {
      waiting = prepare_wait("waiting for a fiber group");
      park_uninterruptible("fiber group");
    }
  }
};

FiberGroup::FiberGroup(const Context& ctx) : state_(std::make_unique<State>(ctx)) {}

FiberGroup::~FiberGroup() {
  if (state_->running == 0) return;
  cancel();
  state_->join();
}

void FiberGroup::spawn(const char* name, std::function<void(const Context&)> body) {
  require_invariant(Loop::current() != nullptr, "a fiber group is used on a thread that is no loop's");
  State* state = state_.get();
  const bool started = Loop::current()->spawn(name, [state, work = std::move(body)] {
    try {
      work(state->context);
    } catch (...) {
      if (!state->first_failure) state->first_failure = std::current_exception();
      state->source.cancel();
    }
    if (--state->running == 0) state->waiting.wake();
  });
  if (!started) {
    throw Error(ErrorCode::unavailable, "Too much is going on at once.")
        .reason("too_many_fibers")
        .retry_after(std::chrono::seconds(1));
  }
  ++state->running;
}

void FiberGroup::wait() {
  state_->join();
  if (state_->first_failure) std::rethrow_exception(std::exchange(state_->first_failure, nullptr));
}

void FiberGroup::cancel() noexcept { state_->source.cancel(); }
std::size_t FiberGroup::running() const noexcept { return state_->running; }

}  // namespace holdfast::runtime
