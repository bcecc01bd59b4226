#include "holdfast/runtime/process_mark.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::runtime {
namespace {

TEST(ProcessMark, IsTheSameAndNotGoneWhileItLives) {
  EXPECT_EQ(process_mark(), process_mark());
  ASSERT_NE(process_mark(), "unknown");
  EXPECT_FALSE(process_gone(process_mark()));
}

TEST(ProcessMark, ToldGoneOnceKilledEvenBeforeItIsWaitedFor) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string mark = process_mark();
    if (::write(pipe_ends[1], mark.data(), mark.size()) < 0) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char text[200];
  const auto size = ::read(pipe_ends[0], text, sizeof text);
  ASSERT_GT(size, 0);
  const std::string mark(text, static_cast<std::size_t>(size));
  EXPECT_NE(mark, process_mark());
  EXPECT_FALSE(process_gone(mark));
  ::kill(child, SIGSTOP);
  EXPECT_FALSE(process_gone(mark));
  ::kill(child, SIGKILL);
  siginfo_t ended;
  ::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT);
  EXPECT_TRUE(process_gone(mark));
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(process_gone(mark));
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(ProcessMark, AReusedIdIsAnotherProcess) {
  std::string mark = process_mark();
  mark.back() = mark.back() == '1' ? '2' : '1';
  EXPECT_TRUE(process_gone(mark));
}

TEST(ProcessMark, KnowsNothingOfOtherMachinesAndOtherTexts) {
  std::string elsewhere = process_mark();
  elsewhere[0] = elsewhere[0] == 'a' ? 'b' : 'a';
  EXPECT_FALSE(process_gone(elsewhere));
  const std::string here = process_mark().substr(0, process_mark().find_last_of('-'));
  for (const std::string& text : {std::string(), std::string("unknown"), here, here + "-", here + "-x"})
    EXPECT_FALSE(process_gone(text)) << text;
}

}  // namespace
}  // namespace holdfast::runtime
