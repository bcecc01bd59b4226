// Subscribers: who is told of our events: an address, a secret of its own, and which events. What tells
// them is deliveries.hpp and sender.hpp.
//
//   Subscribers subscribers(ids, random);
//   const auto made = db.transact(ctx, "add subscriber", [&](sql::Transaction& tx) {
//     return subscribers.create(ctx, tx, {.url = "https://shop.example/hooks", .event_types = {"order.*"}});
//   });                                                  // made.secret is shown this once
//
// Secrets are signed with, so they can't be hashed: in the database they are sealed (secret_box.hpp) where
// there is a key, and as they are where there is none: guard its file. Thread-safety: a Subscribers holds no
// state; the rest as the Transaction's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/webhooks/secret_box.hpp"
#include "holdfast/webhooks/signature.hpp"

namespace holdfast::webhooks {

using SubscriberId = Id<"whs">;

inline constexpr std::size_t kMaxUrlBytes = 2048;
inline constexpr std::size_t kMaxEventTypes = 50;

enum class SubscriberStatus : std::uint8_t { enabled, disabled };
HOLDFAST_DESCRIBE_ENUM(SubscriberStatus, enabled, disabled)

struct NewSubscriber {
  std::string url;
  std::string description;
  std::vector<std::string> event_types;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&NewSubscriber::url>()
            .length(1, kMaxUrlBytes)
            .printable()
            .doc("Where events are posted to; https.")
            .example("\"https://shop.example/hooks\""),
        field<&NewSubscriber::description>().length(0, 200).printable().defaulted(),
        field<&NewSubscriber::event_types>()
            .size(0, kMaxEventTypes)
            .length(1, 100)
            .pattern_chars("a-z0-9._*-")
            .defaulted()
            .doc("\"order.placed\", or \"order.*\" for all that begin so; empty: every event."));
  }
};
HOLDFAST_DESCRIBE(NewSubscriber, (url, description, event_types))

/// What is absent stays.
struct SubscriberChange {
  std::optional<std::string> url;
  std::optional<std::string> description;
  std::optional<std::vector<std::string>> event_types;
  std::optional<SubscriberStatus> status;
  static constexpr auto rules() {
    return holdfast::rules(field<&SubscriberChange::url>().length(1, kMaxUrlBytes).printable(),
                           field<&SubscriberChange::description>().length(0, 200).printable(),
                           field<&SubscriberChange::event_types>()
                               .size(0, kMaxEventTypes)
                               .length(1, 100)
                               .pattern_chars("a-z0-9._*-"),
                           field<&SubscriberChange::status>().doc("Events while disabled are not kept."));
  }
};
HOLDFAST_DESCRIBE(SubscriberChange, (url, description, event_types, status))

struct Subscriber {
  std::string id;  ///< "whs_…", ascending with created_at
  std::string url;
  std::string description;
  std::vector<std::string> event_types;
  SubscriberStatus status = SubscriberStatus::enabled;
  std::optional<std::string> disabled_reason;  ///< gone, failing, on_request
  std::optional<WallTime> disabled_at;
  std::optional<WallTime> failing_since;  ///< since the last success nothing but failure
  std::int64_t consecutive_failures = 0;
  std::optional<WallTime> previous_secret_until;  ///< while set, bodies are signed with both secrets
  WallTime created_at{};
  WallTime updated_at{};
};
HOLDFAST_DESCRIBE(Subscriber,
                  (id, url, description, event_types, status, disabled_reason, disabled_at, failing_since,
                   consecutive_failures, previous_secret_until, created_at, updated_at))

struct SubscriberWithSecret {
  Subscriber subscriber;
  std::string secret;  ///< "whsec_…"; not shown again
};
HOLDFAST_DESCRIBE(SubscriberWithSecret, (subscriber, secret))

struct SubscriberOptions {
  bool allow_private_addresses = false;              ///< also allows http: for development
  std::size_t max_subscribers = 1000;                ///< one more is refused
  Duration secret_overlap = std::chrono::hours(24);  ///< the old secret is signed with for so long
  SecretBox secrets = {};                            ///< what they are sealed with in the database
};

/// Whether one of `event_types` is `type`, or a beginning of it that ends in ".*"; none: all are wanted.
bool wants(const std::vector<std::string>& event_types, std::string_view type) noexcept;

class Subscribers {
 public:
  static constexpr std::size_t kMaxPage = 1000;

  /// Both are borrowed.
  Subscribers(IdGenerator& ids, Random& random, SubscriberOptions options = {})
      : ids_(ids), random_(random), options_(options) {}

  // All throw Error(not_found, "unknown_subscriber") for an id that nobody has.

  /// `given` must be valid (from_json saw to it). Throws Error(invalid_argument, "bad_url") for a URL that
  /// is not https, names a user, or leads to an address that is not public; Error(conflict,
  /// "too_many_subscribers").
  SubscriberWithSecret create(const Context& ctx, sql::Transaction& tx, const NewSubscriber& given);
  /// Throws as create().
  Subscriber change(const Context& ctx, sql::Transaction& tx, std::string_view id,
                    const SubscriberChange& change);
  /// Its deliveries end with it.
  void remove(sql::Transaction& tx, std::string_view id);
  /// Begins anew, with what is still pending. Changes nothing where it is enabled.
  Subscriber enable(const Context& ctx, sql::Transaction& tx, std::string_view id);
  /// From now on bodies are signed with a new secret too, after the overlap with it alone.
  SubscriberWithSecret rotate_secret(const Context& ctx, sql::Transaction& tx, std::string_view id);

  /// Seals with the first key whatever an old one sealed, or none: at the start, and then the old key may go.
  /// Returns how many subscribers it concerned; leaves alone what it can't open.
  std::size_t reseal(sql::Transaction& tx);

  static Subscriber get(sql::Queries& db, std::string_view id);
  /// In the order of their making, those after the id `after`; at most min(limit, kMaxPage).
  static std::vector<Subscriber> list(sql::Queries& db, std::string_view after = {}, std::size_t limit = 100);

 private:
  void require_url(const std::string& url) const;

  IdGenerator& ids_;
  Random& random_;
  const SubscriberOptions options_;
};

}  // namespace holdfast::webhooks
