// Roll: what is written into the small stream "<prefix>.log", which every process reads whole, and all agree
// on: which set of streams is the log. The first that was made and is not lost is the one; it is ready once
// all of its streams are known to be there. So processes that make one at the same time settle on the first,
// and whoever finds a stream gone says so to all.
//
//   {"made":"k3x9"}  {"ready":"k3x9"}  {"position":4711,"of":"k3x9"}  {"lost":"k3x9"}
//
// Thread-safety: a value.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::messaging::rabbitmq {

struct RollEntry {
  enum class Kind : std::uint8_t { made, ready, lost, position, hello };
  Kind kind = Kind::hello;
  std::string log;
  std::int64_t position = 0;

  std::string text() const;
};

class Roll {
 public:
  /// False, and nothing done, where the text is no entry.
  bool add(std::string_view text);

  /// Empty where there is none.
  const std::string& current() const noexcept;
  bool ready() const noexcept { return ready_.contains(current()); }
  /// The highest that was noted of the current one.
  std::int64_t position() const noexcept;
  bool heard(const std::string& hello) const noexcept { return last_hello_ == hello; }
  std::size_t size() const noexcept { return entries_; }

 private:
  std::vector<std::string> made_;
  std::set<std::string, std::less<>> lost_;
  std::set<std::string, std::less<>> ready_;
  std::map<std::string, std::int64_t, std::less<>> positions_;
  std::string last_hello_;
  std::size_t entries_ = 0;
};

}  // namespace holdfast::messaging::rabbitmq
