// One request and its response while they are under way: the bytes received, what was parsed of them,
// the bytes to be sent. A connection borrows an Exchange from its loop's Shard when bytes come, and
// gives it back when it falls idle: that is why ten thousand idle connections cost little.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "holdfast/http/parser.hpp"
#include "holdfast/http/request.hpp"
#include "holdfast/runtime/cancellation.hpp"

namespace holdfast::http {

/// Bytes received. The current request starts at `begin`; `at` is where its parsing has come to.
class InputBuffer {
 public:
  static constexpr std::size_t kInitialBytes = 8 * 1024;

  std::string_view from_begin() const noexcept { return {bytes_.get() + begin, end - begin}; }
  std::string_view from_at() const noexcept { return {bytes_.get() + at, end - at}; }
  bool empty() const noexcept { return begin == end; }
  char* space() noexcept { return bytes_.get() + end; }
  std::size_t room() const noexcept { return capacity_ - end; }
  std::size_t capacity() const noexcept { return capacity_; }

  /// Moves the current request to the front. Invalidates views.
  void rebase() noexcept {
    if (begin == 0) return;
    std::memmove(bytes_.get(), bytes_.get() + begin, end - begin);
    end -= begin;
    at -= begin;
    begin = 0;
  }

  /// Moves what hasn't been parsed (from `at`) down to `floor`. Views below `floor` stay valid.
  void compact(std::size_t floor) noexcept {
    std::memmove(bytes_.get() + floor, bytes_.get() + at, end - at);
    end -= at - floor;
    at = floor;
  }

  /// Invalidates views.
  void grow(std::size_t capacity) {
    if (capacity <= capacity_) return;
    auto bigger = std::make_unique_for_overwrite<char[]>(capacity);
    if (bytes_) std::memcpy(bigger.get(), bytes_.get(), end);
    bytes_ = std::move(bigger);
    capacity_ = capacity;
  }

  /// The next request begins where this one ended.
  void advance() noexcept {
    begin = at;
    if (begin == end) begin = at = end = 0;
  }

  void clear() noexcept { begin = at = end = 0; }

  std::size_t begin = 0;
  std::size_t at = 0;
  std::size_t end = 0;

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_ = 0;
};

struct Exchange {
  static constexpr std::size_t kMaxKeptBytes = 16 * 1024;  // of a buffer in the pool

  explicit Exchange(const ParserLimits& limits) : parser(limits) { in.grow(InputBuffer::kInitialBytes); }

  InputBuffer in;
  RequestParser parser;
  Request request;
  std::string body;            // a buffered body that isn't in one piece in `in`
  std::size_t body_bytes = 0;  // received of the body so far, decoded
  std::size_t max_body_bytes = 0;
  bool store_body = false;       // false: nobody will read it, only count it
  std::optional<Error> refusal;  // decided before the handler
  std::optional<runtime::CancellationSource> cancellation;

  std::string out;       // response heads and small bodies
  std::size_t sent = 0;  // of `out`, then of `tail`
  std::string tail;      // a large body, sent after `out` without being copied

  bool has_output() const noexcept { return sent < out.size() + tail.size(); }

  /// For the next request of the same connection; what is to be sent stays.
  void next_request() {
    parser.reset();
    request.clear();
    if (body.capacity() > kMaxKeptBytes) body = std::string();
    body.clear();
    body_bytes = max_body_bytes = 0;
    store_body = false;
    refusal.reset();
    cancellation.reset();
  }

  void output_was_sent() {
    if (out.capacity() > kMaxKeptBytes) out = std::string();
    if (tail.capacity() > 0) tail = std::string();
    out.clear();
    sent = 0;
  }

  /// Whether it is small enough to be kept for another connection.
  bool worth_keeping() const noexcept { return in.capacity() <= kMaxKeptBytes; }
};

}  // namespace holdfast::http
