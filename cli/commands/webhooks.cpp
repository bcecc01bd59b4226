// `holdfast webhooks list|deliveries|redeliver|enable`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.hpp"
#include "cli/data_folder.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/webhooks/deliveries.hpp"
#include "holdfast/webhooks/subscribers.hpp"

namespace holdfast::cli {

namespace {

using webhooks::Deliveries;
using webhooks::Delivery;
using webhooks::DeliveryStatus;
using webhooks::Subscriber;
using webhooks::Subscribers;

struct DeliveriesOptions {
  std::string subscriber;
  std::string status;
  std::string before;
  std::size_t limit = 100;
};

struct RedeliverOptions {
  std::vector<std::string> ids;
  std::string subscriber;
  std::string since;
};

std::string wanted(const Subscriber& subscriber) {
  std::string all;
  for (const std::string& type : subscriber.event_types) all += (all.empty() ? "" : ", ") + type;
  return all.empty() ? "every event" : all;
}

std::string state(const Subscriber& subscriber) {
  if (subscriber.status == webhooks::SubscriberStatus::disabled) {
    return "disabled: " + subscriber.disabled_reason.value_or("?");
  }
  if (!subscriber.failing_since) return "enabled";
  return fmt::format("failing since {}", format_rfc3339(*subscriber.failing_since));
}

ExitCode run_list(const Invocation& invocation) {
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    const auto found = database.read(
        ctx, [](sql::Snapshot& db) { return Subscribers::list(db, {}, Subscribers::kMaxPage); });
    if (invocation.json()) {
      invocation.terminal.print(to_json(found) + "\n");
      return ExitCode::ok;
    }
    Table table({{"id"}, {"url"}, {"events"}, {"state"}});
    for (const Subscriber& one : found) table.add({one.id, one.url, wanted(one), state(one)});
    if (!table.empty()) invocation.terminal.print(table.text());
    invocation.terminal.note(fmt::format("{} subscribers\n", found.size()));
    return ExitCode::ok;
  });
}

ExitCode run_deliveries(const Invocation& invocation, const DeliveriesOptions& options) {
  const auto status = options.status.empty() ? std::nullopt : enum_from_name<DeliveryStatus>(options.status);
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    const auto found = database.read(ctx, [&](sql::Snapshot& db) {
      const Subscriber subscriber = Subscribers::get(db, options.subscriber);
      return Deliveries::list(db, subscriber.id, status, options.before, options.limit);
    });
    if (invocation.json()) {
      invocation.terminal.print(to_json(found) + "\n");
      return ExitCode::ok;
    }
    Table table({{"id"}, {"type"}, {"status"}, {"attempts"}, {"next attempt"}, {"error"}});
    for (const Delivery& one : found) {
      table.add({one.id, one.type, std::string(enum_name(one.status)), std::to_string(one.attempts),
                 one.next_attempt_at ? format_rfc3339(*one.next_attempt_at) : "",
                 one.last_error.value_or("").substr(0, 60)});
    }
    if (!table.empty()) invocation.terminal.print(table.text());
    invocation.terminal.note(fmt::format("{} deliveries, newest first\n", found.size()));
    if (found.size() == options.limit) invocation.terminal.note("more: --before " + found.back().id + "\n");
    return ExitCode::ok;
  });
}

std::size_t redeliver(const Context& ctx, sql::Database& database, const RedeliverOptions& options,
                      const std::optional<WallTime>& since, Random& random) {
  IdGenerator ids(ctx.clock(), random);
  Deliveries deliveries(ids);
  if (!options.ids.empty()) {
    return database.transact(ctx, "redeliver webhooks", [&](sql::Transaction& tx) {
      for (const std::string& id : options.ids) deliveries.redeliver(ctx, tx, id);
      return options.ids.size();
    });
  }
  std::size_t total = 0;
  for (std::size_t last = Deliveries::kMaxRedelivered; last == Deliveries::kMaxRedelivered; total += last) {
    last = database.transact(ctx, "redeliver webhooks", [&](sql::Transaction& tx) {
      return deliveries.redeliver_failed(ctx, tx, options.subscriber, *since);
    });
  }
  return total;
}

