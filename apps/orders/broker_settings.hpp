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
#include "holdfast/config/units.hpp"

namespace holdfast::orders {

enum class BrokerKind : std::uint8_t {
  embedded,  ///< the outbox table itself: nothing beside the database
  nats,      ///< NATS JetStream
  redis,     ///< Redis Streams
  rabbitmq,  ///< RabbitMQ
  kafka,     ///< Apache Kafka
};
HOLDFAST_DESCRIBE_ENUM(BrokerKind, embedded, nats, redis, rabbitmq, kafka)

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
            "PEM, with key_file: who we are, where the server asks for it."),
        field<&NatsTlsSettings::key_file>().length(0, 4096).doc("PEM, of certificate_file."),
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
        field<&NatsSettings::password>().doc("Best as `file:/run/secrets/nats`."),
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

struct RedisStreamsSettings {
  config::Secret url;
  std::string ca_file;
  std::string prefix = "holdfast:events";
  std::int64_t max_messages = 1'000'000;
  config::ByteSize max_bytes = config::mebibytes(1024);
  std::chrono::minutes keep = std::chrono::hours(1);
  std::uint32_t wait_replicas = 0;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&RedisStreamsSettings::url>().doc(
            "As redis.url, which it is where this is empty. A cache may forget and a broker must not: best a "
            "server of its own, with appendonly and without an evicting maxmemory-policy."),
        field<&RedisStreamsSettings::ca_file>().length(0, 4096).doc(
            "With rediss: PEM of the authorities trusted; empty: the system's."),
        field<&RedisStreamsSettings::prefix>().length(1, 128).doc(
            "Streams are <prefix>:<bucket>; a prefix is one database's alone."),
        field<&RedisStreamsSettings::max_messages>()
            .range(1, INT64_MAX)
            .doc("In all streams; full, they take no more and the outbox grows. Nothing unhandled is "
                 "dropped."),
        field<&RedisStreamsSettings::max_bytes>().doc("Likewise, of memory, looked at once a second."),
        field<&RedisStreamsSettings::keep>()
            .range(0, 60 * 24 * 366)
            .doc("Handled messages stay for so long, for others who listen; less when it is more than half "
                 "full."),
        field<&RedisStreamsSettings::wait_replicas>().range(0, 16).doc(
            "That must have a message before it counts as sent."));
  }
};
HOLDFAST_DESCRIBE(RedisStreamsSettings, (url, ca_file, prefix, max_messages, max_bytes, keep, wait_replicas))

struct RabbitMqTlsSettings {
  bool required = false;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string server_name;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&RabbitMqTlsSettings::required>().doc(
            "Whether the connection is encrypted, or there is none; then 5671 is the port that needs not be "
            "named."),
        field<&RabbitMqTlsSettings::ca_file>().length(0, 4096).doc("PEM; empty: the system's authorities."),
        field<&RabbitMqTlsSettings::certificate_file>().length(0, 4096).doc(
            "PEM, with key_file: who we are, where the server asks for it."),
        field<&RabbitMqTlsSettings::key_file>().length(0, 4096).doc("PEM, of certificate_file."),
        field<&RabbitMqTlsSettings::server_name>().length(0, 255).doc(
            "The name its certificate must have; empty: the host of the URL."));
  }
};
HOLDFAST_DESCRIBE(RabbitMqTlsSettings, (required, ca_file, certificate_file, key_file, server_name))

struct RabbitMqSettings {
  std::vector<std::string> servers = {"amqp://127.0.0.1:5672"};
  std::string user = "guest";
  config::Secret password{"guest"};
  std::string vhost = "/";
  RabbitMqTlsSettings tls;
  std::string prefix = "holdfast";

