#include "holdfast/base/violations.hpp"

#include <algorithm>

namespace holdfast {
namespace {

void append_token(std::string& out, std::string_view name) {  // RFC 6901, section 3
  out.push_back('/');
  for (const char c : name) {
    if (c == '~') {
      out.append("~0");
    } else if (c == '/') {
      out.append("~1");
    } else {
      out.push_back(c);
    }
  }
}

}  // namespace

std::string Violations::pointer(std::string_view relative) const {
  std::vector<const Place*> path;
  for (const Place* place = here_; place != nullptr; place = place->parent_) {
    path.push_back(place);
    if (place->kind_ == Place::Kind::named) break;
  }
  std::reverse(path.begin(), path.end());
  std::string out;
  for (const Place* place : path) {
    switch (place->kind_) {
      case Place::Kind::named: out.append(place->name_); break;
      case Place::Kind::member: append_token(out, place->name_); break;
      case Place::Kind::index: append_token(out, std::to_string(place->index_)); break;
    }
  }
  return out.append(relative);
}

void Violations::add_at(std::string_view relative_pointer, std::string_view code, std::string message) {
  ++count_;
  if (kept_.size() >= kMaxKept) return;
  kept_.push_back({pointer(relative_pointer), std::string(code), std::move(message)});
}

void Violations::throw_if_any() const {
  if (empty()) return;
  std::string detail =
      count_ == 1 ? "The request has 1 fault" : "The request has " + std::to_string(count_) + " faults";
  if (count_ > kept_.size()) detail += ", of which the first " + std::to_string(kept_.size()) + " are listed";
  throw Error(ErrorCode::invalid_argument, detail + "; see `errors`.")
      .reason("validation_failed")
      .violations(kept_);
}

}  // namespace holdfast
