#include "drills/frame/drill.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>

#include <fstream>
#include <set>
#include <thread>

#include "drills/frame/check_books.hpp"
#include "drills/frame/load.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Reports, PassOnlyWhereSomethingWasCheckedAndAllOfItHeld) {
  Report report{.drill = "plug", .seed = 7};
  EXPECT_EQ(report.verdict(), Verdict::failed) << "nothing was checked";
  report.checks.push_back({.what = "one order", .held = true});
  EXPECT_EQ(report.verdict(), Verdict::passed);
  report.checks.push_back({.what = "one charge", .held = false, .evidence = "two"});
  EXPECT_EQ(report.verdict(), Verdict::failed);
  report.why_not = "no paysim";
  EXPECT_EQ(report.verdict(), Verdict::not_run);
}

TEST(Reports, SayWhatHeldAndWhatWasMeasured) {
  const Report report{
      .drill = "plug",
      .seed = 7,
      .seconds = 1.25,
      .checks = {{.what = "one order", .held = true}, {.what = "one charge", .evidence = "two"}},
      .figures = {{.name = "goodput", .value = 12345.6, .unit = "1/s"}}};
  EXPECT_THAT(report_text(report),
              AllOf(HasSubstr("FAIL  plug"), HasSubstr("12,346 1/s"), HasSubstr("ok     one order"),
                    HasSubstr("FAILED one charge: two"), HasSubstr("seed 7")));
  EXPECT_THAT(reports_json({{report}}),
              AllOf(HasSubstr(R"({"passed":false,"drills":[{"drill":"plug","verdict":"failed")"),
                    HasSubstr(R"({"what":"one charge","held":false,"evidence":"two"})")));
}

TEST(Figures, KeepThreeDigitsThatCount) {
  EXPECT_EQ(with_unit(0.256, "ms"), "0.26 ms");
  EXPECT_EQ(with_unit(12.34, "ms"), "12.3 ms");
  EXPECT_EQ(with_unit(1234567.2, ""), "1,234,567");
  EXPECT_EQ(with_unit(-1234, ""), "-1,234");
  EXPECT_EQ(with_unit(3, ""), "3");
}

TEST(LoadFigures, CountLatencyFromTheSlowest) {
  LoadFigures figures{.due = 4, .good = 2, .seconds = 2, .latencies = {0.001F, 0.002F, 0.003F, 0.1F}};
  EXPECT_NEAR(figures.p(0.5), 3, 0.01);
  EXPECT_NEAR(figures.p(0.99), 100, 0.01);
  EXPECT_DOUBLE_EQ(figures.goodput(), 1);
  EXPECT_DOUBLE_EQ(figures.served(), 0.5);
  EXPECT_EQ(LoadFigures{}.p(0.99), 0);
}

TEST(Belongings, AreTakenAwayFromAnotherThreadAndNothingCanBeStartedThen) {
  Belongings belongings;
  const TemporaryFolder outside;
  const auto folder = outside.path() / "inside";
  std::filesystem::create_directory(folder);
  belongings.add_folder(folder);
  Process sleeper({.command = {"sleep", "60"}, .folder = outside.path(), .belongings = &belongings});
  const pid_t pid = sleeper.pid();
  belongings.take_away();
  EXPECT_EQ(::kill(pid, 0), -1) << "it still runs";
  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_THROW(Process({.command = {"sleep", "60"}, .folder = outside.path(), .belongings = &belongings}),
               std::runtime_error);
}

TEST(Belongings, KnowNothingOfWhatHasEnded) {
  Belongings belongings;
  const TemporaryFolder folder;
  Process process({.command = {"true"}, .folder = folder.path(), .belongings = &belongings});
  EXPECT_EQ(process.wait(10s).code, 0);
  belongings.take_away();
}

TEST(Drills, AreNamedOnceAndSayWhatTheyAreFor) {
  std::set<std::string> names;
  for (const Drill& drill : all_drills()) {
    EXPECT_TRUE(names.insert(drill.name).second) << drill.name;
    EXPECT_NE(drill.run, nullptr) << drill.name;
    EXPECT_FALSE(drill.breaks.empty() || drill.proves.empty()) << drill.name;
  }
  EXPECT_EQ(find_drill("nobody"), nullptr);
}

