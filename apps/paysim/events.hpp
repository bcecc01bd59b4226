// What has happened, as Stripe's events: recorded in the transaction that made it happen, read at
// GET /v1/events, and sent as webhooks (deliveries.hpp) where an endpoint is set.
//
//   events.record(tx, "payment_intent.succeeded", intent.id, intent_json(intent), origin);
//
// Thread-safety: record() from any transaction.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"
#include "paysim/behaviour.hpp"

namespace holdfast::paysim {

/// The request that made something happen; both empty where none did.
struct Origin {
  std::string request_id;
  std::string idempotency_key;
};

class Events {
 public:
  /// All are borrowed. `due` is notified by commits that have webhooks to send.
  Events(const Clock& clock, IdGenerator& ids, Behaviour& behaviour, runtime::Signal& due)
      : clock_(clock), ids_(ids), behaviour_(behaviour), due_(due) {}

  void record(sql::Transaction& tx, std::string_view type, std::string_view intent_id,
              std::string_view object_json, const Origin& origin);

  /// The types of events that are also sent; "*" is any of them. Set by Deliveries.
  void send(std::vector<std::string> types);

 private:
  bool sends(std::string_view type) const;

  const Clock& clock_;
  IdGenerator& ids_;
  Behaviour& behaviour_;
  runtime::Signal& due_;
  mutable std::mutex mutex_;  // of the types
  std::vector<std::string> sent_types_;
};

}  // namespace holdfast::paysim
