// `holdfast sagas list|show|retry|abandon`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.hpp"
#include "cli/data_folder.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/saga/records.hpp"

namespace holdfast::cli {

namespace {

using saga::Records;
using saga::SagaDetails;
using saga::SagaSummary;

struct ListOptions {
  std::string status;
  std::string definition;
  std::string key;
  std::string before;
  std::size_t limit = 100;
  bool unfinished = false;
};

std::optional<std::string> given(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

saga::SagaFilter filter_of(const ListOptions& options) {
  saga::SagaFilter filter{
      .definition = given(options.definition), .key = given(options.key), .unfinished = options.unfinished};
  if (options.status.empty()) return filter;
  filter.status = enum_from_name<saga::Status>(options.status);
  if (!filter.status) {
    throw Error(ErrorCode::invalid_argument,
                "--status " + options.status +
                    " is none of running, waiting, compensating, completed, compensated, parked, abandoned.")
        .reason("usage");
  }
  return filter;
}

ExitCode run_list(const Invocation& invocation, const ListOptions& options) {
  constexpr std::size_t kErrorShown = 60;
  const saga::SagaFilter filter = filter_of(options);
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    const auto sagas = Records(database).list(ctx, filter, options.before, options.limit);
    if (invocation.json()) {
      invocation.terminal.print(to_json(sagas) + "\n");
      return ExitCode::ok;
    }
    Table table({{"id"}, {"definition"}, {"key"}, {"status"}, {"step"}, {"started at"}, {"reason or error"}});
    for (const SagaSummary& saga : sagas) {
      const std::string& why = saga.error.empty() ? saga.reason : saga.error;
      table.add({saga.id, fmt::format("{} v{}", saga.definition, saga.version), saga.key,
                 std::string(enum_name(saga.status)), saga.step, format_rfc3339(saga.started_at),
                 why.substr(0, kErrorShown)});
    }
    if (!table.empty()) invocation.terminal.print(table.text());
    invocation.terminal.note(fmt::format("{} sagas\n", sagas.size()));
    if (sagas.size() == options.limit) invocation.terminal.note("more: --before " + sagas.back().id + "\n");
    return ExitCode::ok;
  });
}

void print_saga(const Terminal& terminal, const SagaDetails& details) {
  const SagaSummary& saga = details.saga;
  Table facts({{""}, {""}});
  facts.add({"id", saga.id});
  facts.add({"definition", fmt::format("{} version {}", saga.definition, saga.version)});
  facts.add({"key", saga.key.empty() ? "none" : saga.key});
  facts.add({"status", std::string(enum_name(saga.status))});
  if (!saga.step.empty())
    facts.add({"step", fmt::format("{} ({} failed attempts)", saga.step, saga.attempts)});
  if (saga.next_at) facts.add({"next at", format_rfc3339(*saga.next_at)});
  if (!saga.reason.empty()) facts.add({"reason", saga.reason});
  if (!saga.error.empty()) facts.add({"error", saga.error});
  if (saga.cancel_reason) facts.add({"cancel asked", *saga.cancel_reason});
  facts.add({"started at", format_rfc3339(saga.started_at)});
  facts.add({"finished at", saga.finished_at ? format_rfc3339(*saga.finished_at) : "not yet"});
  if (!details.trace_id.empty()) facts.add({"trace", details.trace_id});
  terminal.print(facts.text());

  Table steps({{"step"}, {"status"}, {"attempts", Table::Align::right}, {"error"}});
  for (const saga::StepLine& step : details.steps) {
    steps.add({step.name, std::string(enum_name(step.status)), std::to_string(step.attempts), step.error});
  }
  terminal.print("\n" + steps.text() + "\n");
  Table history({{"at"}, {"what"}, {"step"}, {"took", Table::Align::right}, {"error"}});
  for (const saga::HistoryLine& line : details.history) {
    const std::string took = line.took_seconds > 0 ? fmt::format("{:.3f} s", line.took_seconds) : "";
    history.add({format_rfc3339(line.at), line.what, line.step, took, line.error});
  }
  terminal.print(history.text() + "\nstate\n  " + details.state.text() + "\n");
}

/// Does `change`, then shows the saga.
ExitCode run_on_one(const Invocation& invocation, const std::string& id,
                    const std::function<void(const Context&, Records&)>& change) {
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    Records records(database);
    if (change) change(ctx, records);
    const auto details = records.find(ctx, id);
    if (!details)
      throw Error(ErrorCode::not_found, "There is no saga " + id + "; `holdfast sagas list` shows them.");
    if (invocation.json()) {
      invocation.terminal.print(to_json(*details) + "\n");
    } else {
      print_saga(invocation.terminal, *details);
    }
    return ExitCode::ok;
  });
}

