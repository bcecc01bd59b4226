// RelaySource: the outbox as the relay reads it: only for as long as its leases are of the log that is
// filled.
//
// The relay's leases carry the name of the broker's log (as their cursor). Where a lease is taken that names
// another log, another process has begun to fill that one, and the positions are of it: what this process
// would send to its own log would count as sent to the other. So nothing more is read, and it is told.
// Thread-safety: as Source.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "holdfast/messaging/source.hpp"

namespace holdfast::messaging {

class RelaySource final : public Source {
 public:
  /// `outbox` is borrowed. `displaced` is called, on the loop, when a lease of another log was taken.
  RelaySource(Source& outbox, std::string log, std::function<void()> displaced)
      : outbox_(outbox), log_(std::move(log)), displaced_(std::move(displaced)) {}

  std::unique_ptr<Reader> reader(const SubscriptionOptions& options) override;
  std::optional<std::int64_t> end(const Context& ctx) override { return outbox_.end(ctx); }
  void start(const Context& ctx) override { outbox_.start(ctx); }
  void stop() noexcept override { outbox_.stop(); }

 private:
  Source& outbox_;
  const std::string log_;
  const std::function<void()> displaced_;
};

}  // namespace holdfast::messaging
