// All that this process depends on outside of itself, by name: a Pipeline each, made from settings, shown
// and switched by operators.
//
//   Dependencies dependencies(settings.dependencies, {clock, random, metrics, log.logger("dependency")});
//   Pipeline& payments = dependencies.add("payments");
//   …
//   dependencies.report_unknown();        // names in the settings that nothing is called by
//   dependencies.open("payments", "the provider asked us to stop");
//
// Thread-safety: any thread. Pipelines live as long as it does.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/resilience/pipeline.hpp"

namespace holdfast::resilience {

using DependencyMap = std::map<std::string, DependencySettings>;

class Dependencies {
 public:
  struct Named {
    std::string name;
    PipelineView view;
  };

  /// What `parts` refers to must outlive it.
  Dependencies(DependencyMap settings, const PipelineParts& parts);
  ~Dependencies();
  Dependencies(const Dependencies&) = delete;
  Dependencies& operator=(const Dependencies&) = delete;

  /// The pipeline `name`, made from its settings; without settings from `defaults`. The same name gives the
  /// same pipeline again, and what else is given is then ignored. Throws as Pipeline does.
  Pipeline& add(std::string_view name, const PipelineOptions& defaults = {},
                PipelineJudgements judgements = {});

  /// Throws Error(not_found, "unknown_dependency"), naming those there are.
  Pipeline& at(std::string_view name);

  /// In order of their names.
  std::vector<Named> view() const;

  /// Names that have settings and no pipeline: misspelt, or of a part that is switched off.
  std::vector<std::string> unknown() const;
  /// Warns of each in the log. Call it when all have been added.
  void report_unknown() const;

  /// By hand, until reset(); `why` goes to the log. Throw as at().
  void open(std::string_view name, std::string_view why) { at(name).open(why); }
  void close(std::string_view name, std::string_view why) { at(name).close(why); }
  void reset(std::string_view name, std::string_view why) { at(name).reset(why); }

 private:
  const DependencyMap settings_;
  const PipelineParts parts_;
  mutable std::mutex mutex_;  // guards the map; pipelines are not moved
  std::map<std::string, std::unique_ptr<Pipeline>, std::less<>> pipelines_;
};

}  // namespace holdfast::resilience
