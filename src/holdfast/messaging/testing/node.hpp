// For tests of what stands on the embedded broker: a process's worth of messaging, and what handlers saw.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging {

/// A process's worth of messaging on a database.
struct Node {
  Node(runtime::Runtime& runtime, std::unique_ptr<sql::Database> database, BrokerOptions options = {})
      : db(std::move(database)),
        outbox(runtime.clock(), runtime.random(), metrics),
        broker(std::make_unique<EmbeddedBroker>(runtime, *db, outbox, metrics, observe::Logger(), options)) {}

  std::uint64_t count(const char* name, const char* group) {
    return metrics.counter(name, "", {{"group", group}}).value();
  }

  observe::Metrics metrics;
  std::unique_ptr<sql::Database> db;
  Outbox outbox;
  std::unique_ptr<EmbeddedBroker> broker;
};

inline std::string publish(const Context& ctx, Node& node, std::string key, std::string payload = "1",
                           std::string topic = "orders") {
  return node.db->transact(ctx, "publish", [&](sql::Transaction& tx) {
    return node.outbox.publish(ctx, tx,
                               {.topic = topic, .key = key, .type = "order.placed", .payload = payload});
  });
}

/// Waits until `holds`; false after half a minute of the test's time.
inline bool eventually(const Context& ctx, const std::function<bool()>& holds) {
  const Instant until = ctx.now() + std::chrono::seconds(30);
  while (!holds()) {
    if (ctx.now() >= until) return false;
    runtime::sleep_for(ctx, std::chrono::milliseconds(1));
  }
  return true;
}

/// The payloads that handlers saw, by key. Transactional handlers run on the database's thread; read
/// by_key when nothing is added any more.
struct Seen {
  std::map<std::string, std::vector<std::string>> by_key;
  std::atomic<std::size_t> total{0};
  void add(const Message& message) {
    const std::lock_guard lock(mutex_);
    by_key[message.key].push_back(message.payload);
    ++total;
  }

 private:
  std::mutex mutex_;
};

}  // namespace holdfast::messaging
