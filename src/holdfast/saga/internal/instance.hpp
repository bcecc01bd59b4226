// A saga as the worker that runs it holds it in memory.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "holdfast/saga/internal/progress.hpp"

namespace holdfast::saga::internal {

struct Instance {
  std::string id;
  std::string key;
  std::shared_ptr<const detail::Plan> plan;  // shared with its Sagas and other sagas of the definition
  int bucket = 0;
  std::int64_t fence = 0;     ///< of the bucket's lease
  std::int64_t revision = 0;  ///< of the row; each commit raises it
  Progress at;
  std::string state_json;
  std::shared_ptr<void> state;  ///< of the definition's State; made when it is first needed
  std::optional<std::string> cancel_reason;
  std::string traceparent;
  std::string request_id;
  WallTime started_at{};
  WallTime updated_at{};
  std::int64_t history_bytes = 0;
  bool suspect = false;    ///< a process may have died while it was at this step
  bool announced = false;  ///< and that is counted in at.starts already

  void* state_for_use() {
    if (!state) state = plan->parse(state_json);
    return state.get();
  }
};

}  // namespace holdfast::saga::internal
