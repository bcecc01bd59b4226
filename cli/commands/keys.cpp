// `holdfast keys create|list|revoke`.
#include <CLI/CLI.hpp>

#include "cli/commands/commands.hpp"
#include "cli/data_folder.hpp"
#include "orders/modules/access/access.hpp"

namespace holdfast::cli {

namespace {

namespace access = orders::access;

ExitCode run_create(const Invocation& invocation, const access::NewKey& wanted) {
  return with_database(invocation, SchemaState::migrated, [&](const Context& ctx, sql::Database& database) {
    IdGenerator ids(invocation.clock, invocation.random);
    const auto made = database.transact(ctx, "create key", [&](sql::Transaction& tx) {
      return access::create_key(ctx, tx, ids, invocation.random, wanted);
    });
    if (invocation.json()) {
      invocation.terminal.print(to_json(made) + "\n");
      return ExitCode::ok;
    }
    invocation.terminal.note(made.key.id.text() + ", scope " + std::string(enum_name(made.key.scope)) +
                             ". The key is shown this once; only its hash is kept:\n");
    invocation.terminal.print(made.text + "\n");
    return ExitCode::ok;
  });
}

ExitCode run_list(const Invocation& invocation) {
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    const auto keys = database.read(ctx, [](sql::Snapshot& snapshot) { return access::list_keys(snapshot); });
    if (invocation.json()) {
      invocation.terminal.print(to_json(keys) + "\n");
      return ExitCode::ok;
    }
    Table table({{"id"}, {"name"}, {"scope"}, {"created at"}, {"revoked at"}});
    for (const access::ApiKey& key : keys) {
      table.add({key.id.text(), key.name, std::string(enum_name(key.scope)), format_rfc3339(key.created_at),
                 key.revoked_at ? format_rfc3339(*key.revoked_at) : "-"});
    }
    invocation.terminal.print(table.empty() ? "There are no keys yet.\n" : table.text());
    return ExitCode::ok;
  });
}

ExitCode run_revoke(const Invocation& invocation, const std::string& text) {
  const auto id = access::KeyId::parse(text);
  if (!id)
    throw Error(ErrorCode::invalid_argument,
                "\"" + text + "\" is no key's id; `holdfast keys list` shows them.")
        .reason("usage");
  return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
    const auto key = database.transact(
        ctx, "revoke key", [&](sql::Transaction& tx) { return access::revoke_key(ctx, tx, *id); });
    invocation.terminal.print(invocation.json()
                                  ? to_json(key) + "\n"
                                  : key.id.text() + " is revoked; running servers notice within seconds.\n");
    return ExitCode::ok;
  });
}

void add_create(CLI::App& keys, Invocation& invocation) {
  CLI::App* command = keys.add_subcommand("create", "Make an API key; it alone is the last line printed");
  command->footer(
      "Examples:\n"
      "  holdfast keys create --scope write --name storefront\n"
      "  KEY=$(holdfast keys create --scope admin | tail -n 1)");
  auto wanted = std::make_shared<access::NewKey>();
  wanted->name = "made by holdfast keys create";
  command
      ->add_option_function<std::string>(
          "--scope",
          [wanted](const std::string& scope) { wanted->scope = *enum_from_name<access::Scope>(scope); },
          "read; write, which places orders too; admin, which may do everything")
      ->check(CLI::IsMember({"read", "write", "admin"}).description(""))
      ->required()
      ->type_name("read|write|admin");
  command->add_option("--name", wanted->name, "what it is for, as `keys list` shows it")->type_name("TEXT");
  add_settings_options(*command, invocation);
  add_output_option(*command, invocation);
  command->callback([&invocation, wanted] {
    invocation.run = [&invocation, wanted] { return run_create(invocation, *wanted); };
  });
}

}  // namespace

void add_keys(CLI::App& app, Invocation& invocation) {
  CLI::App* keys = app.add_subcommand("keys", "API keys: make, list, revoke");
  keys->footer("Examples:\n  holdfast keys create --scope write\n  holdfast keys list");
  keys->require_subcommand(1);
  add_create(*keys, invocation);

  CLI::App* list = keys->add_subcommand("list", "List the keys, the newest first; never the keys themselves");
  list->footer("Examples:\n  holdfast keys list\n  holdfast keys list --output json");
  add_settings_options(*list, invocation);
  add_output_option(*list, invocation);
  list->callback([&invocation] { invocation.run = [&invocation] { return run_list(invocation); }; });

  CLI::App* revoke = keys->add_subcommand("revoke", "Make a key worthless");
  revoke->footer("Examples:\n  holdfast keys revoke key_01jz3s4m5e6f7g8h9jakbmcndp");
  auto id = std::make_shared<std::string>();
  revoke->add_option("ID", *id, "as `keys list` shows it")->required();
  add_settings_options(*revoke, invocation);
  add_output_option(*revoke, invocation);
  revoke->callback(
      [&invocation, id] { invocation.run = [&invocation, id] { return run_revoke(invocation, *id); }; });
}

}  // namespace holdfast::cli
