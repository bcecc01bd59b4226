// LegacyCarrier: the port Carrier over the old carrier's HTTP API. It sends and receives forms that
// legacy_translation.hpp writes and reads; nothing of them leaves these two.
//
//   LegacyCarrier carrier(client, settings.shipping.legacy,
//                         [&](const Context& ctx, bool idempotent, const LegacyCarrier::Attempt& attempt) {
//                           pipeline.call(ctx, attempt, {.idempotent = idempotent});
//                         });
//
// Their API knows no idempotency keys, so what books or cancels is never repeated here: an answer that is
// late, lost or can't be read is `outcome_unknown`, and asking, which may be repeated, tells.
// Thread-safety: as the Carrier's.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/http/client.hpp"
#include "orders/modules/shipping/carrier.hpp"
#include "orders/modules/shipping/legacy_translation.hpp"
#include "orders/modules/shipping/settings.hpp"

namespace holdfast::orders::shipping {

class LegacyCarrier final : public Carrier {
 public:
  /// One try of one call; throws what a pipeline judges: unavailable where the carrier is not well.
  using Attempt = std::function<void(const Context&)>;
  /// What stands around each call. Runs `attempt` at most once unless `idempotent`; throws Error(unavailable)
  /// without running it to refuse it.
  using Guard = std::function<void(const Context&, bool idempotent, const Attempt& attempt)>;

  /// `client` is borrowed. Without a guard, calls are made as they are.
  LegacyCarrier(http::Client& client, LegacySettings settings, Guard guard = {});

  std::vector<FieldViolation> faults_of(const Destination& destination) const override;
  Booking book(const Context& ctx, const BookingRequest& request) override;
  Booking cancel(const Context& ctx, const std::string& carrier_ref) override;
  std::vector<Booking> find(const Context& ctx, const std::string& reference) override;
  std::string_view name() const noexcept override { return "legacy"; }

 private:
  enum class Kind : std::uint8_t { changes, asks };
  legacy::Answer exchange(const Context& ctx, Kind kind, std::string_view path,
                          const legacy::Translated<std::string>& form);
  legacy::Answer attempt(const Context& ctx, Kind kind, std::string_view path, const std::string& form);
  legacy::Answer understand(Kind kind, const http::ClientResponse& response) const;

  http::Client& client_;
  const LegacySettings settings_;
  const Guard guard_;
};

}  // namespace holdfast::orders::shipping
