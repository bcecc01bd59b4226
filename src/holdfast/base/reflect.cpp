#include "holdfast/base/reflect.hpp"

namespace holdfast::detail {
namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;

void refuse_integer(std::string range, Violations& faults) {
  faults.add("out_of_range", "must be a whole number " + std::move(range));
}

std::string span_text(std::int64_t least, std::int64_t most) {
  return "from " + std::to_string(least) + " to " + std::to_string(most);
}

bool is_number(const JsonValue& json) {
  return json.kind() == JsonKind::int64 || json.kind() == JsonKind::uint64 || json.kind() == JsonKind::number;
}

}  // namespace

void refuse_kind(std::string_view wanted, const JsonValue& json, Violations& faults) {
  faults.add("wrong_type", "must be " + std::string(wanted) + ", not " + std::string(name_of(json.kind())));
}

void refuse_text(const TextSchema& schema, Violations& faults) {
  faults.add("malformed", "must be " + std::string(schema.what));
}

void refuse_enumerator(std::string_view names, Violations& faults) {
  faults.add("unknown_value", "must be one of: " + std::string(names));
}

void refuse_unknown(std::string_view member, Violations& faults) {
  const Violations::Place place(faults, member);
  faults.add("unknown_field", "is not a field of this object");
}

void refuse_missing(std::string_view member, Violations& faults) {
  const Violations::Place place(faults, member);
  faults.add("required", "is required");
}

std::optional<std::int64_t> read_signed(const JsonValue& json, std::int64_t least, std::int64_t most,
                                        Violations& faults) {
  if (!is_number(json)) {
    refuse_kind("a whole number", json, faults);
    return std::nullopt;
  }
  std::optional<std::int64_t> value;
  if (json.kind() == JsonKind::int64) {
    value = json.as_int64();
  } else if (json.kind() == JsonKind::number) {
    const double number = json.as_double();
    if (std::trunc(number) == number && number >= -kTwoTo63 && number < kTwoTo63) {
      value = static_cast<std::int64_t>(number);
    }
  }
  if (value && *value >= least && *value <= most) return value;
  refuse_integer(span_text(least, most), faults);
  return std::nullopt;
}

std::optional<std::uint64_t> read_unsigned(const JsonValue& json, std::uint64_t most, Violations& faults) {
  if (!is_number(json)) {
    refuse_kind("a whole number", json, faults);
    return std::nullopt;
  }
  std::optional<std::uint64_t> value;
  if (json.kind() == JsonKind::uint64) {
    value = json.as_uint64();
  } else if (json.kind() == JsonKind::int64) {
    if (json.as_int64() >= 0) value = static_cast<std::uint64_t>(json.as_int64());
  } else {
    const double number = json.as_double();
    if (std::trunc(number) == number && number >= 0 && number < 2 * kTwoTo63) {
      value = static_cast<std::uint64_t>(number);
    }
  }
  if (value && *value <= most) return value;
  refuse_integer("from 0 to " + std::to_string(most), faults);
  return std::nullopt;
}

}  // namespace holdfast::detail