  static constexpr auto rules() {
    return holdfast::rules(
        field<&RabbitMqSettings::servers>().size(1, 32).doc(
            "URLs of the cluster's nodes (amqp://host:port), without credentials; any of them will do."),
        field<&RabbitMqSettings::user>().length(1, 255).doc(
            "May configure, write and read what begins with prefix."),
        field<&RabbitMqSettings::password>().doc("Best as `file:/run/secrets/rabbitmq`."),
        field<&RabbitMqSettings::vhost>().length(1, 255).doc("The virtual host."),
        field<&RabbitMqSettings::prefix>().length(1, 100).doc(
            "Names the exchange; its streams are <prefix>.<log>.<bucket>. One a database: never shared by "
            "two."));
  }
};
HOLDFAST_DESCRIBE(RabbitMqSettings, (servers, user, password, vhost, tls, prefix))

struct KafkaTlsSettings {
  bool required = false;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  config::Secret key_password;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&KafkaTlsSettings::required>().doc("Whether the connections are encrypted, or none is."),
        field<&KafkaTlsSettings::ca_file>().length(0, 4096).doc("PEM; empty: the system's authorities."),
        field<&KafkaTlsSettings::certificate_file>().length(0, 4096).doc(
            "PEM, with key_file: who we are, where the servers ask for it."),
        field<&KafkaTlsSettings::key_file>().length(0, 4096).doc("PEM, of certificate_file."),
        field<&KafkaTlsSettings::key_password>().doc("Of key_file, where it is encrypted."));
  }
};
HOLDFAST_DESCRIBE(KafkaTlsSettings, (required, ca_file, certificate_file, key_file, key_password))

struct KafkaSaslSettings {
  std::string mechanism;
  std::string user;
  config::Secret password;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&KafkaSaslSettings::mechanism>().length(0, 32).doc(
            "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: the servers ask nobody who they are."),
        field<&KafkaSaslSettings::user>().length(0, 255).doc("With password."),
        field<&KafkaSaslSettings::password>().doc("Best as `file:/run/secrets/kafka`."));
  }
};
HOLDFAST_DESCRIBE(KafkaSaslSettings, (mechanism, user, password))

struct KafkaSettings {
  std::vector<std::string> servers = {"127.0.0.1:9092"};
  KafkaTlsSettings tls;
  KafkaSaslSettings sasl;
  std::string topic = "holdfast";
  std::uint32_t partitions = 64;
  std::int32_t replication = -1;
  std::string compression = "none";
  std::uint32_t max_message_bytes = 1'048'588;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&KafkaSettings::servers>().size(1, 32).doc(
            "host:port of some of the cluster's servers; any of them will do to begin with."),
        field<&KafkaSettings::topic>().length(1, 200).doc(
            "Made unless it is there. One topic a database: never shared by two. Kafka's names of the groups "
            "are <topic>.<group>."),
        field<&KafkaSettings::partitions>().range(1, 64).doc(
            "Of the topic, when it is made. Fewer than 64 let some of the 64 buckets wait for each other."),
        field<&KafkaSettings::replication>().range(-1, 32).doc(
            "Of the topic, when it is made; -1: the cluster's default. From 3 on, two must have a message "
            "before it counts as sent."),
        field<&KafkaSettings::compression>().length(1, 16).doc("none, gzip, snappy, lz4 or zstd."),
        field<&KafkaSettings::max_message_bytes>()
            .range(1024, 100'000'000)
            .doc("With its headers; at most the topic's max.message.bytes, with which it is made."));
  }
};
HOLDFAST_DESCRIBE(KafkaSettings,
                  (servers, tls, sasl, topic, partitions, replication, compression, max_message_bytes))

struct BrokerSettings {
  BrokerKind kind = BrokerKind::embedded;
  NatsSettings nats;
  RabbitMqSettings rabbitmq;
  RedisStreamsSettings redis;
  KafkaSettings kafka;

  static constexpr auto rules() {
    return holdfast::rules(field<&BrokerSettings::kind>().doc(
        "What carries the events: the database itself, or a server; docs/brokers.md. It may be changed "
        "from one start of all processes to the next."));
  }
};
HOLDFAST_DESCRIBE(BrokerSettings, (kind, nats, redis, rabbitmq, kafka))

}  // namespace holdfast::orders
