// Ordered start, reverse-order stop. What was started last is stopped first; a part that failed to
// start stops those before it. Each part's stop gets what is left of one hard limit; a part that
// doesn't make it is reported and passed over, so that one hanging part can't keep the others open.
//
//   Lifecycle parts([&](const std::string& line) { log.warn(line); });
//   parts.start("database", [&] { db = open(); }, [&](const Context& ctx) { db->close(ctx); });
//   parts.start("http",     [&] { server.listen(); }, [&](const Context& ctx) { server.drain(ctx); });
//   ...
//   parts.stop(ctx, 20s);
//
// Used by one fiber at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "holdfast/runtime/context.hpp"

namespace holdfast::runtime {

class Lifecycle {
 public:
  explicit Lifecycle(std::function<void(const std::string&)> report) : report_(std::move(report)) {}

  /// Runs `start` now; remembers `stop`. Rethrows what `start` throws.
  void start(std::string name, const std::function<void()>& start, std::function<void(const Context&)> stop);

  /// Stops all parts, last first, within `hard_limit`. Failures of a stop are reported, not thrown.
  /// True when every part stopped by itself in time.
  bool stop(const Context& ctx, Duration hard_limit);

 private:
  struct Part {
    std::string name;
    std::function<void(const Context&)> stop;
  };
  std::function<void(const std::string&)> report_;
  std::vector<Part> parts_;
};

}  // namespace holdfast::runtime
