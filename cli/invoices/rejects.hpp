// What was not taken, and why: counted by reason, the first ones kept to be shown, all of them written
// to a CSV file where one is wanted.
//
//   Rejects rejects(path);             // "" for no file
//   rejects.add(line, "zero_price", "price 0.00", fields);
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::cli {

class Rejects {
 public:
  static constexpr std::size_t kShown = 20;

  struct Reject {
    std::uint64_t line;
    std::string reason;
    std::string detail;
  };

  /// Throws Error(unavailable) where the file can't be written.
  explicit Rejects(const std::string& path = {});

  /// `reason` is stable and snake_case; `fields` the record as it was, if there was one.
  void add(std::uint64_t line, std::string_view reason, std::string detail,
           std::span<const std::string_view> fields = {});

  std::uint64_t total() const noexcept { return total_; }
  const std::map<std::string, std::uint64_t, std::less<>>& by_reason() const noexcept { return by_reason_; }
  const std::vector<Reject>& first() const noexcept { return first_; }

  /// Closes the file. Throws Error(unavailable) where not all of it could be written.
  void close();

 private:
  struct Closer {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
  std::uint64_t total_ = 0;
  std::map<std::string, std::uint64_t, std::less<>> by_reason_;
  std::vector<Reject> first_;
};

}  // namespace holdfast::cli
