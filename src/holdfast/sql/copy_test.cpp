// Rows in bulk, asked of every adapter.
#include "holdfast/sql/copy.hpp"

#include "holdfast/sql/testing/database_contract.hpp"

namespace holdfast::sql {
namespace {

using namespace std::chrono_literals;

constexpr int kRows = 20'000;

class CopyContract : public DatabaseContract {
 protected:
  static std::string csv_of(const Context& ctx, Database& db, std::string_view query) {
    std::string text;
    copy_out(ctx, db, query, [&](std::string_view csv) { text += csv; });
    return text;
  }
};
INSTANTIATE_TEST_SUITE_P(Adapters, CopyContract, ::testing::ValuesIn(kAdapters),
                         [](const auto& chosen) { return chosen.param.name; });

TEST_P(CopyContract, RowsGoInAndComeOut) {
  run([](const Context& ctx, Database& db) {
    const auto written = db.transact(ctx, [](Transaction& tx) {
      return copy_in(tx, "items", {"sku", "quantity", "note"}, [](CopyRows& rows) {
        rows.add("a", 1, std::optional<std::string>());
        rows.add("b\t\\x\"\n\r,", 2, std::optional<std::string>(""));
        rows.add("\\N", 3, std::optional<std::string>("\\."));
        EXPECT_EQ(rows.added(), 3);
      });
    });
    EXPECT_EQ(written, 3);
    const auto items = db.query<Item>(ctx, "select sku, quantity, note from items order by quantity");
    ASSERT_EQ(items.size(), 3u);
    EXPECT_EQ(items[0].note, std::nullopt);
    EXPECT_EQ(items[1].sku, "b\t\\x\"\n\r,");
    EXPECT_EQ(items[1].note, "");
    EXPECT_EQ(items[2].sku, "\\N");
    EXPECT_EQ(items[2].note, "\\.");
    EXPECT_EQ(csv_of(ctx, db, "select sku, quantity, note from items order by quantity"),
              "sku,quantity,note\na,1,\n\"b\t\\x\"\"\n\r,\",2,\"\"\n\\N,3,\\.\n");
    EXPECT_EQ(csv_of(ctx, db, "select sku from items where quantity > 99"), "sku\n");
  });
}

TEST_P(CopyContract, ManyRowsInPieces) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, [](Transaction& tx) {
      copy_in(tx, "items", {"sku", "quantity"}, [](CopyRows& rows) {
        for (int i = 0; i < kRows; ++i) rows.add("sku-" + std::to_string(i), i);
      });
    });
    EXPECT_EQ(count(ctx, db), kRows);
    std::size_t bytes = 0;
    std::size_t longest = 0;
    const auto rows = copy_out(ctx, db, "select sku, quantity from items", [&](std::string_view csv) {
      bytes += csv.size();
      longest = std::max(longest, csv.size());
      runtime::sleep_for(ctx, 1us);  // a sink may wait
    });
    EXPECT_EQ(rows, kRows);
    EXPECT_GT(bytes, kRows * 10u);
    EXPECT_LE(longest, CopyLimits::kChunkBytes * 2) << "all at once";
  });
}

TEST_P(CopyContract, OneBadRowUndoesAllAndSaysWhatItIs) {
  run([](const Context& ctx, Database& db) {
    const auto copy = [&](int rows, int bad) {
      db.transact(ctx, [&](Transaction& tx) {
        copy_in(tx, "items", {"sku", "quantity"}, [&](CopyRows& to) {
          for (int i = 0; i < rows; ++i) to.add("sku-" + std::to_string(i == bad ? 0 : i), i);
        });
      });
    };
    EXPECT_EQ(failure_of([&] { copy(10, 5); }).kind(), FailureKind::unique);
    EXPECT_EQ(failure_of([&] { copy(50'000, 5); }).kind(), FailureKind::unique) << "while rows are sent";
    EXPECT_EQ(count(ctx, db), 0);
    EXPECT_EQ(failure_of([&] {
                db.transact(ctx, [](Transaction& tx) {
                  copy_in(tx, "items", {"sku", "quantity"}, [](CopyRows& to) { to.add("x", -1); });
                });
              }).kind(),
              FailureKind::check);
    copy(10, -1);
    EXPECT_EQ(count(ctx, db), 10) << "the connection is usable";
  });
}

TEST_P(CopyContract, WhatTheSourceOrTheSinkThrowsIsPassedOn) {
  run([](const Context& ctx, Database& db) {
    EXPECT_THROW(db.transact(ctx,
                             [](Transaction& tx) {
                               copy_in(tx, "items", {"sku", "quantity"}, [](CopyRows& to) {
                                 to.add("x", 1);
                                 throw std::runtime_error("no more");
                               });
                             }),
                 std::runtime_error);
    EXPECT_EQ(count(ctx, db), 0);
    db.transact(ctx, [](Transaction& tx) { add(tx, "a", 1); });
    EXPECT_THROW(copy_out(ctx, db, "select sku from items",
                          [](std::string_view) { throw std::runtime_error("full"); }),
                 std::runtime_error);
    EXPECT_EQ(
        error_of([&] { copy_out(ctx, db, "select nothing from items", [](std::string_view) {}); }).code(),
        ErrorCode::internal);
    EXPECT_EQ(csv_of(ctx, db, "select sku from items"), "sku\na\n");
  });
}

TEST_P(CopyContract, OthersOfTheGroupAreNotTouched) {
  run([](const Context& ctx, Database& db) {
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 8; ++i) {
      group.spawn("copy", [&, i](const Context& own) {
        const auto copy = [&] {
          db.transact(own, [&](Transaction& tx) {
            copy_in(tx, "items", {"sku", "quantity"}, [&](CopyRows& to) {
              to.add("of " + std::to_string(i), 1);
              if (i % 2 == 0) to.add("of " + std::to_string(i), 1);
            });
          });
        };
        if (i % 2 == 1) return copy();
        EXPECT_EQ(failure_of(copy).kind(), FailureKind::unique);
      });
    }
    group.wait();
    EXPECT_EQ(count(ctx, db), 4);
  });
}

}  // namespace
}  // namespace holdfast::sql
