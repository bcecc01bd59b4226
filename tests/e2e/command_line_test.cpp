// What the commands say and how they end, without a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "drills/frame/server_process.hpp"

namespace holdfast::drills {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CommandLine : public ::testing::Test {
 protected:
  Finished holdfast(std::vector<std::string> arguments, std::map<std::string, std::string> environment = {}) {
    arguments.insert(arguments.begin(), holdfast_binary());
    environment.try_emplace("HOLDFAST_DATA", data());
    return run(
        {.command = std::move(arguments), .folder = folder_.path(), .environment = std::move(environment)});
  }
  std::string data() const { return (folder_.path() / "data").string(); }
  std::string file(const std::string& name, const std::string& text) {
    const auto path = folder_.path() / name;
    std::ofstream(path) << text;
    return path.string();
  }
  TemporaryFolder folder_;
};

TEST_F(CommandLine, EveryCommandHasHelpWithExamples) {
  const std::vector<std::vector<std::string>> commands = {{"serve"},
                                                          {"worker"},
                                                          {"migrate", "up"},
                                                          {"migrate", "down"},
                                                          {"migrate", "status"},
                                                          {"import", "products"},
                                                          {"replay"},
                                                          {"outbox", "status"},
                                                          {"outbox", "forget"},
                                                          {"dead-letters", "list"},
                                                          {"dead-letters", "show"},
                                                          {"dead-letters", "redrive"},
                                                          {"keys", "create"},
                                                          {"keys", "list"},
                                                          {"keys", "revoke"},
                                                          {"config", "check"},
                                                          {"config", "print"},
                                                          {"version"}};
  for (std::vector<std::string> command : commands) {
    command.emplace_back("--help");
    const Finished help = holdfast(command);
    EXPECT_EQ(help.status.code, 0) << command.front();
    EXPECT_THAT(help.out, HasSubstr("Examples:\n  holdfast " + command.front())) << command.front();
  }
  EXPECT_THAT(holdfast({"--help"}).out, HasSubstr("Exit codes:"));
}

TEST_F(CommandLine, VersionForMachines) {
  const Finished version = holdfast({"version", "--output", "json"});
  EXPECT_EQ(version.status.code, 0);
  EXPECT_THAT(version.out, StartsWith(R"({"name":"holdfast","version":")"));
}

TEST_F(CommandLine, WrongUsageEndsWithTwo) {
  EXPECT_EQ(holdfast({}).status.code, 2);
  EXPECT_EQ(holdfast({"frobnicate"}).status.code, 2);
  EXPECT_EQ(holdfast({"version", "--output", "xml"}).status.code, 2);
  EXPECT_EQ(holdfast({"keys", "create", "--scope", "emperor"}).status.code, 2);
  EXPECT_EQ(holdfast({"replay", "/nonexistent.csv", "--api-key", "x"}).status.code, 2);
  EXPECT_EQ(holdfast({"dead-letters", "redrive"}).status.code, 2);
}

TEST_F(CommandLine, WrongCsvLayoutsAreUsage) {
  const std::string path = file("odd.csv", "article,title\nA,B\n");
  const Finished replay = holdfast({"replay", path, "--api-key", "x"});
  EXPECT_EQ(replay.status.code, 2);
  EXPECT_THAT(replay.err, HasSubstr("it has: article, title"));
}

TEST_F(CommandLine, NoServerIsUnavailable) {
  const std::string path = file("sales.csv", "sku,price,invoice,quantity,date\nA1,1.00,1,1,2011-01-01\n");
  const Finished replay = holdfast({"replay", path, "--api-key", "x", "--url", "http://127.0.0.1:1"});
  EXPECT_EQ(replay.status.code, 4);
  EXPECT_THAT(replay.err, HasSubstr("No server answers at http://127.0.0.1:1"));
}

TEST_F(CommandLine, AllFaultsOfTheSettingsAreToldAtOnce) {
  const std::string path =
      file("holdfast.yaml", "http:\n  address: [1]\n  colour: red\nlog:\n  level: loud\n");
  const Finished check = holdfast({"config", "check", "--config", path});
  EXPECT_EQ(check.status.code, 3);
  EXPECT_THAT(check.err, HasSubstr("holdfast.yaml:2: http.address"));
  EXPECT_THAT(check.err, HasSubstr("holdfast.yaml:3: http.colour"));
  EXPECT_THAT(check.err, HasSubstr("holdfast.yaml:5: log.level"));
  EXPECT_EQ(holdfast({"serve", "--config", path}).status.code, 3);
  EXPECT_EQ(holdfast({"config", "check"}).status.code, 0);
}

TEST_F(CommandLine, SettingsArePrintedWithTheirOrigin) {
  const Finished print = holdfast({"config", "print", "--set", "http.address=127.0.0.1:99"});
  EXPECT_EQ(print.status.code, 0);
  EXPECT_THAT(print.out, HasSubstr("127.0.0.1:99"));
  EXPECT_THAT(print.out, HasSubstr("--set http.address"));
  EXPECT_THAT(print.out, HasSubstr("HOLDFAST_DATA"));
  EXPECT_THAT(holdfast({"config", "print", "--output", "json"}).out, StartsWith("{\"settings\":{"));
}

TEST_F(CommandLine, KeysAreMadeAloneOnTheLastLineListedAndRevoked) {
  const Finished made = holdfast({"keys", "create", "--scope", "write", "--name", "storefront"});
  ASSERT_EQ(made.status.code, 0) << made.err;
  const std::string key = made.out.substr(made.out.rfind('\n', made.out.size() - 2) + 1);
  EXPECT_THAT(key, StartsWith("hf_"));
  const Finished list = holdfast({"keys", "list"});
  EXPECT_THAT(list.out, HasSubstr("storefront"));
  EXPECT_THAT(list.out, ::testing::Not(HasSubstr(key.substr(0, key.size() - 1))));
  const std::size_t id = list.out.find("key_");
  ASSERT_NE(id, std::string::npos) << list.out;
  EXPECT_EQ(holdfast({"keys", "revoke", list.out.substr(id, 30)}).status.code, 0);
  EXPECT_EQ(holdfast({"keys", "revoke", "key_00000000000000000000000000"}).status.code, 1);
}

TEST_F(CommandLine, MigrationsGoUpAndDown) {
  const Finished plan = holdfast({"migrate", "up", "--dry-run"});
  EXPECT_EQ(plan.status.code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("create table"));
  EXPECT_THAT(holdfast({"migrate", "status"}).out, HasSubstr("not applied"));
  EXPECT_FALSE(std::filesystem::exists(data()));  // so far it only looked
  EXPECT_EQ(holdfast({"migrate", "up"}).status.code, 0);
  EXPECT_THAT(holdfast({"migrate", "status"}).out, ::testing::Not(HasSubstr("not applied")));
  EXPECT_EQ(holdfast({"migrate", "down", "--steps", "1"}).status.code, 0);
  EXPECT_THAT(holdfast({"migrate", "status"}).out, HasSubstr("not applied"));
}

TEST_F(CommandLine, WithoutADatabaseThereIsNothingToShow) {
  for (const char* command : {"outbox", "dead-letters"}) {
    const Finished ended = holdfast({command, std::string(command) == "outbox" ? "status" : "list"});
    EXPECT_EQ(ended.status.code, 4) << command;
    EXPECT_THAT(ended.err, HasSubstr("holdfast serve")) << command;
  }
  EXPECT_FALSE(std::filesystem::exists(data()));
}

TEST_F(CommandLine, AGroupIsForgottenByName) {
  holdfast({"migrate", "up"});
  const Finished unknown = holdfast({"outbox", "forget", "nobody"});
  EXPECT_NE(unknown.status.code, 0);
  EXPECT_THAT(unknown.err, HasSubstr("There is no group nobody"));
}

TEST_F(CommandLine, NothingIsColouredWhereNobodyLooks) {
  holdfast({"migrate", "up"});
  const std::vector<std::vector<std::string>> commands = {{"--help"},           {"version"},
                                                          {"outbox", "status"}, {"migrate", "status"},
                                                          {"config", "print"},  {"frobnicate"}};
  for (const auto& command : commands) {
    const Finished ended = holdfast(command);
    EXPECT_EQ((ended.out + ended.err).find('\x1b'), std::string::npos) << command.front();
  }
}

}  // namespace
}  // namespace holdfast::drills
