// `holdfast migrate data`: from one database into another, of the same kind or not.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/commands/commands.hpp"
#include "cli/data_folder.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/transfer.hpp"
#include "orders/migrations.hpp"
#include "orders/open_database.hpp"

namespace holdfast::cli {

namespace {

namespace fs = std::filesystem;

struct DataOptions {
  std::string from;
  std::string to;
  std::size_t batch = 1000;
  bool dry_run = false;
  bool ignore_running = false;
};

Error refused(const char* reason, std::string detail) {
  return Error(ErrorCode::unavailable, std::move(detail)).reason(reason);
}

/// `url` may be "file:NAME", as in settings: what is on a command line is seen by whoever lists the
/// processes.
orders::Settings with_url(const orders::Settings& settings, const std::string& url, const char* option) {
  const auto wrong = [&](const std::string& why) {
    return Error(ErrorCode::invalid_argument, std::string(option) + ": " + why).reason("usage");
  };
  orders::Settings changed = settings;
  changed.database.url = config::Secret(url);
  constexpr std::string_view kFile = "file:";
  if (url.starts_with(kFile)) {
    std::string problem;
    const auto read = config::read_secret_file(url.substr(kFile.size()), problem);
    if (!read) throw wrong(url.substr(kFile.size()) + " " + problem);
    changed.database.url = *read;
  }
  if (changed.database.url.empty()) throw wrong("a URL is needed, or file:NAME of a file with one in it.");
  return changed;
}

/// Whether that process lives and is a server: a file that kill -9 left behind may name somebody else.
bool is_server(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
  const std::string command{std::istreambuf_iterator<char>(file), {}};
  return command.find(std::string("\0serve\0", 7)) != std::string::npos;
}

/// What still works on the database, in words; empty: nothing that can be seen. Workers by their heartbeat,
/// a server by its connections or its file of the process id.
std::string who_runs(const Context& ctx, sql::Database& database, const orders::Settings& settings) {
  std::vector<std::string> found;
  for (const char* table : {"outbox_workers", "saga_workers"}) {
    const auto alive = database.query_value<std::int64_t>(
        ctx, std::string("select count(*) from ") + table + " where expires_at > $1", ctx.clock().wall_now());
    if (alive > 0) found.push_back(fmt::format("{} in {}", alive, table));
  }
  if (database.dialect() == sql::Dialect::postgres) {
    const auto connections = database.query_value<std::int64_t>(
        ctx,
        "select count(*) from pg_stat_activity where datname = current_database() and application_name in "
        "('holdfast server', 'holdfast worker')");
    if (connections > 0) found.push_back(fmt::format("{} connections of servers and workers", connections));
  } else if (const auto file = orders::sqlite_file(settings)) {
    std::ifstream pid_file(file->parent_path() / "holdfast.pid");
    pid_t pid = 0;
    if (pid_file >> pid && is_server(pid)) found.push_back(fmt::format("a server, process {}", pid));
  }
  return fmt::format("{}", fmt::join(found, ", "));
}

void require_source(const Context& ctx, sql::Database& source, const orders::Settings& settings,
                    bool ignore_running) {
  try {
    if (!sql::Migrator(source, orders::migrations()).plan_up(ctx).empty()) {
      throw refused("source_schema",
                    "The source's schema is older than this binary. Run `holdfast migrate up` on it first.");
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::failed_precondition) throw;
    throw schema_refused(error);
  }
  if (ignore_running) return;
  const std::string running = who_runs(ctx, source, settings);
  if (running.empty()) return;
  throw refused(
      "source_in_use",
      "Processes still run on the source (" + running +
          "). Stop all servers and workers first; workers that were killed are forgotten within "
          "their lease. --ignore-running moves it all the same: what is written meanwhile is lost.");
}

class Mover {
 public:
  Mover(const Invocation& invocation, const DataOptions& options)
      : invocation_(invocation), options_(options), settings_(load_settings(invocation)) {}

  ExitCode run(const Context& ctx, runtime::Runtime& runtime) {
    const orders::Settings from = with_url(*settings_, options_.from, "--from");
    const orders::Settings to = with_url(*settings_, options_.to, "--to");
    const std::string from_name = orders::shown_database(from);
    const std::string to_name = orders::shown_database(to);
    if (from_name == to_name || options_.from == options_.to) {
      throw Error(ErrorCode::invalid_argument, "--from and --to are the same.").reason("usage");
    }
    const auto file = orders::sqlite_file(from);
    if (file && !fs::exists(*file))
      throw refused("no_source", "There is no database at " + file->string() + ".");
    const auto source = orders::open_unmigrated(ctx, from, runtime, "cli");
    require_source(ctx, *source, from, options_.ignore_running);
    const auto target_file = orders::sqlite_file(to);
    const bool would_make = options_.dry_run && target_file && !fs::exists(*target_file);
    if (target_file && !options_.dry_run) make_folder(*target_file);
    const auto target =
        would_make ? sql::sqlite::open_memory(runtime) : orders::open_unmigrated(ctx, to, runtime, "cli");
    sql::Transfer transfer(*source, *target, orders::migrations(), transfer_options(from_name));
    const Terminal& terminal = invocation_.terminal;
    terminal.note(fmt::format("From {}\nto   {}\n", from_name, to_name));
    const Instant begun = ctx.now();
    try {
      const sql::TransferReport report = options_.dry_run ? transfer.plan(ctx) : transfer.run(ctx);
      clear_progress();
      print(report, ctx.now() - begun);
      return ExitCode::ok;
    } catch (const Error& error) {
      clear_progress();
      if (error.code() == ErrorCode::failed_precondition) throw schema_refused(error);
      throw;
    }
  }

