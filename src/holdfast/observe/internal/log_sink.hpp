// Where log lines wait for being written, and how they are, without ever waiting for whoever reads
// them.
//
// Thread-safety: everything from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace holdfast::observe {

class LogSink {
 public:
  /// Writes to `write` where it is set, else to `descriptor`.
  LogSink(int descriptor, std::function<void(std::string_view)> write, std::size_t max_buffered_bytes,
          std::size_t write_at_bytes);

  /// Takes a line or drops it. `urgent`: tries to write it now.
  void append(std::string_view line, bool urgent) noexcept;

  /// Writes what the reader takes; for one that is slow, waits `patience_milliseconds` in all.
  void flush(int patience_milliseconds = 0) noexcept;

  std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }
  std::uint64_t taken() const noexcept { return taken_.load(std::memory_order_relaxed); }

 private:
  void drain() noexcept;
  bool write_out(int patience_milliseconds) noexcept;
  bool writable(int patience_milliseconds) const noexcept;

  const int descriptor_;
  const std::function<void(std::string_view)> write_;
  const std::size_t max_buffered_;
  const std::size_t write_at_;
  const bool regular_file_;

  std::mutex buffer_mutex_;  // short: an append, a swap
  std::string pending_;
  std::atomic<std::size_t> unwritten_{0};  // bytes in pending_ and writing_

  std::mutex write_mutex_;  // held while writing; taken before buffer_mutex_
  std::string writing_;
  std::size_t written_of_it_ = 0;

  std::atomic<bool> wanted_{false};  // somebody wants pending_ written and could not do it himself
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> taken_{0};
};

}  // namespace holdfast::observe
