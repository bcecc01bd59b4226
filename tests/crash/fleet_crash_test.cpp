// The Order System past one machine: three servers and three workers over PostgreSQL and each broker. Real
// invoices are replayed while servers, workers, the database and the broker are killed; in the end each order
// is there once, with one receipt, and stock and ledger agree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

#include "support/fleet.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

// From a death, or from the return of what all stand on, to orders with receipts: the lease of 5 s and what
// follows; as long again on a machine that does other things too. What it takes is printed.
constexpr auto kBack = 20s;

bool whole_file() { return std::getenv("HOLDFAST_FULL") != nullptr; }

/// The invoices of a real shop where they lie beside the project or HOLDFAST_INVOICES names them, else as
/// many made up.
std::string all_invoices(const std::filesystem::path& folder) {
  if (const char* named = std::getenv("HOLDFAST_INVOICES")) return named;
  const auto own = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (auto above = own; above != above.parent_path(); above = above.parent_path()) {
    const auto real = above / "shared" / "data" / "online_retail.csv";
    if (std::filesystem::exists(real)) return real.string();
  }
  const std::string made = (folder / "sales.csv").string();
  std::ofstream csv(made);
  csv << "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
  for (int i = 0; i < 2000; ++i) {
    csv << 540000 + i << ",22" << 100 + i % 211 << ",ALARM CLOCK," << 1 + i % 5
        << ",2010-12-03 10:00:00,3.75,1258" << i % 7 << ".0,France\n";
    if (i % 10 == 0)
      csv << "C" << 540000 + i << ",22" << 100 + i % 211 << ",ALARM CLOCK," << -1 - i % 5
          << ",2010-12-04 10:00:00,3.75,1258" << i % 7 << ".0,France\n";
  }
  return made;
}

/// The first lines of them; all of them with --full.
std::string invoices(const std::filesystem::path& folder) {
  constexpr int kLines = 420;
  const std::string all = all_invoices(folder);
  if (whole_file()) return all;
  const std::string part = (folder / "part.csv").string();
  std::ifstream from(all);
  std::ofstream to(part);
  std::string line;
  for (int i = 0; i <= kLines && std::getline(from, line); ++i) to << line << '\n';
  return part;
}

class FleetCrash : public ::testing::TestWithParam<FleetBrokerKind> {
 protected:
  void SetUp() override {
    if (sql::PostgresServer::not_wanted()) GTEST_SKIP() << sql::PostgresServer::kNotWanted;
    if (!GetParam().installed()) FAIL() << GetParam().missing;
  }
  void start_fleet() {
    fleet_ = std::make_unique<Fleet>(FleetOptions{.broker = GetParam().make()});
    state_ = fleet_->folder() / "replay.state";
  }

