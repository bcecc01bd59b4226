// `holdfast migrate up|down|status`; `migrate data` is in migrate_data.cpp.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.hpp"
#include "cli/data_folder.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/sql/migrations.hpp"
#include "orders/migrations.hpp"

namespace holdfast::cli {

namespace {

using Act = std::function<ExitCode(const Context&, const sql::Migrator&)>;

ExitCode with_migrator(const Invocation& invocation, bool looks_only, const Act& act) {
  const SchemaState wanted = looks_only ? SchemaState::seen : SchemaState::any;
  return with_database(invocation, wanted, [&](const Context& ctx, sql::Database& database) {
    try {
      return act(ctx, sql::Migrator(database, orders::migrations()));
    } catch (const Error& error) {
      if (error.reason() == "database_newer") throw schema_refused(error);
      throw;
    }
  });
}

void print_steps(const Invocation& invocation, const char* done, const std::vector<sql::Migration>& steps,
                 bool dry_run, std::string sql::Migration::*text) {
  const Terminal& terminal = invocation.terminal;
  if (invocation.json()) {
    std::string out;
    JsonWriter writer(out);
    writer.begin_object().member("dryRun", dry_run).key("steps").begin_array();
    for (const sql::Migration& step : steps) {
      writer.begin_object().member("version", step.version).member("name", step.name);
      if (dry_run) writer.member("sql", step.*text);
      writer.end_object();
    }
    writer.end_array().end_object();
    return terminal.print(out + "\n");
  }
  for (const sql::Migration& step : steps) {
    terminal.print(fmt::format("{}{} {:>4} {}\n", dry_run ? "would be " : "", done, step.version, step.name));
    if (dry_run) terminal.print(step.*text + "\n\n");
  }
  if (steps.empty()) terminal.print("Nothing to do.\n");
  if (dry_run) terminal.note("Dry run: nothing was changed.\n");
}

ExitCode run_up(const Invocation& invocation, bool dry_run) {
  return with_migrator(invocation, dry_run, [&](const Context& ctx, const sql::Migrator& migrator) {
    print_steps(invocation, "applied", dry_run ? migrator.plan_up(ctx) : migrator.up(ctx), dry_run,
                &sql::Migration::up_sql);
    return ExitCode::ok;
  });
}

ExitCode run_down(const Invocation& invocation, std::size_t steps, bool dry_run) {
  return with_migrator(invocation, dry_run, [&](const Context& ctx, const sql::Migrator& migrator) {
    print_steps(invocation, "undone", dry_run ? migrator.plan_down(ctx, steps) : migrator.down(ctx, steps),
                dry_run, &sql::Migration::down_sql);
    return ExitCode::ok;
  });
}

ExitCode run_status(const Invocation& invocation) {
  return with_migrator(invocation, true, [&](const Context& ctx, const sql::Migrator& migrator) {
    const auto steps = migrator.status(ctx);
    if (invocation.json()) {
      std::string out;
      JsonWriter writer(out);
      writer.begin_array();
      for (const sql::MigrationStatus& step : steps) {
        writer.begin_object().member("version", step.version).member("name", step.name);
        if (step.applied_at) writer.member("appliedAt", format_rfc3339(*step.applied_at));
        writer.end_object();
      }
      writer.end_array();
      invocation.terminal.print(out + "\n");
      return ExitCode::ok;
    }
    Table table({{"version", Table::Align::right}, {"name"}, {"applied at"}});
    for (const sql::MigrationStatus& step : steps) {
      table.add(
          {std::to_string(step.version), step.name,
           step.applied_at ? format_rfc3339(*step.applied_at) : invocation.terminal.yellow("not applied")});
    }
    invocation.terminal.print(table.text());
    return ExitCode::ok;
  });
}

CLI::App* add_step(CLI::App& migrate, Invocation& invocation, const char* name, const char* about,
                   const char* examples) {
  CLI::App* command = migrate.add_subcommand(name, about);
  command->footer(examples);
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  return command;
}

}  // namespace

void add_migrate(CLI::App& app, Invocation& invocation) {
  CLI::App* migrate = app.add_subcommand("migrate", "The schema of the database, and its move to another");
  migrate->footer("Examples:\n  holdfast migrate status\n  holdfast migrate up --dry-run");
  migrate->require_subcommand(1);
  auto dry_run = std::make_shared<bool>(false);
  auto steps = std::make_shared<std::size_t>(1);

  CLI::App* up = add_step(*migrate, invocation, "up", "Apply the steps that are missing",
                          "Examples:\n  holdfast migrate up --dry-run\n  holdfast migrate up");
  up->add_flag("--dry-run", *dry_run, "print the SQL, change nothing");
  up->callback([&invocation, dry_run] {
    invocation.run = [&invocation, dry_run] { return run_up(invocation, *dry_run); };
  });

  CLI::App* down =
      add_step(*migrate, invocation, "down", "Undo the latest steps; what they hold is lost",
               "Examples:\n  holdfast migrate down --dry-run\n  holdfast migrate down --steps 2");
  down->add_option("--steps", *steps, "how many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000).description(""))
      ->type_name("N");
  down->add_flag("--dry-run", *dry_run, "print the SQL, change nothing");
  down->callback([&invocation, dry_run, steps] {
    invocation.run = [&invocation, dry_run, steps] { return run_down(invocation, *steps, *dry_run); };
  });

  CLI::App* status =
      add_step(*migrate, invocation, "status", "List the steps, applied or not",
               "Examples:\n  holdfast migrate status\n  holdfast migrate status --output json");
  status->callback([&invocation] { invocation.run = [&invocation] { return run_status(invocation); }; });
  add_migrate_data(*migrate, invocation);
}

}  // namespace holdfast::cli
