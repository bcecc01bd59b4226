// Fairness between processes that write to one database. SQLite's own busy handler lets whoever polls
// at the right moment win, so that one of two busy writers starves. Here they queue at two flock(2)
// locks beside the database: take A, take B, release A, write, release B. Who has just written finds A
// taken by the next, so they alternate. The kernel releases both when a process dies.
//
// Costs four system calls a group while nobody else writes (some 0.3 µs each). Local file systems only.
// Thread-safety: one thread at a time.
#pragma once

#include <string>

namespace holdfast::sql::sqlite {

class Turnstile {
 public:
  /// Uses "<path>-turn" and "<path>-next". Where they can't be opened (a read-only folder) entering
  /// does nothing: SQLite's own lock still protects the data.
  explicit Turnstile(const std::string& path);
  ~Turnstile();
  Turnstile(const Turnstile&) = delete;
  Turnstile& operator=(const Turnstile&) = delete;

  /// Waits for its turn. True where another process had to be waited for.
  bool enter() noexcept;
  void leave() noexcept;

 private:
  int next_ = -1;
  int turn_ = -1;
};

}  // namespace holdfast::sql::sqlite
