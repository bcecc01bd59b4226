// A form-encoded body (application/x-www-form-urlencoded) as the Stripe API takes it: flat names, and
// names with brackets for what is nested.
//
//   const Form form = Form::parse("amount=1999&currency=gbp&metadata[order_id]=ord_1");
//   form.integer("amount");          // 1999; ApiError(400) where it is no whole number
//   form.map("metadata");            // {{"order_id", "ord_1"}}
//   form.refuse_unknown();           // ApiError(400) naming a field that nobody asked for
//
// Bounded: kMaxPairs pairs, kMaxNameBytes a name, kMaxValueBytes a value. Thread-safety: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::paysim {

class Form {
 public:
  static constexpr std::size_t kMaxPairs = 200;
  static constexpr std::size_t kMaxNameBytes = 200;
  static constexpr std::size_t kMaxValueBytes = 5000;

  using Pairs = std::vector<std::pair<std::string, std::string>>;

  /// Throws ApiError(400) where the text is malformed, over a bound, or says one name twice (names that
  /// end in "[]" may repeat).
  static Form parse(std::string_view text);

  /// Empty where it is absent. An empty value is present.
  std::optional<std::string> text(std::string_view name) const;
  /// Throws ApiError(400) where it is no whole number of 64 bits.
  std::optional<std::int64_t> integer(std::string_view name) const;
  /// Throws ApiError(400) unless it is "true" or "false".
  std::optional<bool> boolean(std::string_view name) const;
  /// The pairs `name[key]=value`, in the order sent. Deeper nesting is ApiError(400).
  Pairs map(std::string_view name) const;
  /// Marks names that begin so as known: what is accepted and not looked at.
  void ignore(std::string_view prefix) const;

  /// Throws ApiError(400, parameter_unknown) where a name was neither read nor ignored.
  void refuse_unknown() const;

  /// All pairs sorted: equal for forms that mean the same.
  std::string canonical() const;

  std::size_t size() const noexcept { return fields_.size(); }

 private:
  struct Field {
    std::string name;
    std::string value;
    mutable bool known = false;
  };
  const Field* find(std::string_view name) const;

  std::vector<Field> fields_;
};

}  // namespace holdfast::paysim
