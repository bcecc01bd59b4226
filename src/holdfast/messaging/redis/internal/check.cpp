#include "holdfast/messaging/redis/internal/check.hpp"

#include <charconv>
#include <map>
#include <string_view>

#include "holdfast/base/error.hpp"

namespace holdfast::messaging::redis_streams {
namespace {

using holdfast::redis::Reply;
using Facts = std::map<std::string, std::string, std::less<>>;

/// "name:value" lines.
void read_info(std::string_view text, Facts& facts) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\r\n"), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 2));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.starts_with('#')) continue;
    facts.insert_or_assign(std::string(line.substr(0, colon)), std::string(line.substr(colon + 1)));
  }
}

std::string_view fact(const Facts& facts, std::string_view name) {
  const auto found = facts.find(name);
  return found == facts.end() ? std::string_view() : std::string_view(found->second);
}

int number_at(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void require_version(std::string_view version) {
  const std::size_t dot = version.find('.');
  const int major = number_at(version);
  const int minor = dot == std::string_view::npos ? 0 : number_at(version.substr(dot + 1));
  if (major < 6 || (major == 6 && minor < 2)) {
    refuse("The Redis of broker.redis.url is version " + std::string(version) +
           "; streams are trimmed by position from 6.2 on: upgrade it, or choose another broker.kind.");
  }
}

void warn_of_losses(const Context& ctx, const Facts& facts, const observe::Logger& logger) {
  if (fact(facts, "aof_enabled") != "1") {
    logger.warn(ctx,
                "the broker's Redis keeps no append-only file: a restart empties its streams. What is not "
                "handled is sent again; others who listen lose what they have not read",
                {{"remedy", "appendonly yes, and appendfsync everysec or always"}});
  } else if (fact(facts, "appendfsync") == "no") {
    logger.warn(
        ctx,
        "the broker's Redis leaves syncing to the system: a power cut takes up to half a minute. What "
        "is not handled is sent again; others who listen lose what they have not read",
        {{"remedy", "appendfsync everysec, or always"}});
  }
}

}  // namespace

void refuse(std::string what) {
  throw Error(ErrorCode::failed_precondition, std::move(what)).reason("redis_refused");
}

void check_server(const Context& ctx, holdfast::redis::Client& client, const observe::Logger& logger) {
  holdfast::redis::Commands questions;
  for (const char* section : {"server", "replication", "persistence", "memory", "cluster"})
    questions.add({"INFO", section});
  questions.add({"CONFIG", "GET", "appendfsync"});  // not everywhere allowed
  Facts facts;
  const std::vector<Reply> answers = client.commands(ctx, questions);
  for (std::size_t i = 0; i + 1 < answers.size(); ++i) {
    if (answers[i].error_word() == "NOPERM") {
      refuse("The user of broker.redis.url may not ask INFO: allow it +info, and " +
             std::string("+@stream +@scripting +@hash +memory|usage +client|id +client|unblock."));
    }
    read_info(answers[i].as_text(), facts);
  }
  const Reply& sync = answers.back();
  if (sync.kind == Reply::Kind::array && sync.elements.size() == 2)
    facts.insert_or_assign("appendfsync", sync.elements[1].text);

  require_version(fact(facts, "redis_version"));
  if (fact(facts, "cluster_enabled") == "1")
    refuse(
        "The Redis of broker.redis.url is a node of a cluster, which is not spoken: name a single server.");
  if (fact(facts, "role") != "master") {
    refuse(
        "The Redis of broker.redis.url is a read-only replica: name the primary, or an address that "
        "follows it.");
  }
  const std::string_view policy = fact(facts, "maxmemory_policy");
  if (fact(facts, "maxmemory") != "0" && policy.starts_with("allkeys-")) {
    refuse("The Redis of broker.redis.url evicts what is in it (maxmemory-policy " + std::string(policy) +
           "), as a cache should and a broker must not: name another server in broker.redis.url, or set "
           "maxmemory-policy noeviction.");
  }
  warn_of_losses(ctx, facts, logger);
}

}  // namespace holdfast::messaging::redis_streams
