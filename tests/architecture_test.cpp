// The rules of the house (docs/architecture.md), read off the sources. A failure names the rule and the
// line that breaks it.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Source {
  fs::path path;     // from the project's folder
  std::string text;  // comments and string literals blanked, except the names in #include lines
  bool header() const { return path.extension() == ".hpp"; }
  bool test() const {
    const auto stem = path.stem().string();
    return stem.ends_with("_test") || stem.ends_with("_bench") || stem.ends_with("_fuzz");
  }
  bool for_tests() const { return test() || path.string().find("/testing/") != std::string::npos; }
  bool internal() const { return path.string().find("/internal/") != std::string::npos; }
};

std::string without_comments(const std::string& text) {
  std::string out;
  enum class In { code, line, block, string, character } in = In::code;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (in == In::code && c == '/' && next == '/') in = In::line;
    if (in == In::code && c == '/' && next == '*') in = In::block;
    if (in == In::code)
      out += c;
    else if (c == '\n')
      out += c;
    if (in == In::line && c == '\n')
      in = In::code;
    else if (in == In::block && c == '*' && next == '/') {
      in = In::code;
      ++i;
    }
  }
  return out;
}

std::vector<Source> sources() {
  std::vector<Source> all;
  for (const char* top : {"src", "apps", "cli", "drills", "bench", "examples"}) {
    const fs::path root = fs::path(HOLDFAST_SOURCE_DIR) / top;
    if (!fs::exists(root)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const auto extension = entry.path().extension();
      if (extension != ".hpp" && extension != ".cpp") continue;
      std::ifstream file(entry.path());
      std::stringstream text;
      text << file.rdbuf();
      all.push_back({fs::relative(entry.path(), HOLDFAST_SOURCE_DIR), without_comments(text.str())});
    }
  }
  return all;
}

struct Include {
  std::string name;
  bool quoted;
};

