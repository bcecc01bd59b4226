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

std::unique_lock<std::mutex> Belongings::hold() {
  std::unique_lock lock(mutex_);
  if (taken_) throw std::runtime_error("interrupted");
  return lock;
}

void Belongings::add_folder(const std::filesystem::path& folder) {
  const auto held = hold();
  folders_.insert(folder);
}

void Belongings::forget_folder(const std::filesystem::path& folder) {
  const std::lock_guard lock(mutex_);
  folders_.erase(folder);
}

void Belongings::at_the_end(const void* whose, std::function<void()> act) {
  const auto held = hold();
  ends_[whose] = std::move(act);
}

void Belongings::forget_end(const void* whose) {
  const std::lock_guard lock(mutex_);
  ends_.erase(whose);
}

void Belongings::take_away() {
  const std::lock_guard lock(mutex_);
  taken_ = true;
  for (const pid_t pid : running_) ::kill(pid, SIGKILL);
  for (const pid_t pid : running_) ::waitpid(pid, nullptr, 0);
  running_.clear();
  for (const auto& [whose, act] : ends_) act();
  ends_.clear();
  std::error_code ignored;
  for (const auto& folder : folders_) std::filesystem::remove_all(folder, ignored);
  folders_.clear();
}

Process::Process(ProcessOptions options) : belongings_(options.belongings) {
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
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);  // who waits for signals in a thread has them blocked
  ::posix_spawnattr_setflags(
      &attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | (belongings_ ? POSIX_SPAWN_SETPGROUP : 0)));
  int failure = 0;
  {
    const auto held = belongings_ ? belongings_->hold() : std::unique_lock<std::mutex>();
    failure = ::posix_spawnp(&pid_, options.command.front().c_str(), &actions, &attributes,
                             pointers(options.command).data(), pointers(environment).data());
    if (failure == 0 && belongings_) belongings_->started(pid_);
  }
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) {
    pid_ = -1;
    errno = failure;
    fail("starting " + options.command.front());
  }
}

Process::~Process() {
  if (pid_ <= 0 || ended_) return;
  try {
    kill();
  } catch (const std::runtime_error&) {  // it was taken away meanwhile
  }
}

bool Process::collect(bool wait) {
  if (ended_) return true;
  const auto held = belongings_ ? belongings_->hold() : std::unique_lock<std::mutex>();
  int status = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(pid_, &status, wait ? 0 : WNOHANG);
  } while (got < 0 && errno == EINTR);
  if (got != pid_) return false;
  if (belongings_) belongings_->collected(pid_);
  ended_ = WIFEXITED(status) ? ExitStatus{.code = WEXITSTATUS(status), .signal = 0}
                             : ExitStatus{.code = -1, .signal = WTERMSIG(status)};
  return true;
}

bool Process::running() { return !collect(/*wait=*/false); }

void Process::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}
void Process::terminate() const { signal(SIGTERM); }
void Process::interrupt() const { signal(SIGINT); }

ExitStatus Process::kill() {
  if (ended_) return *ended_;
  ::kill(pid_, SIGKILL);
  collect(/*wait=*/true);
  return ended_.value();
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
  collect(/*wait=*/true);
  return ended_.value();
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
