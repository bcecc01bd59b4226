#include "support/disk_fault.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>
#include <stdexcept>

namespace holdfast::drills {

DiskFault::DiskFault(const std::filesystem::path& file) : file_(file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  // Also for a server that gives up root's rights.
  if (fd < 0 || ::fchmod(fd, 0666) != 0 || ::ftruncate(fd, sizeof(DiskFaultPage)) != 0)
    throw std::runtime_error("making " + file.string());
  void* const memory = ::mmap(nullptr, sizeof(DiskFaultPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (memory == MAP_FAILED) throw std::runtime_error("mapping " + file.string());
  page_ = new (memory) DiskFaultPage;
}

DiskFault::~DiskFault() { ::munmap(page_, sizeof(DiskFaultPage)); }

std::map<std::string, std::string> DiskFault::environment() const {
  return {{"LD_PRELOAD", DISK_FAULT_LIBRARY}, {"DISK_FAULT_PAGE", file_.string()}};
}

}  // namespace holdfast::drills
