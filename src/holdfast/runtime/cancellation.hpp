// Asking work to stop. A CancellationSource says "stop"; whoever holds a Context made from it sees it
// at their next wait, which ends with Error(cancelled). Nothing is interrupted between waits.
//
// Thread-safety: cancel() and cancelled() from any thread. cancel() acts once; later calls do nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "holdfast/runtime/waker.hpp"

namespace holdfast {

class Context;

namespace runtime {

/// Shared between a source, its Contexts and the sources below it: its lifetime is that of the last.
class CancellationState;

/// Seen from the side that may be asked to stop. Default-constructed: never cancelled.
class CancellationToken {
 public:
  CancellationToken() = default;
  bool cancelled() const noexcept;
  bool can_be_cancelled() const noexcept { return state_ != nullptr; }

 private:
  friend class CancellationSource;
  friend class CancellationRegistration;
  explicit CancellationToken(std::shared_ptr<CancellationState> state) : state_(std::move(state)) {}
  std::shared_ptr<CancellationState> state_;
};

class CancellationSource {
 public:
  /// Cancelled when cancel() is called or when `parent` is.
  explicit CancellationSource(const CancellationToken& parent = {});
  ~CancellationSource();
  CancellationSource(const CancellationSource&) = delete;
  CancellationSource& operator=(const CancellationSource&) = delete;

  void cancel() noexcept;
  CancellationToken token() const { return CancellationToken(state_); }

 private:
  std::shared_ptr<CancellationState> state_;
  std::shared_ptr<CancellationState> parent_;
};

/// While it lives, a cancel wakes `waker`. Used by park() alone.
class CancellationRegistration {
 public:
  CancellationRegistration(const CancellationToken& token, Waker waker);
  ~CancellationRegistration();
  CancellationRegistration(const CancellationRegistration&) = delete;
  CancellationRegistration& operator=(const CancellationRegistration&) = delete;

 private:
  CancellationState* state_;
  std::uint64_t id_ = 0;
};

}  // namespace runtime
}  // namespace holdfast
