#include "holdfast/resilience/dependencies.hpp"

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {

Dependencies::Dependencies(DependencyMap settings, const PipelineParts& parts)
    : settings_(std::move(settings)), parts_(parts) {}

Dependencies::~Dependencies() = default;

Pipeline& Dependencies::add(std::string_view name, const PipelineOptions& defaults,
                            PipelineJudgements judgements) {
  const std::lock_guard lock(mutex_);
  if (const auto found = pipelines_.find(name); found != pipelines_.end()) return *found->second;
  const auto given = settings_.find(std::string(name));
  const PipelineOptions& options = given == settings_.end() ? defaults : given->second;
  auto pipeline = std::make_unique<Pipeline>(std::string(name), options, parts_, std::move(judgements));
  return *pipelines_.emplace(std::string(name), std::move(pipeline)).first->second;
}

Pipeline& Dependencies::at(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (const auto found = pipelines_.find(name); found != pipelines_.end()) return *found->second;
  std::string known;
  for (const auto& [one, pipeline] : pipelines_) known += (known.empty() ? "" : ", ") + one;
  throw Error(ErrorCode::not_found, "There is no dependency " + std::string(name) + ". There " +
                                        (known.empty() ? "are none." : "are: " + known + "."))
      .reason("unknown_dependency");
}

std::vector<Dependencies::Named> Dependencies::view() const {
  const std::lock_guard lock(mutex_);
  std::vector<Named> all;
  for (const auto& [name, pipeline] : pipelines_) all.push_back({name, pipeline->view()});
  return all;
}

std::vector<std::string> Dependencies::unknown() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, settings] : settings_) {
    if (!pipelines_.contains(name)) names.push_back(name);
  }
  return names;
}

void Dependencies::report_unknown() const {
  for (const std::string& name : unknown()) {
    parts_.logger.warn("settings of an unknown dependency", {{"dependency", name}});
  }
}

}  // namespace holdfast::resilience
