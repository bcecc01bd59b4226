#include "holdfast/base/csv.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast {
namespace {

using testing::ElementsAre;

/// Records as "line:a|b|c", faults as "line!code", in their order.
std::vector<std::string> read(std::string_view text, std::size_t chunk_bytes, CsvOptions options = {}) {
  std::vector<std::string> seen;
  CsvReader reader(
      [&](const CsvRecord& record) {
        std::string line = std::to_string(record.line) + ":";
        for (std::size_t i = 0; i < record.fields.size(); ++i) {
          line += (i == 0 ? "" : "|") + std::string(record.fields[i]);
        }
        seen.push_back(line);
      },
      [&](const CsvFault& fault) {
        seen.push_back(std::to_string(fault.line) + "!" + std::string(fault.code));
      },
      options);
  for (std::size_t at = 0; at < text.size(); at += chunk_bytes) reader.push(text.substr(at, chunk_bytes));
  reader.finish();
  return seen;
}

std::vector<std::string> read(std::string_view text, CsvOptions options = {}) {
  auto whole = read(text, 1 << 20, options);
  EXPECT_EQ(read(text, 1, options), whole) << "chunks must make no difference";
  return whole;
}

TEST(Csv, ReadsQuotedFieldsWithCommasLineEndsAndQuotes) {
  EXPECT_THAT(read("a,b\r\n\"x, y\",\"say \"\"hi\"\"\"\r\n\"two\r\nlines\",\r\nlast,\"\""),
              ElementsAre("1:a|b", "2:x, y|say \"hi\"", "3:two\r\nlines|", "5:last|"));
}

TEST(Csv, SkipsTheByteOrderMarkAndEmptyLines) {
  EXPECT_THAT(read("\xEF\xBB\xBF"
                   "a\n\n\r\nb\n"),
              ElementsAre("1:a", "4:b"));
  EXPECT_THAT(read("\xEF\xBB"), ElementsAre("1!invalid_utf8"));
}

TEST(Csv, ReportsWhatIsMalformedWithItsLineAndGoesOn) {
  EXPECT_THAT(read("a,b\n5\" pipe \"x\",1\nc,d\n\"e\"f,1\ng\n\xFFx,y\nh,i\n"),
              ElementsAre("1:a|b", "2!bad_quote", "3:c|d", "4!bad_quote", "5!wrong_column_count",
                          "6!invalid_utf8", "7:h|i"));
  EXPECT_THAT(read("a\n\"b\nc\n"), ElementsAre("1:a", "2!unclosed_quote"));
}

TEST(Csv, BoundsFieldsRecordsAndColumns) {
  const CsvOptions options{
      .max_field_bytes = 4, .max_record_bytes = 6, .max_columns = 3, .same_columns = false};
  EXPECT_THAT(read("abcd\nabcde\n\"ab\nc\"\"de\nf\"\nabc,defg\n1,2,3,4\nok\n", options),
              ElementsAre("1:abcd", "2!field_too_long", "3!field_too_long", "6!record_too_long",
                          "7!too_many_columns", "8:ok"));
}

TEST(Csv, LoneCarriageReturnsAreData) { EXPECT_THAT(read("a\rb,c\r\r\n"), ElementsAre("1:a\rb|c\r")); }

TEST(Csv, PullsFromASource) {
  std::vector<std::string_view> chunks{"a,", "b\nc", ",d", ""};
  std::size_t next = 0;
  std::vector<std::string> seen;
  read_csv([&] { return chunks[next++]; },
           [&](const CsvRecord& record) { seen.push_back(std::string(record.fields[1])); },
           [](const CsvFault&) {});
  EXPECT_THAT(seen, ElementsAre("b", "d"));
}

TEST(Csv, WhatIsWrittenReadsBack) {
  std::string out;
  CsvWriter writer(out);
  const std::vector<std::string_view> fields{"plain", "a,b", "q\"q", "two\nlines", ""};
  writer.record(fields);
  EXPECT_EQ(out, "plain,\"a,b\",\"q\"\"q\",\"two\nlines\",\r\n");
  EXPECT_THAT(read(out), ElementsAre("1:plain|a,b|q\"q|two\nlines|"));
}

}  // namespace
}  // namespace holdfast
