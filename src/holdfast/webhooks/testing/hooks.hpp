// For tests of what is told to subscribers: a process's worth of it on a database, and a receiver that does
// as it is told without a network.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/webhooks/deliveries.hpp"
#include "holdfast/webhooks/sender.hpp"
#include "holdfast/webhooks/subscribers.hpp"

namespace holdfast::webhooks {

struct Received {
  std::string url;
  StandardHeaders headers;
  std::string body;
  Instant at{};
};

/// Answers as `answer` says; by default 200 at once.
struct Receiver {
  std::vector<Received> all;
  std::function<http::ClientResponse(const Context&, const Received&)> answer =
      [](const Context&, const Received&) { return http::ClientResponse{.status = 200}; };

  Sender::Send send() {
    return [this](const Context& ctx, const http::ClientRequest& request) {
      const auto header = [&](std::string_view name) {
        for (const auto& each : request.headers) {
          if (http::equal_ignoring_case(each.name, name)) return each.value;
        }
        return std::string();
      };
      all.push_back(
          {request.url,
           {header(kWebhookIdHeader), header(kWebhookTimestampHeader), header(kWebhookSignatureHeader)},
           request.body,
           ctx.now()});
      return answer(request.timeout ? ctx.with_timeout(*request.timeout) : ctx, Received(all.back()));
    };
  }

  std::size_t count(std::string_view url) const {
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [&](const Received& each) { return each.url == url; }));
  }

  /// Never answers.
  static http::ClientResponse hang(const Context& ctx) {
    runtime::throw_unless_event(runtime::park(ctx, "a receiver that hangs"), "a receiver that hangs");
    return {};
  }
};

/// A process's worth of webhooks on a database that is shared.
struct Hooks {
  Hooks(runtime::Runtime& the_runtime, sql::Database& database, Sender::Send send, SenderOptions options = {})
      : runtime(the_runtime),
        db(database),
        ids(runtime.clock(), runtime.random()),
        subscribers(ids, runtime.random(), {.allow_private_addresses = true}),
        deliveries(ids),
        sender(std::make_unique<Sender>(runtime, db, deliveries, metrics, observe::Logger(), std::move(send),
                                        options)) {}

  SubscriberWithSecret subscribe(const Context& ctx, std::string url, std::vector<std::string> types = {}) {
    return db.transact(ctx, [&](sql::Transaction& tx) {
      return subscribers.create(ctx, tx, {.url = url, .event_types = types});
    });
  }

  messaging::Message message(std::string type = "order.placed", std::string payload = R"({"id":"ord_1"})") {
    return {.id = ids.make<messaging::MessageId>().text(),
            .topic = "orders",
            .type = std::move(type),
            .payload = std::move(payload),
            .occurred_at = runtime.clock().wall_now()};
  }

  std::size_t fan_out(const Context& ctx, const messaging::Message& one) {
    return db.transact(ctx, [&](sql::Transaction& tx) { return deliveries.fan_out(ctx, tx, one); });
  }
  std::string publish(const Context& ctx, std::string type = "order.placed") {
    const messaging::Message one = message(std::move(type));
    fan_out(ctx, one);
    return one.id;
  }

  Subscriber subscriber(const Context& ctx, const std::string& id) {
    return db.read(ctx, [&](sql::Snapshot& snapshot) { return Subscribers::get(snapshot, id); });
  }
  std::vector<Delivery> list(const Context& ctx, const std::string& subscriber_id,
                             std::optional<DeliveryStatus> status = {}) {
    return db.read(ctx, [&](sql::Snapshot& snapshot) {
      return Deliveries::list(snapshot, subscriber_id, status, {}, Deliveries::kMaxPage);
    });
  }
  std::uint64_t attempts(const char* outcome) {
    return metrics.counter("holdfast_webhook_attempts_total", "", {{"outcome", outcome}}).value();
  }

  runtime::Runtime& runtime;
  sql::Database& db;
  observe::Metrics metrics;
  IdGenerator ids;
  Subscribers subscribers;
  Deliveries deliveries;
  std::unique_ptr<Sender> sender;
};

}  // namespace holdfast::webhooks
