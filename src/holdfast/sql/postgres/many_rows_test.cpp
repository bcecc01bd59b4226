#include "holdfast/sql/postgres/many_rows.hpp"

#include <gtest/gtest.h>

namespace holdfast::sql::postgres {
namespace {

TEST(ManyRows, AnInsertOfPlaceholdersTakesArrays) {
  EXPECT_EQ(for_many_rows("insert into t(a, b) values($1, $2)"),
            "insert into t(a, b) select p1, p2 from unnest($1, $2) as p(p1, p2)");
  EXPECT_EQ(for_many_rows("insert into t(a)\n  values ( $1 ) "),
            "insert into t(a) select p1 from unnest($1) as p(p1)");
  // One given twice, and in another order.
  EXPECT_EQ(for_many_rows("insert into t(a, b, c) values($2, $1, $2)"),
            "insert into t(a, b, c) select p2, p1, p2 from unnest($1, $2) as p(p1, p2)");
  EXPECT_EQ(for_many_rows("insert into t(a, b) values($10, $1)").value(),
            "insert into t(a, b) select p10, p1 from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as "
            "p(p1, p2, p3, p4, p5, p6, p7, p8, p9, p10)");
}

TEST(ManyRows, EverythingElseIsLeftAlone) {
  for (const char* sql :
       {"", "select 1", "insert into t(a) values($1) on conflict do nothing",
        "insert into t(a) values($1) returning a", "insert into t(a) values($1), ($2)",
        "insert into t(a) values(1)", "insert into t(a, b) values($1, 'x')",
        "insert into t(a) values($1 + 1)", "insert into t(a) values(lower($1))", "insert into t(a) select $1",
        "insert into t values($1)", "insert into \"t)\"(a) values($1)", "insert into t(a) values($)",
        "insert into t(a) values($1", "insert into t(a) values($1); delete from t", "update t set a = $1",
        "insert into t(a) overriding system value values($1)"})
    EXPECT_EQ(for_many_rows(sql), std::nullopt) << sql;
}

TEST(ManyRows, OnlyWhatCertainlyReadsAlikeIsAskedOnce) {
  EXPECT_TRUE(reads_only("select a, b from t where c = $1"));
  EXPECT_TRUE(reads_only("\n select a from t"));
  for (const char* sql :
       {"select nextval('s')", "select a from t where b = f(c)", "select a from t for update",
        "update t set a = 1", "with x as (delete from t) select 1", "insert into t(a) values($1)"})
    EXPECT_FALSE(reads_only(sql)) << sql;
}

TEST(ManyRows, AnInsertOfWhatIsNewTellsWhichOnesWere) {
  const auto made =
      inserts_new_for_many("insert into t(a, b, c) values($3, $1, $2) on conflict(c, a) do nothing");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->sql,
            "insert into t(a, b, c) select p3, p1, p2 from unnest($1, $2, $3) as p(p1, p2, p3) "
            "on conflict(c, a) do nothing returning c, a");
  EXPECT_EQ(made->key, (std::vector<std::size_t>{1, 2}));
  for (const char* sql : {"insert into t(a) values($1)", "insert into t(a) values($1) on conflict do nothing",
                          "insert into t(a) values($1) on conflict(b) do nothing",
                          "insert into t(a) values($1) on conflict(a) do update set a = $1",
                          "insert into t(a) values($1) on conflict(a) do nothing returning a",
                          "insert into t(a) values($1) on conflict(lower(a)) do nothing",
                          "insert into t(a) values(1) on conflict(a) do nothing", ""})
    EXPECT_FALSE(inserts_new_for_many(sql)) << sql;
}

TEST(ManyRows, ASelectIsAskedForManyParameters) {
  EXPECT_EQ(reads_for_many("select a from t where b = $1 and c = $2"),
            "select asked.n, found.* from unnest($1, $2) with ordinality as asked(p1, p2, n), "
            "lateral (select a from t where b = asked.p1 and c = asked.p2 offset 0) as found");
  for (const char* sql : {"select a from t", "select a from t where b = $1 order by a",
                          "select a from t where b = $1 limit 1", "select a from t where b = '$1' and c = $1",
                          "select a from t where b = f($1)", "select a from t where b = $1 for update",
                          "update t set a = $1", "select asked.a from asked where b = $1"})
    EXPECT_EQ(reads_for_many(sql), std::nullopt) << sql;
}

TEST(ManyRows, WhatTakesFromANumberIsKnown) {
  const auto taking = as_taking("update stock set n = n - $2, at = $3 where sku = $1 and n >= $2");
  ASSERT_TRUE(taking);
  EXPECT_EQ(taking->table, "stock");
  EXPECT_EQ(taking->key_column, "sku");
  EXPECT_EQ(taking->key, 0U);
  EXPECT_EQ(taking->amount, 1U);
  EXPECT_TRUE(as_taking("update t set n = n - $1 where k = $2 and n >= $1"));
  for (const char* sql :
       {"update t set n = n + $1 where k = $2 and n >= $1", "update t set n = n - $1 where k = $2",
        "update t set n = n - $1 where k = $2 and n >= $3",
        "update t set n = n - $1 where k = $2 and m >= $1",
        "update t set n = m - $1 where k = $2 and n >= $1", "update t set n = n - $1 where k = $2 and n > $1",
        "update t set n = n - $1 where k = $2 and n >= $1 and x = $3",
        "update t set n = n - $1 where k = $2 and n >= $1 or x = $3",
        "update t set n = n - $1, m = m - $1 where k = $2 and n >= $1",
        "update t set n = n - $1, m = $1 where k = $2 and n >= $1",
        "update t set n = n - $1, m = $2 where k = $2 and n >= $1",
        "update t set n = n - $1, n = $3 where k = $2 and n >= $1",
        "update t set n = n - $1 where n = $2 and n >= $1",
        "update t set n = n - $1 where k = $1 and n >= $1",
        "update t set n = n - $1 where k = $2 and n >= $1 returning n", "update t set n = n - 1 where k = $1",
        "delete from t", ""})
    EXPECT_EQ(as_taking(sql).has_value(), false) << sql;
}

}  // namespace
}  // namespace holdfast::sql::postgres
