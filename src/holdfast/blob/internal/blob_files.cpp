#include "holdfast/blob/internal/blob_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "holdfast/base/fault.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/blob/internal/checks.hpp"

namespace holdfast::blob {
namespace {

constexpr int kMaxPublishTries = 16;  ///< each lost to a remove() that took the folder away

/// The first kFileHeadBytes of a file, as JSON and blanks.
struct FileHead {
  std::string format;
  std::uint64_t size = 0;
  std::string sha256;
  std::string content_type;
  std::map<std::string, std::string> metadata;
  WallTime modified_at{};
};
HOLDFAST_DESCRIBE(FileHead, (format, size, sha256, content_type, metadata, modified_at))

constexpr std::string_view kFormat = "holdfast-blob-1";

[[noreturn]] void fail(const char* doing, const std::string& path, int error = errno) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(ErrorCode::unavailable, full ? "The blob store is full." : "The blob store can't be used now.")
      .reason(full ? "blob_store_full" : "blob_store_failed")
      .cause(std::string(doing) + ' ' + path + ": " + std::generic_category().message(error));
}

void write_all(int fd, std::string_view bytes, std::uint64_t at, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("writing", path, count == 0 ? EIO : errno);
    bytes.remove_prefix(static_cast<std::size_t>(count));
    at += static_cast<std::uint64_t>(count);
  }
}

std::size_t read_some(int fd, std::uint64_t at, char* out, std::size_t size, std::string_view name) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = ::pread(fd, out + done, size - done, static_cast<off_t>(at + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("reading", std::string(name));
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

std::string escape_segment(std::string_view segment) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : segment) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || byte >= 0x80;
    if (plain) {
      out.push_back(c);
    } else {
      out.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
    }
  }
  return out;
}

