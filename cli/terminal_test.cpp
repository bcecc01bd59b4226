#include "cli/terminal.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace holdfast::cli {
namespace {

using namespace std::chrono_literals;

struct Screen {
  std::string out, note;
  Terminal terminal(bool is_terminal, bool colour = true, std::size_t columns = 80) {
    return Terminal({.out = [this](std::string_view text) { out += text; },
                     .note = [this](std::string_view text) { note += text; },
                     .out_is_terminal = is_terminal,
                     .note_is_terminal = is_terminal,
                     .colour = colour,
                     .columns = columns});
  }
};

TEST(Terminal, ColoursOnlyWhereAPersonLooksAndMayWantThem) {
  Screen screen;
  EXPECT_EQ(screen.terminal(true).red("no"), "\x1b[31mno\x1b[0m");
  EXPECT_EQ(screen.terminal(false).red("no"), "no");
  EXPECT_EQ(screen.terminal(true, false).red("no"), "no");
}

TEST(Table, LinesUpAndIgnoresColours) {
  Table table({{"name"}, {"count", Table::Align::right}});
  table.add({"\x1b[32mcafé\x1b[0m", "7"});
  table.add({"mug", "1,234"});
  EXPECT_EQ(table.text(),
            "name  count\n"
            "\x1b[32mcafé\x1b[0m      7\n"
            "mug   1,234\n");
}

TEST(Table, WithoutTitlesHasNoHead) {
  Table table({{""}, {""}});
  table.add({"a"});
  EXPECT_EQ(table.text(), "a\n");
}

TEST(ProgressBar, SaysHowFarAndHowFast) {
  Screen screen;
  const ManualClock clock;
  const Terminal terminal = screen.terminal(true);
  const ProgressBar bar(terminal, clock, "orders", 8000);
  EXPECT_EQ(bar.line(2000, 2s), "orders [======                  ]  25%  2,000 of 8,000  1,000/s  6 s left");
  EXPECT_EQ(bar.line(9000, 9s), "orders [========================] 100%  9,000 of 8,000  1,000/s");
  const Terminal narrow = screen.terminal(true, true, 40);
  EXPECT_LT(ProgressBar(narrow, clock, "orders", 8000).line(2000, 2s).size(), 40u);
}

TEST(ProgressBar, IsDrawnTenTimesASecondAtMostAndTakenAway) {
  Screen screen;
  ManualClock clock;
  const Terminal terminal = screen.terminal(true);
  ProgressBar bar(terminal, clock, "orders", 10);
  bar.update(1);
  EXPECT_EQ(screen.note, "");
  clock.advance(150ms);
  bar.update(2);
  bar.update(3);
  EXPECT_EQ(std::count(screen.note.begin(), screen.note.end(), '\r'), 1);
  bar.finish();
  EXPECT_TRUE(screen.note.ends_with("\r\x1b[K"));
}

TEST(ProgressBar, DrawsNothingElsewhere) {
  Screen screen;
  ManualClock clock;
  const Terminal terminal = screen.terminal(false);
  ProgressBar bar(terminal, clock, "orders", 10);
  clock.advance(1s);
  bar.update(5);
  bar.finish();
  EXPECT_EQ(screen.note, "");
}

TEST(Numbers, AreReadable) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(-1234567), "-1,234,567");
  EXPECT_EQ(minor_as_decimal(123456), "1,234.56");
  EXPECT_EQ(minor_as_decimal(-5), "-0.05");
}

}  // namespace
}  // namespace holdfast::cli