ExitCode run_redeliver(const Invocation& invocation, const RedeliverOptions& options) {
  const bool by_id = !options.ids.empty();
  const bool by_time = !options.subscriber.empty() && !options.since.empty();
  if (by_id == by_time) {
    throw Error(ErrorCode::invalid_argument,
                "Say which: deliveries' ids, or --subscriber and --since for all that failed.")
        .reason("usage");
  }
  const auto since = by_time ? parse_rfc3339(options.since) : std::nullopt;
  if (by_time && !since) {
    throw Error(ErrorCode::invalid_argument, "--since is a time such as 2026-01-31T12:30:00Z.")
        .reason("usage");
  }
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    SystemRandom random;
    const std::size_t count = redeliver(ctx, database, options, since, random);
    if (invocation.json()) {
      invocation.terminal.print(fmt::format("{{\"redelivered\":{}}}\n", count));
    } else {
      invocation.terminal.print(fmt::format("{} will be sent again\n", count));
    }
    return ExitCode::ok;
  });
}

ExitCode run_enable(const Invocation& invocation, const std::string& id) {
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    SystemRandom random;
    IdGenerator ids(ctx.clock(), random);
    Subscribers subscribers(ids, random);
    const Subscriber enabled = database.transact(ctx, "enable webhook subscriber", [&](sql::Transaction& tx) {
      return subscribers.enable(ctx, tx, id);
    });
    invocation.terminal.print(invocation.json() ? to_json(enabled) + "\n"
                                                : enabled.id + " is enabled; what is pending is sent\n");
    return ExitCode::ok;
  });
}

void add_list(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("list", "List who is told of events, and how it goes");
  command->footer("Examples:\n  holdfast webhooks list --output json");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation] { invocation.run = [&invocation] { return run_list(invocation); }; });
}

void add_deliveries(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("deliveries", "List what a subscriber was or will be sent");
  command->footer("Examples:\n  holdfast webhooks deliveries whs_01jz3s4m5e6f7g8h9jakbmcndp --status failed");
  auto options = std::make_shared<DeliveriesOptions>();
  command->add_option("SUBSCRIBER", options->subscriber, "as `webhooks list` shows it")->required();
  command->add_option("--status", options->status, "pending, delivered or failed only")
      ->check(CLI::IsMember({"pending", "delivered", "failed"}))
      ->type_name("STATUS");
  command->add_option("--before", options->before, "those before this id")->type_name("ID");
  command->add_option("--limit", options->limit, "at most so many (100)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, options] {
    invocation.run = [&invocation, options] { return run_deliveries(invocation, *options); };
  });
}

void add_redeliver(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("redeliver", "Send deliveries again, with fresh attempts");
  command->footer(
      "A running server notices within a second. Receivers see the same webhook-id again.\n\n"
      "Examples:\n"
      "  holdfast webhooks redeliver whd_01jz3s4m5e6f7g8h9jakbmcndp\n"
      "  holdfast webhooks redeliver --subscriber whs_01jz3s4m5e6f7g8h9jakbmcndp "
      "--since 2026-01-31T12:30:00Z");
  auto options = std::make_shared<RedeliverOptions>();
  command->add_option("ID", options->ids, "these; as `webhooks deliveries` shows them");
  command->add_option("--subscriber", options->subscriber, "all of this one that failed …")->type_name("ID");
  command->add_option("--since", options->since, "… and were given up at this time or later")
      ->type_name("TIME");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, options] {
    invocation.run = [&invocation, options] { return run_redeliver(invocation, *options); };
  });
}

void add_enable(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("enable", "Enable a subscriber that was disabled");
  command->footer("Examples:\n  holdfast webhooks enable whs_01jz3s4m5e6f7g8h9jakbmcndp");
  auto id = std::make_shared<std::string>();
  command->add_option("ID", *id, "as `webhooks list` shows it")->required();
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback(
      [&invocation, id] { invocation.run = [&invocation, id] { return run_enable(invocation, *id); }; });
}

}  // namespace

void add_webhooks(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("webhooks", "Subscribers that are told of events");
  command->footer("Examples:\n  holdfast webhooks list\n  holdfast webhooks redeliver --help");
  command->require_subcommand(1);
  add_list(*command, invocation);
  add_deliveries(*command, invocation);
  add_redeliver(*command, invocation);
  add_enable(*command, invocation);
}

}  // namespace holdfast::cli