std::optional<std::string> unescape_segment(std::string_view file_name) {
  std::string out;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  for (std::size_t i = 0; i < file_name.size(); ++i) {
    if (file_name[i] != '%') {
      out.push_back(file_name[i]);
      continue;
    }
    if (i + 2 >= file_name.size()) return std::nullopt;
    const int high = digit(file_name[i + 1]);
    const int low = digit(file_name[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  if (out.empty() || escape_segment(out) != file_name) return std::nullopt;
  return out;
}

File& File::operator=(File&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

BlobFiles::BlobFiles(std::string folder, bool sync)
    : blobs_(folder + "/blobs"), temporary_(folder + "/temporary"), sync_(sync) {
  if (folder.empty()) fail("opening", "a blob folder without a name", EINVAL);
  for (std::size_t at = 1; at < folder.size(); ++at) {
    if (folder[at] == '/') ::mkdir(folder.substr(0, at).c_str(), 0750);
  }
  for (const std::string& one : {folder, blobs_, temporary_}) {
    if (::mkdir(one.c_str(), 0750) != 0 && errno != EEXIST) fail("making", one);
  }
  if (::access(temporary_.c_str(), W_OK | X_OK) != 0) fail("writing to", temporary_);
}

BlobFiles::Temporary BlobFiles::make_temporary(std::string_view unique_name) const {
  Temporary made{.file = {}, .path = temporary_ + '/' + std::string(unique_name)};
  // Between open and lock a sweep may take it for a leftover: then it has no name any more, and is made anew.
  for (;;) {
    made.file = File(::open(made.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
    if (!made.file) fail("making", made.path);
    if (::flock(made.file.fd(), LOCK_EX | LOCK_NB) != 0) continue;
    struct stat status {};
    if (::fstat(made.file.fd(), &status) != 0) fail("looking at", made.path);
    if (status.st_nlink > 0) return made;
  }
}

void BlobFiles::write(const Temporary& temporary, std::string_view bytes, std::uint64_t offset) {
  write_all(temporary.file.fd(), bytes, kFileHeadBytes + offset, temporary.path);
}

bool BlobFiles::publish(Temporary& temporary, const Info& info, bool if_absent) const {
  std::string head = to_json(FileHead{.format = std::string(kFormat),
                                      .size = info.size,
                                      .sha256 = info.sha256,
                                      .content_type = info.content_type,
                                      .metadata = {info.metadata.begin(), info.metadata.end()},
                                      .modified_at = info.modified_at});
  head.resize(kFileHeadBytes, ' ');
  write_all(temporary.file.fd(), head, 0, temporary.path);
  if (sync_ && ::fsync(temporary.file.fd()) != 0) fail("syncing", temporary.path);
  HOLDFAST_FAULT("blob.before_rename");
  const std::string path = path_of(info.name);
  for (int tries = 1;; ++tries) {
    make_folders(path);
    const int failed = if_absent ? ::link(temporary.path.c_str(), path.c_str())
                                 : ::rename(temporary.path.c_str(), path.c_str());
    if (failed == 0) break;
    if (errno == EEXIST && if_absent) return false;
    if (errno != ENOENT || tries == kMaxPublishTries) fail("naming", path);
  }
  if (if_absent) ::unlink(temporary.path.c_str());
  temporary.path.clear();
  HOLDFAST_FAULT("blob.after_rename");
  sync_folder(parent_of(path));
  return true;
}

void BlobFiles::discard(Temporary& temporary) noexcept {
  if (!temporary.path.empty()) ::unlink(temporary.path.c_str());
  temporary.path.clear();
  temporary.file = File();
}

std::size_t BlobFiles::sweep_leftovers() const {
  const Folder folder(::opendir(temporary_.c_str()), &::closedir);
  if (!folder) fail("listing", temporary_);
  std::size_t swept = 0;
  while (const dirent* const entry = ::readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    const std::string path = temporary_ + '/' + entry->d_name;
    const File file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    // Who is writing it holds the lock; the lock of a process that ended is free.
    if (file && ::flock(file.fd(), LOCK_EX | LOCK_NB) == 0 && ::unlink(path.c_str()) == 0) ++swept;
  }
  return swept;
}

std::optional<BlobFiles::Opened> BlobFiles::open(std::string_view name) const {
  const std::string path = path_of(name);
  Opened opened{.file = File(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)), .info = {}};
  if (!opened.file) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    fail("opening", path);
  }
  std::string text(kFileHeadBytes, '\0');
  text.resize(read_some(opened.file.fd(), 0, text.data(), text.size(), name));
  FileHead head;
  try {
    head = from_json<FileHead>(text);
  } catch (const Error& error) {
    throw damaged(name, std::string("its head can't be read: ") + error.what());
  }
  struct stat status {};
  if (::fstat(opened.file.fd(), &status) != 0) fail("looking at", path);
  if (head.format != kFormat || static_cast<std::uint64_t>(status.st_size) != kFileHeadBytes + head.size)
    throw damaged(name, "its file has " + std::to_string(status.st_size) + " bytes, which is not its size");
  opened.info = {.name = std::string(name),
                 .size = head.size,
                 .sha256 = std::move(head.sha256),
                 .content_type = std::move(head.content_type),
                 .metadata = {head.metadata.begin(), head.metadata.end()},
                 .modified_at = head.modified_at};
  return opened;
}

std::size_t BlobFiles::read(const Opened& opened, std::uint64_t offset, char* out, std::size_t size) {
  return read_some(opened.file.fd(), kFileHeadBytes + offset, out, size, opened.info.name);
}

void BlobFiles::remove(std::string_view name) const {
  const std::string path = path_of(name);
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    fail("deleting", path);
  }
  sync_folder(parent_of(path));
  // Folders that are empty now go, too; rmdir refuses the others.
  for (std::string folder = parent_of(path); folder.size() > blobs_.size(); folder = parent_of(folder)) {
    if (::rmdir(folder.c_str()) != 0) break;
  }
}

Page BlobFiles::list(std::string_view prefix, std::string_view after, std::size_t limit) const {
  Page page;
  // Nothing outside the folder that the prefix names is looked at.
  const std::size_t slash = prefix.rfind('/');
  std::string folder = blobs_;
  const std::string base(slash == std::string_view::npos ? std::string_view() : prefix.substr(0, slash + 1));
  for (std::string_view left = base; !left.empty(); left.remove_prefix(left.find('/') + 1))
    folder += '/' + escape_segment(left.substr(0, left.find('/')));
  walk(folder, base, prefix, after, limit + 1, page.blobs);
  if (page.blobs.size() > limit) {
    page.blobs.pop_back();
    page.next = page.blobs.back().name;
  }
  return page;
}

void BlobFiles::walk(const std::string& folder, const std::string& base, std::string_view prefix,
                     std::string_view after, std::size_t most, std::vector<Listed>& found) const {
  const Folder listing(::opendir(folder.c_str()), &::closedir);
  if (!listing) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    fail("listing", folder);
  }
  // A folder's blobs come where its name with a slash does: "a-b", "a/x", "a0".
  std::vector<std::string> names;
  while (const dirent* const entry = ::readdir(listing.get())) {
    std::string_view file = entry->d_name;
    const bool blob = file.ends_with(kBlobSuffix);
    if (blob) file.remove_suffix(kBlobSuffix.size());
    const auto segment = unescape_segment(file);
    if (!segment || *segment == "." || *segment == "..") continue;  // not ours
    std::string name = base + *segment + (blob ? "" : "/");
    const bool wanted = name.starts_with(prefix) || (!blob && prefix.starts_with(name));
    const bool past = name > after || (!blob && after.starts_with(name));
    if (wanted && past) names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  for (const std::string& name : names) {
    if (found.size() >= most) return;
    if (name.ends_with('/')) {
      const std::string segment = name.substr(base.size(), name.size() - base.size() - 1);
      walk(folder + '/' + escape_segment(segment), name, prefix, after, most, found);
    } else {
      list_one(name, found);
    }
  }
}

void BlobFiles::list_one(const std::string& name, std::vector<Listed>& found) const {
  try {
    if (const auto opened = open(name)) found.push_back({name, opened->info.size, opened->info.modified_at});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::internal) throw;
    found.push_back({.name = name, .size = 0, .modified_at = {}});  // a damaged one is listed, to be seen
  }
}

std::string BlobFiles::path_of(std::string_view name) const {
  std::string path = blobs_;
  for (;;) {
    const std::size_t slash = name.find('/');
    path += '/' + escape_segment(name.substr(0, slash));
    if (slash == std::string_view::npos) return path += kBlobSuffix;
    name.remove_prefix(slash + 1);
  }
}

void BlobFiles::make_folders(const std::string& path) const {
  for (std::size_t at = path.find('/', blobs_.size() + 1); at != std::string::npos;
       at = path.find('/', at + 1)) {
    const std::string folder = path.substr(0, at);
    if (::mkdir(folder.c_str(), 0750) == 0) {
      sync_folder(parent_of(folder));
    } else if (errno == ENOENT) {
      return;  // a remove() took the one above: naming fails, and all is tried again
    } else if (errno != EEXIST) {
      fail("making", folder);
    }
  }
}

void BlobFiles::sync_folder(const std::string& folder) const {
  if (!sync_) return;
  const File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file && errno == ENOENT) return;
  if (!file || ::fsync(file.fd()) != 0) fail("syncing", folder);
}

}  // namespace holdfast::blob
