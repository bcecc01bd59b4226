// Looks every so often, while somebody watches, whether another process has committed. SQLite has no
// notification across processes; its data_version costs a few microseconds to read.
//
// Thread-safety: any thread.
#pragma once

#include <memory>

#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/sqlite/group_commit.hpp"

namespace holdfast::sql::sqlite {

class ExternalPoll {
 public:
  ExternalPoll(runtime::Runtime& runtime, GroupCommit& writer, Duration interval);
  /// Ends the polling fiber, without waiting for it: what it refers to is shared with it.
  ~ExternalPoll();
  ExternalPoll(const ExternalPoll&) = delete;
  ExternalPoll& operator=(const ExternalPoll&) = delete;

  ExternalWatch watch(runtime::Signal& signal);

 private:
  struct State;
  static void poll(const std::shared_ptr<State>& state);
  std::shared_ptr<State> state_;  // with the fiber, which may end after this
};

}  // namespace holdfast::sql::sqlite
