// Statements, values and rows, on every adapter.
#include "holdfast/sql/database.hpp"

#include "holdfast/sql/testing/database_contract.hpp"

namespace holdfast::sql {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_P(DatabaseContract, WhatIsCommittedIsRead) {
  run([](const Context& ctx, Database& db) {
    const std::int64_t answer = db.transact(ctx, "add", [](Transaction& tx) {
      add(tx, "MUG", 3);
      return tx.query_value("select quantity from items where sku = $1", "MUG");
    });
    EXPECT_EQ(answer, 3);
    const auto item = db.query_one<Item>(ctx, "select note, quantity, sku from items where sku = $1", "MUG");
    ASSERT_TRUE(item);
    EXPECT_EQ(item->sku, "MUG");
    EXPECT_EQ(item->quantity, 3);
    EXPECT_EQ(item->note, std::nullopt);
    EXPECT_FALSE(db.query_one<Item>(ctx, "select sku, quantity, note from items where sku = 'CUP'"));
  });
}

TEST_P(DatabaseContract, PlaceholdersAreByNumberInAnyOrder) {
  run([](const Context& ctx, Database& db) {
    using Three = std::tuple<std::string, std::int64_t, std::string>;
    EXPECT_EQ(db.query_one<Three>(ctx, "select $3, $1, $2 || $3", 1, "b", "c"), (Three{"c", 1, "bc"}));
    EXPECT_THAT(failure_of([&] { db.query_value(ctx, "select $1 + $2", 1); }).cause(),
                HasSubstr("1 parameters for 2 placeholders"));
    EXPECT_EQ(failure_of([&] { db.query_value(ctx, "select ?1", 1); }).kind(), FailureKind::other);
  });
}

TEST_P(DatabaseContract, ValuesOfEveryKindComeBackAsTheyWent) {
  run([this](const Context& ctx, Database& db) {
    const auto id = IdGenerator(ctx.clock(), random_).make<Id<"itm">>();
    const WallTime at = ctx.clock().wall_now();
    const std::vector<std::byte> bytes{std::byte{0}, std::byte{255}};
    const auto json = JsonText::parse(R"({"a":1})");
    EXPECT_EQ(db.query_value<Id<"itm">>(ctx, "select $1", id), id);
    EXPECT_EQ(db.query_value<std::string>(ctx, "select $1", id), to_text(id));
    EXPECT_EQ(db.query_value<std::optional<Id<"itm">>>(ctx, "select $1", std::optional(id)), id);
    EXPECT_EQ(db.query_value<std::optional<Id<"itm">>>(ctx, "select $1", std::optional<Id<"itm">>()),
              std::nullopt);
    EXPECT_EQ(db.query_value<WallTime>(ctx, "select $1", at), at);
    EXPECT_EQ(db.query_value(ctx, "select $1", at), at.time_since_epoch().count());
    EXPECT_EQ(db.query_value<std::vector<std::byte>>(ctx, "select $1", bytes), bytes);
    EXPECT_EQ(db.query_value<JsonText>(ctx, "select $1", json), json);
    EXPECT_EQ(db.query_value<Colour>(ctx, "select $1", Colour::green), Colour::green);
    EXPECT_EQ(db.query_value<double>(ctx, "select $1", 0.5), 0.5);
    EXPECT_EQ(db.query_value<bool>(ctx, "select $1", true), true);
    EXPECT_EQ(db.query_value<std::string>(ctx, "select $1", std::string_view()), "");
    EXPECT_EQ(db.query_value<std::optional<int>>(ctx, "select $1", nullptr), std::nullopt);
    const std::string with_nul("a\0b", 3);
    if (db.dialect() == Dialect::postgres) {  // has no such text, and says so
      EXPECT_ANY_THROW(db.query_value<std::string>(ctx, "select $1", with_nul));
    } else {
      EXPECT_EQ(db.query_value<std::string>(ctx, "select $1", with_nul), with_nul);
    }
  });
}

TEST_P(DatabaseContract, ColumnsAndMembersThatDoNotMatchAreNamed) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, [](Transaction& tx) { add(tx, "MUG", 3); });
    const auto cause = [&](std::string_view sql) {
      return error_of([&] { db.query<Item>(ctx, sql); }).cause();
    };
    EXPECT_THAT(cause("select sku, quantity from items"), HasSubstr("member 'note'"));
    EXPECT_THAT(cause("select sku, quantity from items where false"), HasSubstr("member 'note'"));
    EXPECT_THAT(cause("select sku, quantity, note, 1 as extra from items"), HasSubstr("column 'extra'"));
    EXPECT_THAT(cause("select null as sku, quantity, note from items"), HasSubstr("'sku'"));
    EXPECT_THAT(cause("select sku, 'many' as quantity, note from items"), HasSubstr("'quantity'"));
    EXPECT_THAT(error_of([&] { db.query_value<std::int8_t>(ctx, "select 128"); }).cause(), HasSubstr("128"));
    EXPECT_EQ(error_of([&] { db.query_value(ctx, "select 1 where false"); }).code(), ErrorCode::internal);
  });
}

