#include "holdfast/redis/reply.hpp"

namespace holdfast::redis {
namespace {

[[noreturn]] void unexpected(const Reply& reply, std::string_view wanted) {
  if (reply.error()) throw to_error(reply);
  throw Error(ErrorCode::internal, "Redis answered something that was not expected.")
      .reason("redis_answer_unexpected")
      .cause(std::string("wanted ").append(wanted).append(", got kind ") +
             std::to_string(static_cast<int>(reply.kind)));
}

struct Meaning {
  std::string_view word;
  std::string_view reason;
};

constexpr Meaning kPassing[] = {
    {"LOADING", "redis_loading"},         {"BUSY", "redis_script_running"},
    {"READONLY", "redis_read_only"},      {"OOM", "redis_out_of_memory"},
    {"MOVED", "redis_cluster_moved"},     {"ASK", "redis_cluster_moved"},
    {"TRYAGAIN", "redis_cluster_moved"},  {"CLUSTERDOWN", "redis_cluster_moved"},
    {"MISCONF", "redis_not_writable"},    {"NOREPLICAS", "redis_not_writable"},
    {"MASTERDOWN", "redis_not_writable"}, {"NOAUTH", "redis_auth_failed"},
    {"WRONGPASS", "redis_auth_failed"},   {"NOPERM", "redis_auth_failed"},
};

}  // namespace

std::string_view Reply::error_word() const noexcept {
  if (!error()) return {};
  return std::string_view(text).substr(0, text.find(' '));
}

std::int64_t Reply::as_integer() const {
  if (kind != Kind::integer) unexpected(*this, "an integer");
  return integer;
}

const std::string& Reply::as_text() const {
  if (kind != Kind::text && kind != Kind::status) unexpected(*this, "a text");
  return text;
}

const std::vector<Reply>& Reply::as_array() const {
  if (kind != Kind::array) unexpected(*this, "an array");
  return elements;
}

Error to_error(const Reply& refused) {
  const std::string_view word = refused.error_word();
  for (const Meaning& meaning : kPassing) {
    if (word != meaning.word) continue;
    return Error(ErrorCode::unavailable, "Redis can't do that now.")
        .reason(std::string(meaning.reason))
        .cause(refused.text);
  }
  return Error(ErrorCode::internal, "Redis refused a command.")
      .reason("redis_command_refused")
      .cause(refused.text);
}

}  // namespace holdfast::redis
