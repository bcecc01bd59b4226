// Context: the first parameter of everything that can wait; what takes none can't.
//
// It carries what belongs to one piece of work: the deadline, the wish to stop, the trace, who asks,
// how important it is. Immutable and cheap to copy (one shared pointer); deriving one allocates once.
// Crossing a process it becomes headers: traceparent, X-Deadline, X-Request-Id, X-Priority.
//
//   Order place(const Context& ctx, const PlaceOrder& command) {
//     const Context bounded = ctx.with_timeout(200ms);   // only ever shortens
//     ...
//
// Thread-safety: immutable; share and copy freely.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/observe/trace.hpp"
#include "holdfast/runtime/cancellation.hpp"

namespace holdfast {

/// Who asks. An empty subject is nobody in particular (anonymous).
struct Principal {
  std::string subject;              ///< stable id, e.g. an API key's id
  std::vector<std::string> scopes;  ///< what it may do: "read", "write", "admin"
  std::string tenant;               ///< empty where there is only one
  bool anonymous() const noexcept { return subject.empty(); }
};

/// Under overload the lower ones are shed first.
enum class Priority : std::uint8_t { critical, normal, background };

class Context {
 public:
  /// The root of a process, a test or a background task: no deadline, never cancelled, nobody's.
  /// `clock` must outlive every Context derived from this one.
  explicit Context(const Clock& clock);

  /// Derives one that ends at the earlier of its own deadline and `timeout` from now.
  [[nodiscard]] Context with_timeout(Duration timeout) const;
  [[nodiscard]] Context with_deadline(Instant deadline) const;
  /// Also cancelled when `token` is. The token's source should have been made from cancellation().
  [[nodiscard]] Context with_cancellation(runtime::CancellationToken token) const;
  [[nodiscard]] Context with_trace(const observe::TraceContext& trace) const;
  [[nodiscard]] Context with_principal(Principal principal) const;
  [[nodiscard]] Context with_request_id(std::string request_id) const;
  [[nodiscard]] Context with_priority(Priority priority) const;

  /// All that an arriving request brings, set at once: one allocation instead of five.
  struct Request {
    Instant deadline = kNever;  ///< the earlier of it and this Context's holds
    runtime::CancellationToken cancellation;
    observe::TraceContext trace;
    std::string request_id;
    Priority priority = Priority::normal;
  };
  [[nodiscard]] Context for_request(Request request) const;

  /// For work that must finish although the caller has stopped waiting (a compensation, a rollback):
  /// same trace and principal, no deadline and no cancellation. Give it a timeout of its own.
  [[nodiscard]] Context detached() const;

  const Clock& clock() const noexcept;
  Instant now() const noexcept { return clock().now(); }
  Instant deadline() const noexcept;    ///< kNever where there is none
  Duration remaining() const noexcept;  ///< until the deadline; never below zero, Duration::max() for none
  const runtime::CancellationToken& cancellation() const noexcept;
  bool cancelled() const noexcept { return cancellation().cancelled(); }
  const observe::TraceContext& trace() const noexcept;
  const Principal& principal() const noexcept;
  const std::string& request_id() const noexcept;
  Priority priority() const noexcept;

  /// Throws Error(cancelled) or Error(deadline_exceeded) where this work should no longer go on.
  /// `doing` names it: "reserving stock".
  void check(std::string_view doing) const;

 private:
  struct Contents;
  explicit Context(std::shared_ptr<const Contents> contents);
  std::shared_ptr<const Contents> contents_;  // shared by all copies: that is what makes them cheap
};

}  // namespace holdfast
