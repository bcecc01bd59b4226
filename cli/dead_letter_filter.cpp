#include "cli/dead_letter_filter.hpp"

#include <fmt/format.h>

#include "holdfast/base/error.hpp"
#include "holdfast/base/time_text.hpp"

namespace holdfast::cli {

namespace {

Error usage(std::string message) {
  return Error(ErrorCode::invalid_argument, std::move(message)).reason("usage");
}

template <class T>
void set_once(std::optional<T>& slot, T value, std::string_view name) {
  if (slot) throw usage(fmt::format("--filter {} is given twice.", name));
  slot = std::move(value);
}

WallTime parse_time(std::string_view name, std::string_view value) {
  const auto time = parse_rfc3339(value);
  if (!time)
    throw usage(fmt::format("--filter {}={}: that is no time such as 2026-01-31T12:30:00Z.", name, value));
  return *time;
}

}  // namespace

messaging::DeadLetterFilter parse_dead_letter_filter(const std::vector<std::string>& assignments) {
  messaging::DeadLetterFilter filter;
  for (const std::string_view assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    const std::string_view name = assignment.substr(0, equals);
    if (equals == std::string_view::npos || equals + 1 == assignment.size()) {
      throw usage(
          fmt::format("--filter takes KEY=VALUE, such as group=receipts; \"{}\" is not that.", assignment));
    }
    const std::string value(assignment.substr(equals + 1));
    if (name == "group") {
      set_once(filter.group, value, name);
    } else if (name == "topic") {
      set_once(filter.topic, value, name);
    } else if (name == "type") {
      set_once(filter.type, value, name);
    } else if (name == "key") {
      set_once(filter.key, value, name);
    } else if (name == "error") {
      set_once(filter.error_contains, value, name);
    } else if (name == "from") {
      set_once(filter.dead_from, parse_time(name, value), name);
    } else if (name == "before") {
      set_once(filter.dead_before, parse_time(name, value), name);
    } else {
      throw usage(
          fmt::format("--filter {}: known are group, topic, type, key, error, from and before.", assignment));
    }
  }
  return filter;
}

}  // namespace holdfast::cli
