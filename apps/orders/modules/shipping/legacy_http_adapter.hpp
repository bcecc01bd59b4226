// LegacyCarrier: the port Carrier over the old carrier's HTTP API. It sends and receives forms that
// legacy_translation.hpp writes and reads; nothing of them leaves these two.
//
//   LegacyCarrier carrier(client, settings.shipping.legacy, pipeline);
//
// Their API knows no idempotency keys, so what books or cancels is never repeated here: an answer that is
// late, lost or can't be read is `outcome_unknown`, and asking, which may be repeated, tells.
// Thread-safety: as the Carrier's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "holdfast/http/client.hpp"
#include "holdfast/resilience/pipeline.hpp"
#include "orders/modules/shipping/carrier.hpp"
#include "orders/modules/shipping/legacy_translation.hpp"
#include "orders/modules/shipping/settings.hpp"

namespace holdfast::orders::shipping {

class LegacyCarrier final : public Carrier {
 public:
  /// `client` and `pipeline` are borrowed. Only what asks is idempotent, and so retried by the pipeline.
  LegacyCarrier(http::Client& client, LegacySettings settings, resilience::Pipeline& pipeline);

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
  resilience::Pipeline& pipeline_;
};

}  // namespace holdfast::orders::shipping
