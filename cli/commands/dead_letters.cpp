// `holdfast dead-letters list|show|redrive`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/commands/commands.hpp"
#include "cli/data_folder.hpp"
#include "cli/dead_letter_filter.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/messaging/dead_letters.hpp"

namespace holdfast::cli {

namespace {

using messaging::DeadLetter;
using messaging::DeadLetters;

struct ListOptions {
  std::vector<std::string> filter;
  std::string after;
  std::size_t limit = 100;
  bool redriven_too = false;
};

struct RedriveRequest {
  std::vector<std::string> ids;
  std::vector<std::string> filter;
  bool all = false;
  bool dry_run = false;
  double rate = 0;
};

void print_json_list(const Terminal& terminal, const std::vector<DeadLetter>& letters) {
  terminal.print(to_json(letters) + "\n");
}

void print_table(const Invocation& invocation, const std::vector<DeadLetter>& letters,
                 std::int64_t matching) {
  constexpr std::size_t kErrorShown = 60;
  Table table({{"id"}, {"group"}, {"type"}, {"key"}, {"dead at"}, {"error"}});
  for (const DeadLetter& letter : letters) {
    table.add({letter.id, letter.group, letter.type, letter.key, format_rfc3339(letter.dead_at),
               letter.error.substr(0, kErrorShown)});
  }
  if (!table.empty()) invocation.terminal.print(table.text());
  invocation.terminal.note(fmt::format("{} of {} dead letters\n", letters.size(), matching));
  if (static_cast<std::int64_t>(letters.size()) < matching && !letters.empty()) {
    invocation.terminal.note("more: --after " + letters.back().id + "\n");
  }
}

ExitCode run_list(const Invocation& invocation, const ListOptions& options) {
  messaging::DeadLetterFilter filter = parse_dead_letter_filter(options.filter);
  filter.redriven_too = options.redriven_too;
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    DeadLetters dead(database);
    const auto letters = dead.list(ctx, filter, options.after, options.limit);
    if (invocation.json()) {
      print_json_list(invocation.terminal, letters);
    } else {
      print_table(invocation, letters, dead.count(ctx, filter));
    }
    return ExitCode::ok;
  });
}

void print_letter(const Terminal& terminal, const DeadLetter& letter) {
  Table facts({{""}, {""}});
  facts.add({"id", letter.id});
  facts.add({"group", letter.group});
  facts.add({"message", fmt::format("{} {} v{}", letter.message_id, letter.type, letter.version)});
  facts.add({"topic, key", letter.topic + ", " + letter.key});
  facts.add({"occurred at", format_rfc3339(letter.occurred_at)});
  facts.add({"dead at", format_rfc3339(letter.dead_at)});
  facts.add({"redriven at", letter.redriven_at ? format_rfc3339(*letter.redriven_at) : "not yet"});
  facts.add({"error", letter.error});
  terminal.print(facts.text());
  terminal.print("attempts\n");
  const JsonDocument attempts = JsonDocument::parse(letter.attempts.text());
  for (const JsonValue& attempt : attempts.root().items()) {
    const JsonValue* at = attempt.find("at");
    const JsonValue* error = attempt.find("error");
    terminal.print(fmt::format("  {}  {}\n", at != nullptr && at->is_string() ? at->as_string() : "?",
                               error != nullptr && error->is_string() ? error->as_string() : "?"));
  }
  terminal.print("headers\n  " + letter.headers.text() + "\npayload\n  " + letter.payload.text() + "\n");
}

ExitCode run_show(const Invocation& invocation, const std::string& id) {
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    const auto letter = DeadLetters(database).find(ctx, id);
    if (!letter)
      throw Error(ErrorCode::not_found,
                  "There is no dead letter " + id + "; `holdfast dead-letters list` shows them.");
    if (invocation.json()) {
      invocation.terminal.print(to_json(*letter) + "\n");
    } else {
      print_letter(invocation.terminal, *letter);
    }
    return ExitCode::ok;
  });
}