TEST(Drills, AreAllInTheDocumentation) {
  const std::string text = read_text(std::filesystem::path(HOLDFAST_SOURCE_DIR) / "docs" / "drills.md");
  std::vector<std::string> documented;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("| `")) documented.push_back(line.substr(3, line.find('`', 3) - 3));
  }
  std::vector<std::string> listed;
  for (const Drill& drill : all_drills()) {
    listed.push_back(drill.name);
    EXPECT_THAT(text, HasSubstr("| `" + drill.name + "` | " + drill.breaks + " | " + drill.proves + " |"));
  }
  EXPECT_EQ(documented, listed);
}

// What follows needs the built binary.

Drill drill_that(void (*run)(Stage&)) { return {.name = "test", .breaks = "-", .proves = "-", .run = run}; }

void order_some(Stage& stage) {
  Load load({.port = stage.shop().server().port(),
             .api_key = stage.shop().api_key(),
             .rate = 50,
             .next = orders("c", stage.shop()),
             .journal = &stage.journal()});
  stage.wait(200ms);
  const LoadFigures figures = load.finish();
  EXPECT_GT(figures.good, 0U);
  EXPECT_EQ(figures.good, figures.due);
  stage.wait_until(10s, [&] { return stage.shop().wait_until_consumed(); });
}

