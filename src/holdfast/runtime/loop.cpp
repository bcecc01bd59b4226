#include "holdfast/runtime/loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "holdfast/base/invariant.hpp"
#include "holdfast/runtime/internal/loop_state.hpp"

namespace holdfast::runtime {

namespace {

// Which loop a thread is, is a property of the thread; nothing else here is kept per thread.
thread_local Loop* current_loop = nullptr;

constexpr int kEventsPerPoll = 256;

}  // namespace

Timer::~Timer() { disarm(); }

void Timer::arm(Instant due) {
  Loop* loop = loop_ ? loop_ : Loop::current();
  require_invariant(loop != nullptr, "a timer is armed on a thread that is no loop's");
  loop_ = loop;
  loop->state().arm(*this, due);
}

void Timer::disarm() noexcept {
  if (armed()) loop_->state().disarm(*this);
}

Loop::Loop(std::unique_ptr<State> state) : state_(std::move(state)) { state_->self = this; }
Loop::~Loop() = default;

Loop* Loop::current() noexcept { return current_loop; }

void Loop::post(std::function<void()> work) { state_->post(std::move(work)); }

bool Loop::spawn(const char* name, std::function<void()> body) {
  return state_->spawn(name, std::move(body));
}

void Loop::watch(int fd, IoHandler& handler) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &handler;
  if (::epoll_ctl(state_->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "watching a file descriptor");
  }
}

void Loop::unwatch(int fd, IoHandler& handler) noexcept {
  ::epoll_ctl(state_->epoll_fd, EPOLL_CTL_DEL, fd, nullptr);
  std::replace(state_->fetched.begin(), state_->fetched.end(), &handler, static_cast<IoHandler*>(nullptr));
}

Instant Loop::turn_started() const noexcept { return state_->turn_started; }
const Clock& Loop::clock() const noexcept { return state_->clock; }
std::size_t Loop::index() const noexcept { return state_->index; }
Runtime& Loop::runtime() const noexcept { return state_->runtime; }

Loop::State::State(Runtime& owner, const Runtime::Options& opts, const Clock& clk, Random& rnd,
                   std::size_t number)
    : runtime(owner), options(opts), clock(clk), random(rnd), index(number) {
  epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  event_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // edge-triggered: it never has to be read back
  event.data.ptr = nullptr;
  if (epoll_fd < 0 || event_fd < 0 || ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "making an event loop");
  }
  turn_started = clock.now();
}

Loop::State::~State() {
  fibers.clear();  // while `timers` is there: what still waited takes its deadline out of it
  ::close(event_fd);
  ::close(epoll_fd);
}

void Loop::State::run() {
  current_loop = self;
  own_stack = std::make_unique<SanitizedStack>();
  for (;;) {
    turn_started = clock.now();
    const bool last_turns = take_inbox();
    if (!last_turns) fire_timers();
    run_ready();
    if (!last_turns) {
      poll();
    } else if (--last_turns_left == 0 || (ready.empty() && --quiet_turns_left == 0)) {
      break;
    }
  }
  current_loop = nullptr;
}

void Loop::State::stop() {
  const std::lock_guard lock(inbox_mutex);
  stopping = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof one);
}

// True when the loop is to end: what was woken before (background fibers that were cancelled) still runs.
bool Loop::State::take_inbox() {
  bool last_turns = false;
  {
    const std::lock_guard lock(inbox_mutex);
    last_turns = stopping;
    if (inbox_wakes.empty() && inbox_work.empty()) return last_turns;
    taken_wakes_.swap(inbox_wakes);
    taken_work_.swap(inbox_work);
  }
  for (const Waker& waker : taken_wakes_) wake(waker);
  taken_wakes_.clear();
  for (auto& work : taken_work_) {
    pulse("posted work");
    work();
  }
  taken_work_.clear();
  return last_turns;
}

void Loop::State::fire_timers() {
  while (!timers.empty() && timers.front().at <= turn_started) {
    Timer& timer = *timers.front().timer;
    disarm(timer);
    pulse("timer");
    timer.on_due_();
  }
}

// One round: those that become ready meanwhile wait for the next, after I/O had its turn.
void Loop::State::run_ready() {
  for (std::size_t left = ready.size(); left > 0; --left) {
    if (options.shuffle_ready) std::swap(ready.front(), ready[random.below(ready.size())]);
    Fiber* fiber = ready.front();
    ready.pop_front();
    resume(*fiber);
  }
}

