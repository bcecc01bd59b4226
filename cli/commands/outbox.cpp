// `holdfast outbox status|forget`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/commands/commands.hpp"
#include "cli/data_folder.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/messaging/outbox_status.hpp"

namespace holdfast::cli {

namespace {

std::string workers_of(const messaging::GroupStatus& group) {
  std::string text;
  for (const messaging::WorkerLeases& lease : group.leases) {
    if (!text.empty()) text += ", ";
    text += lease.worker.empty()
                ? fmt::format("{} buckets free", lease.buckets)
                : fmt::format("{} ({} buckets{})", lease.worker, lease.buckets, lease.alive ? "" : ", gone");
  }
  return text;
}

ExitCode run_status(const Invocation& invocation) {
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    const messaging::OutboxStatus status = messaging::outbox_status(ctx, database);
    const Terminal& terminal = invocation.terminal;
    if (invocation.json()) {
      terminal.print(to_json(status) + "\n");
      return ExitCode::ok;
    }
    terminal.print(fmt::format("{} messages in the log, the last at position {}\n\n",
                               with_thousands(status.messages), status.last_position));
    Table table({{"group"},
                 {"behind", Table::Align::right},
                 {"oldest"},
                 {"waiting to retry", Table::Align::right},
                 {"dead", Table::Align::right},
                 {"workers"}});
    for (const messaging::GroupStatus& group : status.groups) {
      table.add({group.group, with_thousands(group.lag),
                 group.oldest_unhandled ? format_rfc3339(*group.oldest_unhandled) : "-",
                 with_thousands(group.parked),
                 group.dead > 0 ? terminal.red(with_thousands(group.dead)) : "0", workers_of(group)});
    }
    terminal.print(table.empty() ? "No group has subscribed yet.\n" : table.text());
    return ExitCode::ok;
  });
}

ExitCode run_forget(const Invocation& invocation, const std::string& group) {
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    messaging::forget_group(ctx, database, group);
    invocation.terminal.print("Forgot " + group + "; its dead letters are kept.\n");
    return ExitCode::ok;
  });
}

void add_forget(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand(
      "forget", "Forget a group that is not run any more: messages are kept for it, and a broker fills up");
  command->footer("Examples:\n  holdfast outbox forget receipts-of-2024");
  auto group = std::make_shared<std::string>();
  command->add_option("GROUP", *group, "as `outbox status` shows it; begins anew if it subscribes again")
      ->required();
  add_settings_options(*command, invocation);
  command->callback([&invocation, group] {
    invocation.run = [&invocation, group] { return run_forget(invocation, *group); };
  });
}

}  // namespace

void add_outbox(CLI::App& app, Invocation& invocation) {
  CLI::App* outbox = app.add_subcommand("outbox", "The log of messages and how far each subscription is");
  outbox->footer("Examples:\n  holdfast outbox status");
  outbox->require_subcommand(1);
  CLI::App* status =
      outbox->add_subcommand("status", "How many messages there are, and how far each group is");
  status->footer("Examples:\n  holdfast outbox status\n  holdfast outbox status --output json");
  add_settings_options(*status, invocation);
  add_output_option(*status, invocation);
  add_forget(*outbox, invocation);
  status->callback([&invocation] { invocation.run = [&invocation] { return run_status(invocation); }; });
}

}  // namespace holdfast::cli
