#include "holdfast/config/units.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/random.hpp"

namespace holdfast::config {
namespace {

using namespace std::chrono_literals;

TEST(Units, ReadsDurations) {
  EXPECT_EQ(parse_duration("200ms"), Duration(200ms));
  EXPECT_EQ(parse_duration("1.5s"), Duration(1500ms));
  EXPECT_EQ(parse_duration("0s"), Duration(0));
  EXPECT_EQ(parse_duration("2 h"), Duration(2h));
  EXPECT_EQ(parse_duration("1d"), Duration(24h));
  for (const char* text :
       {"", "5", "0", "s", "-5s", "5 seconds", "5S", "1.s", ".5s", "1.2.3s", "0.5ns", "300y", "99999999999h",
        "9223372036854775808ns", "1e3s", "5s ", " 5s", "5  s", "1.0000000000000000000s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  EXPECT_EQ(parse_duration("9223372036854775807ns"), Duration::max());
}

TEST(Units, ReadsSizes) {
  EXPECT_EQ(parse_byte_size("64KB"), ByteSize{64'000});
  EXPECT_EQ(parse_byte_size("64KiB"), ByteSize{65'536});
  EXPECT_EQ(parse_byte_size("1.5MiB"), ByteSize{1'572'864});
  EXPECT_EQ(parse_byte_size("0B"), ByteSize{0});
  for (const char* text : {"", "64", "64k", "64K", "KB", "-1B", "0.3B", "99999999999TiB"}) {
    EXPECT_FALSE(parse_byte_size(text)) << text;
  }
}

TEST(Units, WhatIsWrittenIsReadBack) {
  SeededRandom random(1);
  for (int i = 0; i < 10'000; ++i) {
    const Duration duration(static_cast<std::int64_t>(random.next() >> (1 + random.below(63))));
    ASSERT_EQ(parse_duration(format_duration(duration)), duration) << format_duration(duration);
    const ByteSize size{random.next() >> random.below(64)};
    ASSERT_EQ(parse_byte_size(format_byte_size(size)), size) << format_byte_size(size);
  }
  EXPECT_EQ(format_duration(90min), "90m");
  EXPECT_EQ(format_byte_size(mebibytes(1)), "1MiB");
}

}  // namespace
}  // namespace holdfast::config
