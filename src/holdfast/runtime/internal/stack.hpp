// The memory a fiber runs on: mapped pages with an unmapped guard page below, so that an overflow is a
// crash at the spot and not a corrupted neighbour.
#pragma once

#include <cstddef>

namespace holdfast::runtime {

class Stack {
 public:
  /// At least `bytes` usable, rounded up to pages. Throws Error(unavailable) when the system has no
  /// address space left.
  explicit Stack(std::size_t bytes);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void* bottom() const noexcept { return usable_; }  ///< lowest usable address
  void* top() const noexcept { return static_cast<char*>(usable_) + bytes_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  void* mapping_;
  void* usable_;
  std::size_t bytes_;
};

}  // namespace holdfast::runtime
