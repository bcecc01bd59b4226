#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "holdfast/observe/metrics.hpp"

namespace holdfast::observe {

namespace {

/// Fields of /proc/self/stat that come after the command's name; numbered as in proc(5), from 1.
std::uint64_t process_stat(int field) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t end_of_name = text.rfind(')');  // the name may contain anything
  if (end_of_name == std::string::npos) return 0;
  std::istringstream rest(text.substr(end_of_name + 1));
  std::string value;
  for (int at = 3; at <= field; ++at) rest >> value;
  return std::strtoull(value.c_str(), nullptr, 10);
}

double boot_time_seconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  while (file >> word) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return 0;
}

double ticks_a_second() { return static_cast<double>(::sysconf(_SC_CLK_TCK)); }

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double open_descriptors() {
  std::error_code failed;
  std::filesystem::directory_iterator at("/proc/self/fd", failed);
  double count = -1;  // the listing itself holds one
  for (; !failed && at != std::filesystem::directory_iterator(); at.increment(failed)) ++count;
  return count < 0 ? 0 : count;
}

double max_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

std::vector<Observation> observe_process(Metrics& metrics) {
  const double started = boot_time_seconds() + static_cast<double>(process_stat(22)) / ticks_a_second();
  const auto page_bytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
  std::vector<Observation> all;
  all.push_back(metrics.observe_counter("process_cpu_seconds_total", "User and system CPU time spent.", {},
                                        cpu_seconds));
  all.push_back(metrics.observe_gauge("process_resident_memory_bytes", "Resident memory.", {}, [page_bytes] {
    return static_cast<double>(process_stat(24)) * page_bytes;
  }));
  all.push_back(metrics.observe_gauge("process_virtual_memory_bytes", "Address space.", {},
                                      [] { return static_cast<double>(process_stat(23)); }));
  all.push_back(metrics.observe_gauge("process_open_fds", "Open file descriptors.", {}, open_descriptors));
  all.push_back(
      metrics.observe_gauge("process_max_fds", "Most file descriptors it may open.", {}, max_descriptors));
  all.push_back(metrics.observe_gauge("process_start_time_seconds", "When it started, Unix time.", {},
                                      [started] { return started; }));
  all.push_back(metrics.observe_gauge("process_threads", "Threads.", {},
                                      [] { return static_cast<double>(process_stat(20)); }));
  return all;
}

}  // namespace holdfast::observe
