// Looks for other processes' commits while somebody watches: LISTEN on a connection of its own, and a slow
// look at the transaction ids should a notification be lost (which also sees this process's commits; a
// watcher that is woken for nothing looks again).
//
// Thread-safety: any thread.
#pragma once

#include <memory>
#include <string>

#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/counters.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/postgres/database.hpp"

namespace holdfast::sql::postgres {

inline constexpr const char* kChannel = "holdfast_commits";

class Listener {
 public:
  /// `own` is the payload of this process's notifications.
  Listener(runtime::Runtime& runtime, const Options& options, std::string own, Counters& counters);
  /// On a fiber: ends its own and waits for it.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  ExternalWatch watch(runtime::Signal& signal);

 private:
  struct State;
  static void listen(State& state);
  static void listen_on_connection(State& state, const Context& ctx);
  std::shared_ptr<State> state_;  // with the watches, which may go after this
};

}  // namespace holdfast::sql::postgres
