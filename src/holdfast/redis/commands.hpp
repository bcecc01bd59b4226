// What is sent to Redis: commands that travel together and are answered one by one, in order.
//
//   Commands both;
//   both.add({"GET", key}).add({"PTTL", key});
//   const std::vector<Reply> answers = client.commands(ctx, both);
//
//   const Script take("return redis.call('decrby', KEYS[1], ARGV[1])");     // once; then client.eval()
//
// Thread-safety: values; share a Script freely.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace holdfast::redis {

class Commands {
 public:
  Commands() = default;
  explicit Commands(std::initializer_list<std::string_view> words) { add(words); }

  Commands& add(std::initializer_list<std::string_view> words) {
    return add(std::span<const std::string_view>(words.begin(), words.size()));
  }
  Commands& add(std::span<const std::string_view> words);

  std::size_t count() const noexcept { return count_; }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
  std::size_t count_ = 0;
};

/// Lua that Redis runs whole or not at all. Sent once a server, then called by its SHA-1.
class Script {
 public:
  explicit Script(std::string source);
  const std::string& source() const noexcept { return source_; }
  const std::string& sha1() const noexcept { return sha1_; }  ///< 40 hex digits

 private:
  std::string source_;
  std::string sha1_;
};

}  // namespace holdfast::redis
