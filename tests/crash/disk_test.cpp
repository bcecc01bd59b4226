// A disk that is full, read-only or broken: writes get 503 with a time to come back, reads go on, what
// was acknowledged stays, and service returns by itself when the disk does.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <thread>

#include "drills/frame/shop.hpp"
#include "drills/frame/shoppers.hpp"
#include "drills/frame/sqlite_file.hpp"
#include "support/disk_fault.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

OrderRequest one_of(const Shop& shop, const std::string& customer) {
  return {.customer = customer, .lines = {{shop.skus()[0], 1}}};
}

void expect_refused_for_now(const HttpAnswer& answer) {
  EXPECT_EQ(answer.status, 503) << answer.body;
  EXPECT_THAT(answer.header("content-type"), HasSubstr("application/problem+json"));
  EXPECT_GE(std::atoi(answer.header("retry-after").c_str()), 1) << answer.body;
  EXPECT_THAT(answer.body, HasSubstr("\"code\":"));
  EXPECT_THAT(answer.body, Not(HasSubstr("SQLite"))) << "nothing internal leaks";
}

/// What goes on whatever the disk does.
void expect_reads_go_on(HttpConnection& http, const Shop& shop, const std::string& order) {
  EXPECT_EQ(http.get("/health/live").status, 200);
  EXPECT_EQ(http.get("/v1/products/" + shop.skus()[0]).status, 200);
  EXPECT_EQ(http.get("/v1/orders/" + order).status, 200);
  EXPECT_EQ(http.get("/metrics").status, 200);
}

/// Polls until readiness says so: it follows what the writer meets.
HttpAnswer readiness_saying(HttpConnection& http, const char* text) {
  HttpAnswer answer;
  for (int i = 0; i < 500; ++i) {
    answer = http.get("/health/ready");
    if (answer.body.find(text) != std::string::npos) return answer;
    std::this_thread::sleep_for(20ms);
  }
  ADD_FAILURE() << "readiness never says " << text << " but " << answer.body;
  return answer;
}

class FaultyDisk : public ::testing::TestWithParam<DiskState> {};

TEST_P(FaultyDisk, WritesAreRefusedReadsGoOnAndServiceReturns) {
  TemporaryFolder folder;
  DiskFault disk(folder.path() / "disk");
  Shop shop({.environment = disk.environment()});
  Journal journal;
  HttpConnection http = shop.connect();
  const auto place = [&](const std::string& customer) {
    const OrderRequest request = one_of(shop, customer);
    journal.asked(request);
    return http.post("/v1/orders", request.body(), {{"Idempotency-Key", customer}});
  };
  const auto placed = [&](const std::string& customer) {
    const HttpAnswer answer = place(customer);
    journal.told(customer, answer.status, answer.body);
    return answer;
  };
  const std::string before = order_id(placed("before").body);
  {
    Shoppers shoppers(shop, journal, {.seed = test_seed(), .threads = 8});
    std::this_thread::sleep_for(200ms);
    disk.set(GetParam());
    for (int i = 0; i < 5; ++i) expect_refused_for_now(place("during-" + std::to_string(i)));
    expect_reads_go_on(http, shop, before);
    EXPECT_GT(disk.refused(), 0U);
    EXPECT_THAT(readiness_saying(http, R"({"status":"degraded")").body, HasSubstr("can't be written"));
    std::this_thread::sleep_for(2s);  // some leases: the worker can't keep its own meanwhile
    EXPECT_TRUE(shop.server().running());

    disk.set(DiskState::works);
    EXPECT_EQ(readiness_saying(http, R"({"status":"ready")").status, 200);
    shoppers.finish();  // those that were refused have asked again
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(placed("during-" + std::to_string(i)).status, 201);
  EXPECT_THAT(shop.faults(journal), IsEmpty());

  // What was told before and after is on the disk, not only in memory.
  shop.server().kill();
  shop.server().start();
  EXPECT_THAT(shop.faults(journal), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Disk, FaultyDisk,
                         ::testing::Values(DiskState::full, DiskState::read_only, DiskState::broken),
                         [](const auto& each) {
                           return each.param == DiskState::full        ? "Full"
                                  : each.param == DiskState::read_only ? "ReadOnly"
                                                                       : "Broken";
                         });

/// A real file system of a few megabytes that can be filled, where that is allowed.
class SmallFileSystem {
 public:
  explicit SmallFileSystem(const std::filesystem::path& at) : at_(at) {
    std::filesystem::create_directories(at);
    mounted_ = ::mount("tmpfs", at.c_str(), "tmpfs", 0, "size=24m") == 0;
  }
  ~SmallFileSystem() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;

  bool mounted() const noexcept { return mounted_; }
  void fill() const {
    const int fd = ::open(ballast().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string block(4096, 'x');
    while (::write(fd, block.data(), block.size()) > 0) {
    }
    ::close(fd);
  }
  void free() const { std::filesystem::remove(ballast()); }

 private:
  std::filesystem::path ballast() const { return at_ / "ballast"; }
  std::filesystem::path at_;
  bool mounted_ = false;
};

TEST(FullFileSystem, RefusesWritesAndTakesThemAgainWhenThereIsRoom) {
  TemporaryFolder folder;
  const SmallFileSystem small(folder.path() / "small");
  if (!small.mounted()) GTEST_SKIP() << "mounting a file system takes root; FaultyDisk covers the rest";
  Shop shop({.environment = {{"HOLDFAST_DATABASE_FILE", (folder.path() / "small" / "orders.db").string()}}});
  HttpConnection http = shop.connect();
  const auto place = [&](const std::string& customer) {
    return http.post("/v1/orders", one_of(shop, customer).body(), {{"Idempotency-Key", customer}});
  };
  const HttpAnswer first = place("first");
  ASSERT_EQ(first.status, 201) << first.body;

  small.fill();
  HttpAnswer refused;
  int acknowledged = 1;
  for (int i = 0; i < 20'000 && refused.status == 0; ++i) {  // the log beside the database has some room left
    const HttpAnswer answer = place("more-" + std::to_string(i));
    answer.status == 201 ? void(++acknowledged) : void(refused = answer);
  }
  expect_refused_for_now(refused);
  expect_reads_go_on(http, shop, order_id(first.body));
  EXPECT_EQ(place("first").body, first.body) << "what is stored already is told, also now";

  small.free();
  HttpAnswer again;
  for (int i = 0; i < 250 && (again = place("more-" + std::to_string(acknowledged - 1))).status != 201; ++i) {
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(again.status, 201) << again.body;
  const SqliteFile file(folder.path() / "small" / "orders.db");
  EXPECT_EQ(file.number("select count(*) from orders"), acknowledged + 1);
  EXPECT_EQ(file.text("pragma integrity_check"), "ok");
  EXPECT_TRUE(shop.wait_until_consumed());
}

}  // namespace
}  // namespace holdfast::drills
