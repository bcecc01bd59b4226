// What a replay tells at its end, for people and for machines.
#pragma once

#include <optional>

#include "cli/invocation.hpp"
#include "cli/replay/plan.hpp"
#include "cli/replay/reconciliation.hpp"
#include "cli/replay/sending.hpp"

namespace holdfast::cli {

struct ReplayReport {
  const ReplayPlan& plan;
  const Rejects& rejects;
  const Sending& sending;
  const std::optional<Reconciliation>& reconciliation;
  std::uint64_t retries = 0;
  Duration took{};
  bool interrupted = false;
};

void print_report(const Invocation& invocation, const ReplayReport& report);

/// The table of rejected lines by reason, and the first of them; nothing where there are none.
void print_rejects(const Terminal& terminal, const Rejects& rejects, const std::string& rejects_file);

}  // namespace holdfast::cli
