// The blob store that the settings name, and the claim check on it. For order_system.cpp.
//
//   BlobWiring blobs(settings, {runtime, database, outbox, metrics, log, dependencies});
//   background.spawn("claim sweeper", [&](const Context& ctx) { blobs.sweep(ctx); });
//
// Thread-safety: made and destroyed on one fiber; the rest from any.
#pragma once

#include <memory>

#include "holdfast/blob/claim_check.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

class BlobWiring {
 public:
  /// All are borrowed and must outlive it.
  struct Parts {
    runtime::Runtime& runtime;
    sql::Database& database;
    messaging::Outbox& outbox;
    observe::Metrics& metrics;
    observe::Log& log;
    resilience::Dependencies& dependencies;
  };

  /// Adds the dependency "blobs" where the store is S3. Throws Error(invalid_argument,
  /// "invalid_configuration") naming a setting that means nothing, and Error(unavailable) where the folder
  /// can't be made or written.
  BlobWiring(const Settings& settings, const Parts& parts);
  ~BlobWiring();

  blob::ClaimCheck& claims() noexcept;

  /// Deletes what no message refers to any more, every hour, until `ctx` is cancelled: by one process of all,
  /// which holds the lease "claim-sweep" meanwhile.
  void sweep(const Context& ctx);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders
