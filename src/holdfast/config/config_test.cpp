#include "holdfast/config/config.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"

namespace holdfast::config {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

enum class Durability { full, normal };
HOLDFAST_DESCRIBE_ENUM(Durability, full, normal)

struct Tier {
  std::string name;
  std::uint32_t requests = 10;
  static constexpr auto rules() { return holdfast::rules(field<&Tier::name>().length(1, 8)); }
};
HOLDFAST_DESCRIBE(Tier, (name, requests))

struct HttpSettings {
  std::string address = "127.0.0.1:8080";
  std::uint16_t port = 80;
  Duration idle_timeout = 75s;
  std::chrono::milliseconds grace = 250ms;
  ByteSize max_body = mebibytes(1);
  std::vector<std::string> cors_origins;
  std::optional<std::string> server_name;
  static constexpr auto rules() {
    return holdfast::rules(field<&HttpSettings::grace>().range(10, 5000),
                           field<&HttpSettings::cors_origins>().size(0, 2),
                           field<&HttpSettings::max_body>().range(1024, 1 << 30));
  }
};
HOLDFAST_DESCRIBE(HttpSettings, (address, port, idle_timeout, grace, max_body, cors_origins, server_name))

struct Settings {
  std::string data = "./data";
  HttpSettings http;
  Secret smtp_password;
  Durability durability = Durability::full;
  bool shuffle = false;
  double ratio = 0.5;
  std::int64_t offset = 0;
  std::map<std::string, std::string> log_levels;
  std::vector<Tier> tiers;
  void validate(Violations& faults) const {
    if (shuffle && durability == Durability::normal)
      faults.add_at("/logLevels", "x", "can't be, with both of them");
  }
};
HOLDFAST_DESCRIBE(Settings,
                  (data, http, smtp_password, durability, shuffle, ratio, offset, log_levels, tiers))

struct Strict {
  Secret key;
  std::string name;
  static constexpr auto rules() {
    return holdfast::rules(field<&Strict::key>().length(8, 100), field<&Strict::name>().length(1, 10));
  }
};
HOLDFAST_DESCRIBE(Strict, (key, name))

namespace {

template <class T = Settings>
std::vector<std::string> faults_of(const Sources& sources) {
  try {
    (void)load<T>(sources);
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "invalid_configuration");
    std::vector<std::string> lines;
    for (const auto& violation : error.violations()) {
      lines.push_back(violation.message);
      EXPECT_THAT(error.detail(), HasSubstr("\n  " + violation.message));
    }
    return lines;
  }
  return {};
}

std::vector<std::string> faults_of_yaml(const std::string& yaml) { return faults_of({.yaml = yaml}); }

TEST(Config, DefaultsStandWhereNothingIsSaid) {
  const auto settings = load<Settings>({});
  EXPECT_EQ(settings->http.address, "127.0.0.1:8080");
  EXPECT_EQ(settings->http.idle_timeout, 75s);
  EXPECT_TRUE(settings.origins().empty());
}

TEST(Config, FlagsGoBeforeEnvironmentBeforeFileBeforeDefaults) {
  const auto settings = load<Settings>(
      {.yaml = "data: /file\nhttp:\n  address: file\n  port: 1\n  idle_timeout: 1m\n",
       .environment = {{"HOLDFAST_HTTP_ADDRESS", "env"}, {"HOLDFAST_HTTP_PORT", "2"}, {"HOME", "/"}},
       .overrides = {parse_override("http.address=flag=1")}});
  EXPECT_EQ(settings->http.address, "flag=1");
  EXPECT_EQ(settings->http.port, 2);
  EXPECT_EQ(settings->http.idle_timeout, 60s);
  EXPECT_EQ(settings->http.grace, 250ms);
  EXPECT_EQ(settings->data, "/file");
  EXPECT_EQ(settings.origins().at("http.address"), "--set http.address");
  EXPECT_EQ(settings.origins().at("http.port"), "environment HOLDFAST_HTTP_PORT");
  EXPECT_EQ(settings.origins().at("http.idle_timeout"), "holdfast.yaml:5");
}

TEST(Config, ReadsEveryKindOfSetting) {
  const auto settings = load<Settings>({.yaml = R"(
http: {max_body: 64KiB, cors_origins: ["https://a", https://b], server_name: ~}
smtp_password: "hunter2"
durability: normal
ratio: 1e-3
offset: -9223372036854775808
log_levels: {sql: debug, http.server: warn}
tiers:
  - name: free
  - {name: paid, requests: 1000}
)"});
  EXPECT_EQ(settings->http.max_body, kibibytes(64));
  EXPECT_THAT(settings->http.cors_origins, ElementsAre("https://a", "https://b"));
  EXPECT_FALSE(settings->http.server_name);
  EXPECT_EQ(settings->smtp_password.reveal(), "hunter2");
  EXPECT_EQ(settings->durability, Durability::normal);
  EXPECT_EQ(settings->ratio, 1e-3);
  EXPECT_EQ(settings->offset, std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(settings->log_levels.at("http.server"), "warn");
  ASSERT_EQ(settings->tiers.size(), 2u);
  EXPECT_EQ(settings->tiers[0].requests, 10u);
  EXPECT_EQ(settings->tiers[1].requests, 1000u);
}

TEST(Config, ListsAndMapsFitInAVariableOrAFlag) {
  const auto settings =
      load<Settings>({.environment = {{"HOLDFAST_HTTP_CORS_ORIGINS", "https://a, https://b"},
                                      {"HOLDFAST_LOG_LEVELS", "sql=debug, http=warn"}},
                      .overrides = {parse_override("log_levels.http.server=error")}});
  EXPECT_THAT(settings->http.cors_origins, ElementsAre("https://a", "https://b"));
  EXPECT_EQ(settings->log_levels.size(), 3u);
  EXPECT_EQ(settings->log_levels.at("http.server"), "error");
}

TEST(Config, ReportsEveryFaultWithItsOrigin) {
  EXPECT_THAT(
      faults_of({.yaml =
                     "http:\n  port: 70000\n  idle_timeout: 30\n  adress: x\n  grace: 1ms\n  max_body: 5\n"
                     "durability: fulll\nshuffle: yes\ntiers: [{name: toolongname}, 3]\n",
                 .environment = {{"HOLDFAST_HTTP_ADRESS", "x"}, {"HOLDFAST_RATIO", "much"}},
                 .overrides = {{.path = "htpp.port", .value = "1", .origin = "--set htpp.port"}}}),
      ::testing::UnorderedElementsAre(
          "environment HOLDFAST_HTTP_ADRESS: unknown setting; did you mean HOLDFAST_HTTP_ADDRESS?",
          "--set htpp.port: htpp.port: unknown setting; did you mean http.port?",
          "holdfast.yaml:2: http.port: 70000 is out of range 0..65535",
          "holdfast.yaml:3: http.idle_timeout: \"30\" has no unit; say the unit, as in 200ms, 5s or 1h",
          "holdfast.yaml:4: http.adress: unknown setting; did you mean address?",
          "holdfast.yaml:5: http.grace: 1ms is out of range 10ms..5s",
          "holdfast.yaml:6: http.max_body: \"5\" has no unit; say the unit, as in 512B, 64KiB or 1GB",
          "holdfast.yaml:7: durability: \"fulll\" must be one of: full, normal; did you mean full?",
          "holdfast.yaml:8: shuffle: \"yes\" must be true or false",
          "environment HOLDFAST_RATIO: ratio: \"much\" is not a number",
          "holdfast.yaml:9: tiers[0].name: must have 1 to 8 characters; it has 11",
          "holdfast.yaml:9: tiers[1]: must be a map of settings, not a single value"));
}

TEST(Config, KnowsOtherVariablesOfThePrefix) {
  Sources sources{.environment = {{"HOLDFAST_FAULT_KILL", "1"}}};
  EXPECT_THAT(faults_of(sources), ElementsAre("environment HOLDFAST_FAULT_KILL: unknown setting"));
  sources.other_variables = {"HOLDFAST_FAULT_KILL"};
  EXPECT_THAT(faults_of(sources), ElementsAre());
}

TEST(Config, ADefaultThatBreaksItsRuleIsRequired) {
  EXPECT_THAT(faults_of<Strict>({.yaml = "key: short"}),
              ElementsAre("holdfast.yaml:1: key: must have 8 to 100 characters; it has 5",
                          "name: is required: set it in the file, by HOLDFAST_NAME, or by --set name=…"));
}

TEST(Config, RulesAcrossSettingsHold) {
  EXPECT_THAT(faults_of_yaml("shuffle: true\ndurability: normal\n"),
              ElementsAre("log_levels: can't be, with both of them"));
}

TEST(Config, ValuesOfTheWrongShapeAreNamed) {
  EXPECT_THAT(faults_of_yaml("http: 3"),
              ElementsAre("holdfast.yaml:1: http: must be a map of settings, not a single value"));
  EXPECT_THAT(faults_of_yaml("data: [1]"),
              ElementsAre("holdfast.yaml:1: data: must be a single value, not a list"));
  EXPECT_THAT(faults_of_yaml("data:"),
              ElementsAre("holdfast.yaml:1: data: has no value; leave it out to keep the default"));
  EXPECT_THAT(faults_of_yaml("- a"), ElementsAre("holdfast.yaml:1: must be a map of settings, not a list"));
  EXPECT_THAT(faults_of_yaml("data: a\ndata: b"), ElementsAre("holdfast.yaml:2: data: is there twice"));
  EXPECT_THAT(faults_of_yaml("http:\n"), ElementsAre());
}

TEST(Config, RefusesYamlThatIsOddOrHostile) {
  EXPECT_THAT(faults_of_yaml("a: &x [1]\nb: *x"),
              ElementsAre(HasSubstr("anchors (&name) are not supported")));
  EXPECT_THAT(faults_of_yaml("data: !secret x"), ElementsAre(HasSubstr("tags (!name) are not supported")));
  EXPECT_THAT(faults_of_yaml("data: a\n---\ndata: b"), ElementsAre(HasSubstr("second document")));
  EXPECT_THAT(faults_of_yaml("data: \"a"), ElementsAre(HasSubstr("is not YAML")));
  EXPECT_THAT(faults_of_yaml("data: \xFF"), ElementsAre(HasSubstr("is not UTF-8")));
  EXPECT_THAT(faults_of_yaml("data: " + std::string(1 << 20, 'x')),
              ElementsAre(HasSubstr("larger than 1 MiB")));
  EXPECT_THAT(faults_of_yaml("data: " + std::string(40, '[') + std::string(40, ']')),
              ElementsAre(HasSubstr("nested too deeply")));
  EXPECT_THAT(faults_of_yaml("data: " + std::string(500'000, '[')), ElementsAre(HasSubstr("holdfast.yaml:")));
  EXPECT_THAT(faults_of_yaml("data: " + std::string(5000, '{')), ElementsAre(HasSubstr("holdfast.yaml:")));
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += std::to_string(i) + ": 1\n";
  EXPECT_THAT(faults_of_yaml(many), ElementsAre(HasSubstr("too many members")));
}

TEST(Config, SurvivesAnyBytes) {
  SeededRandom random(17);
  const std::string_view alphabet = "ab:-[]{}&*!|>'\"%@#,? \n\t0~\\";
  for (int i = 0; i < 3000; ++i) {
    std::string yaml;
    for (std::uint64_t length = random.below(60); length > 0; --length)
      yaml += alphabet[random.below(alphabet.size())];
    try {
      (void)load<Settings>({.yaml = yaml});
    } catch (const Error&) {
    }
  }
}

TEST(Config, AFileThatIsNotThereIsAFault) {
  EXPECT_THAT(faults_of({.file = "/nonexistent/holdfast.yaml"}),
              ElementsAre("/nonexistent/holdfast.yaml: can't be read: No such file or directory"));
}

TEST(Config, SecretsComeFromFilesAndAreNotShown) {
  const auto folder = std::filesystem::temp_directory_path() / ("config_test." + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string file = folder / "password";
  std::ofstream(file) << "hunter2\n";
  const Sources sources{.environment = {{"HOLDFAST_SMTP_PASSWORD", "file:" + file}}};
  const auto settings = load<Settings>(sources);
  EXPECT_EQ(settings->smtp_password.reveal(), "hunter2");
  for (const PrintFormat format : {PrintFormat::yaml, PrintFormat::json}) {
    EXPECT_THAT(print(settings, format), Not(HasSubstr("hunter2")));
    EXPECT_THAT(print(settings, format), HasSubstr("***"));
  }
  std::ofstream(file) << "two\nlines\n";
  EXPECT_THAT(faults_of(sources), ElementsAre(HasSubstr("password has more than one line")));
  std::ofstream(file, std::ios::trunc).flush();
  EXPECT_THAT(faults_of(sources), ElementsAre(HasSubstr("is empty")));
  std::filesystem::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);  // reading one that nobody writes to must not hang
  EXPECT_THAT(faults_of(sources), ElementsAre(HasSubstr("is empty")));
  EXPECT_THAT(faults_of({.file = folder}), ElementsAre(HasSubstr("can't be read: Is a directory")));
  std::filesystem::remove_all(folder);
  EXPECT_THAT(faults_of(sources), ElementsAre(HasSubstr("can't be read: No such file or directory")));
}

TEST(Config, PrintsWhatCanBeReadBack) {
  const Sources sources{.yaml =
                            "http: {port: 81, cors_origins: [\"a b\", c]}\nlog_levels: {sql: debug}\n"
                            "tiers:\n  - name: free\n  - {name: paid, requests: 1000}\ndata: \"true\"\n",
                        .environment = {{"HOLDFAST_RATIO", "0.25"}}};
  const auto settings = load<Settings>(sources);
  const std::string yaml = print(settings, PrintFormat::yaml);
  EXPECT_THAT(yaml, HasSubstr("data: \"true\"  # holdfast.yaml:6\n"));
  EXPECT_THAT(yaml, HasSubstr("  address: \"127.0.0.1:8080\"  # default\n"));
  EXPECT_THAT(yaml, HasSubstr("  idle_timeout: 75s  # default\n"));
  EXPECT_THAT(yaml, HasSubstr("ratio: 0.25  # environment HOLDFAST_RATIO\n"));
  EXPECT_THAT(yaml,
              HasSubstr("tiers:  # holdfast.yaml:3\n  - name: free\n    requests: 10\n  - name: paid\n"));
  const auto again = load<Settings>({.yaml = yaml});
  const auto values = [](const Loaded<Settings>& loaded) {
    const std::string json = print(loaded, PrintFormat::json);
    return json.substr(0, json.find("\"origins\""));
  };
  EXPECT_EQ(values(again), values(settings));
  EXPECT_THAT(print(settings, PrintFormat::json), HasSubstr(R"("origins":{"data":"holdfast.yaml:6")"));
}

}  // namespace
}  // namespace holdfast::config
