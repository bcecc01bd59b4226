// A process of a test's own: started, watched, signalled by its pid, and gone when the test is.
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
#include <map>
#include <optional>
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
  ExitStatus reap(int status);

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
