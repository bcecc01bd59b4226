#include "holdfast/sql/postgres/pgoutput.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"

namespace holdfast::sql::postgres {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using ::testing::ElementsAre;

// "R", id 7, public.t, default identity, columns id (of the key, bigint) and note (text).
const std::string kRelation =
    "R\0\0\0\7public\0t\0d\0\2\1id\0\0\0\0\x14\xff\xff\xff\xff\0note\0\0\0\0\x19\xff\xff\xff\xff"s;
const std::string kInsert =
    "I\0\0\0\7N\0\2t\0\0\0\2"
    "42n"s;
const std::string kCommit = "C\0\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\0"s;

TEST(Pgoutput, ReadsATransaction) {
  Pgoutput pgoutput;
  EXPECT_EQ(pgoutput.read("B\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\5"s).kind, Pgoutput::Kind::begin);
  EXPECT_EQ(pgoutput.read(kRelation).kind, Pgoutput::Kind::other);
  const auto insert = pgoutput.read(kInsert);
  ASSERT_EQ(insert.kind, Pgoutput::Kind::insert);
  EXPECT_EQ(insert.relation->name, "t");
  EXPECT_THAT(insert.relation->columns, ElementsAre("id", "note"));
  EXPECT_THAT(insert.values, ElementsAre("42", std::nullopt));
  const auto commit = pgoutput.read(kCommit);
  EXPECT_EQ(commit.kind, Pgoutput::Kind::commit);
  EXPECT_EQ(to_string(commit.end), "1/2");
}

TEST(Pgoutput, WhatIsCutOffOrStrangeIsRefused) {
  Pgoutput known;
  known.read(kRelation);
  EXPECT_THROW(Pgoutput().read(kInsert), Error) << "a table that was not described";
  for (const std::string& whole : {kRelation, kInsert, kCommit}) {
    for (std::size_t size = 0; size < whole.size(); ++size)
      EXPECT_THROW(known.read(std::string_view(whole).substr(0, size)), Error) << whole.front() << size;
  }
  EXPECT_THROW(known.read(kInsert + "x"), Error);
  EXPECT_THROW(known.read("I\0\0\0\7N\0\1n"s), Error) << "of another width";
  EXPECT_THROW(known.read("I\0\0\0\7K\0\2nn"s), Error);
  EXPECT_THROW(known.read("I\0\0\0\7N\0\2un"s), Error);
  EXPECT_THROW(known.read("I\0\0\0\7N\0\2t\xff\xff\xff\xffxn"s), Error);
}

TEST(Pgoutput, TablesAreCounted) {
  Pgoutput pgoutput;
  std::string relation = kRelation;
  for (std::size_t i = 0; i < Pgoutput::kMostRelations; ++i) {
    relation[3] = static_cast<char>(i >> 8);
    relation[4] = static_cast<char>(i);
    pgoutput.read(relation);
    pgoutput.read(relation);  // described again
  }
  relation[2] = 1;
  EXPECT_THROW(pgoutput.read(relation), Error);
}

TEST(ReplicationMessage, IsReadAndAnswered) {
  const auto data = read_replication_message("w\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0payload"sv);
  EXPECT_EQ(data.kind, ReplicationMessage::Kind::data);
  EXPECT_EQ(data.payload, "payload");
  const auto keepalive = read_replication_message("k\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\0\1"s);
  EXPECT_EQ(keepalive.kind, ReplicationMessage::Kind::keepalive);
  EXPECT_EQ(keepalive.end, Position{3});
  EXPECT_TRUE(keepalive.reply_requested);
  EXPECT_THROW(read_replication_message("k\0\0"s), Error);
  EXPECT_THROW(read_replication_message(""), Error);
  EXPECT_EQ(standby_status(Position{0x102}, 1),
            "r\0\0\0\0\0\0\1\2\0\0\0\0\0\0\1\2\0\0\0\0\0\0\1\2\0\0\0\0\0\0\0\1\0"s);
}

}  // namespace
}  // namespace holdfast::sql::postgres
