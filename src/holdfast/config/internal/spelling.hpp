// Names of settings as variables, and guesses at what a misspelt name was meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace holdfast::config {

/// "HOLDFAST_", "http.idle_timeout": "HOLDFAST_HTTP_IDLE_TIMEOUT".
std::string variable_name(std::string_view prefix, std::string_view path);

/// "; did you mean NAME?", or empty where none of `known` is near.
std::string suggestion(std::string_view given, const std::vector<std::string_view>& known);

}  // namespace holdfast::config
