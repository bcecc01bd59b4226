// Bytes from Redis into Replies: hiredis' parser, with limits of ours. Thread-safety: one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/redis/reply.hpp"

struct redisReader;

namespace holdfast::redis::internal {

class ReplyReader {
 public:
  static constexpr int kMaxElements = 1 << 20;  // of one array

  explicit ReplyReader(std::size_t max_reply_bytes);
  ~ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;

  /// Then take next() until it is empty.
  void feed(std::string_view bytes);
  /// Empty where more bytes are needed. Throws Error(unavailable, "redis_protocol_broken" or
  /// "redis_reply_too_large"); the connection is of no use after that.
  std::optional<Reply> next();

 private:
  struct Free {
    void operator()(redisReader* reader) const noexcept;
  };
  std::unique_ptr<redisReader, Free> reader_;
  const std::size_t max_reply_bytes_;
  std::size_t pending_bytes_ = 0;  // fed since the last whole reply
};

}  // namespace holdfast::redis::internal
