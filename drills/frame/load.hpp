// Load: requests at a rate that does not wait for answers (open loop), or as fast as answers come back
// (closed loop), from a thread of its own over kept-alive connections. Latency counts from when a request
// was due: a slow server can't slow its own measurement down.
//
//   Load load({.port = port, .api_key = key, .rate = 200, .next = orders("quiet", shop), .journal =
//   &journal}); stage.wait(5s); const LoadFigures figures = load.finish();           figures.p(0.99),
//   figures.goodput()
//
// Thread-safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drills/frame/journal.hpp"
#include "drills/frame/shop.hpp"

namespace holdfast::drills {

struct LoadRequest {
  std::string target;
  std::optional<OrderRequest> order;  ///< none: a GET
};

/// What to ask for next; the number counts from 0.
using NextRequest = std::function<LoadRequest(std::uint64_t number)>;

/// Orders of one piece, each of a customer of its own, named `name`-<number>. Every second one is delivered.
NextRequest orders(std::string name, const Shop& shop);
/// Product pages.
NextRequest browsing(const Shop& shop);

struct LoadOptions {
  std::uint16_t port = 0;
  std::string api_key;
  double rate = 0;               ///< requests a second; 0: a closed loop
  std::size_t connections = 32;  ///< most requests under way
  /// Its thread takes only the processor time that nobody else wants, as a client on a machine of its own
  /// would: for crowds that must not slow the programs down by their own work.
  bool humble = false;
  NextRequest next;
  Journal* journal = nullptr;                  ///< borrowed; is told of orders asked for and answered
  std::chrono::milliseconds patience{10'000};  ///< with one answer
  std::chrono::milliseconds in_time{1'000};    ///< a good answer that took longer is no good any more
};

struct LoadFigures {
  std::uint64_t due = 0;         ///< requests that should have been sent
  std::uint64_t good = 0;        ///< 2xx, in time
  std::uint64_t late = 0;        ///< 2xx, and too late
  std::uint64_t refused = 0;     ///< 429 and 503
  std::uint64_t failed = 0;      ///< any other answer
  std::uint64_t unanswered = 0;  ///< connection closed, refused, or out of patience
  std::uint64_t unsent = 0;      ///< no connection was free in time
  double seconds = 0;
  std::vector<float> latencies;  ///< of 2xx, in seconds, sorted

  double goodput() const { return seconds > 0 ? static_cast<double>(good) / seconds : 0; }
  double served() const { return due > 0 ? static_cast<double>(good) / static_cast<double>(due) : 0; }
  /// A percentile in milliseconds; 0 where there is nothing.
  double p(double part) const;
  /// Adds another measurement of the same thing.
  void add(const LoadFigures& other);
};

class Load {
 public:
  /// Begins at once.
  explicit Load(LoadOptions options);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  /// Sends nothing new, and returns when everything under way was answered or given up.
  LoadFigures finish();

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace holdfast::drills