 private:
  static void make_folder(const fs::path& file) {
    std::error_code failure;
    if (file.has_parent_path()) fs::create_directories(file.parent_path(), failure);
    if (failure) {
      throw refused("data_folder_unavailable",
                    "The folder of " + file.string() + " can't be made: " + failure.message() + ".");
    }
  }

  sql::TransferOptions transfer_options(const std::string& source_name) {
    return {.source_name = source_name,
            .batch_rows = options_.batch,
            .counters = {{"outbox", "position", messaging::kPositionSequence}},
            .progress = [this](const sql::TransferProgress& progress) { show(progress); }};
  }

  /// One line that is drawn over where a person looks; else a line at the end of each table.
  void show(const sql::TransferProgress& progress) {
    const Terminal& terminal = invocation_.terminal;
    const std::string line =
        progress.of > 0
            ? fmt::format("{} {}: {} of {}", progress.doing, progress.table, progress.rows, progress.of)
            : fmt::format("{} {}: {}", progress.doing, progress.table, progress.rows);
    if (terminal.note_is_terminal()) {
      terminal.note("\r\033[K" + line);
      drawn_ = true;
    } else if (progress.doing == "copying") {
      terminal.note(line + "\n");
    }
  }
  void clear_progress() {
    if (std::exchange(drawn_, false)) invocation_.terminal.note("\r\033[K");
  }

  void print(const sql::TransferReport& report, Duration took) const {
    const double seconds = std::chrono::duration<double>(took).count();
    if (invocation_.json()) return print_json(report, seconds);
    const Terminal& terminal = invocation_.terminal;
    Table table({{"table"}, {"rows", Table::Align::right}, {"SHA-256 of both"}});
    std::int64_t rows = 0;
    for (const sql::TransferTable& one : report.tables) {
      table.add({one.name, with_thousands(one.rows), one.digest.substr(0, 16)});
      rows += one.rows;
    }
    terminal.print(table.text());
    if (options_.dry_run) {
      terminal.print(fmt::format("\n{} rows would be moved{}.\n", with_thousands(rows),
                                 report.resumed ? ", going on where the last run was" : ""));
      return terminal.note("Dry run: nothing was changed.\n");
    }
    terminal.print(fmt::format(
        "\n{} rows are there and the same; {} of them copied now, in {:.1f} s ({} a second).\n",
        with_thousands(rows), with_thousands(report.copied), seconds,
        with_thousands(
            static_cast<std::int64_t>(static_cast<double>(report.copied) / std::max(seconds, 0.001)))));
    terminal.note(
        "Set database.url to the target for every process, and start them. The source was only read: "
        "keep it until you are content, and start nothing on it.\n");
  }
  void print_json(const sql::TransferReport& report, double seconds) const {
    std::string out;
    JsonWriter writer(out);
    writer.begin_object()
        .member("dryRun", options_.dry_run)
        .member("resumed", report.resumed)
        .member("copied", report.copied)
        .member("seconds", seconds)
        .key("tables")
        .begin_array();
    for (const sql::TransferTable& one : report.tables) {
      writer.begin_object().member("name", one.name).member("rows", one.rows);
      if (!one.digest.empty()) writer.member("sha256", one.digest);
      writer.end_object();
    }
    writer.end_array().end_object();
    invocation_.terminal.print(out + "\n");
  }

  const Invocation& invocation_;
  const DataOptions& options_;
  const LoadedSettings settings_;
  bool drawn_ = false;
};

ExitCode run_data(const Invocation& invocation, const DataOptions& options) {
  Mover mover(invocation, options);
  runtime::Runtime runtime({.loops = 1}, invocation.clock, invocation.random);
  ExitCode code = ExitCode::failed;
  runtime.run([&](const Context& ctx) { code = mover.run(ctx, runtime); });
  return code;
}

constexpr const char* kFooter =
    "All rows go into an empty database of the same schema, in key order, a transaction a batch. Interrupt "
    "it "
    "and run\n"
    "it again as you like: it goes on where it was. Until it is done, nothing starts on the target. In the "
    "end "
    "counts and\n"
    "digests of every table are compared. The source is only read; stop all servers and workers on it "
    "before.\n"
    "\n"
    "Examples:\n"
    "  holdfast migrate data --from sqlite:data/orders.db --to postgres://orders:secret@db/orders --dry-run\n"
    "  holdfast migrate data --from sqlite:data/orders.db --to postgres://orders:secret@db/orders\n"
    "  holdfast migrate data --from postgres://orders:secret@db/orders --to "
    "sqlite:/var/lib/holdfast/orders.db";

}  // namespace

void add_migrate_data(CLI::App& migrate, Invocation& invocation) {
  CLI::App* command = migrate.add_subcommand("data", "Move all data into another database");
  command->footer(kFooter);
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  auto options = std::make_shared<DataOptions>();
  command
      ->add_option("--from", options->from,
                   "postgres://…, sqlite:FILE, or file:NAME of a file with one in it")
      ->required()
      ->type_name("URL");
  command->add_option("--to", options->to, "likewise; an empty database")->required()->type_name("URL");
  command->add_option("--batch", options->batch, "rows a transaction")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000).description(""))
      ->type_name("N");
  command->add_flag("--dry-run", options->dry_run, "check and count, change nothing");
  command->add_flag("--ignore-running", options->ignore_running, "move although processes run on the source");
  command->callback([&invocation, options] {
    invocation.run = [&invocation, options] { return run_data(invocation, *options); };
  });
}

}  // namespace holdfast::cli
