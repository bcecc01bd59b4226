// `holdfast drill list|run`.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "cli/commands/commands.hpp"
#include "drills/frame/drill.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::cli {

namespace {

constexpr const char* kListExamples = "Examples:\n  holdfast drill list";
constexpr const char* kRunExamples =
    "Examples:\n"
    "  holdfast drill run slow-loris\n"
    "  holdfast drill run double-click overload --seconds 20\n"
    "  holdfast drill run --all --json > drills.json\n"
    "  holdfast drill run webhook-storm --database postgres://drills:secret@db.internal/postgres\n"
    "  build/with-faults/holdfast drill run kill-between-steps --keep";

struct DrillOptions {
  std::vector<std::string> names;
  bool all = false;
  bool quick = false;
  bool keep = false;
  unsigned seconds = 0;  // 0: each drill's own
  std::optional<std::uint64_t> seed;
  std::string database;  // SQLite where empty
};

/// Takes everything away when a signal says so: the one place from which a drill can be left at any time.
class Interruption {
 public:
  explicit Interruption(const Terminal& terminal) {
    ::sigemptyset(&signals_);
    for (const int each : {SIGINT, SIGTERM, SIGHUP, SIGUSR2}) ::sigaddset(&signals_, each);
    ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    thread_ = std::thread([this, &terminal] { watch(terminal); });
  }
  ~Interruption() {
    done_ = true;
    ::pthread_kill(thread_.native_handle(), SIGUSR2);
    thread_.join();
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  drills::Belongings& belongings() noexcept { return belongings_; }

 private:
  void watch(const Terminal& terminal) {
    int number = 0;
    while (::sigwait(&signals_, &number) == 0) {
      if (done_) return;
      if (number == SIGUSR2) continue;
      belongings_.take_away();
      terminal.note("interrupted; its programs and folders are gone\n");
      ::_exit(128 + number);
    }
  }

  drills::Belongings belongings_;
  std::atomic<bool> done_{false};
  sigset_t signals_{};
  sigset_t before_{};
  std::thread thread_;
};

ExitCode run_list(const Invocation& invocation) {
  const Terminal& terminal = invocation.terminal;
  if (invocation.json()) {
    std::string out;
    JsonWriter writer(out);
    writer.begin_object().key("drills").begin_array();
    for (const drills::Drill& drill : drills::all_drills()) {
      writer.begin_object()
          .member("name", drill.name)
          .member("breaks", drill.breaks)
          .member("proves", drill.proves)
          .member("seconds", static_cast<std::int64_t>(drill.duration.count()))
          .end_object();
    }
    writer.end_array().end_object();
    terminal.print(out + "\n");
    return ExitCode::ok;
  }
  for (const drills::Drill& drill : drills::all_drills()) {
    terminal.print(fmt::format("{}\n  breaks  {}\n  proves  {}\n", terminal.bold(drill.name), drill.breaks,
                               drill.proves));
  }
  return ExitCode::ok;
}

std::vector<const drills::Drill*> chosen(const DrillOptions& options) {
  std::vector<const drills::Drill*> list;
  for (const std::string& name : options.names) {
    const drills::Drill* drill = drills::find_drill(name);
    if (drill == nullptr) {
      throw Error(ErrorCode::not_found,
                  "there is no drill \"" + name + "\"; `holdfast drill list` lists them")
          .reason("unknown_drill");
    }
    list.push_back(drill);
  }
  for (const drills::Drill& drill : drills::all_drills()) {
    if (options.all || (options.quick && drill.quick)) list.push_back(&drill);
  }
  if (list.empty()) {
    throw Error(ErrorCode::invalid_argument, "which drill? Name some, or give --all").reason("no_drill");
  }
  return list;
}

ExitCode exit_code_of(const std::vector<drills::Report>& reports) {
  bool all_ran = true;
  for (const drills::Report& report : reports) {
    if (report.verdict() == drills::Verdict::failed) return ExitCode::failed;
    all_ran = all_ran && report.verdict() == drills::Verdict::passed;
  }
  return all_ran ? ExitCode::ok : ExitCode::unavailable;
}

ExitCode run_drills(const Invocation& invocation, const DrillOptions& options) {
  const Terminal& terminal = invocation.terminal;
  const std::vector<const drills::Drill*> list = chosen(options);
  Interruption interruption(terminal);
  std::vector<drills::Report> reports;
  for (const drills::Drill* drill : list) {
    const std::uint64_t seed = options.seed.value_or(invocation.random.next() >> 32U);
    terminal.note(terminal.bold(drill->name, Terminal::Stream::note) + ": " + drill->breaks + "\n");
    drills::StageOptions stage{
        .duration = std::chrono::seconds(options.seconds > 0 ? options.seconds : drill->duration.count()),
        .seed = seed,
        .keep = options.keep,
        .say = [&](std::string_view line) { terminal.note("  " + std::string(line) + "\n"); },
        .belongings = &interruption.belongings(),
        .database = options.database};
    reports.push_back(drills::run_drill(*drill, std::move(stage)));
    if (!invocation.json()) terminal.print(drills::report_text(reports.back()));
  }
  if (invocation.json()) terminal.print(drills::reports_json(reports) + "\n");
  return exit_code_of(reports);
}

void add_json_flag(CLI::App& command, Invocation& invocation) {
  command.add_flag_callback(
      "--json", [&invocation] { invocation.output = OutputFormat::json; }, "as --output json");
}

}  // namespace

void add_drill(CLI::App& app, Invocation& invocation) {
  CLI::App* drill =
      app.add_subcommand("drill", "Break something real in programs of its own, and see what holds");
  drill->footer("Examples:\n  holdfast drill list\n  holdfast drill run slow-loris");
  drill->require_subcommand(1);

  CLI::App* list = drill->add_subcommand("list", "What each drill breaks, and what it proves");
  list->footer(kListExamples);
  add_output_option(*list, invocation);
  add_json_flag(*list, invocation);
  list->callback([&invocation] { invocation.run = [&invocation] { return run_list(invocation); }; });

  CLI::App* run = drill->add_subcommand("run", "Run drills; PASS or FAIL, with figures");
  run->footer(kRunExamples);
  auto options = std::make_shared<DrillOptions>();
  run->add_option("names", options->names, "drills, by name")->type_name("NAME");
  run->add_flag("--all", options->all, "every drill");
  run->add_flag("--quick", options->quick, "the drills that are done within 20 s each, with 3 s of load");
  run->add_option("--seconds", options->seconds, "of load in each, about; each drill's own unless set")
      ->check(CLI::Range(1, 3600))
      ->type_name("N");
  run->add_option("--seed", options->seed, "repeats a run's decisions")->type_name("N");
  run->add_flag("--keep", options->keep, "keep a failed drill's folder, with data and logs");
  run->add_option(
         "--database", options->database,
         "a new database on that PostgreSQL, dropped afterwards; `postgres`: on a server of the drill's "
         "own; SQLite unless set")
      ->type_name("URL");
  add_output_option(*run, invocation);
  add_json_flag(*run, invocation);
  run->callback([&invocation, options] {
    if (options->quick && options->seconds == 0) options->seconds = 3;
    invocation.run = [&invocation, options] { return run_drills(invocation, *options); };
  });
}

}  // namespace holdfast::cli
