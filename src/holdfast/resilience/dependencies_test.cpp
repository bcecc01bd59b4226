#include "holdfast/resilience/dependencies.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "holdfast/config/config.hpp"

namespace holdfast::resilience {

// As an application has them; described in the namespace they are in.
struct AppSettings {
  DependencyMap dependencies{{"payments", {.retry = {.tries = 5}}}};
};
HOLDFAST_DESCRIBE(AppSettings, (dependencies))

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DependenciesTest : public ::testing::Test {
 protected:
  Dependencies make(DependencyMap settings) {
    return Dependencies(std::move(settings), {clock, random, metrics, log.logger("dependency")});
  }
  ManualClock clock;
  SeededRandom random{3};
  observe::Metrics metrics;
  std::string lines;
  observe::Log log{
      {.format = observe::LogFormat::json, .write = [this](std::string_view text) { lines += text; }}, clock};
  const Context root{clock};
};

TEST_F(DependenciesTest, MakesPipelinesFromTheirSettings) {
  Dependencies dependencies = make({{"payments", {.retry = {.tries = 7}}}});
  EXPECT_EQ(dependencies.add("payments").options().retry.tries, 7u);
  EXPECT_EQ(dependencies.add("shipping", {.retry = {.tries = 2}}).options().retry.tries, 2u);
  EXPECT_EQ(&dependencies.add("shipping"), &dependencies.at("shipping"));
  const auto all = dependencies.view();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "payments");
}

TEST_F(DependenciesTest, TellsOfSettingsThatNothingIsCalledBy) {
  Dependencies dependencies = make({{"paymnets", {}}, {"shipping", {}}});
  dependencies.add("shipping");
  EXPECT_THAT(dependencies.unknown(), ElementsAre("paymnets"));
  dependencies.report_unknown();
  EXPECT_THAT(lines, HasSubstr("paymnets"));
}

TEST_F(DependenciesTest, AreSwitchedByName) {
  Dependencies dependencies = make({});
  Pipeline& payments = dependencies.add("payments");
  dependencies.open("payments", "they are moving house");
  EXPECT_FALSE(payments.try_call(root, [](Attempt&) { return 1; }));
  dependencies.close("payments", "they have moved");
  EXPECT_TRUE(payments.try_call(root, [](Attempt&) { return 1; }));
  dependencies.reset("payments", "done");
  EXPECT_EQ(payments.view().breaker.state, BreakerState::closed);
  try {
    dependencies.open("paymnets", "");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "unknown_dependency");
    EXPECT_THAT(error.detail(), HasSubstr("payments"));
  }
}

TEST(DependencySettings, AreReadAndLaidOverTheApplicationsOwn) {
  const auto settings = config::load<AppSettings>(
      {.yaml = "dependencies:\n"
               "  payments: {timeout: {attempt: 2s}, breaker: {window: calls, failure_rate: 0.25}}\n"
               "  rates: {retry: {jitter: equal, budget: {share: 0.1}}}\n",
       .overrides = {config::parse_override("dependencies.rates.bulkhead.concurrent=3")}});
  const PipelineOptions& payments = settings->dependencies.at("payments");
  EXPECT_EQ(payments.timeout.attempt, 2s);
  EXPECT_EQ(payments.timeout.total, 15s);
  EXPECT_EQ(payments.retry.tries, 5u) << "the application's own default";
  EXPECT_EQ(payments.breaker.window, BreakerWindow::calls);
  EXPECT_DOUBLE_EQ(payments.breaker.failure_rate, 0.25);
  const PipelineOptions& rates = settings->dependencies.at("rates");
  EXPECT_EQ(rates.retry.jitter, Jitter::equal);
  EXPECT_DOUBLE_EQ(rates.retry.budget.share, 0.1);
  EXPECT_EQ(rates.bulkhead.concurrent, 3u);
}

std::string faults_of(const config::Sources& sources) {
  try {
    (void)config::load<AppSettings>(sources);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(DependencySettings, AreChecked) {
  EXPECT_THAT(faults_of({.yaml = "dependencies: {x: {retry: {trys: 3}}}"}), HasSubstr("unknown setting"));
  EXPECT_THAT(faults_of({.yaml = "dependencies: {x: {timeout: {total: 5}}}"}), HasSubstr("has no unit"));
  EXPECT_THAT(faults_of({.yaml = "dependencies: {x: {timeout: {total: 1s, attempt: 2s}}}"}),
              HasSubstr("dependencies.x.timeout.attempt: can't be longer than total"));
  EXPECT_THAT(faults_of({.yaml = "dependencies: {x: {breaker: {failure_rate: 1.5}}}"}),
              HasSubstr("dependencies.x.breaker.failure_rate"));
  EXPECT_THAT(faults_of({.yaml = "dependencies: {x: {breaker: {failure_rate: 0}}}"}),
              HasSubstr("dependencies.x.breaker.failure_rate: must be above 0"));
  EXPECT_THAT(faults_of({.overrides = {config::parse_override("dependencies.x.retry.tires=3")}}),
              HasSubstr("unknown setting"));
  EXPECT_THAT(faults_of({.environment = {{"HOLDFAST_DEPENDENCIES", "x=1"}}}),
              HasSubstr("can be set in the file only"));
}

void flatten(const config::Tree& tree, const std::string& path, std::map<std::string, std::string>& leaves) {
  if (tree.kind != config::Tree::Kind::map) {
    leaves[path] = tree.text;
    return;
  }
  for (const auto& [name, below] : tree.members) {
    flatten(below, path.empty() ? name : path + "." + name, leaves);
  }
}

TEST(DependencySettings, HaveTheDefaultsThatTheDocumentationSays) {
  std::map<std::string, std::string> in_code;
  flatten(config::to_tree(PipelineOptions{}), "", in_code);
  std::ifstream file(HOLDFAST_SOURCE_DIR "/docs/resilience.md");
  ASSERT_TRUE(file);
  std::map<std::string, std::string> in_documentation;
  bool within = false;
  for (std::string line; std::getline(file, line);) {
    within = within ? line.starts_with("|") : line.starts_with("| setting | default |");
    if (!within || !line.starts_with("| `")) continue;
    const std::size_t name_ends = line.find('`', 3);
    const std::size_t value = line.find("| ", name_ends) + 2;
    in_documentation[line.substr(3, name_ends - 3)] = line.substr(value, line.find(" |", value) - value);
  }
  EXPECT_EQ(in_documentation, in_code);
}

}  // namespace
}  // namespace holdfast::resilience
