#include "drills/frame/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace holdfast::drills {

namespace {

[[noreturn]] void fail(const std::string& doing) {
  throw std::runtime_error(doing + ": " + std::strerror(errno));
}

std::vector<std::string> environment_of(const ProcessOptions& options) {
  std::vector<std::string> all;
  for (const char* name :
       {"PATH", "HOME", "TMPDIR", "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && !options.environment.contains(name))
      all.push_back(std::string(name) + "=" + value);
  }
  for (const auto& [name, value] : options.environment) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

}  // namespace

TemporaryFolder::TemporaryFolder(const std::filesystem::path& under) {
  std::string pattern = (under / "holdfast-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) fail("making a temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Process::Process(ProcessOptions options) {
  static std::atomic<int> started{0};
  const std::string stem = options.name + "." + std::to_string(++started);
  out_path_ = options.folder / (stem + ".out");
  err_path_ = options.folder / (stem + ".err");
  std::vector<std::string> environment = environment_of(options);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
  ::posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
  const int failure = ::posix_spawnp(&pid_, options.command.front().c_str(), &actions, nullptr,
                                     pointers(options.command).data(), pointers(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) {
    pid_ = -1;
    errno = failure;
    fail("starting " + options.command.front());
  }
}

Process::~Process() {
  if (pid_ > 0 && !ended_) kill();
}

ExitStatus Process::reap(int status) {
  ended_ = WIFEXITED(status) ? ExitStatus{.code = WEXITSTATUS(status), .signal = 0}
                             : ExitStatus{.code = -1, .signal = WTERMSIG(status)};
  return *ended_;
}

bool Process::running() {
  if (ended_) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) reap(status);
  return !ended_;
}

void Process::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}
void Process::terminate() const { signal(SIGTERM); }
void Process::interrupt() const { signal(SIGINT); }

ExitStatus Process::kill() {
  if (ended_) return *ended_;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  return reap(status);
}

ExitStatus Process::wait(std::chrono::milliseconds at_most) {
  if (!running()) return *ended_;
  const int handle = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  if (handle < 0) fail("watching a process");
  pollfd watched{.fd = handle, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&watched, 1, static_cast<int>(at_most.count()));
  ::close(handle);
  if (ready <= 0) {
    throw std::runtime_error("process " + std::to_string(pid_) + " has not ended in " +
                             std::to_string(at_most.count()) + " ms. It wrote:\n" + out() + err());
  }
  int status = 0;
  ::waitpid(pid_, &status, 0);
  return reap(status);
}

std::string Process::out() const { return read_text(out_path_); }
std::string Process::err() const { return read_text(err_path_); }

Finished run(ProcessOptions options, std::chrono::milliseconds at_most) {
  Process process(std::move(options));
  const ExitStatus status = process.wait(at_most);
  return {status, process.out(), process.err()};
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace holdfast::drills