int Loop::State::poll_timeout_milliseconds() {
  if (!ready.empty()) return 0;
  if (timers.empty()) return -1;
  const Duration left = timers.front().at - clock.now();
  if (left <= Duration::zero()) return 0;
  const auto up = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<std::int64_t>(up, 60'000));
}

void Loop::State::poll() {
  std::array<epoll_event, kEventsPerPoll> events;
  int timeout = poll_timeout_milliseconds();
  if (options.simulated && timeout > 0) timeout = 0;
  if (timeout != 0) {
    const std::lock_guard lock(inbox_mutex);
    if (!inbox_wakes.empty() || !inbox_work.empty() || stopping) timeout = 0;
    sleeping = timeout != 0;
  }
  if (timeout != 0) idle_now.store(true, std::memory_order_relaxed);
  const int count = ::epoll_wait(epoll_fd, events.data(), kEventsPerPoll, timeout);
  if (timeout != 0) {
    idle_now.store(false, std::memory_order_relaxed);
    const std::lock_guard lock(inbox_mutex);
    sleeping = false;
  }
  polls.fetch_add(1, std::memory_order_relaxed);
  if (count <= 0) {
    if (options.simulated && ready.empty() && !timers.empty()) {
      {
        const std::lock_guard lock(inbox_mutex);
        if (!inbox_wakes.empty() || !inbox_work.empty()) return;
      }
      // Nothing to do but to let time pass.
      const Duration left = timers.front().at - clock.now();
      if (left > Duration::zero()) options.manual_clock->advance(left);
    }
    return;
  }
  fetched.clear();
  for (int i = 0; i < count; ++i)
    fetched.push_back(static_cast<IoHandler*>(events[static_cast<std::size_t>(i)].data.ptr));
  turn_started = clock.now();
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    if (!fetched[i]) continue;
    pulse("socket event");
    const std::uint32_t what = events[i].events;
    fetched[i]->on_ready((what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
                         (what & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0,
                         (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
  }
  fetched.clear();
}

void Loop::State::pulse(const char* what) noexcept {
  running.store(what, std::memory_order_relaxed);
  progress.store(progress.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void Loop::State::wake_remote(const Waker* wakers, std::size_t count) noexcept {
  bool notify = false;
  {
    const std::lock_guard lock(inbox_mutex);
    inbox_wakes.insert(inbox_wakes.end(), wakers, wakers + count);
    notify = std::exchange(sleeping, false);
  }
  if (notify) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof one);
  }
}

void Loop::State::post(std::function<void()> work) {
  bool notify = false;
  {
    const std::lock_guard lock(inbox_mutex);
    inbox_work.push_back(std::move(work));
    notify = std::exchange(sleeping, false);
  }
  if (notify) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof one);
  }
}

// The timers' heap. Each armed Timer knows its slot, so that it can be moved or taken out in O(log n).

void Loop::State::place(std::size_t slot, Due due) noexcept {
  timers[slot] = due;
  due.timer->slot_ = slot;
}

void Loop::State::sift_up(std::size_t slot) noexcept {
  const Due due = timers[slot];
  while (slot > 0) {
    const std::size_t parent = (slot - 1) / 2;
    if (timers[parent].at <= due.at) break;
    place(slot, timers[parent]);
    slot = parent;
  }
  place(slot, due);
}

void Loop::State::sift_down(std::size_t slot) noexcept {
  const Due due = timers[slot];
  for (;;) {
    std::size_t child = 2 * slot + 1;
    if (child >= timers.size()) break;
    if (child + 1 < timers.size() && timers[child + 1].at < timers[child].at) ++child;
    if (due.at <= timers[child].at) break;
    place(slot, timers[child]);
    slot = child;
  }
  place(slot, due);
}

void Loop::State::arm(Timer& timer, Instant due) {
  if (timer.armed()) {
    const Instant before = timers[timer.slot_].at;
    timers[timer.slot_].at = due;
    due < before ? sift_up(timer.slot_) : sift_down(timer.slot_);
    return;
  }
  timer.loop_ = self;
  timers.push_back({due, &timer});
  sift_up(timers.size() - 1);
}

void Loop::State::disarm(Timer& timer) noexcept {
  const std::size_t slot = std::exchange(timer.slot_, Timer::kNotArmed);
  const Due last = timers.back();
  timers.pop_back();
  if (slot == timers.size()) return;
  place(slot, last);
  sift_up(slot);
  sift_down(last.timer->slot_);
}

}  // namespace holdfast::runtime
