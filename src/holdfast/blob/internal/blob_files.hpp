// The blocking half of FilesStore: what its threads do. Plain POSIX calls; failures are Errors that name
// the path in their cause.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "holdfast/blob/store.hpp"

namespace holdfast::blob {

inline constexpr std::size_t kFileHeadBytes = 4096;  ///< holds the largest metadata, escaped
inline constexpr std::string_view kBlobSuffix = ".blob";

/// A segment of a name as a file's: all but A-Z a-z 0-9 - _ and UTF-8 becomes %XX. So there is no '.' in it
/// but what we add, and no two segments become one.
std::string escape_segment(std::string_view segment);
/// Nothing for what escape_segment() doesn't make.
std::optional<std::string> unescape_segment(std::string_view file_name);

/// Closes what it holds.
class File {
 public:
  File() = default;
  explicit File(int fd) noexcept : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept;
  ~File();
  int fd() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

class BlobFiles {
 public:
  /// Makes the folders.
  BlobFiles(std::string folder, bool sync);

  struct Temporary {
    File file;  ///< locked while it is open
    std::string path;
  };
  Temporary make_temporary(std::string_view unique_name) const;
  static void write(const Temporary& temporary, std::string_view bytes, std::uint64_t offset);
  /// Writes the head, syncs, and gives the file its name. False: there is one, and `if_absent`.
  bool publish(Temporary& temporary, const Info& info, bool if_absent) const;
  static void discard(Temporary& temporary) noexcept;
  std::size_t sweep_leftovers() const;

  struct Opened {
    File file;
    Info info;
  };
  /// Nothing where there is none. Throws what damaged() makes for a file that is none of ours.
  std::optional<Opened> open(std::string_view name) const;
  /// Up to out.size() bytes from `offset` of the blob.
  static std::size_t read(const Opened& opened, std::uint64_t offset, char* out, std::size_t size);

  void remove(std::string_view name) const;
  Page list(std::string_view prefix, std::string_view after, std::size_t limit) const;

 private:
  std::string path_of(std::string_view name) const;
  void make_folders(const std::string& path) const;
  void sync_folder(const std::string& folder) const;
  void walk(const std::string& folder, const std::string& base, std::string_view prefix,
            std::string_view after, std::size_t most, std::vector<Listed>& found) const;
  void list_one(const std::string& name, std::vector<Listed>& found) const;

  const std::string blobs_;
  const std::string temporary_;
  const bool sync_;
};

}  // namespace holdfast::blob
