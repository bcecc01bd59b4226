#include "cli/replay/report.hpp"

#include <fmt/format.h>

#include "holdfast/base/json.hpp"

namespace holdfast::cli {

namespace {

std::string count_text(std::uint64_t number) { return with_thousands(static_cast<std::int64_t>(number)); }

void print_counts(const Terminal& terminal, const Sending& sending) {
  using enum Table::Align;
  Table table({{""},
               {"planned", right},
               {"acknowledged", right},
               {"of these again", right},
               {"known before", right},
               {"refused", right},
               {"gave up", right}});
  const auto add = [&](const char* name, const SendCounts& counts) {
    table.add({name, count_text(counts.planned), count_text(counts.done), count_text(counts.replayed),
               count_text(counts.known), count_text(counts.refused), count_text(counts.gave_up)});
  };
  add("products", sending.products());
  add("orders", sending.orders());
  add("cancellations", sending.cancellations());
  terminal.print(table.text());
}

void print_refusals(const Terminal& terminal, const Sending& sending) {
  if (sending.refusals().empty()) return;
  Table table({{"refused because"}, {"count", Table::Align::right}, {"for example"}});
  for (const auto& [reason, refusal] : sending.refusals()) {
    table.add({reason, count_text(refusal.count), refusal.example});
  }
  terminal.print("\n" + table.text());
}

void print_checks(const Terminal& terminal, const Reconciliation& reconciliation) {
  Table table({{""}, {"check"}, {"figures"}});
  for (const Check& check : reconciliation.checks) {
    table.add({check.held ? terminal.green("holds") : terminal.red("BROKEN"), check.what, check.figures});
  }
  terminal.print("\n" + table.text());
  for (const std::string& example : reconciliation.examples) terminal.print("  " + example + "\n");
}

void print_text(const Terminal& terminal, const ReplayReport& report) {
  const double seconds = std::chrono::duration<double>(report.took).count();
  const Sending& sending = report.sending;
  terminal.print(fmt::format("\n{} lines: {} orders, {} cancellations; {} lines left out\n\n",
                             count_text(report.plan.records), count_text(sending.orders().planned),
                             count_text(sending.cancellations().planned),
                             count_text(report.rejects.total())));
  print_counts(terminal, sending);
  print_refusals(terminal, sending);
  terminal.print(fmt::format("\n{} retries, {:.1f} s in all\n", count_text(report.retries), seconds));
  if (sending.orders().mismatched > 0) {
    terminal.print(terminal.red(fmt::format("{} orders were acknowledged with other lines than were sent\n",
                                            sending.orders().mismatched)));
  }
  if (report.reconciliation) print_checks(terminal, *report.reconciliation);
}

void write_counts(JsonWriter& writer, std::string_view name, const SendCounts& counts) {
  writer.key(name).begin_object();
  writer.member("planned", counts.planned)
      .member("acknowledged", counts.done)
      .member("replayed", counts.replayed);
  writer.member("known", counts.known).member("refused", counts.refused).member("gaveUp", counts.gave_up);
  writer.member("mismatched", counts.mismatched).end_object();
}

void write_reconciliation(JsonWriter& writer, const Reconciliation& reconciliation) {
  writer.key("reconciliation")
      .begin_object()
      .member("held", reconciliation.held())
      .key("checks")
      .begin_array();
  for (const Check& check : reconciliation.checks) {
    writer.begin_object()
        .member("name", check.name)
        .member("held", check.held)
        .member("figures", check.figures);
    writer.end_object();
  }
  writer.end_array().key("examples").begin_array();
  for (const std::string& example : reconciliation.examples) writer.value(example);
  writer.end_array().end_object();
}

void print_json(const Terminal& terminal, const ReplayReport& report) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().member("lines", report.plan.records).member("interrupted", report.interrupted);
  writer.key("rejectedLines").begin_object();
  for (const auto& [reason, count] : report.rejects.by_reason()) writer.member(reason, count);
  writer.end_object();
  write_counts(writer, "products", report.sending.products());
  write_counts(writer, "orders", report.sending.orders());
  write_counts(writer, "cancellations", report.sending.cancellations());
  writer.key("refusals").begin_object();
  for (const auto& [reason, refusal] : report.sending.refusals()) {
    writer.key(reason)
        .begin_object()
        .member("count", refusal.count)
        .member("example", refusal.example)
        .end_object();
  }
  writer.end_object();
  writer.member("retries", report.retries)
      .member("seconds", std::chrono::duration<double>(report.took).count());
  if (report.reconciliation) write_reconciliation(writer, *report.reconciliation);
  writer.end_object();
  terminal.print(out + "\n");
}

}  // namespace

void print_report(const Invocation& invocation, const ReplayReport& report) {
  if (invocation.json()) {
    print_json(invocation.terminal, report);
  } else {
    print_text(invocation.terminal, report);
  }
}

void print_rejects(const Terminal& terminal, const Rejects& rejects, const std::string& rejects_file) {
  if (rejects.total() == 0) return;
  Table reasons({{"left out because"}, {"count", Table::Align::right}});
  for (const auto& [reason, count] : rejects.by_reason()) reasons.add({reason, count_text(count)});
  terminal.print(reasons.text());
  Table first({{"line", Table::Align::right}, {"reason"}, {"detail"}});
  for (const Rejects::Reject& reject : rejects.first()) {
    first.add({std::to_string(reject.line), reject.reason, reject.detail});
  }
  terminal.print("\n" + first.text());
  if (!rejects_file.empty()) {
    terminal.print("All of them are in " + rejects_file + "\n");
  } else if (rejects.total() > Rejects::kShown) {
    terminal.print(
        fmt::format("and {} more; --rejects FILE writes them all\n", rejects.total() - Rejects::kShown));
  }
}

}  // namespace holdfast::cli