messaging::RedriveReport redrive(const Invocation& invocation, const Context& ctx, sql::Database& database,
                                 const RedriveRequest& request) {
  DeadLetters dead(database);
  const messaging::DeadLetterFilter filter = parse_dead_letter_filter(request.filter);
  messaging::RedriveReport total;
  const auto add = [&](const messaging::DeadLetterFilter& one) {
    ProgressBar bar(invocation.terminal, invocation.clock, "redriving",
                    static_cast<std::uint64_t>(dead.count(ctx, one)));
    const auto report = dead.redrive(ctx, one,
                                     {.dry_run = request.dry_run,
                                      .rate_per_second = request.rate,
                                      .progress = [&](std::size_t done) { bar.update(done); }});
    total.matched += report.matched;
    total.redriven += report.redriven;
  };
  if (request.ids.empty()) add(filter);
  for (const std::string& id : request.ids) {
    messaging::DeadLetterFilter one = filter;
    one.id = id;
    add(one);
  }
  return total;
}

ExitCode run_redrive(const Invocation& invocation, const RedriveRequest& request) {
  if (request.ids.empty() && request.filter.empty() && !request.all) {
    throw Error(ErrorCode::invalid_argument, "Say which: dead letters' ids, --filter, or --all.")
        .reason("usage");
  }
  parse_dead_letter_filter(request.filter);
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    const auto report = redrive(invocation, ctx, database, request);
    if (invocation.json()) {
      std::string out;
      JsonWriter(out)
          .begin_object()
          .member("matched", report.matched)
          .member("redriven", report.redriven)
          .member("dryRun", request.dry_run)
          .end_object();
      invocation.terminal.print(out + "\n");
    } else if (request.dry_run) {
      invocation.terminal.print(
          fmt::format("{} would be redriven (dry run: nothing was changed)\n", report.matched));
    } else {
      invocation.terminal.print(fmt::format("{} of {} redriven\n", report.redriven, report.matched));
    }
    const bool all_found = request.ids.empty() || report.matched == request.ids.size();
    return all_found ? ExitCode::ok : ExitCode::failed;
  });
}

void add_list(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("list", "List dead letters, oldest first");
  command->footer(
      "Examples:\n"
      "  holdfast dead-letters list\n"
      "  holdfast dead-letters list --filter group=receipts --filter error=timeout --output json");
  auto options = std::make_shared<ListOptions>();
  command->add_option("--filter", options->filter, kDeadLetterFilterHelp)
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--after", options->after, "those after this id")->type_name("ID");
  command->add_option("--limit", options->limit, "at most so many (100)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  command->add_flag("--redriven-too", options->redriven_too, "also those that were redriven already");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, options] {
    invocation.run = [&invocation, options] { return run_list(invocation, *options); };
  });
}

void add_show(CLI::App& parent, Invocation& invocation) {
  CLI::App* command = parent.add_subcommand("show", "Show one with its error, its attempts and its payload");
  command->footer("Examples:\n  holdfast dead-letters show dlq_01jz3s4m5e6f7g8h9jakbmcndp");
  auto id = std::make_shared<std::string>();
  command->add_option("ID", *id, "as `dead-letters list` shows it")->required();
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback(
      [&invocation, id] { invocation.run = [&invocation, id] { return run_show(invocation, *id); }; });
}

void add_redrive(CLI::App& parent, Invocation& invocation) {
  CLI::App* command =
      parent.add_subcommand("redrive", "Give dead letters to their group again, with fresh attempts");
  command->footer(
      "Running workers notice within a second. May be interrupted and run again.\n\n"
      "Examples:\n"
      "  holdfast dead-letters redrive --filter group=receipts --dry-run\n"
      "  holdfast dead-letters redrive --filter group=receipts --rate 50\n"
      "  holdfast dead-letters redrive dlq_01jz3s4m5e6f7g8h9jakbmcndp");
  auto request = std::make_shared<RedriveRequest>();
  command->add_option("ID", request->ids, "these; as `dead-letters list` shows them");
  command->add_option("--filter", request->filter, kDeadLetterFilterHelp)
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--all", request->all, "every one that was not redriven before");
  command->add_flag("--dry-run", request->dry_run, "only count them");
  command->add_option("--rate", request->rate, "at most so many a second; as fast as it goes unless set")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name("N");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, request] {
    invocation.run = [&invocation, request] { return run_redrive(invocation, *request); };
  });
}

}  // namespace

void add_dead_letters(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("dead-letters", "Messages that a subscription gave up on");
  command->footer("Examples:\n  holdfast dead-letters list\n  holdfast dead-letters redrive --help");
  command->require_subcommand(1);
  add_list(*command, invocation);
  add_show(*command, invocation);
  add_redrive(*command, invocation);
}

}  // namespace holdfast::cli
