// `holdfast import products FILE`: into the data folder, or through the API.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "cli/commands/commands.hpp"
#include "cli/data_folder.hpp"
#include "cli/invoices/mapped_csv.hpp"
#include "cli/invoices/rejects.hpp"
#include "cli/replay/http_api.hpp"
#include "cli/replay/polite_api.hpp"
#include "cli/replay/report.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/http/client.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/observe/metrics.hpp"
#include "orders/modules/catalog/catalog.hpp"

namespace holdfast::cli {

namespace {

namespace catalog = orders::catalog;

constexpr std::string_view kPreset = "uci-online-retail";

struct Request {
  std::string file;
  std::string preset;
  std::vector<std::string> columns;
  std::string currency;
  std::int64_t stock = 0;
  std::string rejects_file;
  std::string url;
  std::string api_key;
};

Error usage(std::string message) {
  return Error(ErrorCode::invalid_argument, std::move(message)).reason("usage");
}

/// "field=Column" into the import's options and, percent-encoded, the API's query.
void map_column(std::string_view assignment, catalog::ImportColumns& columns, std::string& query) {
  const std::size_t equals = assignment.find('=');
  const std::string_view field = assignment.substr(0, equals);
  bool known = false;
  const auto set = [&](std::string_view name, std::string& column) {
    if (field != name || equals == std::string_view::npos || equals + 1 == assignment.size()) return;
    known = true;
    column = assignment.substr(equals + 1);
    query += "&" + std::string(name) + "Column=";
    for (const char c : column) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      query += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  };
  set("sku", columns.sku);
  set("name", columns.name);
  set("price", columns.price);
  set("description", columns.description);
  set("currency", columns.currency);
  set("stock", columns.stock);
  if (!known) {
    throw usage(fmt::format(
        "--map takes field=Column with sku, name, price, description, currency or stock; \"{}\" is "
        "not that.",
        assignment));
  }
}

struct Parsed {
  catalog::ImportOptions options;
  std::string query;  ///< of POST /v1/products/import
};

Parsed parse(const Request& request) {
  if (!request.preset.empty() && request.preset != kPreset) {
    throw usage(fmt::format("There is no preset \"{}\"; known: {}.", request.preset, kPreset));
  }
  Parsed parsed{.options = request.preset.empty() ? catalog::ImportOptions{} : catalog::uci_online_retail(),
                .query = fmt::format("?initialStock={}", request.stock)};
  if (!request.preset.empty()) parsed.query += "&preset=" + request.preset;
  parsed.options.initial_stock = request.stock;
  if (!request.currency.empty()) {
    const auto currency = Currency::parse(request.currency);
    if (!currency) throw usage("--currency takes an ISO 4217 code such as GBP.");
    parsed.options.currency = *currency;
    parsed.query += "&currency=" + request.currency;
  }
  for (const std::string& column : request.columns) map_column(column, parsed.options.columns, parsed.query);
  return parsed;
}

void read_file(const Invocation& invocation, const std::string& path,
               const std::function<void(std::string_view)>& take) {
  constexpr std::size_t kChunkBytes = 256 * 1024;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw usage("Can't open " + path + ": " + std::strerror(errno) + ".");
  ProgressBar bar(invocation.terminal, invocation.clock, "importing bytes", file_bytes(path));
  std::vector<char> chunk(kChunkBytes);
  std::uint64_t bytes = 0;
  while (const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    take({chunk.data(), got});
    bar.update(bytes += got);
  }
  if (std::ferror(file.get()) != 0) throw Error(ErrorCode::unavailable, "Reading " + path + " failed.");
}

void print_outcome(const Invocation& invocation, const catalog::ImportReport& report, const Rejects& rejects,
                   const std::string& rejects_file) {
  if (invocation.json()) return invocation.terminal.print(to_json(report) + "\n");
  print_rejects(invocation.terminal, rejects, rejects_file);
  invocation.terminal.print(fmt::format(
      "{} lines: {} products created, {} changed, {} as they were; {} lines repeat a product, {} rejected\n",
      with_thousands(report.lines), with_thousands(report.created), with_thousands(report.updated),
      with_thousands(report.unchanged), with_thousands(report.repeated), with_thousands(report.rejected)));
}

/// Files that are no catalog are the command line's fault.
[[noreturn]] void rethrow_as_usage(const Error& error) {
  const bool layout = error.reason() == "missing_column" || error.reason() == "empty_file";
  if (!layout) throw error;
  throw usage(error.detail() + " Name the file's columns with --map, or use --preset.");
}

ExitCode import_directly(const Invocation& invocation, const Request& request, const Parsed& parsed) {
  return with_database(invocation, SchemaState::migrated, [&](const Context& ctx, sql::Database& database) {
    Rejects rejects(request.rejects_file);
    observe::Metrics metrics;  // nobody reads them
    messaging::Outbox outbox(invocation.clock, invocation.random, metrics);
    catalog::ProductImport import(
        database, parsed.options,
        [&](const catalog::RejectedLine& line) {
          const std::array<std::string_view, 1> sku{line.sku};
          rejects.add(line.line, line.reason, line.message, sku);
        },
        &outbox);  // running servers hear what they have to forget
    try {
      read_file(invocation, request.file, [&](std::string_view chunk) { import.push(ctx, chunk); });
      const catalog::ImportReport report = import.finish(ctx);
      rejects.close();
      print_outcome(invocation, report, rejects, request.rejects_file);
    } catch (const Error& error) {
      rethrow_as_usage(error);
    }
    return ExitCode::ok;
  });
}

struct Answer {
  catalog::ImportReport report;
  std::vector<catalog::RejectedLine> rejected_lines;
  std::int64_t rejected_lines_omitted = 0;
};
HOLDFAST_DESCRIBE(Answer, (report, rejected_lines, rejected_lines_omitted))

ExitCode import_by_api(const Invocation& invocation, const Request& request, const Parsed& parsed) {
  using namespace std::chrono_literals;
  Rejects rejects(request.rejects_file);
  std::string csv;
  read_file(invocation, request.file, [&](std::string_view chunk) { csv += chunk; });
  const std::string key =
      request.api_key.empty() ? invocation.environment("HOLDFAST_API_KEY") : request.api_key;
  runtime::Runtime runtime({.loops = 1}, invocation.clock, invocation.random);
  runtime.run([&](const Context& ctx) {
    http::Client client(runtime, {.max_response_bytes = 64 * 1024 * 1024});
    HttpApi http(client, request.url, key);
    PoliteApi polite(http, invocation.random, {.attempt_timeout = 10min});
    const ApiAnswer answer = polite.call(ctx, {.method = http::Method::post,
                                               .target = "/v1/products/import" + parsed.query,
                                               .body = std::move(csv),
                                               .content_type = "text/csv"});
    require_status(answer, 200, "The import");
    const auto outcome =
        from_json<Answer>(JsonDocument::parse(answer.body, {.max_bytes = 64 * 1024 * 1024}).root(),
                          {.limits = {}, .ignore_unknown = true});
    for (const catalog::RejectedLine& line : outcome.rejected_lines) {
      const std::array<std::string_view, 1> sku{line.sku};
      rejects.add(line.line, line.reason, line.message, sku);
    }
    rejects.close();
    print_outcome(invocation, outcome.report, rejects, request.rejects_file);
    if (outcome.rejected_lines_omitted > 0) {
      invocation.terminal.note(
          fmt::format("The server named only the first {} rejected lines.\n", outcome.rejected_lines.size()));
    }
  });
  return ExitCode::ok;
}

void add_products(CLI::App& import, Invocation& invocation) {
  CLI::App* command = import.add_subcommand("products", "Load products from CSV");
  command->footer(
      "Lines that can't be read are rejected one by one, with the reason; the first line of a product "
      "counts. Running\n"
      "it again changes nothing that is there already.\n"
      "\n"
      "Examples:\n"
      "  holdfast import products catalog.csv --stock 100\n"
      "  holdfast import products online_retail.csv --preset uci-online-retail --rejects rejected.csv\n"
      "  holdfast import products list.csv --map sku=Article --map price=Amount --url http://shop:8080 "
      "--api-key $KEY");
  auto request = std::make_shared<Request>();
  command->add_option("FILE", request->file, "CSV with a line of column names")->required();
  command->add_option("--preset", request->preset, "a known layout: uci-online-retail")->type_name("NAME");
  command
      ->add_option("--map", request->columns,
                   "sku, name, price, description, currency or stock is in that column")
      ->type_name("FIELD=COLUMN")
      ->allow_extra_args(false);
  command->add_option("--stock", request->stock, "pieces of each new product without a stock column")
      ->check(CLI::Range(0, 1'000'000'000).description(""))
      ->type_name("N");
  command->add_option("--currency", request->currency, "of prices without a currency column; GBP unless set")
      ->type_name("CODE");
  command
      ->add_option("--rejects", request->rejects_file, "write the rejected lines here, with reasons, as CSV")
      ->type_name("FILE");
  command->add_option("--url", request->url, "through this server's API; into the data folder unless set")
      ->type_name("URL");
  command->add_option("--api-key", request->api_key, "for --url (HOLDFAST_API_KEY)")->type_name("KEY");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, request] {
    invocation.run = [&invocation, request] {
      const Parsed parsed = parse(*request);
      return request->url.empty() ? import_directly(invocation, *request, parsed)
                                  : import_by_api(invocation, *request, parsed);
    };
  });
}

}  // namespace

void add_import(CLI::App& app, Invocation& invocation) {
  CLI::App* import = app.add_subcommand("import", "Load data from files");
  import->footer("Examples:\n  holdfast import products catalog.csv");
  import->require_subcommand(1);
  add_products(*import, invocation);
}

}  // namespace holdfast::cli
