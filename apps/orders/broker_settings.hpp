// Which broker carries the events: the settings below `broker`. (Part of settings.hpp.)
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/base/violations.hpp"
#include "holdfast/config/secret.hpp"

namespace holdfast::orders {

enum class BrokerKind : std::uint8_t {
  embedded,  ///< the outbox table itself: nothing beside the database
  nats,      ///< NATS JetStream
};
HOLDFAST_DESCRIBE_ENUM(BrokerKind, embedded, nats)

struct NatsTlsSettings {
  bool required = false;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string server_name;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&NatsTlsSettings::required>().doc("Whether the connection is encrypted, or there is none."),
        field<&NatsTlsSettings::ca_file>().length(0, 4096).doc("PEM; empty: the system's authorities."),
        field<&NatsTlsSettings::certificate_file>().length(0, 4096).doc(
            "PEM, with keyFile: who we are, where the server asks for it."),
        field<&NatsTlsSettings::key_file>().length(0, 4096).doc("PEM, of certificateFile."),
        field<&NatsTlsSettings::server_name>().length(0, 255).doc(
            "The name its certificate must have; empty: the host of the URL."));
  }
};
HOLDFAST_DESCRIBE(NatsTlsSettings, (required, ca_file, certificate_file, key_file, server_name))

struct NatsSettings {
  std::vector<std::string> servers = {"nats://127.0.0.1:4222"};
  std::string user;
  config::Secret password;
  config::Secret token;
  std::string credentials_file;
  NatsTlsSettings tls;
  std::string stream = "HOLDFAST";
  std::string prefix = "holdfast";
  std::uint32_t replicas = 1;
  std::int64_t max_bytes = -1;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&NatsSettings::servers>().size(1, 32).doc(
            "URLs of the cluster's servers, without credentials; any of them will do."),
        field<&NatsSettings::user>().length(0, 255).doc("With password."),
        field<&NatsSettings::password>().doc("Best as `file: /run/secrets/nats`."),
        field<&NatsSettings::token>().doc("In place of user and password."),
        field<&NatsSettings::credentials_file>().length(0, 4096).doc(
            "Of an NKey/JWT user, as `nsc` writes it; in place of the others."),
        field<&NatsSettings::stream>().length(1, 128).doc(
            "Made unless it is there. One stream a database: never shared by two."),
        field<&NatsSettings::prefix>().length(1, 128).doc(
            "Subjects are <prefix>.<bucket>.<topic>; a prefix is one stream's."),
        field<&NatsSettings::replicas>().range(1, 5).doc("Of the stream, when it is made; 3 in a cluster."),
        field<&NatsSettings::max_bytes>()
            .range(-1, INT64_MAX)
            .doc("Of the stream, when it is made; full, it takes no more and the outbox grows. -1: no "
                 "limit."));
  }
};
HOLDFAST_DESCRIBE(NatsSettings, (servers, user, password, token, credentials_file, tls, stream, prefix,
                                 replicas, max_bytes))

struct BrokerSettings {
  BrokerKind kind = BrokerKind::embedded;
  NatsSettings nats;

  static constexpr auto rules() {
    return holdfast::rules(field<&BrokerSettings::kind>().doc(
        "What carries the events: the database itself, or a server; docs/brokers.md. It may be changed "
        "from one start of all processes to the next."));
  }
};
HOLDFAST_DESCRIBE(BrokerSettings, (kind, nats))

}  // namespace holdfast::orders
