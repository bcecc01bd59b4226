#include "holdfast/messaging/rabbitmq/internal/roll.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

constexpr std::size_t kLongestName = 64;

constexpr std::string_view name_of(RollEntry::Kind kind) {
  switch (kind) {
    case RollEntry::Kind::made: return "made";
    case RollEntry::Kind::ready: return "ready";
    case RollEntry::Kind::lost: return "lost";
    case RollEntry::Kind::position: return "of";
    case RollEntry::Kind::hello: break;
  }
  return "hello";
}

bool read(std::string_view text, RollEntry& out) {
  try {
    const JsonDocument document = JsonDocument::parse(text);
    for (const auto kind : {RollEntry::Kind::made, RollEntry::Kind::ready, RollEntry::Kind::lost,
                            RollEntry::Kind::position, RollEntry::Kind::hello}) {
      const JsonValue* name = document.root().find(name_of(kind));
      if (name == nullptr || !name->is_string() || name->as_string().empty() ||
          name->as_string().size() > kLongestName)
        continue;
      out.kind = kind;
      out.log = name->as_string();
      const JsonValue* position = document.root().find("position");
      if (position != nullptr && position->kind() == JsonKind::int64) out.position = position->as_int64();
      return true;
    }
  } catch (const Error&) {
    // not one of ours
  }
  return false;
}

}  // namespace

std::string RollEntry::text() const {
  std::string out;
  JsonWriter json(out);
  json.begin_object().member(name_of(kind), log);
  if (kind == Kind::position) json.member("position", position);
  json.end_object();
  return out;
}

bool Roll::add(std::string_view text) {
  RollEntry entry;
  if (!read(text, entry)) return false;
  ++entries_;
  switch (entry.kind) {
    case RollEntry::Kind::made:
      if (std::ranges::find(made_, entry.log) == made_.end()) made_.push_back(entry.log);
      break;
    case RollEntry::Kind::ready: ready_.insert(entry.log); break;
    case RollEntry::Kind::lost: lost_.insert(entry.log); break;
    case RollEntry::Kind::position: {
      std::int64_t& highest = positions_[entry.log];
      highest = std::max(highest, entry.position);
      break;
    }
    case RollEntry::Kind::hello: last_hello_ = entry.log; break;
  }
  return true;
}

const std::string& Roll::current() const noexcept {
  static const std::string kNone;
  const auto found =
      std::ranges::find_if(made_, [&](const std::string& name) { return !lost_.contains(name); });
  return found == made_.end() ? kNone : *found;
}

std::int64_t Roll::position() const noexcept {
  const auto found = positions_.find(current());
  return found == positions_.end() ? 0 : found->second;
}

}  // namespace holdfast::messaging::rabbitmq
