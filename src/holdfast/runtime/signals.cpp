#include "holdfast/runtime/signals.hpp"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::runtime {

namespace {

sigset_t shutdown_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

struct ShutdownSignals::State final : IoHandler {
  int fd = -1;
  int first = 0;
  Latch arrived;

  void on_ready(bool, bool, bool) override {
    signalfd_siginfo info{};
    while (::read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (first != 0)
        ::_exit(128 + static_cast<int>(info.ssi_signo));  // asked twice: the caller is in a hurry
      first = static_cast<int>(info.ssi_signo);
      arrived.open();
    }
  }
};

void ShutdownSignals::block() {
  const sigset_t set = shutdown_set();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

ShutdownSignals::ShutdownSignals() : state_(std::make_unique<State>()) {
  const sigset_t set = shutdown_set();
  state_->fd = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (state_->fd < 0) throw std::system_error(errno, std::generic_category(), "waiting for signals");
  Loop::current()->watch(state_->fd, *state_);
}

ShutdownSignals::~ShutdownSignals() {
  Loop::current()->unwatch(state_->fd, *state_);
  ::close(state_->fd);
}

int ShutdownSignals::wait(const Context& ctx) {
  state_->arrived.wait(ctx, "SIGTERM or SIGINT");
  return state_->first;
}

}  // namespace holdfast::runtime
