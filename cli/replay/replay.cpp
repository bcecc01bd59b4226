#include "cli/replay/replay.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "cli/replay/http_api.hpp"
#include "cli/replay/polite_api.hpp"
#include "cli/replay/report.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/http/client.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/signals.hpp"

namespace holdfast::cli {

namespace {

using namespace std::chrono_literals;

ReplayPlan read_plan(const Invocation& invocation, const ReplayOptions& options, Rejects& rejects) {
  PlanBuilder builder(rejects);
  ProgressBar bar(invocation.terminal, invocation.clock, "reading bytes", file_bytes(options.file));
  read_mapped_csv(options.file, options.mapping,
                  {Field::sku, Field::price, Field::invoice, Field::quantity, Field::date},
                  {.on_record = [&](const MappedRecord& record) { builder.add(record); },
                   .on_fault = [&](std::uint64_t line, std::string_view reason,
                                   std::string detail) { rejects.add(line, reason, std::move(detail)); },
                   .on_progress = [&](std::uint64_t bytes) { bar.update(bytes); }});
  ReplayPlan plan = builder.finish();
  if (options.limit > 0) plan.keep_first(options.limit);
  rejects.close();
  return plan;
}

/// Asks whether anybody is there before thousands of requests wait for him.
void require_server(const Context& ctx, Api& api, const std::string& url) {
  try {
    const ApiAnswer answer = api.call(ctx.with_timeout(5s), {.target = "/health/live"});
    require_status(answer, 200, "Asking " + url + "/health/live");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unavailable && error.code() != ErrorCode::deadline_exceeded) throw;
    throw Error(ErrorCode::unavailable,
                "No server answers at " + url + ". Is `holdfast serve` running there?")
        .cause(error.cause());
  }
}

/// One run, on the main fiber.
class Replay {
 public:
  Replay(const Invocation& invocation, const ReplayOptions& options, const ReplayPlan& plan,
         const Rejects& rejects, runtime::Runtime& runtime)
      : invocation_(invocation),
        options_(options),
        plan_(plan),
        rejects_(rejects),
        state_(options.state_file, options.url,
               fmt::format("{}:{}", std::filesystem::path(options.file).filename().string(),
                           file_bytes(options.file))),
        client_(runtime, {.max_connections_per_host = options.clients,
                          .max_idle_connections = options.clients,
                          .max_response_bytes = kMaxResponseBytes}),
        http_(client_, options.url, options.api_key),
        polite_(http_, invocation.random, {.patience = options.patience}, [this] { return signal_ != 0; }),
        sending_(polite_, plan, state_,
                 {.clients = options.clients,
                  .orders_per_second = options.orders_per_second,
                  .currency = options.currency,
                  .stock = options.stock},
                 [this] { return signal_ != 0; }) {}

  ExitCode run(const Context& ctx) {
    runtime::FiberGroup watching(ctx);
    runtime::ShutdownSignals signals;
    watching.spawn("signals", [&](const Context& watcher) { watch(watcher, signals); });
    const Instant began = ctx.now();
    require_server(ctx, http_, options_.url);
    send(ctx);
    state_.close();
    std::optional<Reconciliation> reconciliation;
    if (options_.reconcile && signal_ == 0 && !sending_.broken_off())
      reconciliation = reconcile_unless_stopped(ctx);
    print_report(invocation_, {.plan = plan_,
                               .rejects = rejects_,
                               .sending = sending_,
                               .reconciliation = reconciliation,
                               .retries = polite_.retries(),
                               .took = ctx.now() - began,
                               .interrupted = signal_ != 0});
    return verdict(reconciliation);
  }

 private:
  static constexpr std::size_t kMaxResponseBytes = 64 * 1024 * 1024;  // a page of 200 orders of 500 lines

  void watch(const Context& ctx, runtime::ShutdownSignals& signals) {
    try {
      signal_ = signals.wait(ctx);
      invocation_.terminal.note("\nFinishing what is in flight; once more ends at once.\n");
    } catch (const Error&) {
      // the replay has ended first
    }
  }

  void send(const Context& ctx) {
    if (options_.import_products) {
      ProgressBar bar(invocation_.terminal, invocation_.clock, "products", plan_.products.size());
      sending_.create_products(ctx, [&](std::uint64_t done) { bar.update(done); });
    }
    {
      ProgressBar bar(invocation_.terminal, invocation_.clock, "orders", plan_.orders.size());
      sending_.send_orders(ctx, [&](std::uint64_t done) { bar.update(done); });
    }
    ProgressBar bar(invocation_.terminal, invocation_.clock, "cancellations", plan_.cancellations.size());
    sending_.send_cancellations(ctx, [&](std::uint64_t done) { bar.update(done); });
  }

  std::optional<Reconciliation> reconcile_unless_stopped(const Context& ctx) {
    try {
      return reconcile_all(ctx);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::cancelled) throw;
      return std::nullopt;
    }
  }

  Reconciliation reconcile_all(const Context& ctx) {
    std::optional<ProgressBar> bar;
    std::string shown;
    return reconcile(ctx, polite_,
                     {.acknowledged = state_.orders(),
                      .cancelled = sending_.cancelled_orders(),
                      .receipts_timeout = options_.receipts_timeout},
                     [&](std::string_view doing, std::uint64_t done) {
                       if (doing != shown)
                         bar.emplace(invocation_.terminal, invocation_.clock, shown = doing, 0);
                       bar->update(done);
                     });
  }

  ExitCode verdict(const std::optional<Reconciliation>& reconciliation) const {
    const Terminal& terminal = invocation_.terminal;
    if (signal_ != 0) {
      terminal.note(
          "Interrupted. Run the same command again to go on: what was acknowledged is not done twice.\n");
      return signal_ == 2 ? ExitCode::interrupted : ExitCode::terminated;
    }
    if (sending_.broken_off()) {
      terminal.note(terminal.red("Gave up: ", Terminal::Stream::note) + sending_.last_failure() +
                    "\nRun the same command again to go on: what was acknowledged is not done twice.\n");
      return ExitCode::unavailable;
    }
    const bool held = sending_.orders().mismatched == 0 && (!reconciliation || reconciliation->held());
    return held ? ExitCode::ok : ExitCode::failed;
  }

  const Invocation& invocation_;
  const ReplayOptions& options_;
  const ReplayPlan& plan_;
  const Rejects& rejects_;
  int signal_ = 0;
  StateFile state_;
  http::Client client_;
  HttpApi http_;
  PoliteApi polite_;
  Sending sending_;
};

}  // namespace

ExitCode run_replay(const Invocation& invocation, const ReplayOptions& options) {
  Rejects rejects(options.rejects_file);
  const ReplayPlan plan = read_plan(invocation, options, rejects);
  if (!invocation.json()) print_rejects(invocation.terminal, rejects, options.rejects_file);
  runtime::ShutdownSignals::block();
  runtime::Runtime runtime({.loops = 1}, invocation.clock, invocation.random);
  ExitCode code = ExitCode::failed;
  runtime.run(
      [&](const Context& ctx) { code = Replay(invocation, options, plan, rejects, runtime).run(ctx); });
  return code;
}

}  // namespace holdfast::cli
