#include <gmock/gmock.h>

#include "holdfast/runtime/fiber.hpp"
#include "orders/testing/running_system.hpp"

namespace holdfast::orders {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RunningSystem;

std::string books(RunningSystem& s) { return s.get("/v1/ops/reconciliation").body; }

TEST(Reconciliation, ListsAnOrderThatWasUndoneWhoseMoneyIsStillHere) {
  testing::with_system(
      [](RunningSystem& s) {
        s.add_product("MUG", 850, 10);
        const std::string id =
            s.order("k1", R"({"customerId":"ada","items":[{"sku":"MUG","quantity":1}]})").text("id");
        for (int i = 0; i < 2000 && books(s).find(R"("complete":true)") == std::string::npos; ++i)
          runtime::sleep_for(s.ctx, 10ms);
        EXPECT_THAT(books(s), HasSubstr(R"("complete":true)"));
        EXPECT_THAT(books(s), HasSubstr(R"("chargedButUndone":[])"));
        // As after a refund that the provider takes back: nobody is at work on it any more.
        s.system.database().transact(s.ctx, [&](sql::Transaction& tx) {
          tx.execute("update orders set status = 'cancelled' where id = $1", id);
        });
        EXPECT_THAT(books(s), HasSubstr(R"("chargedButUndone":[{"orderId":")" + id));
        EXPECT_THAT(books(s), Not(HasSubstr(R"("complete":true)")));
      },
      [](Settings& settings) {
        settings.payments.provider = payments::ProviderKind::memory;
        settings.payments.default_method = "pm_card_visa";
      });
}

}  // namespace
}  // namespace holdfast::orders
