#include "holdfast/runtime/lifecycle.hpp"

#include <utility>

namespace holdfast::runtime {

void Lifecycle::start(std::string name, const std::function<void()>& start,
                      std::function<void(const Context&)> stop) {
  start();
  parts_.push_back({std::move(name), std::move(stop)});
}

bool Lifecycle::stop(const Context& ctx, Duration hard_limit) {
  const Context bounded = ctx.detached().with_timeout(hard_limit);
  bool clean = true;
  while (!parts_.empty()) {
    const Part part = std::move(parts_.back());
    parts_.pop_back();
    try {
      part.stop(bounded);
    } catch (const std::exception& failure) {
      clean = false;
      report_("stopping " + part.name + " did not finish cleanly: " + failure.what());
    }
  }
  return clean;
}

}  // namespace holdfast::runtime
