#include "holdfast/config/reader.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "holdfast/config/internal/spelling.hpp"

namespace holdfast::config {

namespace {

constexpr std::size_t kMaxShown = 80;

/// What was given, for a message; long ones are cut.
std::string shown(const Tree& at) {
  std::string out = "\"";
  for (const char c : std::string_view(at.text).substr(0, kMaxShown))
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return out + (at.text.size() > kMaxShown ? "…\"" : "\"");
}

template <class N>
std::optional<N> parse_number(std::string_view text) {
  N value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("-0123456789.") == std::string_view::npos;
}

bool whole_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string join(const std::vector<std::string_view>& words) {
  std::string out;
  for (const std::string_view word : words) out.append(out.empty() ? "" : ", ").append(word);
  return out;
}

/// "/idleTimeout" of a rule across settings becomes "idle_timeout".
std::string to_path(std::string_view pointer) {
  std::string out;
  for (const char c : pointer) {
    if (c == '/') {
      if (!out.empty()) out += '.';
    } else if (c >= 'A' && c <= 'Z') {
      out += '_';
      out += static_cast<char>(c + 32);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

void Reader::fault_of(const Tree& at, const Violations& violations) {
  for (const FieldViolation& violation : violations.kept()) fault(at, violation.message);
}

void Reader::fault_across(const Violations& violations) {
  for (const FieldViolation& violation : violations.kept()) {
    const std::string below = to_path(violation.pointer);
    faults_.add("", path_ + (path_.empty() || below.empty() ? "" : ".") + below, violation.message);
  }
}

void Reader::fault_required() {
  const std::string variable = variable_name(environment_prefix_, path_);
  faults_.add("", path_,
              fmt::format("is required: set it in the file, by {}, or by --set {}=…", variable, path_));
}

void Reader::fault_unknown(const Tree& at, std::string_view member,
                           const std::vector<std::string_view>& known) {
  const Step step(*this, member);
  fault(at, "unknown setting" + suggestion(member, known));
}

bool Reader::require(const Tree& at, Tree::Kind wanted, std::string_view called) {
  if (at.kind == wanted) return true;
  if (at.kind == Tree::Kind::none) {
    fault(at, "has no value; leave it out to keep the default");
  } else {
    fault(at, fmt::format("must be {}, not {}", called, to_string(at.kind)));
  }
  return false;
}

std::optional<bool> Reader::boolean(const Tree& at) {
  if (at.text == "true") return true;
  if (at.text == "false") return false;
  fault(at, shown(at) + " must be true or false");
  return std::nullopt;
}

std::optional<std::int64_t> Reader::integer(const Tree& at, std::int64_t least, std::int64_t most) {
  if (!whole_number(at.text)) {
    fault(at, shown(at) + " is not a whole number");
    return std::nullopt;
  }
  const auto value = parse_number<std::int64_t>(at.text);
  if (value && *value >= least && *value <= most) return value;
  fault(at, fmt::format("{} is out of range {}..{}", at.text.substr(0, kMaxShown), least, most));
  return std::nullopt;
}

std::optional<std::uint64_t> Reader::natural(const Tree& at, std::uint64_t least, std::uint64_t most) {
  if (!whole_number(at.text)) {
    fault(at, shown(at) + " is not a whole number");
    return std::nullopt;
  }
  const auto value = parse_number<std::uint64_t>(at.text);
  if (value && *value >= least && *value <= most) return value;
  fault(at, fmt::format("{} is out of range {}..{}", at.text.substr(0, kMaxShown), least, most));
  return std::nullopt;
}

std::optional<double> Reader::real(const Tree& at) {
  const auto value = parse_number<double>(at.text);
  if (value && std::isfinite(*value)) return value;
  fault(at, shown(at) + " is not a number");
  return std::nullopt;
}

std::optional<Duration> Reader::duration(const Tree& at, Duration unit) {
  const auto value = parse_duration(at.text);
  if (value && value->count() % unit.count() == 0) return value;
  if (value) {
    fault(at, fmt::format("{} must be a whole multiple of {}", at.text, format_duration(unit)));
  } else if (all_digits(at.text)) {
    fault(at, fmt::format("{} has no unit; say the unit, as in 200ms, 5s or 1h", shown(at)));
  } else {
    fault(at, shown(at) + " is not a duration such as 200ms, 5s or 1h");
  }
  return std::nullopt;
}

std::optional<ByteSize> Reader::byte_size(const Tree& at) {
  const auto value = parse_byte_size(at.text);
  if (value) return value;
  if (all_digits(at.text)) {
    fault(at, fmt::format("{} has no unit; say the unit, as in 512B, 64KiB or 1GB", shown(at)));
  } else {
    fault(at, shown(at) + " is not a size such as 512B, 64KiB or 1GB");
  }
  return std::nullopt;
}

std::optional<Secret> Reader::secret(const Tree& at) {
  constexpr std::string_view kFile = "file:";
  if (!std::string_view(at.text).starts_with(kFile)) return Secret(at.text);
  const std::string file = at.text.substr(kFile.size());
  std::string problem;
  auto value = read_secret_file(file, problem);
  if (!value) fault(at, fmt::format("the secret's file {} {}", file, problem));
  return value;
}

void Reader::fault_range(const Tree& at, std::string_view least, std::string_view most) {
  fault(at, most.empty() ? fmt::format("{} is less than {}", at.text, least)
                         : fmt::format("{} is out of range {}..{}", at.text, least, most));
}

void Reader::fault_choice(const Tree& at, const std::vector<std::string_view>& choices) {
  fault(at, fmt::format("{} must be one of: {}{}", shown(at), join(choices), suggestion(at.text, choices)));
}

void Reader::fault_form(const Tree& at, const TextSchema& schema) {
  fault(at, fmt::format("{} must be {}", shown(at), schema.what));
}

}  // namespace holdfast::config