void change(const std::filesystem::path& file, const char* sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(::sqlite3_open(file.c_str(), &db), SQLITE_OK);
  ::sqlite3_busy_timeout(db, 10'000);
  EXPECT_EQ(::sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << ::sqlite3_errmsg(db);
  ::sqlite3_close(db);
}

std::vector<std::string> failures(const Report& report) {
  std::vector<std::string> names;
  for (const Check& check : report.checks) {
    if (!check.held) names.push_back(check.what);
  }
  return names;
}

TEST(CheckBooks, HoldWhereNothingWasBroken) {
  const Report report = run_drill(drill_that([](Stage& stage) {
                                    stage.open_shop();
                                    order_some(stage);
                                  }),
                                  {.seed = 1});
  EXPECT_EQ(report.verdict(), Verdict::passed) << report_text(report);
}

TEST(CheckBooks, SeeALostOrder) {
  const Report report =
      run_drill(drill_that([](Stage& stage) {
                  stage.open_shop();
                  order_some(stage);
                  change(stage.shop().database_file(),
                         "delete from order_lines where order_id = (select max(id) from orders); "
                         "delete from orders where id = (select max(id) from orders)");
                }),
                {.seed = 1});
  EXPECT_THAT(failures(report), ElementsAre("every acknowledged order is there once, and no other",
                                            "stock is conserved", "one receipt for each confirmed order"))
      << report_text(report);
}

TEST(CheckBooks, SeeStockThatWentMissing) {
  const Report report =
      run_drill(drill_that([](Stage& stage) {
                  stage.open_shop();
                  order_some(stage);
                  change(stage.shop().database_file(),
                         "update stock_levels set quantity = quantity - 1 where sku = 'GOODS-0'");
                }),
                {.seed = 1});
  EXPECT_THAT(failures(report), ElementsAre("stock is conserved")) << report_text(report);
}

TEST(CheckBooks, SeeASecondReceipt) {
  const Report report =
      run_drill(drill_that([](Stage& stage) {
                  stage.open_shop();
                  order_some(stage);
                  const auto mail = stage.shop().maildir();
                  const auto first = *std::filesystem::directory_iterator(mail / "new");
                  std::filesystem::copy(first, mail / "cur" / (first.path().filename().string() + ":2,S"));
                }),
                {.seed = 1});
  EXPECT_THAT(failures(report), ElementsAre("one receipt for each confirmed order")) << report_text(report);
}

TEST(DrillDatabases, AreNamedInTheirServersUrl) {
  EXPECT_EQ(with_database("postgres://a:b@db:5433/postgres?sslmode=require", "d1"),
            "postgres://a:b@db:5433/d1?sslmode=require");
  EXPECT_EQ(with_database("postgresql://db", "d1"), "postgresql://db/d1");
  EXPECT_EQ(with_database("postgres://db?sslmode=disable", "d1"), "postgres://db/d1?sslmode=disable");
  EXPECT_THROW(with_database("mysql://db/x", "d1"), std::runtime_error);
}

TEST(DrillDatabases, AreFreshOnTheServerThatIsNamedCheckedAndDropped) {
  using sql::PostgresServer;
  if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
  const std::string named = PostgresServer::shared().url("postgres");
  const auto databases = [&] { return open_postgres(named)->number("select count(*) from pg_database"); };
  const std::int64_t before = databases();
  const Report well = run_drill(drill_that([](Stage& stage) {
                                  stage.open_shop();
                                  order_some(stage);
                                  EXPECT_FALSE(std::filesystem::exists(stage.shop().database_file()));
                                }),
                                {.seed = 1, .database = named});
  EXPECT_EQ(well.verdict(), Verdict::passed) << report_text(well);
  const Report bad = run_drill(drill_that([](Stage& stage) {
                                 stage.open_shop();
                                 order_some(stage);
                                 stage.shop().change_data(
                                     "delete from order_lines where order_id = (select max(id) from orders); "
                                     "delete from orders where id = (select max(id) from orders); "
                                     "update stock_levels set quantity = quantity - 1 where sku = 'GOODS-0'");
                               }),
                               {.seed = 1, .database = named});
  EXPECT_THAT(failures(bad), ElementsAre("every acknowledged order is there once, and no other",
                                         "stock is conserved", "one receipt for each confirmed order"))
      << report_text(bad);
  EXPECT_EQ(databases(), before);
}

TEST(DrillDatabases, ThatCanNotBeHadAreAFailureThatSaysWhy) {
  const Report report = run_drill(drill_that([](Stage& stage) { stage.open_shop(); }),
                                  {.seed = 1, .database = "postgres://nobody@127.0.0.1:1/x"});
  EXPECT_EQ(report.verdict(), Verdict::failed);
  EXPECT_THAT(report_text(report), HasSubstr("connecting to PostgreSQL"));
}

TEST(Drills, ThatThrowHaveFailedAndThatCannotBeRunSayWhy) {
  const Report thrown = run_drill(drill_that([](Stage&) { throw std::runtime_error("it fell over"); }), {});
  EXPECT_EQ(thrown.verdict(), Verdict::failed);
  EXPECT_THAT(report_text(thrown), HasSubstr("it fell over"));
  const Report impossible = run_drill(drill_that([](Stage&) { throw NotPossible("no fault sites"); }), {});
  EXPECT_EQ(impossible.verdict(), Verdict::not_run);
}

std::size_t drill_folders(const std::filesystem::path& under) {
  std::size_t count = 0;
  for (const auto& each : std::filesystem::directory_iterator(under)) {
    count += each.path().filename().string().starts_with("holdfast-drill-") ? 1 : 0;
  }
  return count;
}

TEST(DrillCommand, LeavesNothingBehindWhenItIsInterrupted) {
  const TemporaryFolder folder;
  Process command({.command = {holdfast_binary(), "drill", "run", "slow-loris"},
                   .folder = folder.path(),
                   .environment = {{"TMPDIR", folder.path().string()}}});
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (command.err().find("open on port") == std::string::npos &&
         std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(10ms);
  }
  ASSERT_EQ(drill_folders(folder.path()), 1U) << command.err();
  command.interrupt();
  EXPECT_EQ(command.wait(30s).code, 130) << command.err();
  EXPECT_EQ(drill_folders(folder.path()), 0U);
  const std::string port = command.err().substr(command.err().find("port ") + 5);
  HttpConnection http(static_cast<std::uint16_t>(std::stoul(port)), 1s);
  EXPECT_THROW(http.get("/health/live"), NoAnswer) << "its server still runs";
}

TEST(DrillCommand, ListsWhatThereIsAndRefusesWhatThereIsNot) {
  const TemporaryFolder folder;
  const Finished list =
      drills::run({.command = {holdfast_binary(), "drill", "list", "--json"}, .folder = folder.path()});
  EXPECT_EQ(list.status.code, 0) << list.err;
  for (const Drill& drill : all_drills()) EXPECT_THAT(list.out, HasSubstr("\"name\":\"" + drill.name + "\""));
  const Finished unknown =
      drills::run({.command = {holdfast_binary(), "drill", "run", "nobody"}, .folder = folder.path()});
  EXPECT_NE(unknown.status.code, 0);
  EXPECT_THAT(unknown.err, HasSubstr("nobody"));
}

TEST(Stages, KeepAFailedDrillsFolderWhereTheyAreToldTo) {
  const auto failing = drill_that([](Stage& stage) {
    std::ofstream(stage.folder() / "trace") << "x";
    stage.check("it holds", false);
  });
  const Report gone = run_drill(failing, {});
  EXPECT_THAT(gone.kept.string(), IsEmpty());
  const Report kept = run_drill(failing, {.keep = true});
  EXPECT_TRUE(std::filesystem::exists(kept.kept / "trace")) << kept.kept;
  std::filesystem::remove_all(std::filesystem::read_symlink(kept.kept / "mail-elsewhere"));
  std::filesystem::remove_all(kept.kept);
}

}  // namespace
}  // namespace holdfast::drills
