// How a line of the log is written, in JSON or for people.
// Thread-safety: pure functions on their arguments.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "holdfast/observe/log.hpp"

namespace holdfast::observe {

/// Text that is put together on the stack, bounded, and cut (with a mark) where it would be longer.
class LineBuffer {
 public:
  static constexpr std::size_t kInline = 2048;

  explicit LineBuffer(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  void push(char c) {
    if (size_ == capacity_) grow(1);
    if (size_ < capacity_) data()[size_++] = c;
  }
  void append(std::string_view text);
  std::size_t room() const noexcept { return max_bytes_ - size_; }
  std::string_view view() const noexcept { return {large_.empty() ? inline_ : large_.data(), size_}; }

 private:
  char* data() noexcept { return large_.empty() ? inline_ : large_.data(); }
  void grow(std::size_t by);

  std::size_t max_bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = kInline;
  std::string large_;
  char inline_[kInline];
};

struct LineStyle {
  bool json = true;
  bool colour = false;
};

/// `,"name":value` each in JSON, ` name=value` each in text. What does not fit is left out and counted.
void append_fields(LineBuffer& out, LineStyle style, std::span<const LogField> fields);

struct LineHead {
  WallTime time;
  LogLevel level;
  std::string_view logger;
  std::string_view message;
  const LogScope* scope;
};

/// A whole line with its line feed. `bound` is what append_fields() made of a logger's own fields.
void append_line(LineBuffer& out, LineStyle style, const LineHead& head, std::string_view bound,
                 std::span<const LogField> fields);

}  // namespace holdfast::observe
