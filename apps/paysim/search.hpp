// The query of GET /v1/payment_intents/search, as far as paysim speaks Stripe's language:
//
//   metadata['order_id']:'ord_1'        metadata["order_id"]:"ord_1" AND status:"succeeded"
//
// Thread-safety: a pure function.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace holdfast::paysim {

struct SearchQuery {
  std::string name;   ///< of the metadata
  std::string value;  ///< it must equal
  std::optional<std::string> status;
};

/// Throws ApiError(400) where it is none, or over 1,000 bytes.
SearchQuery parse_search(std::string_view text);

}  // namespace holdfast::paysim
