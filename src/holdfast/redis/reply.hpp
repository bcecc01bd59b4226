// Reply: one answer of Redis (RESP2), and what a refusal among them means.
//
//   const Reply left = client.command(ctx, {"PTTL", key});
//   if (left.as_integer() < 0) …
//
// Thread-safety: a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/error.hpp"

namespace holdfast::redis {

struct Reply {
  enum class Kind : std::uint8_t { nil, text, status, integer, array, error };

  Kind kind = Kind::nil;
  std::string text;  ///< of text, status ("OK") and error ("WRONGTYPE …")
  std::int64_t integer = 0;
  std::vector<Reply> elements;

  bool nil() const noexcept { return kind == Kind::nil; }
  bool ok() const noexcept { return kind == Kind::status && text == "OK"; }
  bool error() const noexcept { return kind == Kind::error; }
  /// "NOSCRIPT" of "NOSCRIPT No matching script."; empty for what is no error.
  std::string_view error_word() const noexcept;

  // Each throws Error(internal, "redis_answer_unexpected") where it is something else.
  std::int64_t as_integer() const;
  const std::string& as_text() const;  ///< also of a status
  const std::vector<Reply>& as_array() const;
};

/// What Redis refused, as an Error. Can't now: unavailable with reason redis_loading, redis_script_running,
/// redis_read_only, redis_out_of_memory, redis_cluster_moved, redis_not_writable. Misconfigured: unavailable
/// with redis_auth_failed. All else is a defect of ours: internal, "redis_command_refused".
Error to_error(const Reply& refused);

}  // namespace holdfast::redis
