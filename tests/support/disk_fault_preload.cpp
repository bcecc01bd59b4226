// The other half of disk_fault.hpp: loaded before the C library into the process under test, it answers
// for the calls that change files.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>

#include "support/disk_fault.hpp"

namespace {

using holdfast::drills::DiskFaultPage;
using holdfast::drills::DiskState;

DiskFaultPage* map_page() {
  const char* const path = std::getenv("DISK_FAULT_PAGE");
  if (path == nullptr) return nullptr;
  const int fd = static_cast<int>(::open(path, O_RDWR | O_CLOEXEC));
  if (fd < 0) return nullptr;
  void* const memory = ::mmap(nullptr, sizeof(DiskFaultPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return memory == MAP_FAILED ? nullptr : static_cast<DiskFaultPage*>(memory);
}

DiskFaultPage* the_page = nullptr;
__attribute__((constructor)) void load() { the_page = map_page(); }

DiskState state() {
  return the_page == nullptr ? DiskState::works : static_cast<DiskState>(the_page->state.load());
}

bool is_file(int fd) {
  struct stat what {};
  return fd > STDERR_FILENO && ::fstat(fd, &what) == 0 && S_ISREG(what.st_mode);
}

/// The errno of a change that fails now, or 0.
int failure() {
  switch (state()) {
    case DiskState::full: return ENOSPC;
    case DiskState::read_only: return EROFS;
    case DiskState::broken: return EIO;
    default: return 0;
  }
}

bool refuses() {
  const int code = failure();
  if (code == 0) return false;
  ++the_page->refused;
  errno = code;
  return true;
}

bool refuses(int fd) { return failure() != 0 && is_file(fd) && refuses(); }

bool refuses_at(int fd, off64_t end) {
  if (state() != DiskState::cannot_grow) return refuses(fd);
  struct stat what {};
  if (!is_file(fd) || ::fstat(fd, &what) != 0 || end <= what.st_size) return false;
  ++the_page->refused;
  errno = ENOSPC;
  return true;
}

bool refuses_sync(int fd) { return state() == DiskState::broken && is_file(fd) && refuses(); }

/// The next definition of a function, looked up once.
template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

template <class Open>
int open_with(Open* real, const char* path, int flags, mode_t mode) {
  const bool makes = (flags & O_CREAT) != 0 && ::access(path, F_OK) != 0;
  if ((makes || (flags & O_TRUNC) != 0) && refuses()) return -1;
  return real(path, flags, mode);
}

mode_t mode_of(int flags, va_list& arguments) {
  return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  static auto* const real = next<int(const char*, int, ...)>("open");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_with(real, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  static auto* const real = next<int(const char*, int, ...)>("open64");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_with(real, path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t count) {
  static auto* const real = next<ssize_t(int, const void*, size_t)>("write");
  return refuses(fd) ? -1 : real(fd, bytes, count);
}

ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  static auto* const real = next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  return refuses_at(fd, offset + static_cast<off_t>(count)) ? -1 : real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
  static auto* const real = next<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  return refuses_at(fd, offset + static_cast<off64_t>(count)) ? -1 : real(fd, bytes, count, offset);
}

int ftruncate(int fd, off_t length) noexcept {
  static auto* const real = next<int(int, off_t)>("ftruncate");
  return refuses(fd) ? -1 : real(fd, length);
}

int ftruncate64(int fd, off64_t length) noexcept {
  static auto* const real = next<int(int, off64_t)>("ftruncate64");
  return refuses(fd) ? -1 : real(fd, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  static auto* const real = next<int(int, int, off64_t, off64_t)>("fallocate64");
  return refuses(fd) ? -1 : real(fd, mode, offset, length);
}

int fsync(int fd) {
  static auto* const real = next<int(int)>("fsync");
  return refuses_sync(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
  static auto* const real = next<int(int)>("fdatasync");
  return refuses_sync(fd) ? -1 : real(fd);
}

int link(const char* from, const char* to) noexcept {
  static auto* const real = next<int(const char*, const char*)>("link");
  if (refuses()) return -1;
  const int result = real(from, to);
  if (state() != DiskState::hold_after_link) return result;
  const int code = errno;
  ++the_page->held;
  while (state() == DiskState::hold_after_link) ::usleep(1000);
  --the_page->held;
  errno = code;
  return result;
}
}