std::vector<Include> includes(const Source& source) {
  static const std::regex kInclude(R"re((?:^|\n)\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<Include> found;
  for (std::sregex_iterator it(source.text.begin(), source.text.end(), kInclude), end; it != end; ++it) {
    found.push_back({(*it)[2], (*it)[1] == "\""});
  }
  return found;
}

// Rule 1. The rooms that each room may include, itself aside.
const std::map<std::string, std::set<std::string>>& arrows() {
  static const std::map<std::string, std::set<std::string>> kArrows = {
      {"base", {}},
      {"config", {"base"}},
      {"observe", {"base", "config"}},
      {"runtime", {"base", "config", "observe"}},
      {"resilience", {"base", "config", "observe", "runtime"}},
      {"http", {"base", "config", "observe", "runtime", "resilience"}},
      {"sql", {"base", "config", "observe", "runtime", "resilience"}},
      {"redis", {"base", "config", "observe", "runtime", "resilience"}},
      {"cache", {"base", "config", "observe", "runtime", "resilience", "redis"}},
      {"lease", {"base", "config", "observe", "runtime", "resilience", "sql", "redis"}},
      {"messaging", {"base", "config", "observe", "runtime", "resilience", "sql", "redis"}},
      {"saga", {"base", "config", "observe", "runtime", "resilience", "sql", "messaging"}},
      {"idempotency", {"base", "config", "observe", "runtime", "resilience", "http", "sql", "redis"}},
      {"webhooks", {"base", "config", "observe", "runtime", "resilience", "http", "sql", "messaging"}},
      {"blob", {"base", "config", "observe", "runtime", "resilience", "http", "sql", "messaging"}},
  };
  return kArrows;
}

std::string room_of(const std::string& include) {
  static const std::regex kRoom(R"(^holdfast/([a-z_]+)/)");
  std::smatch match;
  return std::regex_search(include, match, kRoom) ? match[1].str() : "";
}

std::string room_of(const Source& source) {
  static const std::regex kRoom(R"(^src/holdfast/([a-z_]+)/)");
  std::smatch match;
  const std::string path = source.path.string();
  return std::regex_search(path, match, kRoom) ? match[1].str() : "";
}

TEST(Architecture, ArrowsPointDownTheListOfRooms) {
  for (const Source& source : sources()) {
    const std::string room = room_of(source);
    if (room.empty()) continue;
    ASSERT_TRUE(arrows().contains(room)) << source.path << ": the room " << room
                                         << " is not in the list of rooms; add it with the rooms it may use.";
    for (const Include& include : includes(source)) {
      EXPECT_FALSE(include.quoted && !include.name.starts_with("holdfast/"))
          << source.path << " includes \"" << include.name << "\": src/ uses nothing of apps/ or cli/.";
      const std::string used = room_of(include.name);
      if (used.empty() || used == room || source.for_tests()) continue;
      EXPECT_TRUE(arrows().at(room).contains(used))
          << source.path << " includes " << include.name << ": " << room << " may not use " << used
          << " (rule 1: arrows point down the list of rooms).";
    }
  }
}

bool standard_or_system(const std::string& name) {
  return name.find('/') == std::string::npos
             ? !name.ends_with(".h") || name == "signal.h" || name == "unistd.h"
             : name.starts_with("sys/");
}

TEST(Architecture, ThirdPartyHeadersStayInSources) {
  for (const Source& source : sources()) {
    if (!source.header() || source.internal() || source.for_tests() || room_of(source).empty()) continue;
    for (const Include& include : includes(source)) {
      if (include.quoted) continue;
      const bool describe = room_of(source) == "base" && (include.name.starts_with("boost/describe") ||
                                                          include.name.starts_with("boost/mp11"));
      EXPECT_TRUE(describe || standard_or_system(include.name))
          << source.path << " includes <" << include.name
          << ">: third-party headers are included in source files only (rule 3).";
    }
  }
}

TEST(Architecture, InternalHeadersStayInTheirRoom) {
  for (const Source& source : sources()) {
    for (const Include& include : includes(source)) {
      if (include.name.find("/internal/") == std::string::npos) continue;
      EXPECT_EQ(room_of(include.name), room_of(source))
          << source.path << " includes " << include.name << ": an internal header is its room's own.";
      EXPECT_TRUE(!source.header() || source.internal())
          << source.path << " includes " << include.name << ": a public header can't need an internal one.";
    }
  }
}

// Rule 2. apps/orders/modules/<module>/<module>.hpp is the way in; http_routes is for the wiring.
TEST(Architecture, ModulesAreEnteredThroughTheirPublicHeader) {
  static const std::regex kModule(R"(orders/modules/([a-z_]+)/([a-z_]+)\.hpp)");
  for (const Source& source : sources()) {
    const std::string path = source.path.string();
    if (!path.starts_with("apps/") && !path.starts_with("cli/")) continue;
    for (const Include& include : includes(source)) {
      std::smatch match;
      if (!std::regex_search(include.name, match, kModule)) continue;
      const std::string module = match[1];
      if (path.find("modules/" + module + "/") != std::string::npos) continue;
      const bool wiring =
          path.starts_with("apps/orders/order_system") || path.starts_with("apps/orders/wiring") ||
          path == "apps/orders/settings.hpp";  // a module's settings are a part of all settings
      EXPECT_TRUE(match[2] == module || wiring)
          << path << " includes " << include.name << ": the module " << module
          << " is entered through its public header only (rule 2).";
    }
  }
}

// Rule 2, too. A drill breaks the programs and looks at them from outside; only the command line runs drills.
TEST(Architecture, DrillsKnowTheProgramsFromOutside) {
  for (const Source& source : sources()) {
    const std::string path = source.path.string();
    for (const Include& include : includes(source)) {
      if (path.starts_with("drills/")) {
        EXPECT_TRUE(!include.quoted || include.name.starts_with("drills/") ||
                    include.name.starts_with("holdfast/"))
            << path << " includes " << include.name
            << ": drills use src/ and the binaries, no app's insides.";
      } else if (include.name.starts_with("drills/")) {
        EXPECT_TRUE(path.starts_with("cli/"))
            << path << " includes " << include.name << ": only cli/ and tests use drills/.";
      }
    }
  }
}

TEST(Architecture, DomainCodeKnowsNoHttpAndNoAdapter) {
  static const std::regex kForbidden(
      R"(^(holdfast/http/|holdfast/idempotency/|holdfast/sql/sqlite/|curl/|sqlite3|openssl/|boost/))");
  for (const Source& source : sources()) {
    const std::string path = source.path.string();
    if (path.find("apps/orders/modules/") == std::string::npos || source.for_tests()) continue;
    const std::string stem = source.path.stem().string();
    if (stem.find("http") != std::string::npos || stem.find("smtp") != std::string::npos ||
        stem.find("adapter") != std::string::npos)
      continue;
    for (const Include& include : includes(source)) {
      EXPECT_FALSE(std::regex_search(include.name, kForbidden))
          << path << " includes " << include.name
          << ": domain code includes no adapter and no HTTP (rule 2).";
    }
  }
}

// Rule 2, of somebody else's words: what an old system calls things stays where it is translated.
TEST(Architecture, LegacyWordsStayInTheirTranslation) {
  static const std::regex kTheirs(R"(\b(KUNNR|LFDAT|BOLNR|SNDNR|ADRESSE|XREF)\b)");
  bool seen = false;
  for (const Source& source : sources()) {
    const std::string path = source.path.string();
    if (!path.starts_with("apps/orders/") && !path.starts_with("src/")) continue;
    std::smatch match;
    if (!std::regex_search(source.text, match, kTheirs)) continue;
    seen = true;
    EXPECT_TRUE(source.path.stem().string().starts_with("legacy_"))
        << path << " says " << match.str() << ": that is translated in legacy_translation.hpp (rule 2).";
  }
  EXPECT_TRUE(seen);
}

// Rule 4. Whole-system simulation depends on it; one shortcut anywhere spoils it.
TEST(Architecture, OnlyBaseAndRuntimeAskTheSystemForTimeRandomnessAndThreads) {
  static const std::regex kShortcut(
      R"((std::chrono::(system|steady|high_resolution)_clock::now|\bclock_gettime\s*\(|\bgettimeofday\s*\(|std::random_device|\bgetrandom\s*\(|\brand\s*\(\s*\)|std::this_thread::sleep|\busleep\s*\(|std::(j)?thread\s+[a-z_]+\s*[({]|std::async\s*\())");
  for (const Source& source : sources()) {
    const std::string room = room_of(source);
    const std::string path = source.path.string();
    if (room == "base" || room == "runtime" || source.test()) continue;
    if (!path.starts_with("src/") && !path.starts_with("apps/")) continue;
    std::smatch match;
    EXPECT_FALSE(std::regex_search(source.text, match, kShortcut))
        << path << " uses " << match.str()
        << ": only base/ and runtime/ ask the system for time, randomness, threads or timers (rule 4).";
  }
}

TEST(Architecture, NoCoroutines) {
  static const std::regex kCoroutine(R"(\bco_(await|yield|return)\b)");
  for (const Source& source : sources()) {
    EXPECT_FALSE(std::regex_search(source.text, kCoroutine))
        << source.path << ": fibers, not coroutines (docs/adr/0001-fibers.md).";
  }
}

TEST(Architecture, SourcesStayReadable) {
  for (const Source& source : sources()) {
    if (source.test() || source.path.string().starts_with("bench")) continue;
    const auto lines = std::count(source.text.begin(), source.text.end(), '\n');
    EXPECT_LE(lines, 600) << source.path << " has " << lines
                          << " lines: a file past 500 is asking to be two.";
  }
}

TEST(Architecture, TheRulesSeeTheSources) {  // a test that reads nothing passes everything
  std::set<std::string> rooms;
  std::size_t count = 0;
  for (const Source& source : sources()) {
    rooms.insert(room_of(source));
    count += includes(source).size();
  }
  for (const auto& [room, used] : arrows()) EXPECT_TRUE(rooms.contains(room)) << room << " has no sources";
  EXPECT_GT(count, 300U) << "the rules read almost nothing";
}

}  // namespace
