#include "holdfast/http/internal/curl_loop.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

namespace holdfast::http {
namespace {

constexpr int kRoundsATurn = 32;  // then the loop's other work gets its turn

}  // namespace

class CurlLoop::Watch final : public runtime::IoHandler {
 public:
  Watch(CurlLoop& owner, curl_socket_t fd) : owner_(owner), fd_(fd) { owner_.loop_.watch(fd_, *this); }
  ~Watch() override { unwatch(); }

  void unwatch() noexcept {
    if (std::exchange(watched_, false)) owner_.loop_.unwatch(fd_, *this);
  }

  void on_ready(bool, bool, bool) override {
    if (!watched_) return;
    owner_.to_ask_.push_back(fd_);
    owner_.settle();
  }

  short wanted = 0;  // POLLIN, POLLOUT

 private:
  CurlLoop& owner_;
  curl_socket_t fd_;
  bool watched_ = true;
};

CurlLoop::CurlLoop(runtime::Loop& loop, const CurlLimits& limits)
    : loop_(loop), multi_(curl_multi_init()), timer_([this] {
        act(CURL_SOCKET_TIMEOUT, 0);
        settle();
      }) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlLoop::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlLoop::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, limits.max_connections);
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, limits.max_connections_per_host);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, limits.max_idle_connections);
}

CurlLoop::~CurlLoop() {
  *alive_ = false;
  curl_multi_cleanup(multi_);
}

int CurlLoop::on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
  static_cast<CurlLoop*>(self)->want(fd, what);
  return 0;
}

int CurlLoop::on_timer(CURLM*, long milliseconds, void* self) {
  CurlLoop& loop = *static_cast<CurlLoop*>(self);
  if (milliseconds < 0) {
    loop.timer_.disarm();
  } else {
    loop.timer_.arm(loop.loop_.clock().now() + std::chrono::milliseconds(milliseconds));
  }
  return 0;
}

void CurlLoop::want(curl_socket_t fd, int what) {
  if (what == CURL_POLL_REMOVE) {
    const auto found = watches_.find(fd);
    if (found == watches_.end()) return;
    found->second->unwatch();  // before curl closes it
    removed_.push_back(std::move(found->second));
    watches_.erase(found);
    return;
  }
  auto& watch = watches_[fd];
  if (!watch) watch = std::make_unique<Watch>(*this, fd);
  watch->wanted = 0;
  if ((what & CURL_POLL_IN) != 0) watch->wanted |= POLLIN;
  if ((what & CURL_POLL_OUT) != 0) watch->wanted |= POLLOUT;
  to_ask_.push_back(fd);  // the edge for what it wants now may have passed already
}

void CurlLoop::act(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  finish_transfers();
}

void CurlLoop::settle() {
  if (std::exchange(settling_, true)) return;
  for (int round = 0; round < kRoundsATurn && !to_ask_.empty(); ++round) {
    std::vector<curl_socket_t> asked = std::exchange(to_ask_, {});
    std::sort(asked.begin(), asked.end());
    asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
    for (const curl_socket_t fd : asked) {
      const auto found = watches_.find(fd);
      if (found == watches_.end() || found->second->wanted == 0) continue;
      pollfd state{fd, found->second->wanted, 0};
      if (::poll(&state, 1, 0) <= 0) continue;
      int events = 0;
      if ((state.revents & POLLIN) != 0) events |= CURL_CSELECT_IN;
      if ((state.revents & POLLOUT) != 0) events |= CURL_CSELECT_OUT;
      if ((state.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) events |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
      act(fd, events);
      to_ask_.push_back(fd);
    }
  }
  settling_ = false;
  if (to_ask_.empty() && removed_.empty()) return;
  if (std::exchange(settle_posted_, true)) return;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    settle_posted_ = false;
    removed_.clear();
    settle();
  });
}

void CurlLoop::finish_transfers() {
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;
    CURL* const easy = message->easy_handle;
    const auto found = transfers_.find(easy);
    if (found == transfers_.end()) continue;
    const auto on_done = std::move(found->second);
    remove(easy);
    on_done(result);
  }
}

void CurlLoop::add(CURL* easy, std::function<void(CURLcode)> on_done) {
  transfers_.emplace(easy, std::move(on_done));
  curl_multi_add_handle(multi_, easy);  // sets the timer, which starts it
}

void CurlLoop::remove(CURL* easy) {
  if (transfers_.erase(easy) > 0) curl_multi_remove_handle(multi_, easy);
  if (!removed_.empty()) settle();
}

}  // namespace holdfast::http
