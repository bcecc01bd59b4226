#include "holdfast/observe/internal/log_sink.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <exception>
#include <utility>

namespace holdfast::observe {

namespace {

bool is_regular_file(int descriptor) noexcept {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

LogSink::LogSink(int descriptor, std::function<void(std::string_view)> write, std::size_t max_buffered_bytes,
                 std::size_t write_at_bytes)
    : descriptor_(descriptor),
      write_(std::move(write)),
      max_buffered_(max_buffered_bytes),
      write_at_(std::min(write_at_bytes, max_buffered_bytes)),
      regular_file_(is_regular_file(descriptor)) {
  pending_.reserve(2 * write_at_);
  writing_.reserve(2 * write_at_);
}

void LogSink::append(std::string_view line, bool urgent) noexcept {
  bool due = false;
  try {
    const std::lock_guard lock(buffer_mutex_);
    if (unwritten_.load(std::memory_order_relaxed) + line.size() > max_buffered_) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
    } else {
      pending_.append(line);
      unwritten_.fetch_add(line.size(), std::memory_order_relaxed);
      taken_.fetch_add(1, std::memory_order_relaxed);
    }
    due = urgent || pending_.size() >= write_at_;
  } catch (const std::bad_alloc&) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
  }
  if (due) drain();
}

void LogSink::flush(int patience_milliseconds) noexcept {
  {
    const std::lock_guard lock(write_mutex_);
    if (!write_out(patience_milliseconds)) return;
  }
  if (wanted_.load()) drain();  // an urgent line came while this held the lock
}

/// Writes, or leaves it to whoever is writing: a caller waits for nobody's write but his own.
void LogSink::drain() noexcept {
  wanted_.store(true);
  while (wanted_.load()) {
    const std::unique_lock lock(write_mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return;  // the holder looks at wanted_ again after it has let go
    wanted_.store(false);
    if (!write_out(0)) return;
  }
}

bool LogSink::writable(int patience_milliseconds) const noexcept {
  pollfd waiting{.fd = descriptor_, .events = POLLOUT, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, patience_milliseconds);
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

/// False where the reader takes no more for now. The caller holds write_mutex_.
bool LogSink::write_out(int patience_milliseconds) noexcept {
  while (true) {
    if (written_of_it_ == writing_.size()) {
      writing_.clear();
      written_of_it_ = 0;
      const std::lock_guard lock(buffer_mutex_);
      if (pending_.empty()) return true;
      std::swap(pending_, writing_);
    }
    const std::string_view rest = std::string_view(writing_).substr(written_of_it_);
    std::size_t done = 0;
    if (write_) {
      try {
        write_(rest);
      } catch (const std::exception&) {
        dropped_.fetch_add(static_cast<std::uint64_t>(std::ranges::count(rest, '\n')),
                           std::memory_order_relaxed);
      }
      done = rest.size();
    } else {
      // The descriptor is shared with other processes, so O_NONBLOCK is not ours to set. A pipe or a
      // terminal that polls writable takes PIPE_BUF bytes without blocking.
      if (!regular_file_ && !writable(patience_milliseconds)) return false;
      const std::size_t chunk = regular_file_ ? rest.size() : std::min<std::size_t>(rest.size(), PIPE_BUF);
      const ssize_t wrote = ::write(descriptor_, rest.data(), chunk);
      if (wrote > 0) {
        done = static_cast<std::size_t>(wrote);
      } else if (wrote < 0 && errno == EINTR) {
        continue;
      } else if (wrote < 0 && errno == EAGAIN) {
        return false;
      } else {  // closed, disk full, …: these lines can't be had; later ones may
        dropped_.fetch_add(static_cast<std::uint64_t>(std::ranges::count(rest, '\n')),
                           std::memory_order_relaxed);
        done = rest.size();
      }
    }
    written_of_it_ += done;
    unwritten_.fetch_sub(done, std::memory_order_relaxed);
  }
}

}  // namespace holdfast::observe
