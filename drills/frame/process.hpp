// A process of a test's or drill's own: started, watched, signalled by its pid, and gone when its owner is.
//
//   TemporaryFolder folder;
//   Process replay({.command = {binary, "replay", file}, .folder = folder.path()});
//   const ExitStatus ended = replay.wait(30s);         // throws where it takes longer
//   EXPECT_EQ(ended.code, 0) << replay.err();
//
// What it writes goes to files and can be read while it runs. Thread-safety: one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace holdfast::drills {

/// Made fresh, removed with all that is in it.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& under = std::filesystem::temp_directory_path());
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// The processes and folders of a run that may be interrupted: all of them can be taken away at once, from
/// another thread. Any thread.
class Belongings {
 public:
  /// Kills what runs and removes the folders. Nothing can be started afterwards.
  void take_away();

  /// Held while a process is started or its end is collected, so that take_away() kills no stranger that
  /// has got an old pid. Throws std::runtime_error after take_away().
  std::unique_lock<std::mutex> hold();
  void started(pid_t pid) { running_.insert(pid); }  // these two under hold()
  void collected(pid_t pid) { running_.erase(pid); }
  void add_folder(const std::filesystem::path& folder);
  void forget_folder(const std::filesystem::path& folder);
  /// What else take_away() does, once the processes are gone; until `whose` is forgotten. Must not throw.
  void at_the_end(const void* whose, std::function<void()> act);
  void forget_end(const void* whose);

 private:
  std::mutex mutex_;
  bool taken_ = false;
  std::map<const void*, std::function<void()>> ends_;
  std::set<pid_t> running_;
  std::set<std::filesystem::path> folders_;
};

struct ExitStatus {
  int code = -1;   ///< -1: it was ended by a signal
  int signal = 0;  ///< 0: it ended by itself
};

struct ProcessOptions {
  std::vector<std::string> command;  ///< program and arguments
  std::filesystem::path folder;      ///< it runs here, and its output is kept here
  std::map<std::string, std::string>
      environment;               ///< added to PATH, HOME and the sanitizers' options, all it gets
  std::string name = "process";  ///< of the output files: "process.1.out", "process.1.err"
  /// Borrowed; the process then is in a group of its own, which a terminal's Ctrl-C does not reach.
  Belongings* belongings = nullptr;
};

class Process {
 public:
  explicit Process(ProcessOptions options);
  /// Kills it where it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const noexcept { return pid_; }
  /// Whether it has not ended yet; never waits.
  bool running();
  void signal(int number) const;
  void terminate() const;  ///< SIGTERM
  void interrupt() const;  ///< SIGINT
  /// SIGKILL, and waits until it is gone.
  ExitStatus kill();
  /// Waits for its end. Throws std::runtime_error with what it wrote where that takes longer.
  ExitStatus wait(std::chrono::milliseconds at_most);

  std::string out() const;  ///< standard output so far
  std::string err() const;  ///< standard error so far

 private:
  /// Collects its end: now where that is possible, and, where `wait`, after waiting for it.
  bool collect(bool wait);

  Belongings* belongings_ = nullptr;
  std::filesystem::path out_path_;
  std::filesystem::path err_path_;
  pid_t pid_ = -1;
  std::optional<ExitStatus> ended_;
};

/// Runs it to its end.
struct Finished {
  ExitStatus status;
  std::string out;
  std::string err;
};
Finished run(ProcessOptions options, std::chrono::milliseconds at_most = std::chrono::seconds(30));

std::string read_text(const std::filesystem::path& path);

}  // namespace holdfast::drills
