#include "holdfast/sql/sqlite/turnstile.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

namespace holdfast::sql::sqlite {
namespace {

int open_lock(const std::string& path) noexcept {
  return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0660);
}

// True where it had to wait.
bool take(int lock) noexcept {
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) return false;
  while (::flock(lock, LOCK_EX) != 0 && errno == EINTR) {
  }
  return true;
}

}  // namespace

Turnstile::Turnstile(const std::string& path)
    : next_(open_lock(path + "-next")), turn_(open_lock(path + "-turn")) {}

Turnstile::~Turnstile() {
  if (next_ >= 0) ::close(next_);
  if (turn_ >= 0) ::close(turn_);
}

bool Turnstile::enter() noexcept {
  if (next_ < 0 || turn_ < 0) return false;
  const bool waited_for_next = take(next_);
  const bool waited_for_turn = take(turn_);
  ::flock(next_, LOCK_UN);
  return waited_for_next || waited_for_turn;
}

void Turnstile::leave() noexcept {
  if (turn_ >= 0) ::flock(turn_, LOCK_UN);
}

}  // namespace holdfast::sql::sqlite
