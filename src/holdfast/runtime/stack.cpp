#include "holdfast/runtime/internal/stack.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/internal/sanitizers.hpp"

#ifdef HOLDFAST_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace holdfast::runtime {

Stack::Stack(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  bytes_ = (bytes + page - 1) / page * page;
  mapping_ = ::mmap(nullptr, bytes_ + page, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapping_ == MAP_FAILED || ::mprotect(mapping_, page, PROT_NONE) != 0) {
    if (mapping_ != MAP_FAILED) ::munmap(mapping_, bytes_ + page);
    throw Error(ErrorCode::unavailable, "There is no memory for another concurrent request.")
        .reason("no_fiber_stack")
        .retry_after(std::chrono::seconds(1));
  }
  usable_ = static_cast<char*>(mapping_) + page;
}

Stack::~Stack() {
#ifdef HOLDFAST_ASAN
  __asan_unpoison_memory_region(usable_,
                                bytes_);  // frames that were never left marked it; the next mapping is new
#endif
  const auto guard = static_cast<std::size_t>(static_cast<char*>(usable_) - static_cast<char*>(mapping_));
  ::munmap(mapping_, bytes_ + guard);
}

}  // namespace holdfast::runtime
