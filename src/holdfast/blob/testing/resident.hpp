// For tests of constant memory: what this process holds in RAM, and streams that hold nothing.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "holdfast/blob/store.hpp"

namespace holdfast::blob {

inline std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// False where a sanitizer keeps what was freed, so that what is resident tells nothing of what is used.
constexpr bool resident_bytes_tell() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return false;
#else
  return true;
#endif
#else
  return true;
#endif
}

/// `size` zeros; looks at the memory while it is read.
class ZeroReader final : public Reader {
 public:
  explicit ZeroReader(std::uint64_t size) : left_(size) {}
  std::string_view read(const Context&) override {
    most_resident = std::max(most_resident, resident_bytes());
    const std::string_view piece =
        std::string_view(zeros_).substr(0, std::min<std::uint64_t>(left_, zeros_.size()));
    left_ -= piece.size();
    return piece;
  }
  std::uint64_t most_resident = 0;

 private:
  const std::string zeros_ = std::string(100'000, '\0');
  std::uint64_t left_;
};

}  // namespace holdfast::blob