TEST_P(DatabaseContract, InsertReturningAndAffectedRows) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, [](Transaction& tx) {
      EXPECT_EQ(tx.query_value("insert into log(text) values($1) returning n", "a"), 1);
      EXPECT_EQ(tx.query_value("insert into log(text) values($1), ($2) returning n", "b", "c"), 2);
      EXPECT_EQ(tx.execute("update log set text = 'x'"), 3);
      EXPECT_EQ(tx.execute("update log set text = 'y' where n = 99"), 0);
      EXPECT_EQ(tx.execute("select 1"), 0);
      EXPECT_EQ(tx.execute("delete from log where n > 1"), 2);
    });
    EXPECT_EQ(db.query_value(ctx, "select count(*) from log"), 1);
  });
}

TEST_P(DatabaseContract, FailuresAreToldApart) {
  run([](const Context& ctx, Database& db) {
    const auto failing = [&](std::string_view sql) {
      return failure_of([&] { db.transact(ctx, "fails", [&](Transaction& tx) { tx.execute(sql); }); });
    };
    db.transact(ctx, [](Transaction& tx) {
      add(tx, "MUG", 1);
      tx.execute("insert into parts values(1, 'MUG')");
    });
    const auto unique = failing("insert into items values('MUG', 1, null)");
    EXPECT_EQ(unique.kind(), FailureKind::unique);
    EXPECT_EQ(unique.constraint(), "items.sku");
    EXPECT_EQ(unique.code(), ErrorCode::conflict);
    EXPECT_EQ(failing("insert into parts values(2, 'CUP')").kind(), FailureKind::foreign_key);
    EXPECT_EQ(failing("delete from items").kind(), FailureKind::foreign_key);
    EXPECT_EQ(failing("update items set quantity = -1").kind(), FailureKind::check);
    EXPECT_EQ(failing("insert into log(text) values(null)").kind(), FailureKind::not_null);
    const auto wrong = failing("selekt 1");
    EXPECT_EQ(wrong.kind(), FailureKind::other);
    EXPECT_EQ(wrong.code(), ErrorCode::internal);
    EXPECT_EQ(db.statistics().failures[static_cast<std::size_t>(FailureKind::foreign_key)], 2U);
  });
}

TEST_P(DatabaseContract, ReadsDoNotWrite) {
  run([](const Context& ctx, Database& db) {
    EXPECT_ANY_THROW(db.query<std::int64_t>(ctx, "insert into log(text) values('x') returning n"));
    EXPECT_ANY_THROW(db.read(ctx, [](Snapshot& snapshot) {
      snapshot.query<std::int64_t>("insert into log(text) values('x') returning n");
    }));
    EXPECT_EQ(db.query_value(ctx, "select count(*) from log"), 0);
  });
}

TEST_P(DatabaseContract, ManyRowsAreStreamedUntilTheReceiverHasEnough) {
  run([](const Context& ctx, Database& db) {
    constexpr const char* kNumbers =
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) select i from n";
    std::int64_t sum = 0;
    db.for_each<std::int64_t>(
        ctx, kNumbers, [&](std::int64_t i) { sum += i; }, 100'000);
    EXPECT_EQ(sum, 5'000'050'000);
    int received = 0;
    db.for_each<std::int64_t>(
        ctx, kNumbers, [&](std::int64_t) { return ++received < 3; }, 100'000'000);
    EXPECT_EQ(received, 3);
    EXPECT_EQ(db.read(ctx, {.offload = true},
                      [&](Snapshot& s) { return s.query<std::int64_t>(kNumbers, 10).size(); }),
              10U);
  });
}

TEST_P(DatabaseContract, StatementsBeyondTheCacheStillRun) {
  run([](const Context& ctx, Database& db) {
    for (std::int64_t i = 0; i < 500; ++i) {
      EXPECT_EQ(db.query_value(ctx, "select $1 + " + std::to_string(i), 1), i + 1);
    }
    EXPECT_EQ(db.query_value(ctx, "select $1 + 0", 1), 1);
  });
}

TEST_P(DatabaseContract, AStatementMayBeUsedInsideItself) {
  run([](const Context& ctx, Database& db) {
    constexpr const char* kTwo = "select $1 union all select $1 + 1";
    std::vector<std::int64_t> seen;
    db.transact(ctx, [&](Transaction& tx) {
      seen.clear();
      tx.for_each<std::int64_t>(
          kTwo,
          [&](std::int64_t outer) {
            for (const auto inner : tx.query<std::int64_t>(kTwo, outer * 10)) seen.push_back(inner);
          },
          1);
    });
    EXPECT_THAT(seen, ElementsAre(10, 11, 20, 21));
  });
}

INSTANTIATE_TEST_SUITE_P(Adapters, DatabaseContract, ::testing::ValuesIn(kAdapters),
                         [](const auto& adapter) { return adapter.param.name; });

}  // namespace
}  // namespace holdfast::sql
