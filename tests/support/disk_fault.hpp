// A disk that fails when a test says so: a library loaded into the process under test answers for its
// writes. What is there stays as it is, as on a real disk that is full, read-only or broken.
//
//   DiskFault disk(folder / "disk");                            // a page that both processes map
//   ServerProcess server({.environment = disk.environment()});
//   disk.set(DiskState::full);  …  disk.set(DiskState::works);
//
// Only files are meant: sockets, pipes and the process's own output go on. Thread-safety: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace holdfast::drills {

enum class DiskState : std::uint32_t {
  works,
  full,             ///< ENOSPC from write, pwrite, ftruncate, fallocate, link, and from making files
  read_only,        ///< EROFS from the same
  broken,           ///< EIO from the same and from fsync: what was written may or may not be there
  cannot_grow,      ///< ENOSPC from pwrite beyond a file's end; what it has can be written over
  hold_after_link,  ///< link() is done, and does not return until the state changes
};

/// The mapped page. Both sides include this header.
struct DiskFaultPage {
  std::atomic<std::uint32_t> state{0};
  std::atomic<std::uint32_t> refused{0};  ///< calls that were failed
  std::atomic<std::uint32_t> held{0};     ///< link() calls that wait now
};

class DiskFault {
 public:
  explicit DiskFault(const std::filesystem::path& file);
  ~DiskFault();
  DiskFault(const DiskFault&) = delete;
  DiskFault& operator=(const DiskFault&) = delete;

  void set(DiskState state) noexcept { page_->state = static_cast<std::uint32_t>(state); }
  std::uint32_t refused() const noexcept { return page_->refused; }
  std::uint32_t held() const noexcept { return page_->held; }

  /// For the process that is to have this disk.
  std::map<std::string, std::string> environment() const;

 private:
  std::filesystem::path file_;
  DiskFaultPage* page_ = nullptr;
};

}  // namespace holdfast::drills
