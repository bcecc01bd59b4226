// What the commands say and how they end, without a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "support/server_process.hpp"

namespace holdfast::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CommandLine : public ::testing::Test {
 protected:
  Finished holdfast(std::vector<std::string> arguments, std::map<std::string, std::string> environment = {}) {
    arguments.insert(arguments.begin(), holdfast_binary());
    environment.try_emplace("HOLDFAST_DATA", (folder_.path() / "data").string());
    return run(
        {.command = std::move(arguments), .folder = folder_.path(), .environment = std::move(environment)});
  }
  TemporaryFolder folder_;
};

TEST_F(CommandLine, VersionForMachines) {
  const Finished version = holdfast({"version", "--output", "json"});
  EXPECT_EQ(version.status.code, 0);
  EXPECT_THAT(version.out, StartsWith(R"({"name":"holdfast","version":")"));
}

TEST_F(CommandLine, WrongUsageEndsWithTwo) {
  EXPECT_EQ(holdfast({}).status.code, 2);
  EXPECT_EQ(holdfast({"frobnicate"}).status.code, 2);
  EXPECT_EQ(holdfast({"version", "--output", "xml"}).status.code, 2);
  EXPECT_THAT(holdfast({"--help"}).out, HasSubstr("Exit codes:"));
}

TEST_F(CommandLine, NothingIsColouredWhereNobodyLooks) {
  for (const char* command : {"--help", "version"}) {
    const Finished ended = holdfast({command});
    EXPECT_EQ((ended.out + ended.err).find('\x1b'), std::string::npos) << command;
  }
}

}  // namespace
}  // namespace holdfast::testing
