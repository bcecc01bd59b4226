// For tests that make a server fall silent.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace holdfast {

/// SIGSTOP, and waits until all its threads stand still: on a busy machine they go on for a while after the
/// signal was sent, and answer one more request. Gives up after five seconds, and where it has ended.
inline void stop_process(pid_t process) {
  if (process <= 0 || ::kill(process, SIGSTOP) != 0) return;
  const auto stands_still = [process] {
    std::error_code gone;
    for (const auto& thread :
         std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task", gone)) {
      std::ifstream file(thread.path() / "stat");
      const std::string stat(std::istreambuf_iterator<char>(file), {});
      const std::size_t name_end = stat.rfind(") ");  // a name may have anything in it
      if (name_end == std::string::npos || name_end + 2 >= stat.size()) continue;
      const char state = stat[name_end + 2];
      if (state != 'T' && state != 't' && state != 'Z' && state != 'X') return false;
    }
    return true;
  };
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!stands_still() && std::chrono::steady_clock::now() < give_up)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace holdfast
