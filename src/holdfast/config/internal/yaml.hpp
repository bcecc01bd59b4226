// YAML read as a Tree: one document of maps, lists and texts. Aliases (and so their bombs), tags,
// duplicate keys, and anything deep or large are refused.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/config/tree.hpp"

namespace holdfast::config {

inline constexpr std::size_t kMaxYamlBytes = 1 << 20;
inline constexpr std::size_t kMaxYamlNodes = 100'000;
inline constexpr std::size_t kMaxYamlMembers = 1'000;  // of one map; they are searched one by one
inline constexpr std::size_t kMaxYamlDepth = 32;

/// `name` is used in origins: "holdfast.yaml:12".
Tree parse_yaml(std::string_view text, const std::string& name, Faults& faults);

}  // namespace holdfast::config
