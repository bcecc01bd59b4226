// What a replay has been acknowledged so far, in a file of its own: one JSON line an invoice, appended
// as it comes. A replay that is run again with it sends only the rest. Without one, running again is
// safe too as long as the server remembers the idempotency keys; the file has no such end.
//
//   StateFile state(path, url, fingerprint);     // reads what is there
//   state.add("536365", {.order_id = …});
//
// Lines are flushed to the system each time and to the disk at close(); a last line torn by a crash is
// ignored, and its order sent again under the same key. Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace holdfast::cli {

/// What the server said of an order it took.
struct Acknowledged {
  std::string order_id;
  std::int64_t total_minor = 0;
  std::string currency;
  std::uint64_t lines_hash = 0;  ///< of sku, quantity and price of each line
  bool operator==(const Acknowledged&) const = default;
};

class StateFile {
 public:
  /// An empty `path` keeps everything in memory only. Throws Error: invalid_argument/"usage" where the
  /// file belongs to another server or another input, or is no such file; unavailable where it can't be
  /// opened.
  StateFile(const std::string& path, std::string_view url, std::string_view input);
  ~StateFile();

  const std::unordered_map<std::string, Acknowledged>& orders() const noexcept { return orders_; }
  const Acknowledged* find(const std::string& invoice) const noexcept;
  void add(const std::string& invoice, const Acknowledged& acknowledged);

  /// Throws Error(unavailable) where something could not be written.
  void close();

 private:
  struct Closer {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  std::uint64_t load(const std::string& header);
  void take(std::string_view line);

  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
  std::unordered_map<std::string, Acknowledged> orders_;
};

}  // namespace holdfast::cli