  std::unique_ptr<Process> replay(const std::vector<std::string>& more) {
    std::vector<std::string> command{"replay",    invoices(fleet_->folder()),
                                     "--preset",  "uci-online-retail",
                                     "--url",     fleet_->url(),
                                     "--state",   state_.string(),
                                     "--output",  "json",
                                     "--api-key", fleet_->api_key()};
    command.insert(command.end(), more.begin(), more.end());
    return fleet_->spawn(command);
  }
  /// Orders that the replay has been acknowledged.
  std::size_t acknowledged() const {
    std::ifstream file(state_);
    const auto lines = std::count(std::istreambuf_iterator<char>(file), {}, '\n');
    return static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, lines - 1));  // but for the header
  }
  ::testing::AssertionResult goes_on(Process& replay, std::size_t until) const {
    for (const auto give_up = Clock::now() + 60s; Clock::now() < give_up; std::this_thread::sleep_for(5ms)) {
      if (acknowledged() >= until) return ::testing::AssertionSuccess();
      if (!replay.running()) break;
    }
    return ::testing::AssertionFailure() << acknowledged() << " of " << until << " orders: " << replay.err();
  }
  void expect_back(const char* what) {
    try {
      const auto took = fleet_->back_within(kBack);
      std::printf("    %s: orders with receipts after %ld ms\n", what, static_cast<long>(took.count()));
    } catch (const std::runtime_error& late) {
      ADD_FAILURE() << what << ": not back within " << kBack.count() << " s: " << late.what();
    }
  }

  void expect_reconciled(Process& replay, std::chrono::milliseconds at_most) {
    const ExitStatus ended = replay.wait(at_most);
    EXPECT_EQ(ended.code, 0) << replay.out() << replay.err();
    EXPECT_THAT(replay.out(), AllOf(HasSubstr(R"("held":true)"), Not(HasSubstr(R"("held":false)"))));
    HttpConnection http = fleet_->connect();
    EXPECT_THAT(http.get("/v1/ops/reconciliation").body,
                AllOf(HasSubstr(R"("balanced":true)"), HasSubstr(R"("complete":true)")));
    EXPECT_THAT(fleet_->receipts_amiss(), IsEmpty());
    EXPECT_GE(fleet_->receipts(), acknowledged());
    const Finished dead = fleet_->run({"dead-letters", "list", "--output", "json"}, 20s);
    EXPECT_THAT(dead.out, Not(HasSubstr("\"id\""))) << dead.err;
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_GT(fleet_->spreader().given(i), 0u) << "server " << i << " had nothing to do";
    }
    EXPECT_THAT(fleet_->stop(), IsEmpty());
  }

  std::unique_ptr<Fleet> fleet_;
  std::filesystem::path state_;
};

TEST_P(FleetCrash, RealInvoicesEndReconciledWhateverIsKilled) {
  start_fleet();
  const std::size_t orders = whole_file() ? 3000 : 300;
  const std::string limit = std::to_string(orders);
  const auto sending =
      replay({"--limit", limit, "--clients", "9", "--rate", whole_file() ? "200" : "100", "--no-reconcile"});
  Process& replay = *sending;
  const auto part = [&](int percent) { return orders * static_cast<std::size_t>(percent) / 100; };

  ASSERT_TRUE(goes_on(replay, part(10)));
  fleet_->kill_worker(0);
  expect_back("a worker killed");
  fleet_->start_worker(0);

  ASSERT_TRUE(goes_on(replay, part(25)));
  fleet_->kill_server(0);
  expect_back("a server killed");
  fleet_->start_server(0);

  ASSERT_TRUE(goes_on(replay, part(40)));
  fleet_->postgres().kill_hard();
  std::this_thread::sleep_for(300ms);  // long enough for all of them to meet its absence
  fleet_->postgres().start();
  expect_back("PostgreSQL killed and started");

  ASSERT_TRUE(goes_on(replay, part(60)));
  if (fleet_->broker().kill) {
    fleet_->broker().kill();
    ASSERT_TRUE(goes_on(replay, part(65))) << "orders are taken without a broker";
    fleet_->broker().start();
    expect_back("the broker killed and started");
  }

  ASSERT_TRUE(goes_on(replay, part(75)));
  fleet_->kill_server(1);
  fleet_->kill_worker(1);
  fleet_->kill_worker(2);
  fleet_->postgres().kill_hard();
  fleet_->postgres().start();
  expect_back("a server, two workers and PostgreSQL killed at once");
  fleet_->start_server(1);
  fleet_->start_worker(1);
  fleet_->start_worker(2);
  EXPECT_EQ(replay.wait(3min).code, 0) << replay.err();
  // Reads the books once more, now that nobody places orders beside it.
  const auto checking = this->replay({"--limit", limit});
  expect_reconciled(*checking, 2min);
}

TEST_P(FleetCrash, TheWholeFileEndsReconciled) {
  if (!whole_file()) GTEST_SKIP() << "only with --full";
  start_fleet();
  const auto begun = Clock::now();
  const auto replaying = replay({"--clients", "48", "--receipts-timeout", "5m"});
  expect_reconciled(*replaying, 10min);
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  std::printf("    %zu orders in %.1f s\n", acknowledged(), seconds);
}

INSTANTIATE_TEST_SUITE_P(Over, FleetCrash, ::testing::ValuesIn(fleet_brokers()),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace holdfast::drills