void add_list(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("list", "List sagas, newest first");
  command->footer(
      "Examples:\n"
      "  holdfast sagas list --status parked\n"
      "  holdfast sagas list --definition checkout --unfinished --output json");
  auto options = std::make_shared<ListOptions>();
  command->add_option("--status", options->status, "only those in this state; parked ones wait for a person")
      ->type_name("STATUS");
  command->add_option("--definition", options->definition, "only those that do this")->type_name("NAME");
  command->add_option("--key", options->key, "only the one with this business key")->type_name("KEY");
  command->add_flag("--unfinished", options->unfinished, "only those that have not ended");
  command->add_option("--before", options->before, "those before this id")->type_name("ID");
  command->add_option("--limit", options->limit, "at most so many (100)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, options] {
    invocation.run = [&invocation, options] { return run_list(invocation, *options); };
  });
}

void add_show(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("show", "Show one with its steps, its timeline and its state");
  command->footer("Examples:\n  holdfast sagas show sag_01jz3s4m5e6f7g8h9jakbmcndp");
  auto id = std::make_shared<std::string>();
  command->add_option("ID", *id, "as `sagas list` shows it")->required();
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback(
      [&invocation, id] { invocation.run = [&invocation, id] { return run_on_one(invocation, *id, {}); }; });
}

void add_retry(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("retry", "Have a parked saga go on from where it stopped");
  command->footer(
      "Running workers notice within a second.\n\n"
      "Examples:\n  holdfast sagas retry sag_01jz3s4m5e6f7g8h9jakbmcndp");
  auto id = std::make_shared<std::string>();
  command->add_option("ID", *id, "as `sagas list` shows it")->required();
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, id] {
    invocation.run = [&invocation, id] {
      return run_on_one(invocation, *id,
                        [id](const Context& ctx, Records& records) { records.retry(ctx, *id); });
    };
  });
}

void add_abandon(CLI::App& parent, Invocation& invocation) {
  CLI::App* command =
      parent.add_subcommand("abandon", "End a saga where it stands; nothing more is done or undone");
  command->footer(
      "For what was put right by hand; the reason stays in its history.\n\n"
      "Examples:\n  holdfast sagas abandon sag_01jz3s4m5e6f7g8h9jakbmcndp --reason 'refunded by phone'");
  auto id = std::make_shared<std::string>();
  auto reason = std::make_shared<std::string>();
  command->add_option("ID", *id, "as `sagas list` shows it")->required();
  command->add_option("--reason", *reason, "what was done by hand")->required()->type_name("TEXT");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, id, reason] {
    invocation.run = [&invocation, id, reason] {
      return run_on_one(invocation, *id, [id, reason](const Context& ctx, Records& records) {
        records.abandon(ctx, *id, *reason);
      });
    };
  });
}

}  // namespace

void add_sagas(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("sagas", "Work that goes on until it is done or undone");
  command->footer("Examples:\n  holdfast sagas list --status parked\n  holdfast sagas retry --help");
  command->require_subcommand(1);
  add_list(*command, invocation);
  add_show(*command, invocation);
  add_retry(*command, invocation);
  add_abandon(*command, invocation);
}

}  // namespace holdfast::cli
