// A blob store in this process's memory: for tests, and for developing without any. Lost with the process.
//
//   MemoryStore store(clock);
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "holdfast/blob/store.hpp"

namespace holdfast::blob {

class MemoryStore final : public Store {
 public:
  /// `clock` is borrowed. Over `max_bytes` in all, puts are refused: Error(unavailable, "blob_store_full").
  explicit MemoryStore(const Clock& clock, std::uint64_t max_bytes = 1024ULL * 1024 * 1024)
      : clock_(clock), max_bytes_(max_bytes) {}

  Info put(const Context& ctx, std::string_view name, Reader& bytes, const PutOptions& options = {}) override;
  Info get(const Context& ctx, std::string_view name, const Sink& sink,
           const GetOptions& options = {}) override;
  std::optional<Info> head(const Context& ctx, std::string_view name) override;
  void remove(const Context& ctx, std::string_view name) override;
  Page list(const Context& ctx, std::string_view prefix, std::string_view after = {},
            std::size_t limit = kMaxPage) override;

  /// Changes a byte in the middle, as a failing disk would. For tests and drills.
  void tamper(std::string_view name);

 private:
  struct Kept {
    Info info;
    std::string bytes;
  };
  const Clock& clock_;
  const std::uint64_t max_bytes_;
  std::mutex mutex_;
  std::uint64_t total_ = 0;
  // Shared: a get goes on reading what was there when it began, also when it is replaced.
  std::map<std::string, std::shared_ptr<const Kept>, std::less<>> blobs_;
};

}  // namespace holdfast::blob
