#include "orders/modules/notifications/guarded_transport.hpp"

#include <gtest/gtest.h>

#include "orders/testing/domain.hpp"

namespace holdfast::orders::notifications {
namespace {

/// A mail server that is down until it is told otherwise.
class DownTransport final : public MailTransport {
 public:
  explicit DownTransport(int& calls) : calls_(calls) {}
  void deliver(const Context&, const Mail&) override {
    ++calls_;
    throw Error(ErrorCode::unavailable, "down").reason("mail_server_down");
  }
  std::optional<std::string> read(const Context&, std::string_view) override { return "kept"; }
  std::string_view name() const noexcept override { return "down"; }

 private:
  int& calls_;
};

TEST(GuardedTransport, StopsAskingAMailServerThatIsDownAndSendsNothingTwice) {
  testing::with_domain([](testing::Domain& d) {
    SeededRandom random(3);
    observe::Metrics metrics;
    resilience::Pipeline pipeline("smtp", {}, {.clock = d.clock, .random = random, .metrics = metrics});
    int calls = 0;
    GuardedTransport guarded(std::make_unique<DownTransport>(calls), pipeline);
    const auto deliver = [&] { return testing::error_of([&] { guarded.deliver(d.ctx, Mail{}); }); };
    EXPECT_EQ(deliver().reason(), "mail_server_down");
    EXPECT_EQ(calls, 1);  // a mail that failed may have been accepted: not tried again here
    for (int i = 0; i < 99; ++i) deliver();
    EXPECT_LT(calls, 50);
    EXPECT_EQ(deliver().reason(), "breaker_open");
    EXPECT_EQ(guarded.read(d.ctx, "id"), "kept");
    EXPECT_EQ(guarded.name(), "down");
  });
}

}  // namespace
}  // namespace holdfast::orders::notifications
