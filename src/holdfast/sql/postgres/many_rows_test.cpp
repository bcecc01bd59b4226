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

}  // namespace
}  // namespace holdfast::sql::postgres
