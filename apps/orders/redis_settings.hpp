// The settings below `redis`. (Part of settings.hpp.)
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "holdfast/base/rules.hpp"
#include "holdfast/base/violations.hpp"
#include "holdfast/config/secret.hpp"

namespace holdfast::orders {

struct RedisSettings {
  config::Secret url;
  std::string ca_file;
  std::string prefix = "holdfast:";
  std::chrono::milliseconds answer_timeout = std::chrono::milliseconds(250);
  std::uint32_t processes = 2;

  /// A URL that is none is refused.
  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&RedisSettings::url>().doc(
            "redis://[[user]:password@]host[:port][/db], rediss://… or unix:///path; best as `file: "
            "/run/secrets/redis`. Empty: none, everything is this process' own."),
        field<&RedisSettings::ca_file>().length(0, 4096).doc(
            "With rediss: PEM of the authorities trusted; empty: the system's."),
        field<&RedisSettings::prefix>().length(1, 64).printable().doc(
            "Before every key: several systems in one database."),
        field<&RedisSettings::answer_timeout>()
            .range(10, 60'000)
            .doc("Without an answer for so long, the connection is given up."),
        field<&RedisSettings::processes>().range(1, 10'000).doc(
            "That serve the same clients: the share of limits of each while Redis is away."));
  }
};
HOLDFAST_DESCRIBE(RedisSettings, (url, ca_file, prefix, answer_timeout, processes))

}  // namespace holdfast::orders
