// How goods are shipped: the settings below `shipping`. (Part of shipping.hpp.)
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "holdfast/base/rules.hpp"
#include "holdfast/config/secret.hpp"

namespace holdfast::orders::shipping {

enum class CarrierKind : std::uint8_t {
  none,    ///< nothing is shipped from here: confirmed is the end of an order
  memory,  ///< a carrier within the process, for tests and for trying things out
  legacy,  ///< the old carrier's API
};
HOLDFAST_DESCRIBE_ENUM(CarrierKind, none, memory, legacy)

struct LegacySettings {
  std::string url = "http://127.0.0.1:8092";
  std::string customer_number = "4711";
  config::Secret secret;
  std::chrono::milliseconds timeout = std::chrono::seconds(5);

  static constexpr auto rules() {
    return holdfast::rules(
        field<&LegacySettings::url>().length(8, 2048).printable().doc(
            "Of the carrier's API, without a path."),
        field<&LegacySettings::customer_number>().length(1, 10).pattern_chars("0-9").doc(
            "Ours, as the carrier's contract has it."),
        field<&LegacySettings::secret>().doc(
            "Password that the carrier gave us; best as `file:/run/secrets/carrier`. Empty: none is sent."),
        field<&LegacySettings::timeout>().range(10, 600'000).doc("Of one call."));
  }
};
HOLDFAST_DESCRIBE(LegacySettings, (url, customer_number, secret, timeout))

struct Settings {
  CarrierKind carrier = CarrierKind::none;
  std::chrono::milliseconds settle_time = std::chrono::seconds(10);
  LegacySettings legacy;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&Settings::carrier>().doc("none: nothing is shipped; confirmed is the end of an order."),
        field<&Settings::settle_time>()
            .range(0, 3'600'000)
            .doc("How long a booking that may be under way has to show up in the carrier's book before it is "
                 "booked again, or believed not to be. Not less than checkout.provider_timeout, for which "
                 "a process that stands still may send."));
  }
};
HOLDFAST_DESCRIBE(Settings, (carrier, settle_time, legacy))

}  // namespace holdfast::orders::shipping
