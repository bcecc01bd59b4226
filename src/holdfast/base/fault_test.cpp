#ifndef HOLDFAST_FAULTS
#define HOLDFAST_FAULTS  // this test has the sites whatever the build has
#include "holdfast/base/fault.cpp"
#endif
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "holdfast/base/fault.hpp"

namespace holdfast {
namespace {

void pass_sites(const char* kill) {
  ::setenv("HOLDFAST_FAULT_KILL", kill, 1);
  for (int pass = 1; pass <= 5; ++pass) {
    std::fprintf(stderr, "[%d]", pass);
    HOLDFAST_FAULT("other.site");
    HOLDFAST_FAULT("outbox.before_mark");
  }
  std::_Exit(0);
}

TEST(FaultDeathTest, KillsAtTheNthPassOfTheNamedSiteOnly) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(pass_sites("outbox.before_mark:3"), testing::ExitedWithCode(137), "\\[3\\]$");
  EXPECT_EXIT(pass_sites("outbox.before_mark"), testing::ExitedWithCode(137), "\\[1\\]$");
  EXPECT_EXIT(pass_sites("elsewhere:1"), testing::ExitedWithCode(0), "\\[5\\]$");
}

}  // namespace
}  // namespace holdfast
