// A string that must not be shown: it prints as "***" everywhere, and is read with reveal() where it is
// needed and nowhere else.
//
// Thread-safety: a value.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/text_form.hpp"

namespace holdfast::config {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}

  const std::string& reveal() const noexcept { return value_; }
  bool empty() const noexcept { return value_.empty(); }

 private:
  std::string value_;
};

/// The first line of the file a secret refers to, without its line feed; further lines are refused, and
/// more than 64 KiB. On failure empty, with `problem` saying why ("can't be read: Permission denied").
std::optional<Secret> read_secret_file(const std::string& path, std::string& problem);

}  // namespace holdfast::config

template <>
struct holdfast::TextForm<holdfast::config::Secret> {
  static void append(std::string& out, const config::Secret& secret) { out += secret.empty() ? "" : "***"; }
  static std::optional<config::Secret> parse(std::string_view text) {
    return config::Secret(std::string(text));
  }
  static constexpr TextSchema schema{.what = "a secret"};
};
